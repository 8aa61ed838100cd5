"""Decoding: that of a plain loop, nothing where there is nothing (drift above all), and what is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # type: ignore[import-untyped]
from sklearn.metrics import balanced_accuracy_score, roc_auc_score  # type: ignore[import-untyped]
from sklearn.model_selection import PredefinedSplit, cross_val_predict  # type: ignore[import-untyped]
from sklearn.svm import LinearSVC  # type: ignore[import-untyped]

from vbn.analysis.decoding.choice import choice_probabilities
from vbn.analysis.decoding.classifiers import balanced_accuracies, splits, svm_scores
from vbn.analysis.decoding.labels import LabelledFlashes, labelled_flashes
from vbn.analysis.decoding.parameters import DECODING, DEFAULT, LABELS, DecodedLabel, DecodingParameters
from vbn.analysis.decoding.populations import decode_populations, label_counts, populations
from vbn.analysis.decoding.session import decode_session
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.calibration.columns import as_spikes
from vbn.calibration.events import simulate_events

STEP = {label: DecodedLabel(label, 0.1, 0.05) for label in LABELS}
QUICK = replace(
    DEFAULT, labels=tuple(STEP.values()), n_units=(10,), most_draws=2, n_permutations=39, min_flashes=10
)
ONE_STEP = {label: DecodedLabel(label, 0.1, 0.1) for label in LABELS}


def drift(rng, n_units, n_items, time_constant, sd=0.4):
    """Ornstein-Uhlenbeck processes, (n_units, n_items)."""
    keep = np.exp(-1 / time_constant)
    steps = rng.normal(0, sd * np.sqrt(1 - keep**2), (n_units, n_items))
    found = np.empty_like(steps)
    found[:, 0] = rng.normal(0, sd, n_units)
    for at in range(1, n_items):
        found[:, at] = keep * found[:, at - 1] + steps[:, at]
    return found


def image_flashes(rng, n_items=1600, n_images=8, block_s=72.0):
    """Images that stay for 5 to 30 flashes of 0.75 s."""
    shown: list[int] = []
    runs: list[int] = []
    last = -1
    while len(shown) < n_items:
        last = rng.choice([each for each in range(n_images) if each != last])
        length = int(rng.integers(5, 31))
        runs += [runs[-1] + 1 if runs else 0] * length
        shown += [last] * length
    image, run = np.array(shown[:n_items]), np.array(runs[:n_items])
    first = np.searchsorted(run, run) * 0.75
    names = tuple(f"im{number}" for number in range(n_images))
    start = np.arange(n_items) * 0.75
    return LabelledFlashes(
        "image", start, names, image, (first / block_s).astype(int), run, np.array(names)[image]
    )


def hit_flashes(rng, n_items=240, time_constant=40.0, per_block=8):
    """Hits that come in turns."""
    slow = drift(rng, 1, n_items, time_constant, 1.5)[0]
    is_hit = (slow + rng.logistic(size=n_items) > -0.5).astype(int)
    start = np.arange(n_items) * 9.0
    image = np.array(["im0", "im1"])[rng.integers(2, size=n_items)]
    return LabelledFlashes(
        "hit", start, ("miss", "hit"), is_hit, np.arange(n_items) // per_block, np.arange(n_items), image
    )


def decoded(flashes, counts, parameters=QUICK, seed=0):
    of = populations(["VISp"] * counts.shape[1], None, parameters.n_units[0])
    return decode_populations(counts, flashes, of, ONE_STEP[flashes.label], parameters, seed)[0]


@pytest.mark.parametrize(("label", "n_sessions"), [("image", 16), ("hit", 60)])
def test_drift_of_untuned_units_is_decoded_by_random_folds_and_not_by_blocks_of_time(label, n_sessions):
    draw = {"image": image_flashes, "hit": hit_flashes}[label]
    found = []
    for session in range(n_sessions):
        rng = np.random.default_rng([7, session])
        flashes = draw(rng)
        rates = 1.5 * np.exp(drift(rng, 20, flashes.classes.size, 80 if label == "image" else 60))
        counts = rng.poisson(rates)[np.newaxis].astype(np.float32)
        parameters = replace(QUICK, n_units=(20,), n_permutations=39)
        found.append(decoded(flashes, counts, parameters, session))
    chance = 1 / flashes.n_classes
    accuracy, random = (np.array([getattr(each, name) for each in found]) for name in
                        ("accuracy", "random_accuracy"))  # fmt: skip
    assert abs(accuracy.mean() - chance) < 3 * accuracy.std(ddof=1) / np.sqrt(len(found)) + 0.005
    assert random.mean() > 1.08 * chance
    assert (random - accuracy).mean() > 4 * (random - accuracy).std(ddof=1) / np.sqrt(len(found))
    p = np.array([each.p for each in found])
    assert (p <= 0.05).mean() <= 0.15
    assert p.min() >= 1 / 40
    assert abs(np.mean([each.null_mean for each in found]) - chance) < 0.01


def test_where_hits_depend_on_the_image_nothing_is_found_and_nothing_is_below_chance():
    """A flash that pulls the mean of its image would push the others of its class to the other side."""
    found = []
    for session in range(40):
        rng = np.random.default_rng([10, session])
        number = rng.integers(8, size=240)
        likely = 0.7 + 2 * rng.normal(size=8)
        is_hit = (likely[number] + rng.logistic(size=240) > 0).astype(int)
        flashes = replace(hit_flashes(rng), image=np.char.add("im", number.astype(str)), classes=is_hit)
        counts = rng.poisson(3.0, (1, 20, 240)).astype(np.float32)
        found.append(decoded(flashes, counts, replace(QUICK, n_units=(20,), n_permutations=19), session))
    accuracy = np.array([each.accuracy for each in found])
    assert abs(accuracy.mean() - 0.5) < 0.02  # .46 with means over all flashes
    assert abs(np.mean([each.null_mean for each in found]) - 0.5) < 0.01


def test_no_latency_is_given_where_p_is_above_its_level():
    """The quantile .95 of 19 or 39 vectors lies below the least accuracy with p <= .05."""
    known = above = 0
    for session in range(60):
        rng = np.random.default_rng([12, session])
        flashes = hit_flashes(rng, 120)
        counts = rng.poisson(3.0, (1, 20, 120)).astype(np.float32)
        counts[0, 0] += 2 * flashes.classes * (session % 2)
        found = decoded(flashes, counts, replace(QUICK, n_units=(20,), n_permutations=19), session)
        assert np.isnan(found.latency_s) == (found.p > 0.05)
        above += found.course[-1] > found.null_course[-1] and found.p > 0.05
        known += not np.isnan(found.latency_s)
    assert known > 5
    assert above > 0  # such there are


def test_choice_probabilities_of_drifting_units_hold_their_level():
    p = []
    for session in range(8):
        rng = np.random.default_rng([8, session])
        flashes = hit_flashes(rng)
        counts = rng.poisson(1.5 * np.exp(drift(rng, 60, flashes.classes.size, 60.0)))
        p.append(choice_probabilities(counts, flashes, 199, [session]).p)
    assert 0.02 < np.mean(np.concatenate(p) <= 0.05) < 0.075


def test_units_that_hardly_fire_hold_their_level_where_some_images_are_missed_more_often():
    p = []
    for session in range(8):
        rng = np.random.default_rng([9, session])
        flashes = hit_flashes(rng)
        number = rng.integers(8, size=flashes.classes.size)
        is_hit = rng.random(number.size) < np.linspace(0.3, 0.9, 8)[number]
        flashes = replace(flashes, image=np.char.add("im", number.astype(str)), classes=is_hit.astype(int))
        tuned = rng.poisson(
            np.linspace(0.2, 4, 8)[rng.permuted(np.tile(np.arange(8), (60, 1)), axis=1)][:, number]
        )
        rare = rng.poisson(0.05, (60, number.size))
        p.append([choice_probabilities(counts, flashes, 199, [session]).p for counts in (rare, tuned)])
    share = np.mean(np.array(p) <= 0.05, axis=(0, 2))
    assert (share < 0.08).all()
    assert (share > 0.01).all()


def test_a_choice_probability_is_the_area_under_the_curve_of_blocks_without_the_means_of_images():
    rng = np.random.default_rng(3)
    flashes = hit_flashes(rng, 80)
    counts = rng.poisson(2.0, (3, flashes.classes.size)) + np.where(
        flashes.image == "im1", [[0], [5], [0]], 0
    )
    counts[2] += rng.poisson(2.0, flashes.classes.size) * flashes.classes
    found = choice_probabilities(counts, flashes, 199, [0])
    for unit in range(3):
        above = total = 0.0
        for block in np.unique(flashes.block):
            of = flashes.block == block
            hits, misses = (np.flatnonzero(of & (flashes.classes == each)) for each in (1, 0))
            for hit in hits:
                for miss in misses:
                    pair = np.sign(
                        counts[unit][flashes.image == flashes.image[hit]][:, np.newaxis]
                        - counts[unit][flashes.image == flashes.image[miss]]
                    )
                    above += 0.5 + (np.sign(counts[unit, hit] - counts[unit, miss]) - pair.mean()) / 2
            total += hits.size * misses.size
        assert found.probability[unit] == pytest.approx(above / total, abs=1e-5)
        assert found.n_pairs == total
    assert found.probability[2] > 0.75
    assert found.p[2] == 1 / 200
    assert found.p[:2].min() > 1 / 200
    one_block = replace(flashes, block=np.zeros_like(flashes.block), image=np.full(flashes.image.size, "a"))
    whole = choice_probabilities(counts, one_block, 9, [0]).probability
    assert whole[1] == pytest.approx(roc_auc_score(flashes.classes, counts[1]))


def items(n_classes, n=300, n_features=20, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.concatenate(
        [np.arange(n_classes).repeat(12), rng.integers(n_classes, size=n - 12 * n_classes)]
    )
    means = rng.gamma(1.0, 1.0, (n_classes, n_features))
    return rng.poisson(1 + means[classes]).astype(float), classes, rng.integers(5, size=n)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("n_features", [20, 300])
def test_support_vector_machines_are_those_of_scikit_learn(n_classes, n_features):
    features, classes, folds = items(n_classes, n_features=n_features)
    for cost in (1.0, 0.01):
        plain = LinearSVC(C=cost, class_weight="balanced", tol=1e-9, max_iter=200_000)
        expected = cross_val_predict(plain, features, classes, cv=PredefinedSplit(folds))
        prepared = splits(classes[np.newaxis], folds, n_classes)
        accuracies, predicted = balanced_accuracies(features, prepared, "svm", cost)
        assert np.mean(predicted == expected) > 0.997
        assert accuracies[0] == pytest.approx(balanced_accuracy_score(classes, predicted))
        split = prepared[0]
        scores = svm_scores(features[~split.test], features[split.test], split, cost)[:, 0]
        plain.fit(features[~split.test], classes[~split.test])
        decision = plain.decision_function(features[split.test]).reshape(scores.shape)
        np.testing.assert_allclose(scores, decision, atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_discriminants_are_those_of_scikit_learn_and_near_its_support_vector_machines(n_classes):
    features, classes, folds = items(n_classes, n=900)
    prepared = splits(classes[np.newaxis], folds, n_classes)
    plain = LinearDiscriminantAnalysis(priors=np.full(n_classes, 1 / n_classes))
    expected = cross_val_predict(plain, features, classes, cv=PredefinedSplit(folds))
    assert np.mean(balanced_accuracies(features, prepared, "discriminant", 1e-10)[1] == expected) > 0.99
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    ours = balanced_accuracies(scaled, prepared, "discriminant", DEFAULT.strength)[0][0]
    machine = balanced_accuracies(features, prepared, "svm", 1.0)[0][0]
    assert ours > 1.5 / n_classes
    assert ours > machine - 0.02  # of five overlapping classes it is better than each against the rest


def of_scikit_learn(features, classes, folds, strength):
    """Classes by scikit-learn's discriminant of the same covariance.

    Its classes count by their priors in the covariance: by how many items they have, if that is to be pooled.
    Equal priors are restored in the decision; its shrinkage is a share of the mean variance within classes.
    """
    predicted = np.empty(classes.size, dtype=int)
    for fold in np.unique(folds):
        x, y = features[folds != fold], classes[folds != fold]
        within = sum((y == one).sum() * x[y == one].var(axis=0).sum() for one in set(y))
        ratio = strength * len(x) * x.var(axis=0).sum() / within
        priors = np.bincount(y) / y.size
        model = LinearDiscriminantAnalysis("lsqr", shrinkage=ratio / (1 + ratio), priors=priors).fit(x, y)
        scores = features[folds == fold] @ model.coef_.T + model.intercept_
        if priors.size == 2:
            scores = np.column_stack([np.zeros(len(scores)), scores])
            priors = priors / priors[0]
        predicted[folds == fold] = (scores - np.log(priors)).argmax(axis=1)
    return predicted


@pytest.mark.parametrize("sizes", [(25, 108), (5, 300), (120, 120), (60, 20, 90, 25, 40)])
@pytest.mark.parametrize("strength", [0.1, 1.0, 1e-6])
def test_discriminants_are_those_of_scikit_learn_exactly_however_unequal_the_classes(sizes, strength):
    rng = np.random.default_rng([11, *sizes])
    classes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    spread = 1 + np.arange(len(sizes))[:, np.newaxis]  # covariances differ, as those of counts do
    means = rng.gamma(1.0, 1.0, (len(sizes), 20)) * spread
    features = rng.poisson(1 + means[classes]) * 0.7
    folds = np.empty(classes.size, dtype=int)
    for one in range(len(sizes)):
        folds[classes == one] = np.arange(sizes[one]) % 5
    prepared = splits(classes[np.newaxis], folds, len(sizes))
    accuracies, predicted = balanced_accuracies(features, prepared, "discriminant", strength)
    expected = of_scikit_learn(features, classes, folds, strength)
    np.testing.assert_array_equal(predicted, expected)
    assert accuracies[0] == pytest.approx(balanced_accuracy_score(classes, expected))
    assert len(set(predicted)) == len(sizes)


def test_two_gaussian_classes_are_told_apart_as_their_distance_says():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    classes = np.arange(8000) % 2
    features = rng.normal(size=(8000, 5))
    features[:, 0] += 1.5 * classes
    prepared = splits(classes[np.newaxis], rng.integers(5, size=8000), 2)
    for method, strength in (("discriminant", 0.1), ("svm", 1.0)):
        found = balanced_accuracies(features, prepared, method, strength)[0][0]
        assert found == pytest.approx(norm.cdf(0.75), abs=0.012)


def test_many_label_vectors_are_decoded_as_one_at_a_time_runs_or_not():
    rng = np.random.default_rng(4)
    flashes = image_flashes(rng, 300, 3)
    vectors = np.concatenate([flashes.classes[np.newaxis], flashes.permuted(6, rng)])
    features = rng.normal(size=(300, 8)) + flashes.classes[:, np.newaxis] * rng.normal(size=8) / 3
    folds = flashes.grouped_folds(5, rng)
    for method in ("discriminant", "svm"):
        together = balanced_accuracies(features, splits(vectors, folds, 3), method, 0.1)[0]
        by_runs = balanced_accuracies(features, splits(vectors, folds, 3, flashes.run), method, 0.1)[0]
        alone = [
            balanced_accuracies(features, splits(each[np.newaxis], folds, 3), method, 0.1)[0][0]
            for each in vectors
        ]
        np.testing.assert_allclose(together, alone)
        np.testing.assert_allclose(by_runs, alone)


@pytest.fixture(scope="module")
def happens():
    return simulate_events(2, 0, 90.0)


@pytest.fixture(scope="module")
def behavior(happens):
    return flash_behavior(happens.presentations, happens.trials, happens.lick_times_s)


@pytest.fixture(scope="module")
def is_auto(happens):
    return happens.trials["auto_rewarded"].to_numpy(bool)


def trains(happens, rng, n_units, times_s=(), added=0.0):
    """Steady trains, with spikes in the 0.1 s after some times."""
    found = []
    for _ in range(n_units):
        base = rng.uniform(0, happens.end_s, rng.poisson(4.0 * happens.end_s))
        extra = np.repeat(times_s, rng.poisson(added, len(times_s)))
        found.append(np.sort(np.concatenate([base, extra + rng.uniform(0, 0.1, extra.size)])))
    return found


def test_classes_are_what_they_are_called(behavior, is_auto, happens):
    settings = replace(DEFAULT, min_flashes=10)
    rows = behavior.set_index("start_time")
    for label in LABELS:
        found = labelled_flashes(behavior, is_auto, label, settings)
        assert found.missing == ""
        assert (np.diff(found.start_s) > 0).all()
        of = rows.loc[found.start_s]
        assert of["active"].all()
        assert of["engaged_bennett_2025"].all() or label == "change"  # of the flash before, it is the change
        second = found.classes == 1
        if label == "change":
            assert of["is_change"].tolist() == second.tolist()
            assert of["is_prechange"].tolist() == (~second).tolist()
            assert found.block[second].tolist() == found.block[~second].tolist()
        if label == "hit":
            assert of["is_change"].all()
            assert of["lick_for_flash"].tolist() == second.tolist()
            hit = happens.trials["hit"].to_numpy(bool)[of["trial"]]
            assert (hit[second]).mean() > 0.9
            assert not hit[~second].any()
        if label == "omission":
            assert of["omitted"].tolist() == second.tolist()
            assert (of["n_licks"] == 0).all()
        if label == "lick_matched_change":
            assert of["lick_for_flash"].all()
            assert of["reaction_time"].between(0.15, 0.75).all()
        if label == "image":
            assert of["image_name"].tolist() == [found.class_names[number] for number in found.classes]
            assert (of["flashes_since_change"] >= 6).all()
            assert pd.Series(found.block).groupby(found.run).nunique().max() == 1
        assert not is_auto[of["trial"]][second].any() or label in ("image", "omission")


def test_planted_responses_are_decoded_late_ones_late_and_of_the_others_none(behavior, is_auto, happens):
    rng = np.random.default_rng(5)
    shown = behavior[behavior["active"] & ~behavior["omitted"]]
    names = np.unique(shown["image_name"])
    start = {
        "image": shown.loc[shown["image_name"].isin(names[:3]), "start_time"].to_numpy(),
        "change": shown.loc[shown["is_change"], "start_time"].to_numpy(),
        "late": shown.loc[shown["is_change"], "start_time"].to_numpy() + 0.1,
        "omission": behavior.loc[behavior["omitted"] & behavior["active"], "start_time"].to_numpy(),
        "untuned": np.empty(0),
    }
    of_units = np.repeat(list(start), 12)
    drawn = [train for times in start.values() for train in trains(happens, rng, 12, times, 1.0)]
    settings = replace(
        QUICK, labels=tuple(DecodedLabel(label, 0.2, 0.05) for label in ("image", "change", "omission"))
    )
    result = decode_session(as_spikes(drawn), of_units, [None] * 60, behavior, is_auto, settings)
    found = {(label, each.structure): each for label, of in result.decoded.items() for each in of}
    least = 1 / 40
    for own in ("image", "change", "omission"):
        assert found[own, own].p == least
        assert found[own, own].latency_s <= 0.1
        assert found[own, own].accuracy > found[own, "untuned"].accuracy + 0.06
    assert found["change", "late"].p == least
    assert 0.1 < found["change", "late"].latency_s <= 0.2
    assert found["change", "late"].course[1] < 0.6
    assert min(found[label, "untuned"].p for label in result.decoded) > 0.05
    assert found["image", "omission"].p > least
    of_image = found["image", "image"]
    np.testing.assert_allclose(of_image.confusion.sum(axis=1), 1)
    assert of_image.stops_s.tolist() == pytest.approx([0.05, 0.1, 0.15, 0.2])
    again = decode_session(as_spikes(drawn), of_units, [None] * 60, behavior, is_auto, settings)
    assert [each.accuracy for each in again.decoded["image"]] == [
        each.accuracy for each in result.decoded["image"]
    ]
    alone = decode_session(
        as_spikes(drawn[:12]), of_units[:12], [None] * 12, behavior, is_auto, settings
    )  # a structure's draws do not depend on others
    assert alone.decoded["change"][0].p == found["change", "image"].p
    other = decode_session(as_spikes(drawn), of_units, [None] * 60, behavior, is_auto, settings, seed=1)
    assert other.decoded["image"][0].null_mean != result.decoded["image"][0].null_mean


def test_published_features_are_those_of_a_plain_loop(behavior, is_auto, happens):
    """Bins of 10 ms less the baseline, not scaled; draws as often as take each unit with probability .99."""
    rng = np.random.default_rng(6)
    settings = replace(DECODING["bennett_2025"], n_units=(3,), min_flashes=10)
    label = DecodedLabel("change", 0.05, 0.05)
    spikes = as_spikes(drawn := trains(happens, rng, 4, (), 0))
    flashes = labelled_flashes(behavior, is_auto, "change", settings)
    counts = label_counts(spikes, flashes, label, settings)
    assert counts.shape == (5, 4, flashes.start_s.size)
    train, start = drawn[2], flashes.start_s[7]
    inside = np.histogram(train[train < start + 0.05], start + np.arange(6) * 0.01)[0]
    before = np.sum((train >= start - 0.1) & (train < start)) / 10
    np.testing.assert_allclose(counts[:, 2, 7], inside - before, atol=1e-6)
    of = populations(["VISp"] * 4, None, 3)
    found = decode_populations(counts, flashes, of, label, settings)[0]
    assert found.n_draws == int(np.ceil(np.log(0.01) / np.log(1 - 3 / 4)))
    assert np.isnan([found.p, found.null_mean, found.latency_s, *found.null_course]).all()


def test_what_cannot_be_decoded_is_said_and_no_failure(behavior, is_auto, happens):
    rng = np.random.default_rng(9)
    spikes = as_spikes(trains(happens, rng, 3))
    names = ["VISp", "VISp", None]
    empty = decode_session(as_spikes([]), [], [], behavior, is_auto, QUICK)
    assert not any(empty.decoded.values())
    assert empty.choice.p.shape == (0,)
    few = decode_session(spikes, names, [None] * 3, behavior, is_auto, QUICK)
    assert not any(few.decoded.values())
    assert not np.isnan(few.choice.p).any()
    none = behavior.iloc[:0]
    nothing = decode_session(spikes, names, [None] * 3, none, is_auto[:0], QUICK)
    assert np.isnan(nothing.choice.probability).all()
    missing = {
        "hit": ("fewer than 10 flashes: 0 of hit", behavior.assign(lick_for_flash=False)),
        "omission": ("0 of omission", behavior.assign(omitted=False)),
        "image": ("fewer than two images with 10", behavior.assign(image_name="im000_r")),
        "change": ("0 of before, 0 of change", behavior.assign(engaged_bennett_2025=False)),
        "lick_matched_change": ("0 of repeat", behavior.assign(flashes_since_lick=np.nan)),
    }
    for label, (words, table) in missing.items():
        found = decode_session(spikes, names, [None] * 3, table, is_auto, replace(QUICK, n_units=(2,)))
        assert words in found.flashes[label].missing
        assert found.decoded[label] == []
        if label == "hit":
            assert np.isnan(found.choice.p).all()
    short = behavior[behavior["start_time"] < behavior["start_time"].min() + 250]
    few_pieces = labelled_flashes(short, is_auto, "image", replace(QUICK, engagement="none", min_flashes=5))
    assert "pieces of time for 5 folds" in few_pieces.missing


def test_silent_units_and_cell_classes_are_populations_like_others(behavior, is_auto, happens):
    rng = np.random.default_rng(10)
    spikes = as_spikes([*trains(happens, rng, 4), *[np.empty(0)] * 4])
    classes = ["RS", "RS", "FS", np.nan, "FS", "FS", "RS", None]
    settings = replace(QUICK, labels=(STEP["change"], STEP["hit"]), n_units=(3, 8))
    result = decode_session(spikes, ["VISp"] * 8, classes, behavior, is_auto, settings)
    found = [(each.cell_class, each.n_units, each.n_available) for each in result.decoded["change"]]
    assert found == [("FS", 3, 3), ("RS", 3, 3), ("all", 3, 8), ("all", 8, 8)]
    assert np.isnan(result.choice.p[4:]).all()
    silent = decode_session(
        as_spikes([np.empty(0)] * 3), ["VISp"] * 3, [None] * 3, behavior, is_auto, settings
    )
    assert silent.decoded["change"][0].accuracy == 0.5
    assert silent.decoded["change"][0].p == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ()}, "must be labels"),
        ({"labels": (STEP["hit"], STEP["hit"])}, "each of them once"),
        ({"classifier": "forest"}, "not 'forest'"),
        ({"folds": 1}, "two folds"),
        ({"folds": 30}, "as many flashes as folds"),
        ({"n_units": ()}, "n_units"),
        ({"n_units": (20, 20)}, "n_units"),
        ({"strength": 0.0}, "strength"),
        ({"block_s": float("nan")}, "block_s"),
        ({"seed": -1}, "seed"),
        ({"bin_s": 0.04}, "bin_s must divide"),
        ({"most_flashes": 5}, "most_flashes"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(DEFAULT, **changes)


@pytest.mark.parametrize(
    ("stop", "step"), [(0.0, 0.1), (0.1, 0.03), (0.1, 0.0), (float("inf"), 0.1), (0.1, 0.2)]
)
def test_windows_that_make_no_sense_are_refused(stop, step):
    with pytest.raises(ValueError, match="step_s that divides"):
        DecodedLabel("hit", stop, step)
    with pytest.raises(ValueError, match="not 'hits'"):
        DecodedLabel("hits", 0.1, 0.1)
    assert DecodingParameters(labels=[{"label": "hit", "stop_s": 0.1, "step_s": 0.1}]).labels[0].n_steps == 1
