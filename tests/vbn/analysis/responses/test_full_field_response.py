from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.full_field_response import FullFieldResponseParameters, full_field_response


def flash_table(colors, start_s=100.0):
    """Full-field flashes every 2 s, and a flash of an image, which has no colour."""
    n = len(colors)
    flashes = pd.DataFrame(
        {"start_time": start_s + 2.0 * np.arange(n), "color": np.asarray(colors, dtype=float)}
    )
    image = pd.DataFrame({"start_time": [10.0], "color": [np.nan]})
    return pd.concat([image, flashes], ignore_index=True)


def at(table, color):
    return table.loc[table["color"] == color, "start_time"].to_numpy()


def test_rates_ratio_and_preference_by_hand():
    """Three spikes per white flash, one per black one, one before each white one."""
    table = flash_table([1, -1, 1, -1])
    white, black = at(table, 1), at(table, -1)
    train = np.concatenate([white + 0.05, white + 0.1, white + 0.2, black + 0.1, white - 0.1])
    row = full_field_response(*spikes_at(train), table).iloc[0]
    assert (row["n_white"], row["n_black"]) == (2, 2)
    assert row["evoked_rate_white_hz"] == pytest.approx(12)
    assert row["evoked_rate_black_hz"] == pytest.approx(4)
    assert row["baseline_rate_white_hz"] == pytest.approx(4)
    assert row["baseline_rate_black_hz"] == 0
    assert row["on_off_ratio"] == pytest.approx(3)
    assert row["on_off_index"] == pytest.approx(0.5)
    assert row["preferred_color"] == 1


def test_p_values_are_scipys():
    rng = np.random.default_rng(0)
    table = flash_table(rng.permutation(np.repeat([1.0, -1.0], 75)))
    spikes = np.sort(rng.uniform(90, 410, size=6000))
    row = full_field_response(*spikes_at(spikes), table).iloc[0]

    def counts(times, start, stop):
        return np.array([np.sum((spikes >= t + start) & (spikes < t + stop)) for t in times])

    evoked = {color: counts(at(table, color), 0, 0.25) for color in (1, -1)}
    difference = evoked[1] - counts(at(table, 1), -0.25, 0)
    expected = stats.wilcoxon(difference[difference != 0], method="asymptotic").pvalue
    assert row["p_white"] == pytest.approx(expected)
    p = stats.mannwhitneyu(evoked[1], evoked[-1], method="asymptotic", use_continuity=False).pvalue
    assert row["p_color"] == pytest.approx(p)


def test_swapping_the_colours_swaps_the_columns():
    rng = np.random.default_rng(1)
    table = flash_table(rng.permutation(np.repeat([1.0, -1.0], 6)))
    spikes = spikes_at(rng.uniform(99, 130, size=200))
    swapped = table.assign(color=-table["color"])
    row, other = (full_field_response(*spikes, each).iloc[0] for each in (table, swapped))
    assert row["evoked_rate_white_hz"] == other["evoked_rate_black_hz"]
    assert row["p_white"] == other["p_black"]
    assert row["on_off_index"] == pytest.approx(-other["on_off_index"])
    assert row["preferred_color"] == -other["preferred_color"]


def test_a_strong_answer_to_one_colour_is_a_response():
    table = flash_table([1, -1] * 10)
    result = full_field_response(*spikes_at(at(table, -1) + 0.1, []), table)
    assert result["is_responsive"].tolist() == [True, False]
    assert result["q_black"][0] == pytest.approx(2 * result["p_black"][0])
    assert result["p_white"][0] == 1


@pytest.mark.parametrize(("n_flashes", "is_responsive"), [(6, False), (7, True)])
def test_two_tests_of_a_unit_are_two(n_flashes: int, is_responsive: bool) -> None:
    """One spike per black flash: p is 2 to the minus n - 1, 1/32 or 1/64; half of .05 lies between."""
    table = flash_table([1, -1] * n_flashes)
    row = full_field_response(*spikes_at(at(table, -1) + 0.1), table).iloc[0]
    assert row["q_black"] == 2.0 ** (1 - n_flashes) <= 0.05
    assert row["is_responsive"] == is_responsive
    alone = full_field_response(*spikes_at(at(table, -1) + 0.1), table[table["color"] == -1]).iloc[0]
    assert alone["is_responsive"]


def test_no_flashes_one_colour_and_silent_units_are_defined():
    none = full_field_response(*spikes_at([1.0], []), flash_table([]))
    assert none["n_white"].tolist() == [0, 0]
    assert none.drop(columns=["n_white", "n_black"]).isna().all(axis=None)
    one = full_field_response(*spikes_at([100.1]), flash_table([1])).iloc[0]
    assert one["p_white"] == 1
    assert np.isnan(one["p_color"])
    assert np.isnan(one["preferred_color"])
    silent = full_field_response(*spikes_at([]), flash_table([1, -1])).iloc[0]
    assert silent["p_white"] == silent["p_color"] == 1
    assert np.isnan(silent["on_off_ratio"])
    assert np.isnan(silent["on_off_index"])
    assert np.isnan(silent["preferred_color"])
    assert full_field_response([], [], [], flash_table([1, -1])).shape[0] == 0


def test_missing_colours_may_be_of_any_kind():
    table = flash_table([1, -1]).astype({"color": "Float64"})
    assert full_field_response(*spikes_at([100.1]), table)["n_white"][0] == 1
    objects = flash_table([1, -1])
    objects["color"] = objects["color"].astype(object).where(objects["color"].notna(), None)
    assert full_field_response(*spikes_at([100.1]), objects)["n_black"][0] == 1


def test_parameters_survive_json_and_refuse_nonsense():
    parameters = FullFieldResponseParameters(max_q_value=0.01)
    assert FullFieldResponseParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="equally long"):
        FullFieldResponseParameters(baseline_window_s=(-0.1, 0.0))
    with pytest.raises(ValueError, match="max_q_value"):
        FullFieldResponseParameters(max_q_value=-1)
