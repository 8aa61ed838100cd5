from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wilcoxon

from vbn.analysis import OptotagParameters, highest_level_onsets, is_cre_positive, label_units, laser_evidence
from vbn.analysis.optotagging import EVIDENCE_COLUMNS, signed_rank_p_value

SST = "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
ONSETS = 10.0 + 2 * np.arange(10)


def evidence_of(*trains: np.ndarray, onsets=ONSETS, parameters=OptotagParameters()) -> pd.DataFrame:  # noqa: B008
    n_spikes = np.array([len(train) for train in trains], dtype=np.int64)
    spikes = np.concatenate([*trains, np.empty(0)])
    return laser_evidence(spikes, np.cumsum(n_spikes) - n_spikes, n_spikes, onsets, parameters)


def poisson(rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    return np.sort(rng.uniform(0, 40, rng.poisson(rate_hz * 40)))


def answering(rng: np.random.Generator, rate_hz: float, probability: float = 0.95) -> np.ndarray:
    """A unit that answers a pulse with this probability, 3.5 +- 0.5 ms after it, and fires besides."""
    answers = ONSETS[rng.random(ONSETS.size) < probability]
    answers = answers + 0.0035 + 0.0005 * rng.standard_normal(answers.size)
    return np.sort(np.concatenate((answers, poisson(rng, rate_hz))))


def artifact(rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    """Spikes within 1 ms after both edges of nearly all pulses."""
    edges = np.concatenate((ONSETS, ONSETS + 0.010))
    edges = edges[rng.random(edges.size) < 0.95] + rng.uniform(0.0002, 0.0010)
    return np.sort(np.concatenate((edges, poisson(rng, rate_hz))))


class TestHighestLevelOnsets:
    PULSES = pd.DataFrame(
        {
            "start_time": [5.0, 1.0, 2.0, 3.0, 4.0],
            "level": [0.95, 0.95, 0.8, 1.7, np.nan],
            "stimulus_name": ["pulse", "pulse", "pulse", "raised_cosine", "pulse"],
        }
    )

    def test_takes_the_highest_level_of_the_waveform_in_order_of_time(self):
        assert highest_level_onsets(self.PULSES).tolist() == [1.0, 5.0]
        assert highest_level_onsets(self.PULSES, "raised_cosine").tolist() == [3.0]

    @pytest.mark.parametrize("waveform", ["pulse", "fast_pulses"])
    def test_nothing_gives_nothing(self, waveform):
        table = self.PULSES if waveform == "fast_pulses" else self.PULSES.iloc[:0]
        assert highest_level_onsets(table, waveform).shape == (0,)


class TestLaserEvidence:
    def test_by_hand(self):
        """Ten pulses; spikes at +3 ms of the first six, at +5 ms of the first three too, one at -100 ms.

        Evoked: 9 spikes / 10 / 7 ms. Baseline: 1 / 10 / 198 ms. First spikes all at 3 ms.
        Artefact: one at +1 ms, one at +10.5 ms.
        """
        train = np.sort(
            np.concatenate(
                (ONSETS[:6] + 0.003, ONSETS[:3] + 0.005, ONSETS[[9, 9, 9]] + [-0.1, 0.001, 0.0105])
            )
        )
        row = evidence_of(train).iloc[0]
        assert row["evoked_rate_hz"] == pytest.approx(9 / 10 / 0.007)
        assert row["baseline_rate_hz"] == pytest.approx(1 / 10 / 0.198)
        assert row["fold"] == pytest.approx((0.9 / 0.007) / (0.1 / 0.198 + 1))
        assert row["first_spike_latency_s"] == pytest.approx(0.003)
        assert row["first_spike_jitter_s"] == pytest.approx(0, abs=1e-9)
        assert row["reliability"] == pytest.approx(0.6)
        assert row["n_pulses"] == 10
        assert row["n_artifact_spikes"] == 2
        # Ranks: three zeros dropped, the negative one lowest (1), three ties (3), three ties (6).
        deviation = np.sqrt((1 + 3 * 9 + 3 * 36) / 4)
        assert row["p_value"] == pytest.approx(norm.sf((27 - 14) / deviation))

    def test_jitter_is_the_median_absolute_deviation(self):
        train = ONSETS[:5] + np.array([0.002, 0.003, 0.004, 0.006, 0.008])
        row = evidence_of(train).iloc[0]
        assert row["first_spike_latency_s"] == pytest.approx(0.004)
        assert row["first_spike_jitter_s"] == pytest.approx(0.002)

    def test_silent_units_have_no_latency_and_a_p_value_of_1(self):
        table = evidence_of(np.empty(0), np.array([1.0, 2.0]))
        assert list(table.columns) == list(EVIDENCE_COLUMNS)
        for name in ("baseline_rate_hz", "evoked_rate_hz", "fold", "reliability", "n_artifact_spikes"):
            assert (table[name] == 0).all(), name
        assert (table["p_value"] == 1).all()
        assert table[["first_spike_latency_s", "first_spike_jitter_s"]].isna().to_numpy().all()

    def test_without_pulses_nothing_is_known(self):
        table = evidence_of(np.array([1.0]), np.empty(0), onsets=[])
        assert (table[["n_pulses", "n_artifact_spikes"]] == 0).to_numpy().all()
        assert table.drop(columns=["n_pulses", "n_artifact_spikes"]).isna().to_numpy().all()
        assert (label_units(table, SST) == "untagged").all()

    def test_without_units_the_table_is_empty_and_typed(self):
        table = evidence_of()
        assert len(table) == 0
        assert list(table.columns) == list(EVIDENCE_COLUMNS)
        assert label_units(table, SST).shape == (0,)

    @given(st.integers(0, 2**32 - 1))
    def test_counts_agree_with_masks(self, seed):
        rng = np.random.default_rng(seed)
        train, parameters = answering(rng, 20, 0.5), OptotagParameters()
        row = evidence_of(train, onsets=rng.permutation(ONSETS)).iloc[0]
        since = train[np.newaxis] - ONSETS[:, np.newaxis]
        evoked = (since >= parameters.evoked_window_s[0]) & (since < parameters.evoked_window_s[1])
        baseline = (since >= parameters.baseline_window_s[0]) & (since < parameters.baseline_window_s[1])
        artefact = (np.abs(since) < 0.0015) | (np.abs(since - 0.010) < 0.0015)
        assert row["evoked_rate_hz"] == pytest.approx(evoked.sum() / 10 / 0.007)
        assert row["baseline_rate_hz"] == pytest.approx(baseline.sum() / 10 / 0.198)
        assert row["reliability"] == pytest.approx(evoked.any(axis=1).mean())
        assert row["n_artifact_spikes"] == artefact.sum()
        first = [times[inside][0] for times, inside in zip(since, evoked, strict=True) if inside.any()]
        expected = np.median(first) if first else np.nan
        assert row["first_spike_latency_s"] == pytest.approx(expected, nan_ok=True)

    @given(st.lists(st.integers(-4, 6), min_size=1, max_size=60))
    def test_p_value_agrees_with_scipy(self, differences):
        values = np.array(differences, dtype=np.float64) / 7
        if not values.any():
            assert signed_rank_p_value(values) == 1
            return
        expected = wilcoxon(values, alternative="greater", method="asymptotic", correction=False).pvalue
        assert signed_rank_p_value(values) == pytest.approx(expected)

    @given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
    def test_reordering_units_reorders_the_rows(self, seed, order):
        rng = np.random.default_rng(seed)
        trains = [answering(rng, 5), poisson(rng, 30), np.empty(0), artifact(rng, 2)]
        after = evidence_of(*[trains[unit] for unit in order])
        pd.testing.assert_frame_equal(after, evidence_of(*trains).iloc[list(order)].reset_index(drop=True))

    def test_refuses_pulses_without_a_time(self):
        with pytest.raises(ValueError, match="pulse_onsets must be finite"):
            evidence_of(np.array([1.0]), onsets=[np.nan])


class TestLabels:
    @pytest.mark.parametrize("rate_hz", [0.5, 2, 8, 20])
    def test_answering_units_are_tagged_and_artefacts_and_others_are_not(self, rate_hz):
        """Ten pulses, as few as the smallest sessions have: of 300 units of each kind, 1 % may be wrong."""
        rng = np.random.default_rng(int(10 * rate_hz))
        for make, label, tolerance in (
            (answering, "tagged", 0),
            (artifact, "untagged", 0.01),
            (poisson, "untagged", 0.01),
        ):
            table = evidence_of(*[make(rng, rate_hz) for _ in range(300)])
            assert np.mean(label_units(table, SST) != label) <= tolerance, make.__name__

    def test_an_artefact_alone_is_seen_but_is_no_answer(self):
        table = evidence_of(artifact(np.random.default_rng(0), 0))
        assert table["n_artifact_spikes"].iloc[0] >= 15
        assert table["evoked_rate_hz"].iloc[0] == 0

    @pytest.mark.parametrize("genotype", [None, "", "wt/wt", np.nan])
    def test_units_of_wild_types_are_controls_whatever_they_do(self, genotype):
        table = evidence_of(answering(np.random.default_rng(0), 1), np.empty(0))
        assert label_units(table, genotype).tolist() == ["control", "control"]
        assert not is_cre_positive(genotype)

    @pytest.mark.parametrize(
        "genotype", [SST, "Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt", "Sst-IRES-Cre"]
    )
    def test_genotype_or_cre_line_will_do(self, genotype):
        assert label_units(evidence_of(answering(np.random.default_rng(0), 1)), genotype).tolist() == [
            "tagged"
        ]

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("evoked_rate_hz", 50.0),
            ("fold", 3.0),
            ("p_value", 0.051),
            ("reliability", 0.49),
            ("first_spike_latency_s", 0.008),
            ("first_spike_jitter_s", 0.002),
            ("first_spike_latency_s", np.nan),
        ],
    )
    def test_every_criterion_must_be_met(self, column, value):
        table = evidence_of(answering(np.random.default_rng(0), 1))
        assert label_units(table, SST).tolist() == ["tagged"]
        assert label_units(table.assign(**{column: value}), SST).tolist() == ["untagged"]

    def test_corpus_roles_are_recovered(self, recordings):
        for recording in recordings:
            truth = recording.content("ground_truth")
            role = {unit["unit_id"]: unit["role"] for unit in truth["units"]}
            unit_ids, *spikes = recording.spikes()
            onsets = highest_level_onsets(recording.table("optotagging_table"))
            genotype = SST if truth["chr2"] else "wt/wt"
            labels = label_units(laser_evidence(*spikes, onsets), genotype)
            positive, negative = ("tagged", "untagged") if truth["chr2"] else ("control", "control")
            expected = [positive if role[unit] == "opto" else negative for unit in unit_ids]
            assert labels.tolist() == expected


class TestParameters:
    def test_survive_json(self):
        parameters = OptotagParameters(min_fold=5)
        assert OptotagParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"evoked_window_s": (0.001, 0.008)}, "evoked_window_s must lie between the pulse's edges"),
            ({"evoked_window_s": (0.002, 0.009)}, "evoked_window_s must lie between the pulse's edges"),
            ({"evoked_window_s": (0.008, 0.002)}, "start < stop"),
            ({"baseline_window_s": (-0.01, 0.0)}, "baseline_window_s must end"),
            ({"pulse_duration_s": 0.0}, "pulse_duration_s must be positive"),
        ],
    )
    def test_refuse_windows_in_the_artefact(self, wrong, match):
        with pytest.raises(ValueError, match=match):
            OptotagParameters(**wrong)
