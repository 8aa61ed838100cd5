from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from vbn.analysis.optotagging import (
    CONDITION_EVIDENCE_COLUMNS,
    METHODS,
    EvidenceParameters,
    label_units_by_method,
    laser_evidence_by_condition,
)
from vbn.analysis.statistics import one_sided_signed_rank_p_values

SST = "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
ONSETS = 10.0 + 2 * np.arange(10)
PULSES = pd.DataFrame({"start_time": ONSETS, "duration": 0.01, "level": 0.95, "stimulus_name": "pulse"})
TIMES = ("first_spike_latency_s", "bennett_latency_s", "bennett_code_latency_s")


def pulse_table(repeats: int = 4, seed: int = 0) -> pd.DataFrame:
    """Both waveforms at three levels, in random order, gaps of 0.3 to 1 s."""
    rng = np.random.default_rng(seed)
    kinds = [(w, d, v) for w, d in (("pulse", 0.01), ("raised_cosine", 1.0)) for v in (0.7, 0.8, 0.9)]
    rows = pd.DataFrame(
        [kinds[k] for k in rng.permutation(np.repeat(np.arange(6), repeats))],
        columns=["stimulus_name", "duration", "level"],
    )
    step = rows["duration"] + rng.uniform(0.3, 1.0, len(rows))
    start = 5 + np.concatenate([[0], np.cumsum(step)[:-1]])
    return rows.assign(start_time=start, stop_time=start + rows["duration"])


def evidence_of(*trains, pulses=PULSES, parameters=EvidenceParameters(), seed=0) -> pd.DataFrame:  # noqa: B008
    n_spikes = np.array([len(train) for train in trains], dtype=np.int64)
    spikes = np.concatenate([*trains, np.empty(0)])
    offsets = np.cumsum(n_spikes) - n_spikes
    return laser_evidence_by_condition(spikes, offsets, n_spikes, pulses, parameters, seed=seed)


def poisson(rng: np.random.Generator, rate_hz: float, end_s: float = 40) -> np.ndarray:
    return np.sort(rng.uniform(0, end_s, rng.poisson(rate_hz * end_s)))


