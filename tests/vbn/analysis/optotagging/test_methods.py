from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import measure
from vbn.analysis.optotagging import (
    CELL_CLASSES,
    DEFAULT_METHOD,
    METHODS,
    REASONS,
    LabelCriterion,
    LabelMethod,
    cell_class,
    false_positive_rate,
    is_cre_positive,
    label_units_by_method,
    laser_evidence_by_condition,
    line_of,
    tagged_shares,
    wilson_interval,
)
from vbn.synthetic.settings import SyntheticSettings
from vbn.synthetic.simulate import simulate_session

SST = "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
VIP = "Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
EVERY_METHOD = pytest.mark.parametrize("name", list(METHODS))
BENCHMARK = Path(__file__).resolve().parents[4] / "benchmarks" / "optotagging.py"

# A unit that passes every method: its highest pulse, then its highest raised cosine.
GOOD = {
    "n_pulses": 50, "n_epoch_spikes": 500, "p_artifact": 1.0, "p_wilcoxon": 1e-6, "p_salt": 0.0,
    "censored_p_wilcoxon": 1e-6, "evoked_rate_hz": 120.0, "fold": 30.0, "z": 8.0, "bennett_z": 8.0,
    "bennett_latency_s": 0.004, "bennett_jitter_s": 0.0005, "bennett_code_latency_s": 0.0025,
    "bennett_code_jitter_s": 0.0005, "first_spike_latency_s": 0.004, "first_spike_jitter_s": 0.0005,
    "reliability": 0.9, "swdb_evoked_rate_hz": 120.0, "swdb_fold": 30.0, "tutorial_fold": 30.0,
    "cosine_fraction": 0.7, "bennett_cosine_fraction": 0.7,
}  # fmt: skip


def evidence(*units: dict[str, float]) -> pd.DataFrame:
    """Rows of units that differ from a good one as said; a low level answers nothing."""
    rows = []
    for unit, change in enumerate(units):
        for waveform in ("pulse", "raised_cosine"):
            values = {**GOOD, **change, "unit": unit, "waveform": waveform}
            rows.append({**values, "level_rank": 2})
            rows.append({**dict.fromkeys(values, 0.0), "unit": unit, "waveform": waveform, "level_rank": 0})
    return pd.DataFrame(rows)


def labels_of(table: pd.DataFrame, name: str = DEFAULT_METHOD, genotype: str | None = SST) -> pd.DataFrame:
    return label_units_by_method(table, METHODS[name], genotype)


class TestRules:
    @EVERY_METHOD
    def test_a_good_unit_is_tagged(self, name):
        row = labels_of(evidence({}), name).iloc[0]
        assert (row["label"], row["reason"], row["passes"]) == ("tagged", "", True)

    @pytest.mark.parametrize(
        ("name", "column", "value"),
        [
            ("bennett_2025", "z", 2.0),
            ("bennett_2025", "z", np.nan),
            ("bennett_2025", "bennett_latency_s", 0.008),
            ("bennett_2025", "bennett_jitter_s", 0.002),
            ("bennett_2025", "cosine_fraction", 0.3),
            ("bennett_2025_code", "bennett_z", np.nan),
            ("bennett_2025_code", "bennett_code_latency_s", 0.008),
            ("bennett_2025_code", "bennett_code_jitter_s", 0.002),
            ("bennett_2025_code", "bennett_cosine_fraction", 0.3),
            ("swdb_2022", "swdb_evoked_rate_hz", 50.0),
            ("swdb_2022", "swdb_fold", 5.0),
            ("tutorial", "tutorial_fold", 2.0),
            ("salt", "p_salt", 0.001),
            ("salt", "reliability", 0.32),
            ("wilcoxon_latency", "p_wilcoxon", 0.051),
            ("wilcoxon_latency", "first_spike_latency_s", 0.010),
            ("wilcoxon_latency", "first_spike_jitter_s", 0.002),
            ("wilcoxon_latency", "reliability", 0.32),
            ("censored_pulses", "evoked_rate_hz", 50.0),
            ("censored_pulses", "fold", 3.0),
        ],
    )
    def test_every_criterion_must_be_met(self, name, column, value):
        row = labels_of(evidence({column: value}), name).iloc[0]
        assert (row["label"], row["reason"], row["passes"]) == ("untagged", "no_response", False)

    def test_the_published_numbers_are_those_of_the_default(self):
        assert DEFAULT_METHOD == "bennett_2025"
        rule = {(c.column, c.comparison, c.value, c.waveform) for c in METHODS[DEFAULT_METHOD].criteria}
        assert rule == {
            ("z", ">", 2.0, "pulse"),
            ("bennett_latency_s", "<", 0.008, "pulse"),
            ("bennett_jitter_s", "<", 0.002, "pulse"),
            ("cosine_fraction", ">", 0.3, "raised_cosine"),
        }

    def test_methods_cannot_be_changed_and_survive_json(self):
        with pytest.raises(TypeError):
            METHODS["mine"] = METHODS["salt"]
        for method in METHODS.values():
            assert LabelMethod(**json.loads(json.dumps(asdict(method)))) == method
            assert method.source

    def test_refuses_rules_that_make_no_sense(self):
        with pytest.raises(ValueError, match="comparison must be one of"):
            LabelCriterion("z", "==", 2)
        with pytest.raises(ValueError, match="one criterion or more"):
            LabelMethod("empty", "", ())
        with pytest.raises(ValueError, match="must name the column of its p-value"):
            LabelMethod("q", "", (LabelCriterion("z", ">", 2),), max_q=0.05)


