"""Decoding trial by trial: scikit-learn's numbers, what drift makes of the free null, what is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import (  # type: ignore[import-untyped]
    PredefinedSplit,
    RepeatedStratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from tests.vbn.analysis.decoding.test_decoding import drift
from vbn.analysis.decoding.logistic import logistic_weights
from vbn.analysis.decoding.trials import (
    OutcomeTrials,
    TrialDecodingParameters,
    _scores,
    _stratified,
    decode_trials,
    outcome_trials,
    shifted,
    split_scores,
)
from vbn.calibration.columns import as_spikes

SET = TrialDecodingParameters()
QUICK = replace(SET, n_repeats=2, n_permutations=39)


def sklearns(cost=1.0):
    plain = LogisticRegression(C=cost, solver="liblinear", tol=1e-10, max_iter=10_000)
    return make_pipeline(StandardScaler(), plain)


def spikes_of(counts, change_s, rng, window_s=0.5):
    """Trains with (n_units, n_trials) spikes within the window after each change."""
    trains = []
    for row in counts:
        starts = np.repeat(change_s, row)
        trains.append(np.sort(starts + rng.uniform(0, window_s - 1e-6, starts.size)))
    return as_spikes(trains)


def trials_of(is_hit):
    return OutcomeTrials(10.0 + 9.0 * np.arange(is_hit.size), is_hit)


@pytest.mark.parametrize(("n_units", "cost"), [(3, 1.0), (40, 1.0), (150, 1.0), (10, 0.01), (10, 100.0)])
def test_each_split_is_scikit_learns(n_units, cost):
    rng = np.random.default_rng(n_units)
    is_hit = rng.random(120) < 0.7
    features = rng.poisson(4, (120, n_units)).astype(float)
    features[:, 0] += 3 * is_hit
    features[:, 1] = 2  # never varies
    folds = _stratified(is_hit[np.newaxis], 5, rng)
    weights = np.zeros((1, n_units + 1))
    for metric, number in (("balanced_accuracy", 0), ("roc_auc", 1)):
        expected = cross_val_score(
            sklearns(cost), features, is_hit, cv=PredefinedSplit(folds[0]), scoring=metric
        )
        found = [
            _scores(features, is_hit[np.newaxis], folds == k, cost, weights)[number][0] for k in range(5)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_means_are_those_of_repeated_stratified_folds():
    """By other random numbers: within what these change."""
    rng = np.random.default_rng(8)
    is_hit = rng.random(150) < 0.65
    counts = rng.poisson(4 + is_hit, (12, 150))
    found = split_scores(counts.T.astype(float), is_hit[np.newaxis], SET, rng)[:, 0]
    splits = RepeatedStratifiedKFold(n_splits=5, n_repeats=20, random_state=0)
    for metric, of in zip(("balanced_accuracy", "roc_auc"), found, strict=True):
        expected = cross_val_score(sklearns(), counts.T, is_hit, cv=splits, scoring=metric)
        assert of.size == expected.size == 100
        assert of.mean() == pytest.approx(expected.mean(), abs=0.02)
        assert of.std() == pytest.approx(expected.std(), rel=0.3)


def test_folds_differ_by_one_trial_at_most_in_each_class():
    rng = np.random.default_rng(1)
    labels = rng.permuted(np.tile(np.arange(53) < 31, (6, 1)), axis=1)
    folds = _stratified(labels, 5, rng)
    for label, fold in zip(labels, folds, strict=True):
        for of in (label, ~label, np.ones(53, dtype=bool)):
            assert np.ptp(np.bincount(fold[of], minlength=5)) <= 1
    assert len({fold.tobytes() for fold in folds}) == 6


@pytest.mark.parametrize("start", [None, 5.0])
def test_the_optimum_is_found_wherever_one_begins_also_of_separable_classes(start):
    rng = np.random.default_rng(2)
    signs = np.where(rng.random((3, 60)) < 0.5, 1.0, -1.0)
    features = rng.normal(size=(3, 60, 80)) * [[[1.0]], [[1e-3]], [[1e3]]]
    begun = None if start is None else rng.normal(size=(3, 80)) * start
    weights = logistic_weights(features, signs, 1.0, begun)
    for of, sign, weight in zip(features, signs, weights, strict=True):
        missed = 1 / (1 + np.exp(np.clip(sign * (of @ weight), -700, 700)))
        gradient = weight - (missed * sign) @ of
        assert np.abs(gradient).max() < 1e-5 * (1 + np.abs(weight).max())
    if begun is not None:
        np.testing.assert_allclose(weights, logistic_weights(features, signs, 1.0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("n_units", "rate"), [(2, 0.04), (20, 0.02), (8, 0.05), (12, 1.0)])
def test_where_one_begins_changes_no_score_of_sparse_units(n_units, rate):
    """Equal decision values remain ties, and those of nothing remain 0, as in scikit-learn."""
    rng = np.random.default_rng(n_units)
    is_hit = np.arange(60) % 2 == 0
    features = rng.poisson(rate, (60, n_units)).astype(float)
    folds = [_stratified(is_hit[np.newaxis], 5, rng) for _ in range(4)]
    warm = np.zeros((1, n_units + 1))
    for of in folds:
        for fold in range(5):
            is_test, labels = of == fold, is_hit[np.newaxis]
            found = _scores(features, labels, is_test, 1.0, warm)
            assert found == _scores(features, labels, is_test, 1.0, np.zeros_like(warm))
    one, many = (
        decode_trials(spikes_of(features.T.astype(int), trials_of(is_hit).change_s, np.random.default_rng(0)),
                      ["VISp"] * n_units, trials_of(is_hit), replace(QUICK, n_permutations=n))[0]
        for n in (3, 39)
    )  # fmt: skip
    assert (one.accuracy, one.auc) == (many.accuracy, many.auc)


def test_a_minimum_that_is_not_found_is_no_result():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 60, 300))
    with pytest.raises((ArithmeticError, np.linalg.LinAlgError)):
        logistic_weights(features, np.where(rng.random((1, 60)) < 0.5, 1.0, -1.0), 1e9)


def test_as_many_structures_as_units():
    trials = trials_of(np.arange(40) % 2 == 0)
    with pytest.raises(ValueError, match="3 units need as many structures, got 2"):
        decode_trials(as_spikes([np.empty(0)] * 3), ["VISp"] * 2, trials, QUICK)


def test_planted_outcomes_are_decoded_and_the_counts_are_of_half_a_second():
    rng = np.random.default_rng(3)
    is_hit = rng.random(160) < 0.6
    trials = trials_of(is_hit)
    counts = rng.poisson(3, (8, 160))
    counts[:4] += rng.poisson(2 * is_hit, (4, 160))
    spikes = spikes_of(counts, trials.change_s, rng)
    structures = ["VISp"] * 8 + [None]
    with_silent = (spikes[0], np.append(spikes[1], spikes[0].size), np.append(spikes[2], 0))
    (found,) = decode_trials(with_silent, structures, trials, QUICK)
    assert (found.structure, found.n_units) == ("VISp", 8)
    assert found.accuracy > 0.7 < found.auc
    assert found.p == found.circular_p == 1 / 40
    assert found.null_accuracies.shape == found.null_aucs.shape == (39,)
    assert abs(found.null_accuracies.mean() - 0.5) < 0.03
    direct = split_scores(counts.T.astype(float), is_hit[np.newaxis], SET, rng)[0, 0].mean()
    assert found.accuracy == pytest.approx(direct, abs=0.04)
    # Equal seeds give equal bytes, others do not.
    assert decode_trials(with_silent, structures, trials, QUICK)[0].accuracy == found.accuracy
    assert decode_trials(with_silent, structures, trials, QUICK, 1)[0].accuracy != found.accuracy


@pytest.mark.simulation
def test_drift_and_turns_deceive_the_free_null_and_hardly_the_circular_one():
    """The published null beside ours, in units that know nothing of outcomes that come in turns."""
    p_values = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        slow = drift(rng, 1, 250, 40.0, 1.5)[0]
        is_hit = slow + rng.logistic(size=250) > -0.5
        counts = rng.poisson(4 * np.exp(drift(rng, 10, 250, 60.0, 0.8)))
        trials = trials_of(is_hit)
        spikes = spikes_of(counts, trials.change_s, rng)
        (found,) = decode_trials(spikes, ["VISp"] * 10, trials, replace(QUICK, n_repeats=1), seed)
        p_values.append((found.p, found.circular_p))
    free, circular = (np.array(p_values) <= 0.05).mean(axis=0)
    assert free > 0.4
    assert circular < 0.15


@pytest.mark.simulation
def test_without_drift_both_nulls_hold():
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        trials = trials_of(rng.random(80) < 0.6)
        spikes = spikes_of(rng.poisson(4, (5, 80)), trials.change_s, rng)
        (found,) = decode_trials(spikes, ["VISp"] * 5, trials, replace(QUICK, n_repeats=1), seed)
        p_values.append((found.p, found.circular_p))
    assert (np.array(p_values) <= 0.1).mean(axis=0).max() < 0.2
    assert 0.35 < np.mean(p_values) < 0.65


def test_structures_are_those_that_are_asked_for_with_units_enough():
    rng = np.random.default_rng(4)
    trials = trials_of(np.arange(40) % 2 == 0)
    spikes = spikes_of(rng.poisson(3, (6, 40)), trials.change_s, rng)
    names = ["VISp", "VISl", "VISp", None, "LP", "VISl"]
    quick = replace(QUICK, n_permutations=0)
    assert [each.structure for each in decode_trials(spikes, names, trials, quick)] == ["VISp"]
    every = replace(quick, structures=())
    found = decode_trials(spikes, names, trials, every)
    assert [(each.structure, each.n_units) for each in found] == [("LP", 1), ("VISl", 2), ("VISp", 2)]
    assert [each.structure for each in decode_trials(spikes, names, trials, replace(every, min_units=2))] == [
        "VISl", "VISp",
    ]  # fmt: skip
    assert all(np.isnan(each.p) and np.isnan(each.circular_p) for each in found)
    # A structure's numbers do not depend on what else was recorded.
    (alone,) = decode_trials(spikes, ["VISp", None, "VISp", None, None, None], trials, quick)
    assert alone.accuracy == found[2].accuracy


def test_units_that_never_fire_are_at_chance():
    trials = trials_of(np.arange(40) % 3 == 0)
    (found,) = decode_trials(as_spikes([np.empty(0)] * 3), ["VISp"] * 3, trials, QUICK)
    assert (found.accuracy, found.auc, found.p, found.circular_p) == (0.5, 0.5, 1.0, 1.0)


def test_few_trials_are_not_decoded_and_few_shifts_are_all_taken():
    frame = pd.DataFrame({
        "hit": [True] * 6 + [False] * 6, "miss": [False] * 6 + [True] * 4 + [False] * 2,
        "auto_rewarded": False, "aborted": False, "change_time_no_display_delay": np.arange(12.0),
    })  # fmt: skip
    trials = outcome_trials(frame, 5)
    assert trials.missing == "6 hits and 4 misses, fewer than 5"
    assert decode_trials(as_spikes([np.empty(0)]), ["VISp"], trials, QUICK) == []
    shifts = shifted(np.arange(12) < 5, 200, np.random.default_rng(0))
    assert len(shifts) == len({row.tobytes() for row in shifts}) == 9  # 2 to 10 of 12
    assert (shifts.sum(axis=1) == 5).all()


def test_trials_are_hits_and_misses_in_order_without_auto_rewarded_aborted_and_unknown_ones():
    frame = pd.DataFrame({
        "hit": [True, True, False, True, False, False, True],
        "miss": [False, False, True, False, True, False, False],
        "auto_rewarded": [False, True, False, False, False, False, False],
        "aborted": [False, False, False, False, True, False, False],
        "change_time_no_display_delay": [9.0, 2.0, 3.0, 1.0, 5.0, 6.0, np.nan],
    })  # fmt: skip
    trials = outcome_trials(frame, 1)
    assert trials.change_s.tolist() == [1.0, 3.0, 9.0]
    assert trials.is_hit.tolist() == [True, False, True]
    assert not trials.missing
    other = outcome_trials(frame.rename(columns={"change_time_no_display_delay": "change_time"}), 1)
    assert other.missing == "the trials have no change_time_no_display_delay"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop_s": 0.0}, "stop_s must be above 0"),
        ({"cost": float("nan")}, "cost must be above 0"),
        ({"cost": 1e5}, "cost must be at most 10000"),
        ({"structures": "VISp"}, "a list of acronyms"),
        ({"n_repeats": 0}, "n_repeats must be 1 or more"),
        ({"n_permutations": -1}, "n_permutations must be 0 or more"),
        ({"folds": 1}, "two folds or more"),
        ({"min_trials": 4}, "as many hits and misses as folds"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(SET, **changes)
