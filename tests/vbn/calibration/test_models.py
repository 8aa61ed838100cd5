"""Models and populations: what holds where there is nothing, what finds what there is, and what fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vbn.calibration.models import session as sessions
from vbn.calibration.models.columns import (
    DEVIATION,
    FLAG,
    LATENCY,
    PAIRS,
    REPLACED,
    SHARE,
    ModelColumn,
    P,
)
from vbn.calibration.models.measures import MODEL_MEASURES
from vbn.calibration.models.mice import MICE
from vbn.calibration.models.report import model_fault, model_section, model_verdict, model_verdicts
from vbn.calibration.models.run import (
    ModelSettings,
    all_model_parts,
    holds,
    model_parts,
    score_model_column,
)
from vbn.calibration.models.worlds import POPULATIONS, population_trains
from vbn.calibration.run import (
    FALSE_PAIRS,
    FALSE_POSITIVE,
    FALSE_POSITIVE_01,
    GIVEN,
    MEAN,
    POWER,
    Cell,
    CellKey,
    Part,
    Score,
    summarize,
)
from vbn.errors import SettingError

COLUMNS = {(of.table, column.name): column for of in MODEL_MEASURES for column in of.columns}
Found = dict[tuple[str, str, str], Cell]


pytestmark = [pytest.mark.usefixtures("simulated_once"), pytest.mark.simulation]


def cells_of(n: int, worlds: tuple[str, ...], tables: tuple[str, ...]) -> Found:
    settings = ModelSettings(2, seed=2, worlds=worlds, tables=tables)
    scores = [
        {key: score for _, found in model_parts(settings, index) for key, score in found.items()}
        for index in range(n)
    ]
    return {(cell.key.column, cell.key.world, cell.key.what): cell for cell in summarize(scores)}


def fault(cell: Cell) -> str:
    return model_fault(cell, COLUMNS[cell.key[:2]])


def test_decoders_hold_where_rates_drift_and_random_folds_do_not() -> None:
    cells = cells_of(4, ("ou_60",), ("Decoding", "ReplacedDecoding"))
    p = [
        cell
        for (column, _, what), cell in cells.items()
        if column.startswith("decoding_p ") and what == FALSE_POSITIVE
    ]
    assert len(p) == 5
    assert sum(cell.value * cell.n for cell in p) / sum(cell.n for cell in p) <= 0.12
    assert not any(fault(cell) == "fails" for cell in p)
    assert cells["choice_p", "ou_60", FALSE_POSITIVE].value <= 0.1
    assert abs(cells["choice_probability", "ou_60", MEAN].value) < 0.015
    naive = cells["p_of_random_folds (image)", "ou_60", FALSE_POSITIVE]
    assert naive.value >= 0.5
    assert fault(naive) == "fails"
    assert fault(cells["decoding_random_accuracy (image)", "ou_60", MEAN]) == "fails"
    assert fault(cells["decoding_accuracy (image)", "ou_60", MEAN]) != "fails"


def test_hits_are_decoded_where_they_differ() -> None:
    cells = cells_of(2, ("hit_tuned",), ("Decoding",))
    assert cells["decoding_p (hit)", "hit_tuned", POWER].value >= 0.75
    assert cells["choice_p", "hit_tuned", POWER].value >= 0.6


def test_what_is_locked_to_images_is_no_synapse_and_without_jitter_it_is() -> None:
    tables = ("FunctionalConnectivity", "ReplacedFunctionalConnectivity")
    cells = cells_of(2, ("flash_locked", "synapse"), tables)
    for world in ("flash_locked", "synapse"):
        assert cells["FunctionalConnectivity.Pair", world, FALSE_PAIRS].value <= 0.001
        assert cells["ccg_surrogate_fraction", world, FALSE_PAIRS].value <= 0.001
    assert cells["FunctionalConnectivity.Pair", "synapse", POWER].value >= 0.8
    naive = cells["peaks_without_jitter", "flash_locked", FALSE_PAIRS]
    assert naive.value > 0.5


def test_drift_is_no_correlation_and_no_variability() -> None:
    tables = ("Correlations", "Variability", "IntrinsicTimescale", "Dimensionality")
    cells = cells_of(2, ("ou_60", "gain", "decay_60ms"), tables)
    assert abs(cells["noise_correlation", "ou_60", MEAN].value) < 0.01
    assert cells["plain_noise_correlation", "ou_60", MEAN].value > 0.04
    assert abs(cells["noise_correlation", "gain", MEAN].value) < 0.02
    assert abs(cells["fano_factor_local", "ou_60", MEAN].value) < 0.06
    assert cells["fano_factor", "ou_60", MEAN].value > 0.1
    assert abs(cells["participation_ratio", "ou_60", MEAN].value) < 0.03
    assert cells["plain_participation_ratio", "ou_60", MEAN].value < -0.05
    assert cells["timescale_is_valid_intrinsic", "ou_60", FALSE_POSITIVE].value <= 0.03
    assert cells["timescale_is_valid_intrinsic (siegle_2021)", "ou_60", FALSE_POSITIVE].value > 0.05
    assert cells["timescale_is_valid_decay", "decay_60ms", POWER].value > 0.8
    assert abs(cells["timescale_decay", "decay_60ms", MEAN].value) < 0.01


@pytest.mark.slow
def test_changes_are_not_taken_for_the_pupil_but_by_the_published_set() -> None:
    """The mean penalty of the units shrinks kernels of rare events, and the pupil follows changes."""
    worlds = ("lost", "run_locked", "latency_1_50")
    cells = cells_of(1, worlds, ("EncodingModel", "PublishedEncodingModel"))
    assert cells["glm_is_explained", "lost", FALSE_POSITIVE].value <= 0.03
    assert cells["glm_pupil_change", "latency_1_50", FALSE_POSITIVE].value <= 0.05
    assert cells["glm_pupil_change (allen_v110_active)", "latency_1_50", FALSE_POSITIVE].value > 0.3
    assert cells["glm_task_change", "latency_1_50", POWER].value > 0.9
    assert cells["glm_running_change", "run_locked", POWER].value > 0.3
    assert cells["glm_licks_change", "run_locked", FALSE_POSITIVE].value <= 0.05


def test_strategies_are_found_and_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POPULATIONS, "poisson", replace(POPULATIONS["poisson"], minutes=60.0))
    cells = cells_of(2, ("mouse_random", "mouse_visual"), ("StrategyModel",))
    assert cells["strategy_label", "mouse_random", FALSE_POSITIVE].value == 0
    assert cells["strategy_label", "mouse_visual", POWER].value == 1
    assert cells["strategy_evidence_lost (task0)", "mouse_visual", POWER].value == 1
    assert abs(cells["visual_index", "mouse_random", MEAN].value) < 2


def test_units_do_not_depend_on_their_number_or_on_other_worlds() -> None:
    one = sessions.ModelSession(3, 0)
    few = population_trains(3, "poisson", 2, one.of("poisson").events)
    both = list(one.together(("gain", "poisson"), 3))
    assert len(both) == 1  # one recording
    assert np.array_equal(one.trains("poisson")[1], few[1])
    assert [*both[0][1]] == ["gain"] * 3 + ["poisson"] * 3
    assert np.array_equal(one.trains("gain", 3)[2], one.trains("gain", sessions.POOL)[2])


def test_each_kind_is_scored_as_it_should_be() -> None:
    def score(kind: str, truth: bool | None, *values: float) -> dict[str, Score]:
        return score_model_column(ModelColumn("c", kind, "", ("image",)), truth, np.array(values))

    nan = np.nan
    assert score(P, False, 0.01, 0.04, 0.5, nan) == {
        FALSE_POSITIVE: Score(2, 3), FALSE_POSITIVE_01: Score(1, 3)
    }  # fmt: skip
    assert score(P, True, 0.01, 0.5) == {POWER: Score(1, 2)}
    assert score(P, None, 0.01) == {}
    assert score(FLAG, False, 1.0, 0.0) == {FALSE_POSITIVE: Score(1, 2)}
    assert score(LATENCY, False, 0.1, nan) == {GIVEN: Score(1, 2)}
    assert score(DEVIATION, False, 0.1, -0.3) == {MEAN: Score(pytest.approx(-0.2), 2)}
    assert score(DEVIATION, True, 0.1) == {}
    assert score(PAIRS, False, 1.0, 0.0) == {FALSE_PAIRS: Score(1, 2)}
    assert score(SHARE, False, 0.2, 0.1) == {FALSE_POSITIVE: Score(pytest.approx(0.3), 2)}
    assert score(P, False) == {}


def test_verdicts_have_bounds_that_can_fail() -> None:
    def cell(value: float, low: float, what: str, world: str = "ou_60") -> Cell:
        return Cell(CellKey("T", "c", world, what), value, low, 1.0, 100, 10)

    p, pairs = ModelColumn("c", P, ""), ModelColumn("c", PAIRS, "")
    less = ModelColumn("c", DEVIATION, "", most=0.01)
    assert model_verdict([cell(0.3, 0.2, FALSE_POSITIVE)], p) == "fails in ou_60 (.30)"
    assert model_verdict([cell(0.09, 0.03, FALSE_POSITIVE)], p) == "unclear in ou_60 (.09)"
    assert model_verdict([cell(0.05, 0.03, FALSE_POSITIVE)], p) == "holds"
    assert model_verdict([cell(0.01, 0.0, FALSE_POSITIVE)], p) == "conservative"
    assert model_verdict([cell(0.004, 0.002, FALSE_PAIRS)], pairs) == "fails in ou_60 (0.40 %)"
    assert model_verdict([cell(0.0005, 0.0, FALSE_PAIRS)], pairs) == "holds"
    assert model_verdict([cell(0.02, 0.015, MEAN)], less) == "fails in ou_60 (+.020)"
    assert model_verdict([cell(0.9, 0.8, POWER)], p) == "not judged"


def test_every_claim_is_one_of_a_world() -> None:
    """A claim that no world has would make every finding a false one."""
    for measure in MODEL_MEASURES:
        for column in measure.columns:
            truths = [holds(world, column.claims) for world in measure.worlds]
            assert not column.claims or any(truths) or column.status == REPLACED, column.name
    assert {world for measure in MODEL_MEASURES for world in measure.worlds} == {*POPULATIONS, *MICE}


def test_the_section_has_every_table_and_what_was_run() -> None:
    scores = {
        CellKey(of.table, column.name, of.worlds[0], FALSE_POSITIVE): Score(1, 20)
        for of in MODEL_MEASURES
        for column in of.columns
    }
    cells = summarize([scores, scores])
    text = "\n".join(model_section(cells, ModelSettings(7)))
    assert "7 sessions, of which dearer tables have some; 40 units" in text
    assert "### EncodingNull\n\n2 sessions, 10 units:\n\n| column" in text
    for of in MODEL_MEASURES:
        assert f"### {of.table}\n" in text
    assert len(model_verdicts(cells)) == len(COLUMNS)


def test_parts_that_are_done_are_left_out() -> None:
    settings = ModelSettings(2, worlds=("poisson", "ou_5"), tables=("Variability",))
    parts = all_model_parts(settings)
    assert parts == [Part(i, w, "Variability") for i in (0, 1) for w in ("poisson", "ou_5")]
    dear = all_model_parts(ModelSettings(8, worlds=("poisson",), tables=("EncodingModel",)))
    assert [part.session for part in dear] == [0, 3]
    assert not list(model_parts(ModelSettings(4, tables=("EncodingModel",)), 1))
    rest = list(model_parts(settings, 0, done={parts[0]}))
    assert [part for part, _ in rest] == [parts[1]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"worlds": ("ou_61",)}, "There is no world of models 'ou_61'. Near to it: ou_60"),
        ({"tables": ("Decodng",)}, "There is no table of models 'Decodng'. Near to it: Decoding"),
        ({"sessions": 1}, "no sessions, or 2 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ModelSettings(**setting)
