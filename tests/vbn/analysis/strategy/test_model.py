"""Strategy models of mice whose strategy is known, of a mouse without one, and sessions that say nothing."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.vbn.analysis.strategy.mice import Mouse, mouse, task, walk
from vbn.analysis.strategy.model import StrategyResult, area_under_curve, strategy_model
from vbn.analysis.strategy.parameters import STRATEGY, StrategyParameters
from vbn.analysis.strategy.random_walk import walks_of_sigma
from vbn.analysis.strategy.regressors import flash_licking, regressors
from vbn.errors import AbsentExtraError, HostError

pytestmark = pytest.mark.simulation

QUICK = StrategyParameters()
N = 1600


def fit(made: Mouse, settings: StrategyParameters = QUICK, seed: int = 1) -> StrategyResult:
    return strategy_model(made.flashes, made.lick_times, settings, seed)


@pytest.mark.parametrize(
    ("weights", "label"),
    [({"bias": -3.0, "task0": 3.5}, "visual"), ({"bias": -1.0, "timing1D": 4.0}, "timing")],
)
def test_a_mouse_with_one_strategy(weights: dict, label: str) -> None:
    found = fit(mouse(N, 1, weights))
    assert found.label == label
    indices = {"visual": found.visual_index, "timing": found.timing_index}
    other = indices.pop("timing" if label == "visual" else "visual")
    assert indices[label] > 10
    assert abs(other) < 1.5
    assert found.strategy_index == found.visual_index - found.timing_index
    assert np.sign(found.weight_index) == np.sign(found.strategy_index)
    assert found.auc_cv > 0.7
    assert found.log_likelihood_cv > found.log_likelihood_null + 0.02


def test_what_is_planted_besides_is_found() -> None:
    weights = {"bias": -2.0, "task0": 2.0, "timing1D": 2.0, "omissions1": 2.0, "omissions": -1.5}
    found = fit(mouse(2200, 2, weights))
    mean = dict(zip(found.names, found.walks.weights.mean(axis=0), strict=True))
    sd = dict(zip(found.names, found.weight_sd.mean(axis=0), strict=True))
    for name in ("task0", "timing1D", "omissions1", "omissions"):
        assert abs(mean[name] - weights[name]) < 3 * sd[name]
    assert min(mean[name] / sd[name] for name in ("task0", "timing1D", "omissions1")) > 2
    assert found.post_omission_index > 1
    assert found.is_identified.all()


def test_nothing_is_found_of_a_mouse_that_licks_at_random() -> None:
    """The rate itself may drift: that is the bias."""
    lost, labels, indices = [], [], []
    for seed in range(6):
        bias = walk(np.random.default_rng(seed), 1000, -2.0, 0.03)
        found = fit(mouse(1000, 50 + seed, {"bias": bias}))
        lost += list(found.evidence_lost.values())
        labels.append(found.label)
        indices.append(abs(found.visual_index) + abs(found.timing_index))
    assert set(labels) == {"none"}
    assert max(lost) < 3  # nats: what chance gives
    assert np.mean(np.array(lost) > 0) < 0.1
    assert max(indices) < 5


def test_a_mouse_that_stops_halfway() -> None:
    """Its weights are those of each half, and the bias walks down."""
    first = np.arange(N) < N // 2
    made = mouse(N, 4, {"bias": np.where(first, -2.0, -6.0), "task0": np.where(first, 3.0, 1.0)})
    made.flashes["engaged_piet_2024"] = first
    found = fit(made)
    engaged, disengaged = (found.state_means[name] for name in ("engaged", "disengaged"))
    at = found.names.index("bias")
    assert engaged[at] - disengaged[at] > 1.5
    assert engaged[at] == pytest.approx(-2.0 + 3 * made.flashes["is_change"].mean(), abs=0.6)
    assert found.engaged_share == 0.5
    assert found.label == "visual"
    made.flashes["engaged_piet_2024"] = np.arange(N) < N // 50
    few = fit(made).state_means
    assert np.isnan(few["engaged"]).all()
    assert np.isfinite(few["disengaged"]).all()


NO_MODEL = {
    "no licks": (mouse(300, 1, {"bias": -50.0}), "0 bouts of licks, fewer than 10"),
    "licks in every flash": (
        mouse(300, 1, {"bias": 50.0}, long_bouts=0.0),
        "0 flashes without licks, fewer than 10",
    ),
    "no flashes": (Mouse(task(5, 1).iloc[:0], np.array([1.0])), "no flashes of the task"),
    "no task": (Mouse(task(50, 1).assign(active=False), np.array([1.0])), "no flashes of the task"),
    "no changes": (
        Mouse(task(300, 1).assign(is_change=False), mouse(300, 1, {"bias": -1.0}).lick_times),
        "no changes",
    ),
    "one long bout": (Mouse(task(100, 1), np.arange(9.0, 90.0, 0.1)), "1 bouts of licks, fewer than 10"),
}


@pytest.mark.parametrize("name", NO_MODEL)
def test_sessions_that_say_nothing_have_no_model_and_a_reason(name: str) -> None:
    made, why = NO_MODEL[name]
    found = fit(made)
    assert found.missing == why
    assert found.walks is None
    assert found.label is None
    assert np.isnan([found.visual_index, found.strategy_index, found.auc, found.auc_cv]).all()


@pytest.mark.parametrize(
    ("made", "n_regressors"),
    [
        (mouse(30, 1, {"bias": 0.0}, long_bouts=0), 5),
        (mouse(400, 1, {"bias": 3.0}, long_bouts=0), 5),
        (mouse(300, 1, {"bias": -1.0, "task0": 2.0}, omitted=0), 3),
    ],
    ids=["30 flashes", "licks in nearly every flash", "no omissions"],
)
def test_sessions_that_say_little_have_a_model(made: Mouse, n_regressors: int) -> None:
    found = fit(made)
    assert found.missing is None
    assert len(found.names) == n_regressors
    assert np.isfinite(found.walks.weights).all()
    assert np.isfinite(found.weight_sd).all()
    assert np.isfinite(found.walks.log_evidence)
    assert (found.weight_sd >= found.walks.weight_sd).all()
    if n_regressors == 3:
        assert set(found.missing_regressors) == {"omissions", "omissions1"}
        assert np.isnan(found.omission_index)


def test_the_folds_are_those_of_the_seed() -> None:
    made = mouse(300, 1, {"bias": -1.0, "task0": 2.0})
    first, again, other = fit(made, seed=1), fit(made, seed=1), fit(made, seed=2)
    assert first.auc_cv == again.auc_cv != other.auc_cv
    assert first.walks.log_evidence == other.walks.log_evidence
    none = fit(made, replace(QUICK, n_folds=0))
    assert np.isnan([none.auc_cv, none.log_likelihood_cv]).all()
    assert none.auc == first.auc


def test_bouts_are_kept_out_of_the_fit_but_weights_held_through_them() -> None:
    made = mouse(600, 6, {"bias": -1.0, "task0": 2.0}, long_bouts=0.9)
    found = fit(made)
    assert len(found.licked) == len(found.presentation_ids) == len(found.probability) < 600
    assert found.presentation_ids.tolist() == sorted(found.presentation_ids)
    assert found.start_times.tolist() == made.flashes.loc[found.presentation_ids, "start_time"].tolist()
    assert found.licked.sum() == found.n_bouts


def test_psytrack_gives_the_same_model() -> None:
    pytest.importorskip("psytrack")
    made = mouse(150, 1, {"bias": -1.0, "task0": 2.5}, omitted=0)
    ours, theirs = fit(made), fit(made, STRATEGY["piet_2024_psytrack"])
    rows = regressors(made.flashes, flash_licking(made.flashes["start_time"], made.lick_times, 0.7))
    same = walks_of_sigma(rows.x, rows.y, theirs.walks.sigma)
    np.testing.assert_allclose(same.weights, theirs.walks.weights, atol=1e-4)
    np.testing.assert_allclose(same.weight_sd, theirs.walks.weight_sd, atol=1e-4)
    assert theirs.walks.log_evidence == pytest.approx(ours.walks.log_evidence, abs=0.1)
    assert theirs.visual_index == pytest.approx(ours.visual_index, abs=0.2)
    assert theirs.timing_index == pytest.approx(ours.timing_index, abs=0.2)


def test_without_psytrack_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psytrack", None)
    made = mouse(250, 1, {"bias": -1.0, "task0": 2.5})
    with pytest.raises(AbsentExtraError, match=r"pip install 'vbn-datajoint\[strategy\]'") as caught:
        fit(made, STRATEGY["piet_2024_psytrack"])
    assert isinstance(caught.value, HostError)
    assert caught.value.lack == "the package psytrack"


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "mine"},
        {"engagement": "mine"},
        {"computed_for": "mine"},
        {"lick_gap_s": 0.0},
        {"timing_midpoint": -1.0},
        {"timing_slope": 5.0},
        {"sigma_start": 0.0},
        {"min_bouts": 0},
        {"n_folds": 1},
        {"min_index": 101.0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(QUICK, **changes)


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    answers, scores = rng.random(300) < 0.2, np.round(rng.random(300), 2)
    assert area_under_curve(answers, scores) == pytest.approx(metrics.roc_auc_score(answers, scores))
    assert np.isnan(area_under_curve(answers & False, scores))
