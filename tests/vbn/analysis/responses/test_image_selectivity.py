from __future__ import annotations

import doctest
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.vbn.analysis.flashes import flashes_of
from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses import image_selectivity as module
from vbn.analysis.responses.flash_selection import is_repeated_image
from vbn.analysis.responses.image_selectivity import (
    ImageSelectivityParameters,
    image_selectivity,
    lifetime_sparseness,
)
from vbn.analysis.statistics import kruskal_wallis_p_values

PERIOD_S = 0.75


def image_table(images, novel=(), *, active=True, start_s=10.0):
    """Flashes every 0.75 s; ``omitted`` is an omission; a change is another image than the last one shown."""
    last, changes = images[0] if images else None, []
    for image in images:
        changes.append(image not in (last, "omitted"))
        last = last if image == "omitted" else image
    is_novel = [pd.NA if image == "omitted" else image in novel for image in images]
    return pd.DataFrame(
        {
            "start_time": start_s + PERIOD_S * np.arange(len(images)),
            "image_name": pd.Series(images, dtype=object),
            "active": active,
            "is_change": pd.array(changes, dtype="boolean"),
            "omitted": pd.array([image == "omitted" for image in images], dtype="boolean"),
            "is_image_novel": pd.array(is_novel, dtype="boolean"),
        }
    )


def test_only_flashes_that_repeat_an_image_are_used():
    table = image_table(["a", "a", "b", "b", "omitted", "b", "b"])
    # Left out: the first (0), the change (2), the omission (4) and the flash after it (5).
    assert is_repeated_image(table).tolist() == [False, True, False, True, False, False, True]
    assert not is_repeated_image(table, "passive").any()
    assert is_repeated_image(table, "either").sum() == 3
    with pytest.raises(ValueError, match="Unknown condition"):
        is_repeated_image(table, "both")


def test_rates_preferred_image_and_sparseness_by_hand():
    """a: 4 flashes with 10 spikes each, 40 Hz; b: 2 flashes with 30 spikes each, 120 Hz.

    Sparseness: (1 - 160^2 / (2 * (40^2 + 120^2))) / (1 - 1/2) = (1 - 256 / 320) * 2 = 0.4.
    """
    table = image_table(["a"] * 5 + ["b"] * 3)
    starts = table["start_time"].to_numpy()
    train = [
        *(starts[1:5, np.newaxis] + 0.02 * np.arange(10)).ravel(),
        *(starts[6:, np.newaxis] + 0.008 * np.arange(30)).ravel(),
        starts[6] - 0.1,
    ]
    unit, rates = image_selectivity(*spikes_at(train), flashes_of(table))
    row = unit.iloc[0]
    assert rates.columns.tolist() == ["a", "b"]
    assert rates.iloc[0].tolist() == pytest.approx([40.0, 120.0])
    assert row["preferred_image"] == "b"
    assert row["preferred_rate_hz"] == pytest.approx(120.0)
    assert row["lifetime_sparseness"] == pytest.approx(0.4)
    assert row["evoked_rate_hz"] == pytest.approx(100 / 6 / 0.25)
    assert row["baseline_rate_hz"] == pytest.approx(1 / 6 / 0.25)
    assert (row["n_flashes"], row["n_images"]) == (6, 2)


@given(st.lists(st.floats(0, 100).map(lambda x: round(x, 3)), min_size=2, max_size=10).filter(any))
def test_sparseness_agrees_with_a_formula_of_mean_and_variance(rates):
    """(sum r)^2 / (n sum r^2) is mean^2 / (mean^2 + variance)."""
    r = np.array(rates)
    ratio = r.mean() ** 2 / (r.mean() ** 2 + r.var())
    value = lifetime_sparseness([r])[0]
    assert value == pytest.approx((1 - ratio) / (1 - 1 / r.size), abs=1e-9)
    assert -1e-9 <= value <= 1 + 1e-9
    assert lifetime_sparseness([r * 7])[0] == pytest.approx(value, abs=1e-9)


def test_noise_of_few_spikes_makes_no_sparseness():
    """Thirty units with about 15 spikes per image, alike for all, singly or in pairs."""
    table = image_table(list(np.repeat(list("abcdefgh") * 3, 11)))
    flashes, rng = flashes_of(table), np.random.default_rng(5)
    starts = flashes["start_time"].to_numpy()
    for of_two in (1, 2):
        chosen = [starts[rng.random(starts.size) < 0.5 / of_two] for _ in range(30)]
        trains = [np.sort(np.concatenate([s + 0.05 * (1 + k) for k in range(of_two)])) for s in chosen]
        unit, rates = image_selectivity(*spikes_at(*trains), flashes)
        assert unit["lifetime_sparseness"].notna().all()
        assert abs(unit["lifetime_sparseness"].mean()) < 0.01
        assert lifetime_sparseness(rates).mean() > 0.02