class TestByHand:
    """Ten pulses of 10 ms every two seconds; spikes are put where they tell something."""

    def test_rates_and_counts(self):
        """+3 ms of six pulses, +5 ms of three of these, one each at -100 ms, +1 ms and +10.5 ms."""
        others = ONSETS[[9, 9, 9]] + [-0.1, 0.001, 0.0105]
        train = np.sort(np.concatenate([ONSETS[:6] + 0.003, ONSETS[:3] + 0.005, others]))
        row = evidence_of(train).iloc[0]
        assert row["n_evoked_spikes"] == 9
        assert row["n_baseline_spikes"] == 1
        assert row["n_artifact_spikes"] == 2
        assert row["n_epoch_spikes"] == 12
        assert row["evoked_rate_hz"] == pytest.approx(9 / 10 / 0.007)
        assert row["baseline_rate_hz"] == pytest.approx(1 / 10 / 0.198)
        assert row["fold"] == pytest.approx((9 / 10 / 0.007) / (1 / 10 / 0.198 + 1))
        assert row["reliability"] == pytest.approx(0.6)
        differences = np.array([2, 2, 2, 1, 1, 1, 0, 0, 0, 0])
        expected = wilcoxon(differences, alternative="greater", method="asymptotic", correction=False).pvalue
        assert row["p_wilcoxon"] == pytest.approx(expected)

    def test_windows_of_the_tutorials_are_used_as_they_are(self):
        """Spikes at -9.5, -1.5, 1.2, 8.2 and 8.7 ms of one pulse, so in and out of the four windows."""
        train = ONSETS[0] + np.array([-0.0095, -0.0015, 0.0012, 0.0082, 0.0087])
        row = evidence_of(train).iloc[0]
        assert row["swdb_baseline_rate_hz"] == pytest.approx(1 / 10 / 0.008)
        assert row["swdb_evoked_rate_hz"] == pytest.approx(3 / 10 / 0.008)
        assert row["swdb_fold"] == pytest.approx(37.5 / 13.5)
        assert row["tutorial_baseline_rate_hz"] == pytest.approx(2 / 10 / 0.009)
        assert row["tutorial_evoked_rate_hz"] == pytest.approx(1 / 10 / 0.007)
        assert row["n_evoked_spikes"] == 1

    def test_latencies_by_three_rules(self):
        """First spikes at 2 ms in three pulses, 4 ms in six, and none in the last; all have one at 20 ms.

        In the window: 3 x 2 and 6 x 4 ms. Bennett: the last one is 20 ms. Their code does not see what comes
        before 3 ms and counts from 1.5 ms on: 6 x 2.5 and 4 x 18.5 ms.
        """
        train = np.sort(np.concatenate([ONSETS[:3] + 0.002, ONSETS[3:9] + 0.004, ONSETS + 0.020]))
        row = evidence_of(train).iloc[0]
        assert row["first_spike_latency_s"] == pytest.approx(0.004)
        assert row["first_spike_jitter_s"] == pytest.approx(0.0, abs=1e-9)
        assert row["bennett_latency_s"] == pytest.approx(0.004)
        assert row["bennett_jitter_s"] == pytest.approx(0.0, abs=1e-9)
        assert row["bennett_code_latency_s"] == pytest.approx(0.0025)
        early = np.sort(np.concatenate([ONSETS[:6] + 0.002, ONSETS + 0.020]))
        row = evidence_of(early).iloc[0]
        assert row["first_spike_latency_s"] == pytest.approx(0.002)
        assert row["bennett_latency_s"] == pytest.approx(0.002)
        assert row["bennett_code_latency_s"] == pytest.approx(0.0185)

    def test_jitter_is_the_median_absolute_deviation(self):
        train = ONSETS[:5] + np.array([0.002, 0.003, 0.004, 0.006, 0.008])
        row = evidence_of(train).iloc[0]
        assert row["first_spike_latency_s"] == pytest.approx(0.004)
        assert row["first_spike_jitter_s"] == pytest.approx(0.002)

    def test_z_is_the_evoked_rate_in_deviations_of_all_bins_of_the_gaps(self):
        """With very many draws, mean and deviation are those of all bins, found here by a loop.

        The gaps: 1.99 s less 5 ms at both ends, less half of that from the beginning.
        """
        rng = np.random.default_rng(1)
        train = np.sort(np.concatenate([poisson(rng, 20), ONSETS + 0.003]))
        row = evidence_of(train, parameters=EvidenceParameters(n_gap_bins=2_000_000)).iloc[0]
        gap = 1.99 - 0.01
        starts = [on + 0.015 + gap / 2 + 0.007 * k for on in ONSETS[:-1] for k in range(int(gap / 2 / 0.007))]
        rates = np.array([np.sum((train >= s) & (train < s + 0.007)) for s in starts]) / 0.007
        assert row["bennett_baseline_rate_hz"] == pytest.approx(rates.mean(), rel=0.01)
        assert row["bennett_baseline_sd_hz"] == pytest.approx(rates.std(), rel=0.01)
        expected = (row["evoked_rate_hz"] - rates.mean()) / rates.std()
        assert row["bennett_z"] == row["z"] == pytest.approx(expected, rel=0.01)

    def test_a_unit_silent_in_the_gaps_has_the_deviation_of_one_spike(self):
        """As published it has no z-score. 9 gaps of 0.99 s hold 141 bins each."""
        row = evidence_of(ONSETS + 0.003).iloc[0]
        assert np.isnan(row["bennett_z"])
        n = 9 * 141
        assert row["z"] == pytest.approx((1 / 0.007) / (np.sqrt(1 / n * (1 - 1 / n)) / 0.007), rel=0.01)

    def test_artefacts_alone_are_seen_and_do_not_count_as_an_answer(self):
        train = np.sort(np.concatenate([ONSETS + 0.0007, ONSETS + 0.0105, ONSETS - 0.15]))
        row = evidence_of(train).iloc[0]
        assert row["n_artifact_spikes"] == 20
        assert row["p_artifact"] < 1e-6
        assert row["n_evoked_spikes"] == row["evoked_rate_hz"] == row["reliability"] == 0
        assert row["p_salt"] == 1
        assert np.isnan(row["first_spike_latency_s"])

    def test_spikes_by_chance_have_no_latency(self):
        """Their median would be the middle of the window; 5 % of the units respond by chance."""
        rng = np.random.default_rng(3)
        table = evidence_of(*(poisson(rng, 15) for _ in range(200)))
        assert (table["reliability"] > 0).mean() > 0.5
        assert table["first_spike_latency_s"].notna().mean() <= 0.07
        assert (table["first_spike_latency_s"].notna() == table["first_spike_jitter_s"].notna()).all()
        assert (table["first_spike_latency_s"].isna() == (table["censored_p_wilcoxon"] > 0.05)).all()

    def test_salt_finds_a_precise_answer_and_no_other(self):
        rng = np.random.default_rng(0)
        precise = np.sort(np.concatenate([poisson(rng, 5), ONSETS + 0.0035]))
        table = evidence_of(precise, poisson(rng, 5))
        assert table["p_salt"].tolist()[0] == 0
        assert table["salt_information"][0] > 0.8
        assert table["p_salt"][1] > 0.05

    def test_a_raised_cosine_is_answered_where_the_light_is(self):
        """100 Hz in the second half of a second of light, and 1 Hz otherwise: a good half of 99 bins."""
        rng = np.random.default_rng(3)
        table = pulse_table(repeats=30)
        waves = table.loc[table["stimulus_name"] == "raised_cosine", "start_time"].to_numpy()
        answers = np.repeat(waves, 50) + rng.uniform(0.5, 1.0, waves.size * 50)
        train = np.sort(np.concatenate([poisson(rng, 1, table["stop_time"].max()), answers]))
        found = evidence_of(train, pulses=table).set_index(["waveform", "level_name"])
        # 30 pulses are fewer than 50: bins go in pairs.
        assert found.loc[("raised_cosine", "high"), "cosine_fraction"] == pytest.approx(0.5, abs=0.05)
        assert found.loc[("raised_cosine", "high"), "bennett_cosine_fraction"] == pytest.approx(0.5, abs=0.05)
        assert np.isnan(found.loc[("pulse", "high"), "cosine_fraction"])
        for column in ("p_salt", "swdb_fold", "tutorial_fold"):
            assert np.isnan(found.loc[("raised_cosine", "high"), column])


