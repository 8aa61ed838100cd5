"""The check itself: it passes what is valid, fails what is not, and finds the known faults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.responses.image_selectivity import image_selectivity
from vbn.analysis.spikes.windows import count_in_windows
from vbn.analysis.statistics import exact_signed_rank_p_values, kruskal_wallis_p_values
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.calibration.columns import (
    FLAG,
    INDEX,
    LATENCY,
    LEFT_OUT,
    MEASURES,
    SIGN,
    ClaimingColumn,
    Measure,
    P,
    Q,
    Spikes,
    as_spikes,
)
from vbn.calibration.events import SimulatedEvents
from vbn.calibration.replaced import REPLACED
from vbn.calibration.report import fault
from vbn.calibration.run import (
    BIAS_MS,
    FALSE_DISCOVERY,
    FALSE_POSITIVE,
    GIVEN,
    MEAN,
    POWER,
    SIGN_ERROR,
    CalibrationSettings,
    Cell,
    CellKey,
    Score,
    draw_trains,
    interval,
    score_column,
    session_scores,
    summarize,
)
from vbn.calibration.worlds import WORLDS, Images
from vbn.errors import SettingError

pytestmark = [pytest.mark.usefixtures("simulated_once"), pytest.mark.simulation]


def textbook(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
    """Two tests of 200 windows: signed ranks of neighbours, and the first hundred against the last."""
    count = partial(count_in_windows, *spikes)
    times = np.linspace(100.0, 2100.0, 200)
    first, second = count(times, (0.0, 0.25)), count(times, (0.25, 0.5))
    return pd.DataFrame(
        {
            "p_paired": exact_signed_rank_p_values(second - first),
            "p_halves": kruskal_wallis_p_values(first, np.arange(200) >= 100),
            "p_small": np.full(len(first), 0.001),
        }
    )


TEXTBOOK = Measure(
    "Textbook", textbook, tuple(ClaimingColumn(n, P, "image") for n in ("p_paired", "p_halves", "p_small"))
)


def cells_of(
    settings: CalibrationSettings, measures: Sequence[Measure] = MEASURES
) -> dict[tuple[str, str, str], Cell]:
    cells = summarize([session_scores(settings, index, measures) for index in range(settings.sessions)])
    return {(cell.key.column, cell.key.world, cell.key.what): cell for cell in cells}


@cache
def cells_of_world(
    world: str, columns: tuple[str, ...], sessions: int, units: int, measures: Sequence[Measure] = MEASURES
) -> dict[tuple[str, str, str], Cell]:
    """Score all columns that are asked for in a world with the same spikes, once."""
    settings = CalibrationSettings(sessions, units, seed=2, worlds=(world,), columns=columns)
    return cells_of(settings, measures)


def test_a_valid_statistic_passes_and_an_invalid_one_fails() -> None:
    """Neighbouring windows differ by chance only, whatever is slow; halves differ where the rate drifts."""
    settings = CalibrationSettings(8, 12, seed=2, worlds=("poisson", "ou_60", "drift"))
    cells = cells_of(settings, [TEXTBOOK])
    for world in settings.worlds:
        assert fault(cells["p_paired", world, FALSE_POSITIVE]) != "fails"
        assert cells["p_paired", world, FALSE_POSITIVE].value <= 0.1
        assert fault(cells["p_small", world, FALSE_POSITIVE]) == "fails"
    assert cells["p_halves", "poisson", FALSE_POSITIVE].value <= 0.1
    for world in ("ou_60", "drift"):
        assert fault(cells["p_halves", world, FALSE_POSITIVE]) == "fails"
        assert cells["p_halves", world, FALSE_POSITIVE].value > 0.15


@pytest.mark.parametrize(
    ("world", "column", "what", "least"),
    [
        ("poisson", "ChangeResponse.siegle_2021_first_spike_latency_s", GIVEN, 0.9),
        ("latency_1_5", "ChangeResponse.siegle_2021_first_spike_latency_s", BIAS_MS, 25.0),
        ("ou_60", "RunningModulation.allensdk_p_value", FALSE_POSITIVE, 0.15),
    ],
)
def test_known_faults_of_the_columns_are_seen(world: str, column: str, what: str, least: float) -> None:
    settings = CalibrationSettings(5, 6, seed=2, worlds=(world,), columns=(column,))
    (cell,) = (cell for key, cell in cells_of(settings).items() if key[2] == what)
    assert cell.value > least
    assert fault(cell) == "fails"


VALID = [
    ("poisson", "ImageSelectivity.p_selectivity"),
    ("ou_60", "ImageSelectivity.p_selectivity"),
    ("ou_600", "ImageSelectivity.p_selectivity"),
    ("lick_locked", "ImageSelectivity.p_selectivity"),
    ("lick_locked", "ImageSelectivity.p_response"),
    ("before_licks", "ImageSelectivity.p_response"),
    ("after_licks", "ImageSelectivity.p_response"),
    ("reward_locked", "ImageSelectivity.p_response"),
    ("engagement", "ImageSelectivity.p_selectivity"),
    ("flash_tail", "OmissionResponse.p_value"),
    ("flash_dip", "OmissionResponse.p_value"),
    ("lick_locked", "OmissionResponse.p_value_active"),
    ("reward_locked", "OmissionResponse.p_value_active"),
    ("low_rate", "Optotagging.cosine_p_wilcoxon"),
    ("bursty", "Optotagging.cosine_p_wilcoxon"),
    ("bursty", "Optotagging.pulse_censored_p_wilcoxon"),
    ("ou_60", "ChangeResponse.p_modulation"),
    ("lick_locked", "ChangeResponse.p_modulation_active"),
    ("lick_locked", "ChangeResponse.p_modulation"),
]


@pytest.mark.parametrize(("world", "column"), VALID)
def test_what_is_valid_holds(world: str, column: str) -> None:
    columns = tuple(name for of, name in VALID if of == world)
    cell = cells_of_world(world, columns, 4, 12)[column.split(".")[1], world, FALSE_POSITIVE]
    assert cell.value <= 0.12
    assert fault(cell) != "fails"


@pytest.mark.parametrize(
    ("world", "flash_set", "least"),
    [
        ("lick_locked", "repeated_active", 0.4),  # all flashes, as before method version 3
        ("before_licks", "bennett_2025", 0.12),  # whose flashes may come right before a lick
    ],
)
def test_flashes_near_licks_make_units_responsive(world: str, flash_set: str, least: float) -> None:
    def measured(name: str) -> Measure:
        def function(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
            behavior = flash_behavior(events.presentations, events.trials, events.lick_times_s)
            return image_selectivity(*spikes, behavior[select_flashes(behavior, FLASH_SETS[name])])[0]

        return Measure(name, function, (ClaimingColumn("p_response", P, "flash"),))

    settings = CalibrationSettings(8, 20, seed=2, worlds=(world,))
    cells = summarize(
        [
            session_scores(settings, index, [measured(flash_set), measured("lick_free")])
            for index in range(settings.sessions)
        ]
    )
    near, far = (
        next(cell for cell in cells if (cell.key.table, cell.key.what) == (name, FALSE_POSITIVE))
        for name in (flash_set, "lick_free")
    )
    assert near.value > least
    assert fault(near) == "fails"
    assert far.value < min(0.12, near.value / 2)
    assert fault(far) != "fails"


OF_CHANGES = [
    ("suppressed", "change_modulation_active", SIGN_ERROR, 0.0),
    ("suppressed", "change_modulation_hit", SIGN_ERROR, 0.05),
    ("suppressed", "change_modulation_miss", SIGN_ERROR, 0.05),
    ("poisson", "change_modulation_active", GIVEN, 0.05),
    ("low_rate", "change_modulation_hit", GIVEN, 0.05),
    ("omission_tuned", "change_modulation_miss", GIVEN, 0.05),
    ("image_tuned", "change_modulation_hit", MEAN, 0.05),
    ("suppressed", "response_sign_active", SIGN_ERROR, 0.0),
    ("poisson", "response_sign_active", GIVEN, 0.05),
    ("engagement", "change_modulation_hit_less_miss", MEAN, 0.05),
    ("poisson", "latency_s", GIVEN, 0.05),
    ("latency_1_5", "latency_s", BIAS_MS, 5.0),
    ("latency_15_50", "latency_s", BIAS_MS, 5.0),
]


@pytest.mark.parametrize(("world", "column", "what", "most"), OF_CHANGES)
def test_indices_and_latencies_of_changes_do_not_mislead(
    world: str, column: str, what: str, most: float
) -> None:
    columns = tuple(f"ChangeResponse.{name}" for of, name, *_ in OF_CHANGES if of == world)
    assert abs(cells_of_world(world, columns, 4, 8)[column, world, what].value) <= most


@pytest.mark.parametrize(
    ("world", "column", "what"),
    [
        ("low_rate", "lifetime_sparseness", GIVEN),
        ("few_events", "lifetime_sparseness", GIVEN),
        ("bursty", "novel_shared_index", GIVEN),
        ("flash_tail", "lifetime_sparseness", MEAN),
        ("flash_dip", "novel_shared_index", MEAN),
    ],
)
def test_indices_of_images_are_of_responses(world: str, column: str, what: str) -> None:
    settings = CalibrationSettings(3, 10, seed=2, worlds=(world,), columns=(f"ImageSelectivity.{column}",))
    assert abs(cells_of(settings)[column, world, what].value) <= 0.05


FAULTS = [
    ("lick_locked", "ChangeResponse.p_modulation_of_all_changes", FALSE_POSITIVE, 0.2),
    ("engaged_change", "ChangeResponse.hit_less_miss_of_all_changes", MEAN, 0.08),
    ("suppressed", "ChangeResponse.change_modulation_over_sum", SIGN_ERROR, 0.9),
    ("ou_60", "ImageSelectivity.p_selectivity_over_flashes", FALSE_POSITIVE, 0.3),
    ("lick_locked", "ImageSelectivity.p_selectivity_over_flashes", FALSE_POSITIVE, 0.3),
    ("image_tuned", "ImageSelectivity.p_novelty_over_flashes", FALSE_POSITIVE, 0.5),
    ("flash_tail", "OmissionResponse.is_responsive_against_before", FALSE_POSITIVE, 0.5),
    ("ou_60", "RunningModulation.p_rank_sum", FALSE_POSITIVE, 0.15),
    ("ou_60", "PupilModulation.p_rank_sum", FALSE_POSITIVE, 0.15),
]


@pytest.mark.parametrize(("world", "column", "what", "least"), FAULTS)
def test_what_was_replaced_fails(world: str, column: str, what: str, least: float) -> None:
    columns = tuple(f"Replaced{name}" for of, name, *_ in FAULTS if of == world)
    cell = cells_of_world(world, columns, 6, 8, REPLACED)[column.split(".")[1], world, what]
    assert cell.value > least
    assert fault(cell) == "fails"


def test_states_that_drift_with_the_units_of_a_session_are_rarely_called_related() -> None:
    """More sessions than units: all units of one share the state, and half of what is slow in them."""
    worlds = ("ou_60", "drift", "latency_1_50", "engagement")
    columns = tuple(f"{table}.p_shift_active" for table in ("RunningModulation", "PupilModulation"))
    settings = CalibrationSettings(12, 4, seed=2, worlds=worlds, columns=columns)
    cells = summarize([session_scores(settings, index) for index in range(settings.sessions)])
    rates = [cell for cell in cells if cell.key.what == FALSE_POSITIVE]
    assert len(rates) == len(worlds) * len(columns)
    for cell in rates:
        assert cell.value <= 0.12
        assert fault(cell) != "fails"


def test_effects_are_found() -> None:
    for world, *columns in (
        ("change_tuned", "ChangeResponse.p_modulation_active"),
        ("image_tuned", "ImageSelectivity.p_selectivity"),
        ("omission_tuned", "OmissionResponse.p_value"),
        ("full_field", "FullFieldResponse.p_white"),
        ("run_locked", "RunningModulation.p_shift_active"),
        ("pupil", "PupilModulation.p_shift_active"),
        ("gabor_tuned", "ReceptiveField.p_value"),
        (
            "laser",
            "Optotagging.pulse_p_salt",
            "Optotagging.pulse_censored_p_wilcoxon",
            "Optotagging.cosine_p_wilcoxon",
        ),
    ):
        settings = CalibrationSettings(2, 3, seed=2, worlds=(world,), columns=tuple(columns))
        cells = cells_of(settings)
        for column in columns:
            assert cells[column.split(".")[1], world, POWER].value >= 0.6, column


def test_false_discoveries_are_counted_among_known_units() -> None:
    """In a mixture that is kind, a procedure that calls everything has a proportion of the nulls."""

    def everything(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
        n = spikes[2].size
        return pd.DataFrame({"q_all": np.zeros(n), "q_none": np.ones(n), "q_nan": np.full(n, np.nan)})

    columns = tuple(ClaimingColumn(name, Q, "laser") for name in ("q_all", "q_none", "q_nan"))
    settings = CalibrationSettings(2, 8, seed=2, worlds=("mixed_mild",))
    cells = cells_of(settings, [Measure("All", everything, columns)])
    assert cells["q_all", "mixed_mild", FALSE_DISCOVERY].value == pytest.approx(15 / 16)
    for name in ("q_none", "q_nan"):
        assert cells[name, "mixed_mild", FALSE_DISCOVERY].value == 0


def test_mixtures_may_have_more_sessions_than_other_worlds_and_are_asked_for_discoveries_only() -> None:
    def guessed(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
        return pd.DataFrame({"p": np.zeros(spikes[2].size), "q": np.zeros(spikes[2].size)})

    with_q = Measure("WithQ", guessed, tuple(ClaimingColumn(kind, kind, "laser") for kind in (P, Q)))
    with_p = Measure("WithP", guessed, (ClaimingColumn("p", P, "laser"),))
    settings = CalibrationSettings(2, 2, seed=2, worlds=("poisson", "mixed_mild"), mixtures=4)
    assert settings.all_sessions == 4
    cells = summarize([session_scores(settings, index, [with_q, with_p]) for index in range(4)])
    found = {(*cell.key[:3], cell.key.what): cell.sessions for cell in cells}
    assert found["WithQ", "q", "mixed_mild", FALSE_DISCOVERY] == 4
    assert {sessions for key, sessions in found.items() if key[2] == "poisson"} == {2}
    assert {table for table, _, world, _ in found if world == "mixed_mild"} == {"WithQ"}
    assert CalibrationSettings(3, 2, worlds=("poisson",), mixtures=4).all_sessions == 3
    assert CalibrationSettings(3, 2, worlds=("mixed",)).all_sessions == 3


def test_untuned_units_among_tuned_ones_are_no_discoveries() -> None:
    settings = CalibrationSettings(6, 8, seed=2, worlds=("mixed",), columns=("q_selectivity",))
    assert cells_of(settings)["q_selectivity", "mixed", FALSE_DISCOVERY].value <= 0.1


def test_a_claim_that_is_neither_true_nor_false_is_left_out() -> None:
    values = np.array([0.01, 0.5])
    column = ClaimingColumn("p_value", P, "running")
    assert score_column(column, WORLDS["lick_locked"], values) == {}
    assert score_column(column, WORLDS["poisson"], values)[FALSE_POSITIVE] == Score(1, 2)
    assert score_column(column, WORLDS["run_locked"], values) == {POWER: Score(1, 2)}


def test_each_kind_is_scored_as_it_should_be() -> None:
    nan, poisson, dark = np.nan, WORLDS["poisson"], WORLDS["suppressed"]
    index = ClaimingColumn("index", INDEX, "change")
    assert score_column(index, dark, np.array([-1.0, 0.5, 0.0, nan])) == {SIGN_ERROR: Score(1, 3)}
    assert score_column(index, poisson, np.array([-1.0, 0.5, nan])) == {MEAN: Score(-0.5, 2)}
    latency = ClaimingColumn("latency_s", LATENCY, "onset")
    assert score_column(latency, poisson, np.array([0.1, nan])) == {GIVEN: Score(1, 2)}
    of_response = ClaimingColumn("index", INDEX, "image", response=("flash", "onset"))
    assert score_column(of_response, poisson, np.array([-1.0, 0.5, nan])) == {GIVEN: Score(2, 3)}
    assert score_column(of_response, WORLDS["flash_tail"], np.array([0.5, nan])) == {MEAN: Score(0.5, 1)}
    assert score_column(of_response, WORLDS["before_licks"], np.array([0.5])) == {}
    sign = ClaimingColumn("response_sign", SIGN, "change")
    assert score_column(sign, poisson, np.array([-1.0, 1.0, nan])) == {GIVEN: Score(2, 3)}
    assert score_column(sign, dark, np.array([-1.0, 1.0, nan])) == {SIGN_ERROR: Score(1, 2)}
    found = score_column(latency, WORLDS["latency_1_5"], np.array([0.06, nan]))
    assert found[BIAS_MS].total == pytest.approx(10.0)
    flag = ClaimingColumn("is_x", FLAG, "change")
    assert score_column(flag, poisson, np.array([1.0, 0.0, nan])) == {FALSE_POSITIVE: Score(1, 2)}
    assert score_column(flag, poisson, np.array([nan])) == {}


def test_wrong_signs_count_where_there_is_an_effect() -> None:
    """One of two indices with a small p has the wrong sign; that of a unit without effect does not count."""

    def indices(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
        return pd.DataFrame({"index": [-1.0, 1.0, 1.0], "p": [0.01, 0.02, 0.5]})

    measure = Measure("Index", indices, (ClaimingColumn("index", INDEX, "change", "p"),))
    worlds = CalibrationSettings(2, 3, seed=2, worlds=("suppressed", "poisson"))
    cells = cells_of(worlds, [measure])
    assert cells["index", "suppressed", SIGN_ERROR].value == 0.5
    assert cells["index", "poisson", MEAN].value == pytest.approx(1 / 3)


def test_intervals_are_wide_where_sessions_differ() -> None:
    """Of 200 units in ten sessions a half is called: all in five of the sessions, or half in every one."""
    n = np.full(10, 20.0)
    clustered = interval(np.repeat([0.0, 20.0], 5), n, is_share=True)
    even = interval(np.full(10, 10.0), n, is_share=True)
    assert clustered[0] < 0.15 < 0.85 < clustered[1]
    assert even == pytest.approx((0.431, 0.569), abs=0.002)  # Wilson's
    assert interval(np.zeros(10), n, is_share=True) == pytest.approx((0, 0.019), abs=0.001)
    assert interval(np.array([2.0, 4.0]), np.ones(2), is_share=False) == pytest.approx(
        (3 - 12.7062, 3 + 12.7062), abs=1e-3
    )


def test_a_fault_needs_more_than_chance() -> None:
    def of(value: float, low: float, what: str = FALSE_POSITIVE) -> str:
        return fault(Cell(CellKey("T", "c", "w", what), value, low, 1.0, 100, 10))

    assert [of(0.05, 0.01), of(0.09, 0.04), of(0.09, 0.06), of(0.9, 0.8, POWER)] == [
        "",
        "unclear",
        "fails",
        "",
    ]
    assert [of(0.2, 0.1, MEAN), of(0.2, -0.1, MEAN), of(0.01, 0.005, MEAN)] == ["fails", "unclear", ""]


def test_equal_seeds_give_equal_results_and_worlds_do_not_depend_on_each_other() -> None:
    columns = ("FullFieldResponse", "ReceptiveField.p_value")
    both = CalibrationSettings(2, 3, seed=2, worlds=("ou_5", "poisson"), columns=columns)
    one, two = session_scores(both, 1), session_scores(both, 1)
    assert one == two
    alone = session_scores(CalibrationSettings(2, 3, seed=2, worlds=("poisson",), columns=columns), 1)
    assert alone == {key: score for key, score in one.items() if key.world == "poisson"}
    other = session_scores(CalibrationSettings(2, 3, seed=3, worlds=("poisson",), columns=columns), 1)
    assert other.keys() == alone.keys()
    assert other != alone


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"worlds": ("ou_61",)}, "There is no world 'ou_61'. Near to it: ou_60"),
        ({"columns": ("p_selectivty",)}, "There is no column 'p_selectivty'. Near to it: p_selectivity"),
        ({"sessions": 1}, "A calibration needs 2 sessions or more"),
        ({"units": 0}, "1 unit or more"),
        ({"mixtures": -1}, "of mixtures 0 sessions or more, got -1"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        CalibrationSettings(**setting)


LOOKS_TESTED = re.compile(r"^(p|q|is)_|_index|latency|sparseness|modulation|^sign$|_r$|_ratio")


@pytest.mark.parametrize("measure", MEASURES[:-1], ids=lambda measure: measure.table)
def test_every_p_value_flag_index_and_latency_is_put_to_the_test_or_left_out_with_a_reason(
    measure: Measure, events: SimulatedEvents
) -> None:
    """But for the laser's, of which only what compares light with dark is tested by now."""
    spikes = as_spikes(draw_trains(0, "poisson", ["poisson"], events))
    columns = {*measure.function(spikes, events, 0).columns}
    found = {name for name in columns if LOOKS_TESTED.search(name)}
    declared = {column.name for column in measure.columns}
    left_out = {name for name in found for prefix in LEFT_OUT if f"{measure.table}.{name}".startswith(prefix)}
    assert found - left_out == declared & found
    assert declared <= columns
    assert not declared & left_out


def test_the_images_of_a_world_are_those_of_the_session(events: SimulatedEvents) -> None:
    images = Images.of(events)
    assert (images.shown == ~images.omitted).all()
    assert set(images.name[images.omitted]) == {"omitted"}
    assert 0.2 < images.engaged.mean() < 0.45  # of task and replay together