def known(flags):
    """Return flags as True, False, and None where they are missing."""
    return [None if pd.isna(flag) else bool(flag) for flag in flags]


class TestReasons:
    @EVERY_METHOD
    @pytest.mark.parametrize("genotype", [None, "", "wt/wt", np.nan])
    def test_units_of_wild_types_are_not_labelled_but_may_pass(self, name, genotype):
        table = labels_of(evidence({}, {"n_epoch_spikes": 0}), name, genotype)
        assert table["label"].tolist() == ["unlabelled"] * 2
        assert table["reason"].tolist() == ["not_cre"] * 2
        assert known(table["passes"]) == [True, None]

    @EVERY_METHOD
    def test_sessions_without_a_laser_table(self, name):
        nothing = evidence({}).iloc[:0]
        table = label_units_by_method(nothing, METHODS[name], SST, False, units=[7, 3])
        assert table.index.tolist() == [7, 3]
        assert table["reason"].tolist() == ["no_laser_table"] * 2
        assert table["passes"].isna().all()
        assert table["q_value"].isna().all()

    @EVERY_METHOD
    def test_too_few_pulses(self, name):
        table = labels_of(evidence({"n_pulses": METHODS[name].min_pulses - 1}), name)
        assert table["reason"].tolist() == ["too_few_pulses"]
        assert table["passes"].isna().all()
        assert labels_of(evidence({"n_pulses": METHODS[name].min_pulses}), name)["passes"].all()

    def test_a_missing_waveform_is_too_few_pulses_where_the_rule_needs_it(self):
        table = evidence({})
        pulses = table[table["waveform"] == "pulse"]
        assert labels_of(pulses)["reason"].tolist() == ["too_few_pulses"]
        assert labels_of(pulses, "salt")["label"].tolist() == ["tagged"]

    def test_too_few_spikes(self):
        table = labels_of(evidence({"n_epoch_spikes": 4}, {"n_epoch_spikes": 5}))
        assert table["reason"].tolist() == ["too_few_spikes", ""]

    @EVERY_METHOD
    def test_artefacts_without_an_answer(self, name):
        """A unit with spikes at the edges is not known to be silent; one that answers besides is tagged."""
        silent = {
            "p_artifact": 1e-9, "p_wilcoxon": 0.5, "z": 0.0, "bennett_z": 0.0, "swdb_fold": 0.0,
            "tutorial_fold": 0.0, "p_salt": 1.0, "fold": 0.0,
        }  # fmt: skip
        table = labels_of(evidence(silent, {"p_artifact": 1e-9}, {**silent, "p_artifact": 0.01}), name)
        assert table["reason"].tolist() == ["artifact_only", "", "no_response"]
        assert table["label"].tolist() == ["unlabelled", "tagged", "untagged"]

    def test_units_keep_names_and_order(self):
        table = evidence({}, {"z": 0.0}).assign(unit=lambda rows: rows["unit"].map({0: 950, 1: 17}))
        labels = label_units_by_method(table, METHODS[DEFAULT_METHOD], SST, units=[17, 950, 4])
        assert labels["label"].tolist() == ["untagged", "tagged", "unlabelled"]
        assert labels["reason"].tolist() == ["no_response", "", "too_few_pulses"]

    def test_refuses_units_that_are_unclear(self):
        with pytest.raises(ValueError, match="1 names are repeated"):
            label_units_by_method(evidence({}), METHODS["salt"], SST, units=[0, 0])
        with pytest.raises(ValueError, match="1 units that are not among the 1 to label"):
            label_units_by_method(evidence({}, {}), METHODS["salt"], SST, units=[0])

    def test_no_units_give_an_empty_table(self):
        for method in METHODS.values():
            assert label_units_by_method(evidence({}).iloc[:0], method, SST).empty