class TestTable:
    def test_has_a_row_for_each_unit_and_condition(self):
        table = evidence_of(np.array([6.0]), np.empty(0), np.array([7.0, 8.0]), pulses=pulse_table())
        assert list(table.columns) == list(CONDITION_EVIDENCE_COLUMNS)
        assert table["unit"].tolist() == np.repeat([0, 1, 2], 6).tolist()
        assert table["waveform"].tolist() == (["pulse"] * 3 + ["raised_cosine"] * 3) * 3
        assert table["level_name"].tolist() == ["low", "medium", "high"] * 6
        assert (table["n_pulses"] == 4).all()
        assert table["n_pulses"].dtype == np.int64

    @pytest.mark.parametrize(
        "pulses",
        [PULSES.iloc[:0], PULSES.assign(level=np.nan)],
        ids=["no pulses", "no levels"],
    )
    def test_without_pulses_it_is_empty_and_typed(self, pulses):
        table = evidence_of(np.array([1.0]), pulses=pulses)
        assert table.empty
        assert list(table.columns) == list(CONDITION_EVIDENCE_COLUMNS)
        assert table["z"].dtype == np.float64
        assert table["unit"].dtype == np.int64

    def test_without_units_it_is_empty(self):
        assert evidence_of(pulses=pulse_table()).empty

    def test_silent_units_have_no_times_and_no_answer(self):
        table = evidence_of(np.empty(0), np.array([1.0]))
        for name in ("baseline_rate_hz", "evoked_rate_hz", "fold", "z", "reliability", "n_artifact_spikes"):
            assert (table[name] == 0).all(), name
        for name in ("p_wilcoxon", "censored_p_wilcoxon", "p_artifact", "p_salt"):
            assert (table[name] == 1).all(), name
        assert table[list(TIMES)].isna().to_numpy().all()
        assert table["bennett_z"].isna().all()

    @pytest.mark.parametrize(
        "pulses",
        [
            PULSES.iloc[:1],
            PULSES.assign(start_time=10.0),
            PULSES.assign(start_time=10 + 0.004 * np.arange(10)),
            PULSES.assign(duration=0.002),
            PULSES.assign(duration=0.0),
            PULSES.assign(stimulus_name="raised_cosine"),
            PULSES.assign(stimulus_name="raised_cosine", duration=1.0).iloc[:1],
            PULSES.assign(level=[np.nan] * 9 + [0.9]),
            PULSES.assign(start_time=0.001 * np.arange(10)),
        ],
        ids=[
            "one pulse",
            "all at once",
            "overlapping",
            "artefact only",
            "no length",
            "short cosine",
            "one cosine",
            "no levels",
            "at the file's beginning",
        ],
    )
    def test_odd_pulses_give_defined_results(self, pulses):
        rng = np.random.default_rng(0)
        trains = [np.empty(0), np.array([10.003]), poisson(rng, 10), np.sort(10 + 0.01 * rng.random(50))]
        table = evidence_of(*trains, pulses=pulses)
        assert len(table) == 4
        for method in METHODS.values():
            labels = label_units_by_method(table, method, SST)
            assert len(labels) == 4
            assert labels["label"].isin(["tagged", "untagged", "unlabelled"]).all()
        assert not np.isinf(table.select_dtypes("number").to_numpy()).any()

    @pytest.mark.parametrize("seed", [-1, 1.5, True, None])
    def test_refuses_what_is_no_seed(self, seed):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            evidence_of(np.empty(0), seed=seed)


