from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.receptive_field import (
    ReceptiveFieldParameters,
    chi_square_p_values,
    receptive_field,
)
from vbn.analysis.statistics import benjamini_hochberg

GRID = np.arange(-40.0, 50.0, 10.0)
DURATION_S = 0.25


def gabor_table(n_repeats=3, seed=0):
    """Every position n_repeats times, in random order, one gabor after the other, and a flash of an image."""
    x, y = (axis.ravel() for axis in np.meshgrid(GRID, GRID))
    order = np.random.default_rng(seed).permutation(np.tile(np.arange(81), n_repeats))
    gabors = pd.DataFrame(
        {
            "start_time": 100 + DURATION_S * np.arange(order.size),
            "position_x": x[order],
            "position_y": y[order],
        }
    )
    image = pd.DataFrame({"start_time": [10.0], "position_x": [np.nan], "position_y": [np.nan]})
    return pd.concat([image, gabors], ignore_index=True)


def train_of(table, expected, seed=0):
    """Poisson numbers of spikes for each gabor, expected(x, y) on average."""
    rng = np.random.default_rng(seed)
    gabors = table.dropna()
    n = rng.poisson(expected(gabors["position_x"].to_numpy(), gabors["position_y"].to_numpy()))
    return np.repeat(gabors["start_time"].to_numpy(), n) + rng.uniform(0.03, 0.2, size=n.sum())


def bell(x0, y0, height=6.0, floor=0.5, width=10.0):
    return lambda x, y: floor + height * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * width**2))


@pytest.mark.parametrize(("x0", "y0"), [(0, 0), (-30, 20), (30, -10), (10, 30)])
def test_a_field_is_found_where_it_is_in_both_frames(x0, y0):
    table = gabor_table(6)
    fields, counts = receptive_field(*spikes_at(train_of(table, bell(x0, y0))), table, seed=1)
    row = fields.iloc[0]
    assert row["is_significant"]
    assert row["p_is_upper_bound"]
    assert row["p_value"] == 1 / 10_001
    assert row["n_shuffles"] == 10_000
    assert abs(row["peak_x_deg"] - x0) <= 10
    assert abs(row["peak_y_deg"] - y0) <= 10
    assert abs(row["center_x_deg"] - x0) <= 6
    assert abs(row["center_y_deg"] - y0) <= 6
    assert row["azimuth_deg"] == row["center_x_deg"] + 50
    assert row["elevation_deg"] == row["center_y_deg"] + 10
    assert row["fit_x_deg"] == pytest.approx(x0, abs=4)
    assert row["fit_y_deg"] == pytest.approx(y0, abs=4)
    assert row["fit_width_deg"] == pytest.approx(10, abs=3)
    assert row["fit_height_deg"] == pytest.approx(10, abs=3)
    assert row["fit_amplitude_hz"] == pytest.approx(6 / 0.249, rel=0.35)
    assert row["fit_offset_hz"] == pytest.approx(0.5 / 0.249, abs=1.5)
    assert row["is_on_screen"]
    assert not row["is_inverted"]
    assert counts.shape == (1, 9, 9)


def test_rows_of_a_map_are_y_upwards_and_columns_x():
    """One spike at x = 20, y = -30: second row from the bottom, seventh column."""
    table = gabor_table(1)
    gabor = table[(table["position_x"] == 20) & (table["position_y"] == -30)]
    fields, counts = receptive_field(*spikes_at(gabor["start_time"].to_numpy() + 0.1), table, seed=0)
    assert np.argwhere(counts[0]).tolist() == [[1, 6]]
    assert fields["n_rf_spikes"][0] == 1
    assert fields["n_gabors"][0] == 81
    assert np.isnan(fields["peak_x_deg"][0])  # fewer than 10 spikes


def allensdk_frame(x_deg, y_deg):
    """AllenSDK flips y into rows that go downwards, then converts its rows and columns to degrees."""
    row, column = (40.0 - y_deg) / 10, (x_deg + 40.0) / 10
    return 10 * column + 10, 10 * (8 - row) - 30


@given(st.floats(-40, 40), st.floats(-40, 40))
def test_the_frames_differ_by_constants(x_deg, y_deg):
    assert allensdk_frame(x_deg, y_deg) == pytest.approx((x_deg + 50, y_deg + 10))