class TestFalseDiscoveryRate:
    def test_is_over_the_units_with_enough_evidence(self):
        """p = 0.01, 0.02, 0.9 give q = 0.03, 0.03, 0.9; the fourth unit is no test."""
        p_values = (0.02, 0.9, 0.01)
        units = [{"p_wilcoxon": p} for p in p_values] + [{"p_wilcoxon": 0.0, "n_epoch_spikes": 0}]
        table = labels_of(evidence(*units), "wilcoxon_latency")
        np.testing.assert_allclose(table["q_value"], [0.03, 0.9, 0.03, np.nan])
        assert known(table["passes"]) == [True, False, True, None]

    def test_one_small_p_value_among_many_units_is_not_enough(self):
        many = [{"p_wilcoxon": 0.04}] + [{"p_wilcoxon": 0.8}] * 9
        assert not labels_of(evidence(*many), "wilcoxon_latency")["passes"].any()
        assert labels_of(evidence(many[0]), "wilcoxon_latency")["passes"].all()

    def test_methods_without_a_p_value_have_no_q_value(self):
        assert labels_of(evidence({}))["q_value"].isna().all()


class TestOnSimulatedUnits:
    @settings(max_examples=20)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([None, "wt/wt", SST, VIP]))
    def test_labels_are_one_of_three_and_never_tagged_in_wild_types(self, seed, genotype):
        rng = np.random.default_rng(seed)
        onsets = 10.0 + 2 * np.arange(12)
        pulses = pd.DataFrame(
            {"start_time": onsets, "duration": 0.01, "level": 0.9, "stimulus_name": "pulse"}
        )
        trains = [
            np.sort(np.concatenate([rng.uniform(0, 40, rng.integers(0, 400)), onsets + 0.003]))
            for _ in range(4)
        ]
        sizes = np.array([len(train) for train in trains])
        table = laser_evidence_by_condition(
            np.concatenate(trains), np.cumsum(sizes) - sizes, sizes, pulses, seed=seed
        )
        for method in METHODS.values():
            labels = label_units_by_method(table, method, genotype)
            assert labels["label"].isin(["tagged", "untagged", "unlabelled"]).all()
            assert labels["reason"].isin(REASONS).all()
            assert ((labels["label"] == "tagged") <= labels["passes"]).all()
            if not is_cre_positive(genotype):
                assert (labels["label"] == "unlabelled").all()

    @pytest.mark.parametrize(("minutes", "units"), [(7, 15), (16, 20)])
    def test_sessions_as_small_as_the_smallest(self, minutes, units):
        """Four pulses of each kind in 7 minutes, ten in 16: nothing is missed, and nothing invented."""
        for seed in range(3):
            setting = SyntheticSettings(
                sessions=6, seed=seed, probes=1, units_per_probe=units, minutes=minutes
            )
            for index in (0, 3, 5):
                self.check(simulate_session(setting, index), seed)

    @staticmethod
    def check(session, seed):
        trains = list(session.spike_trains())
        sizes = np.array([len(train) for train in trains])
        table = laser_evidence_by_condition(
            np.concatenate(trains), np.cumsum(sizes) - sizes, sizes, session.laser, seed=seed
        )
        genotype = SST if session.identity.has_channelrhodopsin else "wt/wt"
        labels = label_units_by_method(table, METHODS[DEFAULT_METHOD], genotype)
        expected = [unit.role == "opto" for unit in session.units]
        assert labels["passes"].fillna(False).tolist() == expected
        assert (labels["label"] == "tagged").tolist() == expected

    def test_corpus_roles_are_recovered(self, recordings):
        """Precision and recall 1 in Cre mice, nothing in wild types; artefact units are not called silent."""
        for recording in recordings:
            truth = recording.content("ground_truth")
            roles = {unit["unit_id"]: unit["role"] for unit in truth["units"]}
            unit_ids, times, offsets, n_spikes = recording.spikes()
            pulses = recording.table("optotagging_table")
            table = laser_evidence_by_condition(times, offsets, n_spikes, pulses, seed=0)
            labels = labels_of(table, genotype=SST if truth["chr2"] else "wt/wt")
            expected = [roles[unit] == "opto" and truth["chr2"] for unit in unit_ids]
            assert labels["passes"].fillna(False).tolist() == expected
            assert (labels["label"] == "tagged").tolist() == expected
            if truth["chr2"]:
                artifact = [roles[unit] == "opto_artifact" for unit in unit_ids]
                assert (labels["reason"][artifact] == "artifact_only").all()