class TestEqualWindows:
    """Rates of a long and a short window have different skews, which a rank test takes for differences."""

    COSINES = pd.DataFrame(
        {
            "start_time": 10 + 2 * np.arange(50.0),
            "duration": 1.0,
            "level": 1.0,
            "stimulus_name": "raised_cosine",
        }
    )

    @pytest.mark.parametrize("rate_hz", [0.1, 1, 10])
    def test_of_units_that_fire_by_chance_few_respond_to_a_cosine(self, rate_hz):
        rng = np.random.default_rng(4)
        trains = [poisson(rng, rate_hz, 120) for _ in range(200)]
        assert (evidence_of(*trains, pulses=self.COSINES)["p_wilcoxon"] <= 0.05).mean() <= 0.085

    def test_the_old_windows_of_a_cosine_found_a_response_in_many(self):
        """997 ms as a rate against that of 198 ms, as until method version 2, at 1 Hz."""
        rng = np.random.default_rng(4)
        onsets = self.COSINES["start_time"].to_numpy()
        rates = [
            [
                np.searchsorted(train, onsets + stop) - np.searchsorted(train, onsets + start)
                for start, stop in ((0.0015, 0.9985), (-0.2, -0.002))
            ]
            for train in (poisson(rng, 1, 120) for _ in range(200))
        ]
        evoked, before = np.moveaxis(np.array(rates), 1, 0)
        p = one_sided_signed_rank_p_values(evoked / 0.997 - before / 0.198)
        assert (p <= 0.05).mean() > 0.15

    def test_only_the_central_half_of_a_cosine_and_as_much_before_are_compared(self):
        """Ten spikes from 0.25 to 0.748 s; as many from -0.5 s on; then where nothing is counted."""
        onsets = self.COSINES["start_time"].to_numpy()
        trains = [
            np.sort(np.concatenate([onsets + delay for delay in np.linspace(start, stop, 10)]))
            for start, stop in ((0.251, 0.747), (-0.499, -0.003), (0.0, 0.249), (0.75, 0.999), (-0.7, -0.501))
        ]
        p = evidence_of(*trains, pulses=self.COSINES)["p_wilcoxon"].to_numpy()
        assert p[0] < 1e-9
        assert p[1:] == pytest.approx(1)

    def test_pulses_with_light_in_the_window_before_are_left_out(self):
        """Of pulses 1.5 and 1.7 s apart, those after 1.5 s have 0.5 s of dark, of which 0.1 s is recovery."""
        start = 10 + np.cumsum(np.tile([1.5, 1.7], 10))
        pulses = self.COSINES.iloc[:20].assign(start_time=start)
        after_short, after_long = start[2::2], start[1::2]
        trains = [np.sort(np.concatenate([on + 0.3, on + 0.4])) for on in (after_short, after_long)]
        p = evidence_of(*trains, pulses=pulses)["p_wilcoxon"].to_numpy()
        assert p[0] == 1
        assert p[1] < 0.01
        close = self.COSINES.assign(start_time=10 + 1.2 * np.arange(50))
        table = evidence_of(np.sort(close["start_time"].to_numpy()[1:] + 0.5), pulses=close)
        assert table["p_wilcoxon"][0] == 1  # of the first alone


