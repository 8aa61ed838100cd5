"""Encoding models against the plain computation, and what must hold of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.vbn.analysis.encoding import sessions
from vbn.analysis.encoding import sums
from vbn.analysis.encoding.design import make_design, spike_counts, trace_in_bins
from vbn.analysis.encoding.model import encoding_model
from vbn.analysis.encoding.null import NullParameters, encoding_null
from vbn.analysis.encoding.parameters import ENCODING, EncodingParameters, Kernel, published_kernels
from vbn.analysis.encoding.ridge import MEASURES
from vbn.calibration.columns import as_spikes

PUBLISHED = ENCODING["allen_v110_active"]
SHORT = replace(
    PUBLISHED,
    kernels=(
        Kernel("images", 29), Kernel("omissions", 12), Kernel("hits", 10), Kernel("misses", 10),
        Kernel("running", 4, -0.05), Kernel("pupil", 4, -0.05), Kernel("lick_bouts", 8, -0.1),
    ),
    n_lambdas=6, blocks_per_fold=4, min_events=3,
)  # fmt: skip
"""Fewer columns, so that the plain computation is fast."""


@pytest.fixture(scope="module")
def traces():
    return sessions.session(100)


def planted(traces, parameters, n_units=6, seed=0):
    """A design, and counts of units with random kernels, the last of which never fires."""
    design = make_design(traces, parameters)
    rng = np.random.default_rng(seed)
    weights = 0.05 * rng.normal(size=(design.n_columns, n_units))
    weights[design.base] = 0.3
    counts = sessions.poisson_counts(design, weights, seed)
    counts[:, -1] = 0
    return design, counts


def fitted(traces, parameters, counts, design):
    return encoding_model(*sessions.spikes_of(counts, design), traces, parameters, 7)


def folds_of(design, parameters, kind="score"):
    made = sums.make_folds(design.n_rows, parameters.folds, parameters.blocks_per_fold, (parameters.seed, 7))
    sizes = [block.stop - block.start for block in made.blocks]
    return np.repeat(getattr(made, kind), sizes)


def test_the_design_is_that_of_plain_loops(traces):
    for parameters in (
        PUBLISHED,
        replace(SHORT, kernels=(Kernel("licks", 20, 0.2), Kernel("changes", 5, -0.05))),
    ):
        design = make_design(sessions.session(60), parameters)
        expected = sessions.explicit_design(sessions.session(60), design)
        np.testing.assert_allclose(design.rows(slice(None)), expected, atol=1e-12)
        some = np.array([3, 1700, 5, 0, design.n_rows - 1])
        np.testing.assert_allclose(design.rows(some), expected[some], atol=1e-12)


def test_the_published_sets_have_as_many_columns_as_the_published_models():
    flashes = sessions.flash_frame(800)
    names = np.array([f"im{number:03}_r" for number in range(8)])
    shown = ~flashes["omitted"].to_numpy()
    flashes.loc[shown, "image_name"] = names[np.arange(shown.sum()) // 10 % 8]
    traces = replace(sessions.session(800), flashes=flashes)
    active = make_design(traces, PUBLISHED)
    assert (active.n_columns, len(active.groups())) == (647, 14 + 4)  # no image of these is shared
    passive = replace(traces, flashes=flashes.assign(active=False))
    assert make_design(passive, ENCODING["allen_v110_passive"]).n_columns == 509


def test_weights_scores_and_penalty_are_those_of_the_plain_computation(traces):
    design, counts = planted(traces, SHORT)
    result = fitted(traces, SHORT, counts, design)
    x, y = design.rows(slice(None)), counts.astype(float)
    penalty = plain_penalty(x, y[:, :-1], folds_of(design, SHORT, "penalty"))
    assert result.penalty == pytest.approx(penalty, rel=1e-12)
    assert 0 < result.at_edge < 1 or result.at_edge in (0, 1)
    np.testing.assert_allclose(result.weights, sessions.explicit_ridge(x, y, penalty).T, atol=1e-10)
    left = y - x @ sessions.explicit_ridge(x, y, penalty)
    with np.errstate(invalid="ignore"):
        train = np.nan_to_num(
            1
            - left.var(axis=0) / (y - x[:, [0]] @ sessions.explicit_ridge(x[:, [0]], y, penalty)).var(axis=0)
        )
    np.testing.assert_allclose(result.explained_train, train, atol=1e-10)
    compare(result, design, x, y, penalty, SHORT)


def plain_penalty(x, y, fold):
    grid = np.linspace(0.1, 500, SHORT.n_lambdas)
    explained = np.zeros((grid.size, y.shape[1]))
    for number in np.unique(fold):
        test = fold == number
        for row, penalty in enumerate(grid):
            left = y[test] - x[test] @ sessions.explicit_ridge(x[~test], y[~test], penalty)
            explained[row] += 1 - left.var(axis=0) / y[test].var(axis=0)
    return grid[explained.argmax(axis=0)].mean()


def compare(result, design, x, y, penalty, parameters, fit=sessions.explicit_ridge):
    fold, base = folds_of(design, parameters), design.base
    assert len(result.dropout_names) == len(design.groups()) == 14
    for number, (name, members) in enumerate(design.groups().items()):
        removed = np.concatenate([each.index for each in members])
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = sessions.explicit_scores(x, y[:, :-1], fold, penalty, removed, base, fit)
        np.testing.assert_allclose(result.explained_raw[:-1], expected["explained_raw"], atol=1e-10)
        for measure in MEASURES:
            found = result.dropouts[:-1, number, MEASURES.index(measure)]
            np.testing.assert_allclose(found, expected[measure], atol=1e-10, err_msg=f"{name} {measure}")


def test_slow_columns_are_in_every_model_and_what_they_explain_is_not_counted(traces):
    parameters = replace(SHORT, drift_s=20.0, penalty="fixed", lambda_min=3.0)
    design, counts = planted(traces, parameters)
    assert design.base.size > 4
    result = fitted(traces, parameters, counts, design)
    compare(result, design, design.rows(slice(None)), counts.astype(float), 3.0, parameters)


def test_the_same_as_scikit_learns_ridge(traces):
    linear_model = pytest.importorskip("sklearn.linear_model")

    def fit(x, y, penalty):
        return linear_model.Ridge(alpha=penalty, fit_intercept=False, solver="cholesky").fit(x, y).coef_.T

    design, counts = planted(traces, SHORT)
    result = fitted(traces, SHORT, counts, design)
    x, y = design.rows(slice(None)), counts.astype(float)
    np.testing.assert_allclose(result.weights, fit(x, y, result.penalty).T, atol=1e-10)
    compare(result, design, x, y, result.penalty, SHORT, fit)


def test_each_unit_may_have_its_own_penalty(traces):
    parameters = replace(SHORT, penalty="unit")
    design, counts = planted(traces, parameters)
    result = fitted(traces, parameters, counts, design)
    assert len(set(result.unit_penalty)) > 1
    x = design.rows(slice(None))
    for unit, penalty in enumerate(result.unit_penalty):
        expected = sessions.explicit_ridge(x, counts[:, unit].astype(float), penalty)
        np.testing.assert_allclose(result.weights[unit], expected, atol=1e-10)


def test_units_that_do_not_fit_in_memory_at_once_have_the_same_results(traces, monkeypatch):
    design, counts = planted(traces, SHORT)
    whole = fitted(traces, SHORT, counts, design)
    monkeypatch.setattr("vbn.analysis.encoding.model.UNITS_AT_ONCE", 2)
    parts = fitted(traces, SHORT, counts, design)
    for name in ("weights", "dropouts", "explained_raw", "predicted_hz", "psth_correlation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-10)


def test_the_order_of_units_changes_nothing_else(traces):
    design, counts = planted(traces, SHORT)
    order = np.array([3, 0, 5, 1, 2, 4])
    whole, turned = (fitted(traces, SHORT, each, design) for each in (counts, counts[:, order]))
    np.testing.assert_allclose(turned.dropouts, whole.dropouts[order], atol=1e-10)
    np.testing.assert_allclose(turned.weights, whole.weights[order], atol=1e-10)


def test_counts_of_many_units_are_those_of_plain_loops_also_of_units_with_hundreds_of_spikes_in_a_bin():
    starts = 3.0 + np.concatenate([0.025 * np.arange(29), 0.75 + 0.025 * np.arange(29)])
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(2.5, 5.0, rng.integers(0, 60))) for _ in range(70)]
    trains[40] = np.sort(np.append(trains[40], np.full(300, 3.26)))
    counts = spike_counts(*as_spikes(trains), starts)
    expected = [[((train >= start) & (train < start + 0.025)).sum() for train in trains] for start in starts]
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.uint32
    assert counts.max() >= 300
    assert spike_counts(*as_spikes(trains[:40]), starts).dtype == np.uint8


def test_sums_of_large_counts_are_exact(traces):
    """Sums of events are whole numbers, above what single precision holds."""
    design = make_design(traces, SHORT)
    rows = np.arange(design.n_rows)
    large = np.random.default_rng(0).integers(0, 9000, size=(design.n_rows, 2)).astype(np.uint32)
    for counts in (large, (large % 7).astype(np.uint8)):
        found = np.zeros((design.n_columns, 2))
        sums.add_products(found, design, rows, counts.astype(float))
        expected = design.rows(rows).T @ counts.astype(float)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
        events = slice(0, design.n_counts)
        np.testing.assert_array_equal(found[events], expected[events])


def test_a_unit_that_never_fires_and_one_that_always_fires_alike_are_not_explained(traces):
    design, counts = planted(traces, SHORT)
    counts[:, 0] = 1
    for parameters in (SHORT, replace(SHORT, drift_s=60.0), replace(SHORT, penalty="unit")):
        result = fitted(traces, parameters, counts, design)
        for unit in (0, -1):
            assert result.explained_raw[unit] == result.explained_train[unit] == 0
            assert not result.is_explained[unit]
            assert not result.dropouts[unit].any()
        assert np.isnan(result.psth_correlation[-1])
        assert np.isfinite(result.dropouts).all()


def test_predicted_rates_are_means_of_predictions_of_left_out_rows(traces):
    design, counts = planted(traces, SHORT)
    result = fitted(traces, SHORT, counts, design)
    x, y, fold = design.rows(slice(None)), counts.astype(float), folds_of(design, SHORT)
    predicted = np.zeros_like(y)
    for number in range(SHORT.folds):
        test = fold == number
        predicted[test] = x[test] @ sessions.explicit_ridge(x[~test], y[~test], result.penalty)
    table = traces.flashes
    chosen = np.flatnonzero(table["is_change"] & table["rewarded"])
    chosen = chosen[chosen < len(table) - 1]
    rows = chosen[:, None] * 29 + np.arange(58)
    at = result.condition_names.index("hits")
    assert result.n_flashes[at] == chosen.size
    np.testing.assert_allclose(result.predicted_hz[:, at], predicted[rows].mean(axis=0).T / 0.025, atol=1e-9)
    np.testing.assert_allclose(result.measured_hz[:, at], y[rows].mean(axis=0).T / 0.025, atol=1e-9)
    assert result.condition_names == ["repeats", "hits", "misses", "omissions"]


def test_what_a_unit_does_by_chance_is_not_predicted_though_the_mean_over_folds_looks_like_it():
    traces = sessions.session(400)
    design = make_design(traces, SHORT)
    weights = np.zeros((design.n_columns, 8))
    weights[0] = 0.2
    weights[[each for each in design.columns if each.name == "im024_r"][0].index[4:9], 0] = 1.0  # noqa: RUF015
    counts = sessions.poisson_counts(design, weights, 6)
    result = fitted(traces, replace(SHORT, penalty="fixed", lambda_min=1.0), counts, design)
    means = [
        np.corrcoef(predicted.ravel(), measured.ravel())[0, 1]
        for predicted, measured in zip(result.predicted_hz, result.measured_hz, strict=True)
    ]
    assert np.min(means) > 0.35
    assert result.psth_correlation[0] > 0.5
    assert np.abs(result.psth_correlation[1:]).max() < 0.2


@pytest.mark.parametrize("kept", ["engaged", "disengaged"])
def test_only_flashes_of_a_condition_are_fitted(traces, kept):
    parameters = replace(SHORT, flashes=kept, penalty="fixed", lambda_min=2.0)
    whole = make_design(traces, replace(parameters, flashes="all"))
    design = make_design(traces, parameters)
    engaged = traces.flashes["engaged_bennett_2025"].to_numpy()
    rows = np.repeat(engaged if kept == "engaged" else ~engaged, 29)
    np.testing.assert_array_equal(design.bin_starts, whole.bin_starts[rows])
    counts = np.random.default_rng(0).poisson(0.3, size=(design.n_rows, 2))
    result = fitted(traces, parameters, counts, design)
    x = design.rows(slice(None))
    np.testing.assert_allclose(result.weights, sessions.explicit_ridge(x, counts, 2.0).T, atol=1e-10)
    shown = next(each for each in design.columns if each.name == "im024_r")
    assert (
        x[:, shown.first].sum() == (traces.flashes["image_name"].eq("im024_r").to_numpy() & rows[::29]).sum()
    )


def test_what_a_session_lacks_is_left_out_and_named():
    traces = sessions.session(120, pupil=False)
    assert traces.running is not None
    still = (traces.running[0], np.full(traces.running[0].size, 3.0))
    no_hits = traces.flashes.assign(rewarded=False)
    poor = replace(traces, flashes=no_hits, running=still, lick_times_s=traces.lick_times_s[:1])
    design = make_design(poor, PUBLISHED)
    no_events = {"hits": "0 events", "lick_bouts": "1 events"}
    assert design.missing == {**no_events, "running": "always the same value", "pupil": "no values"}
    groups = design.groups()
    assert "behavioral" not in groups
    assert [each.name for each in groups["task"]] == ["misses"]
    result = encoding_model(*sessions.spikes_of(np.ones((design.n_rows, 1), int), design), poor, PUBLISHED)
    assert np.isnan(result.measure("hits", "score")).all()
    assert result.measure("task", "score") == 0


def test_a_trace_with_gaps_counts_as_its_mean_there_and_is_left_out_if_most_is_missing():
    traces = sessions.session(120)
    times, speed = traces.running
    middle = np.median(times)
    late = replace(traces, running=(times[times > middle - 20], speed[times > middle - 20]))
    design = make_design(late, PUBLISHED)
    (running,) = [each for each in design.columns if each.name == "running"]
    assert 0 < design.n_missing["running"] < design.n_rows / 2
    assert (running.signal[: design.n_missing["running"]] == 0).all()
    assert np.isfinite(design.rows(slice(None))).all()
    later = replace(traces, running=(times[times > middle + 10], speed[times > middle + 10]))
    assert "no values in" in make_design(later, PUBLISHED).missing["running"]


@pytest.mark.parametrize("n_flashes", [0, 1, 2, 3, 9])
def test_blocks_of_a_few_flashes_and_of_none(n_flashes):
    traces = sessions.session(n_flashes)
    spikes = np.sort(np.random.default_rng(0).uniform(0, 60, 200)), np.array([0, 100]), np.array([100, 100])
    for parameters in (PUBLISHED, ENCODING["calibrated_active"], ENCODING["allen_v110_passive"]):
        result = encoding_model(*spikes, traces, parameters)
        assert result.explained_raw.shape == (2,)
        assert (
            np.isfinite(result.explained_raw) == (result.n_bins > 0)
        ).all()  # nothing fitted, nothing known
        assert result.weights.shape == (2, len(result.column_names))
    assert encoding_model(np.empty(0), [], [], sessions.session(60), SHORT).explained_raw.size == 0


def test_of_fewer_bins_than_columns_nothing_is_said_and_the_reason_is_given():
    """Of two to five flashes, a tenth to a quarter of units that nothing drives seemed to be explained."""
    rng = np.random.default_rng(3)
    trains = as_spikes([np.sort(rng.uniform(0, 60, rng.poisson(60 * rate))) for rate in (1, 5, 20) * 8])
    parameters = ENCODING["calibrated_active"]
    n_fitted = 0
    for n_flashes in (2, 3, 5, 30):
        traces = sessions.session(n_flashes)
        design = make_design(traces, parameters)
        result = encoding_model(*trains, traces, parameters)
        null = encoding_null(trains, traces, parameters, np.ones(24), NullParameters(3, 0.0))
        if n_flashes == 30:
            assert result.n_bins == design.n_rows > design.n_columns
            n_fitted += 1
            continue
        assert np.isnan(result.explained_raw).all()
        assert not result.is_explained.any()
        assert null.n_shifts == 0
        assert result.missing["running"] == f"{design.n_rows} bins for {design.n_columns} columns"
    assert n_fitted == 1


def test_what_drifts_within_a_short_block_is_not_taken_for_running():
    """Three minutes in which the mouse runs ever faster, and units fire ever more: 15 to 35 Hz."""
    traces = sessions.session(240, pupil=False)
    assert traces.running is not None
    times = np.asarray(traces.running[0])
    rng = np.random.default_rng(5)
    speed = 5 + 30 * (times - times[0]) / np.ptp(times) + rng.normal(size=times.size)
    rising = replace(traces, running=(times, speed))
    every = [rng.uniform(times[0], times[-1], round(35 * np.ptp(times))) for _ in range(12)]
    share = [0.43 + 0.57 * (of - times[0]) / np.ptp(times) for of in every]
    trains = [np.sort(of[rng.random(of.size) < kept]) for of, kept in zip(every, share, strict=True)]
    ours = encoding_model(*as_spikes(trains), rising, ENCODING["calibrated_active"])
    published = encoding_model(*as_spikes(trains), rising, ENCODING["allen_v110_active"])
    assert published.is_explained.all()  # as there are no slow columns
    assert not ours.is_explained.any()
    assert ours.measure("running", "change").min() > -0.005
    assert published.measure("running", "change").max() < -0.01


def test_flashes_that_overlap_are_not_counted_twice():
    traces = sessions.session(60)
    table = traces.flashes
    twice = replace(traces, flashes=table.loc[table.index.repeat(2)])
    design = make_design(twice, PUBLISHED)
    np.testing.assert_array_equal(design.bin_starts, make_design(traces, PUBLISHED).bin_starts)


def test_a_pause_of_the_stimulus_is_in_no_bin():
    traces = sessions.session(60)
    starts = traces.flashes["start_time"].to_numpy().copy()
    starts[30:] += 100.0
    pause = starts[29] + 50.0 + 0.9 * np.arange(20)
    moved = replace(traces, flashes=traces.flashes.assign(start_time=starts), lick_times_s=pause)
    assert make_design(moved, PUBLISHED).missing["lick_bouts"] == "0 events"


def test_seeds_choose_the_folds(traces):
    design, counts = planted(traces, SHORT)
    spikes = sessions.spikes_of(counts, design)
    first, again, other, third = (
        encoding_model(*spikes, traces, replace(SHORT, seed=seed), of_session)
        for seed, of_session in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    np.testing.assert_array_equal(first.dropouts, again.dropouts)
    assert not np.allclose(first.explained_raw, other.explained_raw)
    assert not np.allclose(first.explained_raw, third.explained_raw)


def test_kernels_are_recovered_within_their_standard_errors_though_licks_rewards_and_running_go_together():
    """Weights of a unit that answers to hits and licks: 95 % within two standard errors of the truth."""
    traces = sessions.session(1500, seed=3)
    parameters = replace(SHORT, penalty="fixed", lambda_min=1e-6)
    design = make_design(traces, parameters)
    truth = np.zeros((design.n_columns, 1))
    truth[0] = 0.3
    of = {each.name: each for each in design.columns}
    truth[of["hits"].index, 0] = 1.5 * np.exp(-np.arange(of["hits"].n) / 8)
    truth[of["lick_bouts"].index, 0] = 1.2 * np.exp(-(((np.arange(8) - 4) / 2) ** 2))
    counts = sessions.poisson_counts(design, truth, 4)
    result = fitted(traces, parameters, counts, design)
    x = design.rows(slice(None))
    inverse = np.linalg.inv(x.T @ x + 1e-6 * np.eye(design.n_columns))
    error = np.sqrt(np.diag(inverse @ (x.T * (x @ truth[:, 0])) @ x @ inverse))
    for name in ("hits", "lick_bouts", "running"):
        z = (result.weights[0] - truth[:, 0])[of[name].index] / error[of[name].index]
        assert np.abs(z).mean() < 1.3, name
        assert (np.abs(z) < 2).mean() > 0.8, name
    changes = {name: result.measure(name, "change")[0] for name in ("hits", "lick_bouts", "running", "pupil")}
    assert min(changes["hits"], changes["lick_bouts"]) < -0.004
    assert max(abs(changes["running"]), abs(changes["pupil"])) < 0.001


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"block": "gray"}, "block is one of"),
        ({"flashes": "none"}, "flashes is one of"),
        ({"lambda_min": 0.0}, "must begin at 1e-06"),
        ({"lambda_min": 600.0}, "must begin at 1e-06"),
        ({"folds": 1}, "two folds or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"drift_s": float("nan")}, "drift_s must be"),
        ({"threshold": 1.0}, "threshold from 0"),
        ({"kernels": (Kernel("licks", 3), Kernel("licks", 4))}, "Only one kernel"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        EncodingParameters(**wrong)


def test_kernels_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="A kernel follows one of"):
        Kernel("sneezes", 3)
    with pytest.raises(ValueError, match="one weight or more"):
        Kernel("hits", 0)
    assert published_kernels(licks="licks")[-1] == Kernel("licks", 80, -1.0)


def test_what_a_lost_eye_did_is_not_known() -> None:
    times = np.arange(0, 600, 1 / 60)
    seen = times[(times < 60) | (times > 540)]
    starts = np.arange(0, 600, 0.025)
    found = trace_in_bins(seen, np.ones(seen.size), starts)
    assert np.isnan(found).mean() == pytest.approx(0.8, abs=0.01)
    blinking = times[(times % 5) > 0.3]
    assert np.isnan(trace_in_bins(blinking, np.ones(blinking.size), starts)).mean() < 0.002
    assert np.isnan(trace_in_bins([1.0], [1.0], starts)).sum() >= starts.size - 1