class TestCellClass:
    def test_tagged_units_are_of_the_mouse_and_others_by_their_waveform(self):
        label = ["tagged", "untagged", "unlabelled", "untagged", "untagged", "tagged"]
        duration = [0.2, 0.41, 0.39, 0.4, np.nan, np.nan]
        assert cell_class(label, duration, SST).tolist() == [
            "Sst",
            "RS",
            "FS",
            "unlabelled",
            "unlabelled",
            "Sst",
        ]
        assert cell_class(label, duration, "Vip-IRES-Cre")[0] == "Vip"
        assert cell_class(label, duration, None)[0] == "unlabelled"
        assert set(cell_class(label, duration, VIP)) <= set(CELL_CLASSES)

    def test_nothing_gives_nothing(self):
        assert cell_class([], [], SST).shape == (0,)

    @pytest.mark.parametrize(
        ("genotype", "line"), [(SST, "Sst"), (VIP, "Vip"), ("wt/wt", "other"), ("Pvalb-IRES-Cre/wt", "other")]
    )
    def test_lines(self, genotype, line):
        assert line_of(genotype) == line


class TestReport:
    LABELS = pd.DataFrame(
        {
            "method": ["a"] * 5 + ["b"],
            "session_id": [1, 1, 2, 3, 3, 1],
            "genotype": [SST, SST, SST, "wt/wt", None, VIP],
            "passes": [True, False, True, True, False, False],
        }
    )

    def test_counts_by_method_and_line(self):
        table = tagged_shares(self.LABELS)
        assert table[["method", "line"]].to_numpy().tolist() == [
            ["a", "Sst"],
            ["a", "wild type"],
            ["b", "Vip"],
        ]
        assert table["n_sessions"].tolist() == [2, 1, 1]
        assert table["n_units"].tolist() == [3, 2, 1]
        assert table["n_passing"].tolist() == [2, 1, 0]
        assert table["share"].tolist() == pytest.approx([2 / 3, 0.5, 0.0])
        assert (table["share_low"] <= table["share"]).all()
        assert (table["share"] <= table["share_high"]).all()
        assert tagged_shares(self.LABELS.iloc[:0]).empty

    def test_units_that_were_not_tested_do_not_count(self):
        known = self.LABELS.astype({"passes": "boolean"})
        untested = known.assign(passes=pd.array([pd.NA] * len(known), dtype="boolean"))
        both = pd.concat([known, untested])
        pd.testing.assert_frame_equal(tagged_shares(both), tagged_shares(self.LABELS))
        assert false_positive_rate(both["passes"], both["genotype"]) == pytest.approx(1 / 2)
        assert np.isnan(false_positive_rate(untested["passes"], untested["genotype"]))

    def test_false_positives_are_what_passes_in_wild_types(self):
        of_a = self.LABELS[self.LABELS["method"] == "a"]
        assert false_positive_rate(of_a["passes"], of_a["genotype"]) == 0.5
        assert np.isnan(false_positive_rate([True], [SST]))

    def test_wilson_by_hand(self):
        """No success in 10: 0 to z^2 / (10 + z^2) with z = 1.96; Wilson 1927 for 5 of 10: 0.237 to 0.763."""
        low, high = wilson_interval([0, 5, 0], [10, 10, 0])
        assert low == pytest.approx([0, 0.2366, 0], abs=1e-4)
        assert high == pytest.approx([0.2775, 0.7634, 1], abs=1e-4)

    def test_the_share_is_never_outside_its_interval(self):
        """Of none or all of some numbers an end came out beside the share by rounding."""
        for n in range(1, 1000):
            low, high = wilson_interval([0, n // 2, n], [n, n, n])
            share = np.array([0, n // 2, n]) / n
            assert (low <= share).all()
            assert (share <= high).all()
            assert (low[0], high[2]) == (0, 1)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("optotagging_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestBenchmark:
    def test_runs_and_prints_a_row_for_each_method(self, benchmark, capsys):
        benchmark.main(["--sessions", "3", "--units", "25"])
        printed = capsys.readouterr().out
        assert all(f"| `{name}` |" in printed for name in METHODS)

    def test_the_page_keeps_all_but_the_table(self, benchmark):
        page = benchmark.PAGE.read_text(encoding="utf-8")
        assert all(f"`{name}`" in page for name in METHODS)
        changed = measure.with_table(page, "| new |\n")
        assert changed.split(measure.BEGIN)[0] == page.split(measure.BEGIN)[0]
        assert changed.split(measure.END)[1] == page.split(measure.END)[1]
        assert "| new |" in changed