def test_counts_are_those_of_a_loop():
    rng = np.random.default_rng(2)
    table = gabor_table(2)
    spikes = np.sort(rng.uniform(99, 142, size=300))
    _, counts = receptive_field(*spikes_at(spikes), table, seed=0)
    expected = np.zeros((9, 9), dtype=int)
    for gabor in table.dropna().itertuples():
        n = np.sum((spikes >= gabor.start_time) & (spikes < gabor.start_time + 0.249))
        expected[int(gabor.position_y + 40) // 10, int(gabor.position_x + 40) // 10] += n
    assert np.array_equal(counts[0], expected)


def chi_square_by_loop(counts, category, rng, n_shuffles):
    """The published test, one resampled table after the other."""

    def chi_square(values):
        expected = {c: values.mean() * np.sum(category == c) for c in set(category)}
        return sum((values[category == c].sum() - e) ** 2 / e for c, e in expected.items() if e > 0)

    found = chi_square(counts) - 1e-9
    return np.mean([found <= chi_square(rng.choice(counts, size=counts.size)) for _ in range(n_shuffles)])


@pytest.mark.parametrize("seed", range(6))
def test_p_agrees_with_shuffles_one_by_one(seed):
    """Both are estimates from 2,000 shuffles: they agree to four standard errors."""
    rng = np.random.default_rng(seed)
    n_categories = int(rng.integers(3, 12))
    category = rng.permutation(np.repeat(np.arange(n_categories), rng.integers(1, 8, size=n_categories)))
    counts = rng.poisson(rng.uniform(0.1, 2), size=category.size)
    counts[0] += 1
    ours = chi_square_p_values(counts[np.newaxis], category, np.random.default_rng(1), 2000, 2000)[0][0]
    theirs = chi_square_by_loop(counts, category, np.random.default_rng(2), 2000)
    error = np.sqrt(max(theirs * (1 - theirs), 0.002) * 2 / 2000)
    assert abs(ours - theirs) < 4 * error


def test_untuned_units_are_not_significant_more_often_than_they_should():
    """With two presentations per position the published resampling is conservative: some 3 % below 0.05."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(400, 162))
    p, _ = chi_square_p_values(counts, np.repeat(np.arange(81), 2), rng, 500, 5000)
    assert 0.005 < np.mean(p < 0.05) < 0.06
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 99))
def test_p_does_not_depend_on_other_units_or_the_order_of_presentations(sweeps, seed):
    counts, category = (np.array(part) for part in zip(*sweeps, strict=True))
    alone = chi_square_p_values(counts[np.newaxis], category, np.random.default_rng(seed), 50, 500)
    both = chi_square_p_values(
        np.array([counts * 0, counts])[:, ::-1], category[::-1], np.random.default_rng(seed), 50, 500
    )
    assert both[0][0] == 1  # silent
    assert (both[0][1], both[1][1]) == (alone[0][0], alone[1][0])
    assert 0 < alone[0][0] <= 1


def test_few_fields_among_many_units_are_found():
    """Six of 600: with a thousand shuffles for each, no q could be below .08."""
    rng, category = np.random.default_rng(0), np.repeat(np.arange(81), 10)
    counts = rng.poisson(0.5, size=(600, 810))
    counts[:6] += rng.poisson(2.0 * (category < 4), size=(6, 810))
    p, n = chi_square_p_values(counts, category, np.random.default_rng(1), 1000, 10_000)
    assert (benjamini_hochberg(p)[:6] <= 0.02).all()
    assert set(p[:6]) == {1 / 10_001}
    assert np.mean(p[6:] <= 0.05) <= 0.07
    assert (n[p > 0.012] == 1000).all()
    old, n = chi_square_p_values(counts, category, np.random.default_rng(1), 1000, 1000)
    assert (benjamini_hochberg(old)[:6] > 0.08).all()
    assert set(n) == {1000}
    many = p > 0.012
    assert old[many].tolist() == p[many].tolist()


def test_a_p_value_is_as_precise_as_ten_shuffles_make_it():
    """Units near .001: a thousand shuffles would tell 0 from .003; ten thousand agree with as many others."""
    rng, category = np.random.default_rng(3), np.repeat(np.arange(9), 20)
    counts = rng.poisson(1.0 + 0.75 * (category == 0), size=(200, 180))
    one, n = chi_square_p_values(counts, category, np.random.default_rng(1), 1000, 100_000)
    other, _ = chi_square_p_values(counts, category, np.random.default_rng(2), 100_000, 100_000)
    assert set(n) >= {1000, 10_000}
    error = np.sqrt(other / n + other / 100_000)
    assert (np.abs(one - other) < 5 * error + 2 / n).all()


def test_equal_seeds_give_equal_results_and_a_generator_is_a_seed():
    table = gabor_table(2)
    spikes = spikes_at(*(train_of(table, bell(0, 0, height=0), seed=k) for k in range(4)))
    one, other = receptive_field(*spikes, table, seed=5), receptive_field(*spikes, table, seed=5)
    pd.testing.assert_frame_equal(one[0], other[0])
    generator = receptive_field(*spikes, table, seed=np.random.default_rng(5))
    pd.testing.assert_frame_equal(one[0], generator[0])
    assert not one[0]["p_value"].equals(receptive_field(*spikes, table, seed=6)[0]["p_value"])


def test_a_small_p_among_many_units_is_fitted_but_not_significant() -> None:
    """Of 200 units without a field about two have p below .01; a q of theirs would be near 1."""
    table = gabor_table(10)
    rng = np.random.default_rng(2)
    start, end = table.dropna()["start_time"].agg(["min", "max"])
    null = [np.sort(rng.uniform(start, end, 800)) for _ in range(200)]
    field = train_of(table, bell(0, 0, height=6))
    fields = receptive_field(*spikes_at(field, *null), table, seed=0)[0]
    by_chance = fields[1:][fields["p_value"][1:] < 0.01]
    assert 1 <= len(by_chance) <= 6
    assert not by_chance["is_significant"].any()
    assert by_chance["fit_x_deg"].notna().any()
    assert fields["is_significant"][0]


def test_a_field_of_suppression_is_inverted():
    table = gabor_table(10)
    suppressed = train_of(table, lambda x, y: 6 - bell(10, 0, height=5.9, floor=0.0, width=12)(x, y))
    row = receptive_field(*spikes_at(suppressed), table, seed=0)[0].iloc[0]
    assert row["is_inverted"]
    assert row["is_significant"]
    assert abs(row["center_x_deg"] - 10) <= 10
    assert abs(row["center_y_deg"]) <= 10
    assert abs(row["fit_x_deg"] - 10) <= 6
    assert row["fit_amplitude_hz"] < 0


def test_the_gaussian_without_an_offset_is_allensdks():
    table = gabor_table(8)
    parameters = ReceptiveFieldParameters(fit_offset=False)
    spikes = spikes_at(train_of(table, bell(-10, 10, floor=0.0)))
    row = receptive_field(*spikes, table, 0, parameters)[0].iloc[0]
    assert row["fit_x_deg"] == pytest.approx(-10, abs=3)
    assert row["fit_width_deg"] == pytest.approx(10, abs=3)
    assert np.isnan(row["fit_offset_hz"])


def test_silent_and_rare_units_have_no_field():
    """Ten spikes are enough, nine are not."""
    table = gabor_table(2)
    starts = table.dropna()["start_time"].to_numpy()
    fields, counts = receptive_field(*spikes_at([], starts[:9] + 0.1, starts[:10] + 0.1), table, seed=0)
    assert fields["n_rf_spikes"].tolist() == [0, 9, 10]
    numbers = ["p_value", "q_value", "peak_x_deg", "peak_rate_hz", "center_x_deg", "azimuth_deg", "area_deg2"]
    assert fields.loc[:1, numbers].isna().all(axis=None)
    assert fields.loc[2, ["p_value", "peak_x_deg", "peak_rate_hz"]].notna().all()
    assert fields.loc[:1, ["is_significant", "p_is_upper_bound", "is_inverted"]].isna().all(axis=None)
    assert fields.loc[2, ["is_significant", "p_is_upper_bound", "is_inverted"]].notna().all()
    assert fields["n_shuffles"].tolist() == [0, 0, 1000]
    assert fields["is_on_screen"][:2].isna().all()
    assert counts[1].sum() == 9


def test_a_unit_that_fires_alike_everywhere_has_a_peak_but_no_centre():
    table = gabor_table(1)
    row = receptive_field(*spikes_at(table.dropna()["start_time"].to_numpy() + 0.1), table, seed=0)[0].iloc[0]
    assert row["p_value"] == 1
    assert (row["peak_x_deg"], row["peak_y_deg"]) == (-40, -40)
    assert np.isnan(row["center_x_deg"])
    assert np.isnan(row["area_deg2"])


def test_no_gabors_and_missing_positions_are_defined():
    table = gabor_table(1)
    fields, counts = receptive_field(*spikes_at(np.arange(90, 130, 0.01), []), table.iloc[:1], seed=0)
    assert fields["n_gabors"].tolist() == [0, 0]
    assert fields["p_value"].isna().all()
    assert counts.shape == (2, 9, 9)
    part = table[table["position_x"] != 40]
    fields, _ = receptive_field(*spikes_at(train_of(table, bell(0, 0))), part, seed=0)
    assert np.isfinite(fields["p_value"][0])
    assert fields[["peak_x_deg", "center_x_deg", "fit_x_deg"]].isna().all(axis=None)
    fields, counts = receptive_field([], [], [], table, seed=0)
    assert (len(fields), counts.shape) == (0, (0, 9, 9))


def test_a_gabor_elsewhere_is_refused():
    table = gabor_table(1)
    table.loc[3, "position_x"] = 5.0
    with pytest.raises(ValueError, match=r"position_x must be one of .*1 of 81 gabors"):
        receptive_field(*spikes_at([100.1]), table, seed=0)


def test_parameters_survive_json_and_refuse_nonsense():
    parameters = ReceptiveFieldParameters(n_shuffles=100)
    assert ReceptiveFieldParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="ascend evenly"):
        ReceptiveFieldParameters(positions_deg=(0.0, 10.0, 30.0))
    with pytest.raises(ValueError, match="n_shuffles"):
        ReceptiveFieldParameters(n_shuffles=0)
    with pytest.raises(ValueError, match="max_shuffles"):
        ReceptiveFieldParameters(max_shuffles=0)
    with pytest.raises(ValueError, match="positive"):
        ReceptiveFieldParameters(max_p_value=0.0)