class TestProperties:
    @settings(max_examples=25)
    @given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
    def test_the_order_of_units_and_pulses_does_not_matter(self, seed, order):
        rng = np.random.default_rng(seed)
        table = pulse_table(seed=seed)
        trains = [poisson(rng, 5), poisson(rng, 40), np.empty(0), poisson(rng, 0.3)]
        before = evidence_of(*trains, pulses=table)
        after = evidence_of(*[trains[unit] for unit in order], pulses=table.iloc[rng.permutation(len(table))])
        again = after.assign(unit=np.asarray(order)[after["unit"]]).sort_values("unit", kind="stable")
        pd.testing.assert_frame_equal(again.reset_index(drop=True), before)

    @settings(max_examples=25)
    @given(st.integers(0, 2**32 - 1))
    def test_equal_seeds_give_equal_bytes_also_in_parts(self, seed):
        rng = np.random.default_rng(seed)
        trains, table = [poisson(rng, 8), poisson(rng, 3)], pulse_table(seed=seed)
        whole = evidence_of(*trains, pulses=table, seed=seed)
        parts = [evidence_of(train, pulses=table, seed=seed) for train in trains]
        for column in whole.columns.drop(["unit", "waveform", "level_name"]):
            together = np.concatenate([part[column].to_numpy() for part in parts])
            assert together.tobytes() == whole[column].to_numpy().tobytes(), column

    def test_another_seed_draws_other_bins(self):
        train = poisson(np.random.default_rng(0), 10)
        parameters = EvidenceParameters(n_gap_bins=100)
        rates = {
            evidence_of(train, seed=seed, parameters=parameters)["bennett_baseline_rate_hz"][0]
            for seed in range(5)
        }
        assert len(rates) > 1

    @settings(max_examples=25)
    @given(st.integers(0, 2**32 - 1))
    def test_counts_agree_with_masks(self, seed):
        rng = np.random.default_rng(seed)
        train, table = poisson(rng, 40), pulse_table(seed=seed)
        found = evidence_of(train, pulses=table)
        for row in found.itertuples():
            here = table[(table["stimulus_name"] == row.waveform) & (table["level"] == row.level)]
            onset, duration = here["start_time"].to_numpy()[:, np.newaxis], here["duration"].iloc[0]
            since = train[np.newaxis] - onset
            evoked = (since >= 0.0015) & (since < duration - 0.0015)
            baseline = (since >= -0.2) & (since < -0.002)
            edges = (np.abs(since) < 0.0015) | (np.abs(since - duration) < 0.0015)
            assert row.n_evoked_spikes == evoked.sum()
            assert row.n_baseline_spikes == baseline.sum()
            assert row.n_artifact_spikes == edges.sum()
            assert row.reliability == pytest.approx(evoked.any(axis=1).mean())
            later = [times[times >= 0.0015] for times in since]
            expected = np.median([times[0] for times in later if times.size])
            assert row.bennett_latency_s == pytest.approx(expected)

    @settings(max_examples=20)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 1000))
    def test_moving_the_clock_changes_nothing(self, seed, seconds):
        """Times in whole multiples of 2 ** -14 s, so that moving them is exact."""
        rng = np.random.default_rng(seed)
        train = np.unique(rng.integers(0, 40 * 2**14, 300)) / 2**14 + 2.0**-16
        pulses = PULSES.assign(stop_time=ONSETS + 164 / 2**14)
        moved = pulses.assign(start_time=ONSETS + seconds, stop_time=pulses["stop_time"] + seconds)
        before, after = evidence_of(train, pulses=pulses), evidence_of(train + seconds, pulses=moved)
        counted = ["n_evoked_spikes", "n_baseline_spikes", "n_artifact_spikes", "p_wilcoxon", "fold"]
        pd.testing.assert_frame_equal(before[counted], after[counted])
        np.testing.assert_allclose(before[list(TIMES)], after[list(TIMES)], atol=1e-9)