def test_one_image_has_no_sparseness():
    assert np.isnan(lifetime_sparseness([[3.0]])).all()
    assert np.isnan(lifetime_sparseness(np.empty((1, 0)))).all()


def test_tests_of_selectivity_and_response_are_scipys():
    rng = np.random.default_rng(2)
    table = image_table(list(np.repeat(rng.choice(list("abcd"), size=60), 4)), novel="cd")
    chosen = flashes_of(table)
    of_flashes = chosen["start_time"].to_numpy()[rng.integers(len(chosen), size=120)]
    spikes = np.sort(np.concatenate([rng.uniform(9, 200, size=2000), of_flashes + rng.uniform(0, 0.25, 120)]))
    row = image_selectivity(*spikes_at(spikes), chosen)[0].iloc[0]

    def counts(start, stop):
        return np.array([np.sum((spikes >= t + start) & (spikes < t + stop)) for t in chosen["start_time"]])

    gain = counts(0, 0.25) - counts(-0.25, 0)
    runs = table["is_change"].cumsum()[chosen.index]
    of_runs = pd.DataFrame({"gain": gain, "image": chosen["image_name"]}).groupby(runs.to_numpy())
    values = of_runs["gain"].mean()[of_runs.size() >= 2]
    images = of_runs["image"].first()[values.index]
    p = stats.kruskal(*(values[images == name] for name in "abcd")).pvalue
    assert row["p_selectivity"] == pytest.approx(p)
    assert row["n_runs"] == len(values) < len(gain) / 2
    assert row["p_response"] == pytest.approx(stats.wilcoxon(gain[gain != 0], method="asymptotic").pvalue)
    novel = chosen["is_image_novel"].to_numpy(bool)
    n, f = gain[novel].mean(), gain[~novel].mean()
    assert row["novel_shared_index"] == pytest.approx((n - f) / max(abs(n), abs(f)))
    assert (row["n_novel_flashes"], row["n_familiar_flashes"]) == (novel.sum(), (~novel).sum())


def test_rates_that_differ_between_runs_are_no_selectivity():
    """Over flashes, of which those of a run are alike, half of such units would be selective."""
    table = image_table(list(np.repeat(np.tile(list("abcd"), 10), 6)))
    starts, image = table["start_time"].to_numpy(), table["image_name"].to_numpy(str)
    counts = np.repeat(np.random.default_rng(3).integers(0, 6, size=(100, 40)), 6, axis=1)
    trains = [
        np.concatenate([start + np.linspace(0.05, 0.2, n) for start, n in zip(starts, row, strict=True)])
        for row in counts
    ]
    unit, _ = image_selectivity(*spikes_at(*trains), flashes_of(table))
    used = is_repeated_image(table)
    over_flashes = kruskal_wallis_p_values(counts[:, used], np.unique(image[used], return_inverse=True)[1])
    assert (over_flashes <= 0.05).mean() > 0.3
    assert (unit["p_selectivity"] <= 0.05).mean() < 0.1


def test_a_tuned_unit_is_selective():
    table = image_table(list(np.repeat(np.tile(list("ab"), 8), 4)))
    starts = table["start_time"].to_numpy()
    train = starts[(table["image_name"] == "b").to_numpy()] + 0.1
    unit, _ = image_selectivity(*spikes_at(train), flashes_of(table))
    assert unit["p_selectivity"][0] < 0.001
    assert unit["n_runs"][0] == 16


@pytest.mark.parametrize("images", [["a"] * 9 + ["b"] * 9, ["a", "b"] * 9, ["a"] * 5])
def test_without_two_runs_of_two_images_nothing_is_tested(images):
    unit, _ = image_selectivity(*spikes_at([10.1, 12.1]), flashes_of(image_table(images)))
    assert unit[["p_selectivity", "q_selectivity", "is_selective"]].isna().all(axis=None)
    assert unit["n_runs"][0] == 0


@pytest.mark.parametrize("n_images", [5, 6])
def test_on_fewer_than_five_flashes_nothing_is_measured(n_images):
    """The first flash is not used, as it repeats nothing."""
    unit, rates = image_selectivity(*spikes_at([10.1, 10.9], []), flashes_of(image_table(["a"] * n_images)))
    assert unit["n_flashes"].tolist() == [n_images - 1] * 2
    names = ["evoked_rate_hz", "baseline_rate_hz", "p_response", "q_response", "is_responsive"]
    assert unit[names].isna().all(axis=None) == (n_images == 5)
    assert rates.shape == (2, n_images - 5)
    assert unit["n_images"][0] == n_images - 5
    assert unit["preferred_image"].tolist() == [None if n_images == 5 else "a", None]


def test_a_change_that_a_file_does_not_mark_mixes_no_images():
    table = image_table(list(np.repeat(list("abab"), 4)))
    table.loc[12, "is_change"] = False
    train = table["start_time"].to_numpy()[(table["image_name"] == "b").to_numpy()] + 0.1
    unit, _ = image_selectivity(*spikes_at(train), flashes_of(table))
    groups = [[0, 0], [1, 1]]
    assert unit["n_runs"][0] == 4
    assert unit["p_selectivity"][0] == pytest.approx(stats.kruskal(*groups).pvalue)


def test_novel_and_shared_by_hand():
    """One spike per shared flash, two per novel one: (2 - 1) / 2; of as many at any time, no index."""
    table = image_table(["a"] * 6 + ["b"] * 6, novel="b")
    starts = table["start_time"].to_numpy()
    train = np.concatenate([starts + 0.1, starts[6:] + 0.2])
    at_any_time = np.linspace(starts[0], starts[-1] + 0.5, train.size)
    unit, _ = image_selectivity(*spikes_at(train, at_any_time), flashes_of(table))
    assert unit["novel_shared_index"].tolist() == [pytest.approx(0.5), pytest.approx(np.nan, nan_ok=True)]
    assert unit[["n_novel_flashes", "n_familiar_flashes"]].iloc[0].tolist() == [5, 5]


def test_without_novel_images_there_is_no_index():
    table = image_table(["a"] * 4 + ["b"] * 4)
    unit, _ = image_selectivity(*spikes_at([10.1]), flashes_of(table))
    assert unit["n_novel_flashes"][0] == 0
    assert unit["novel_shared_index"].isna().all()
    without = flashes_of(table.drop(columns="is_image_novel"))
    assert image_selectivity(*spikes_at([10.1]), without)[0]["n_familiar_flashes"][0] == 0


def test_one_image_no_flashes_and_silent_units_are_defined():
    table = flashes_of(image_table(["a"] * 6))
    unit, rates = image_selectivity(*spikes_at([10.85], []), table)
    assert unit["preferred_image"].tolist() == ["a", None]
    assert unit[["lifetime_sparseness", "p_selectivity"]].isna().all(axis=None)
    assert np.isnan(unit["preferred_rate_hz"][1])
    assert unit["p_response"].tolist() == [1.0, 1.0]
    assert rates.shape == (2, 1)
    unit, rates = image_selectivity(*spikes_at([10.1], []), table.iloc[:0])
    assert unit["evoked_rate_hz"].isna().all()
    assert unit["preferred_image"].tolist() == [None, None]
    assert rates.shape == (2, 0)
    unit, rates = image_selectivity([], [], [], table)
    assert (len(unit), rates.shape) == (0, (0, 1))
    assert len(image_selectivity([], [], [], table.iloc[:0])[0]) == 0


def test_two_images_and_a_silent_unit_differ_in_nothing():
    runs = np.repeat(list("abab"), 3)
    unit, _ = image_selectivity(*spikes_at([]), flashes_of(image_table(list(runs))))
    assert unit["p_selectivity"][0] == 1
    assert np.isnan(unit["lifetime_sparseness"][0])
    assert unit["preferred_image"][0] is None


def test_unit_order_does_not_matter():
    rng = np.random.default_rng(3)
    table = image_table(list(np.repeat(rng.choice(list("abc"), size=20), 3)), novel="a")
    trains = [rng.uniform(9, 60, size=n) for n in (100, 0, 40)]
    flashes = flashes_of(table)
    forth = image_selectivity(*spikes_at(*trains), flashes)
    back = image_selectivity(*spikes_at(*trains[::-1]), flashes)
    for one, other in zip(forth, back, strict=True):
        pd.testing.assert_frame_equal(one, other[::-1].reset_index(drop=True))


def test_parameters_survive_json_and_refuse_nonsense():
    parameters = ImageSelectivityParameters(flash_set="repeated_either")
    assert ImageSelectivityParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
    with pytest.raises(ValueError, match="equally long"):
        ImageSelectivityParameters(baseline_window_s=(-0.1, 0.0))
    with pytest.raises(ValueError, match="max_q_value"):
        ImageSelectivityParameters(max_q_value=2)


def test_the_example_is_true():
    assert doctest.testmod(module).failed == 0
