"""Laser responses of units, and the optotagging labels that several methods derive from them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from schemas import ecephys, session, stimulus  # noqa: F401 - definitions refer to it
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, provenance_lines, seed_of
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import pulses_frame
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows, key_of_session, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.optotagging import (
    DEFAULT_METHOD,
    METHODS,
    REASONS,
    TAGGED,
    UNLABELLED,
    EvidenceParameters,
    LabelMethod,
    label_units_by_method,
    laser_conditions,
    laser_evidence_by_condition,
)

schema = Schema()

Key = dict[str, Any]

CONDITION_COLUMNS = {
    "laser_waveform": "waveform",
    "laser_level_rank": "level_rank",
    "laser_level": "level",
    "laser_level_name": "level_name",
    "laser_duration": "duration_s",
    "n_condition_pulses": "n_pulses",
}
# Attribute -> column of laser_evidence_by_condition, where the names differ.
EVIDENCE_COLUMNS = {
    "laser_waveform": "waveform",
    "laser_level_rank": "level_rank",
    "laser_baseline_rate": "baseline_rate_hz",
    "laser_evoked_rate": "evoked_rate_hz",
    "laser_fold": "fold",
    "laser_z": "z",
    "first_spike_latency": "first_spike_latency_s",
    "first_spike_jitter": "first_spike_jitter_s",
    "laser_reliability": "reliability",
    "bennett_baseline_rate": "bennett_baseline_rate_hz",
    "bennett_baseline_sd": "bennett_baseline_sd_hz",
    "bennett_latency": "bennett_latency_s",
    "bennett_jitter": "bennett_jitter_s",
    "bennett_code_latency": "bennett_code_latency_s",
    "bennett_code_jitter": "bennett_code_jitter_s",
    "swdb_baseline_rate": "swdb_baseline_rate_hz",
    "swdb_evoked_rate": "swdb_evoked_rate_hz",
    "tutorial_baseline_rate": "tutorial_baseline_rate_hz",
    "tutorial_evoked_rate": "tutorial_evoked_rate_hz",
}
NOT_TAGGED = ", ".join(f"'{reason}'" for reason in REASONS if reason)


@schema
class OptotagParams(ParameterTable):
    """One set of windows and thresholds of the laser responses."""

    settings = EvidenceParameters
    defaults = {"standard": EvidenceParameters()}
    definition = definition_of(
        "optotag", "the evidence of the optotagging", "vbn.analysis.optotagging.EvidenceParameters"
    )


@schema
class Optotagging(Computation):
    """The responses of all units of one session to the laser, or why there are none."""

    method_version = 2  # windows of one length in every test, latencies of responses only
    definition = f"""
    # Answers of the units of one session to the laser
    -> ecephys.Recording
    -> stimulus.OptoStimulation
    -> OptotagParams
    ---
    optotag_outcome : enum('measured', 'no_laser_table')  # whether there was a laser
    optotag_seed : int64  # seed of the random draws
    {provenance_lines("optotagging")}
    """

    class Condition(dj.Part):
        """One waveform of the laser at one level."""

        definition = """
        # One waveform at one level
        -> master
        laser_waveform : varchar(32)  # pulse or raised_cosine
        laser_level_rank : int16  # rank of the level among those of the waveform, 0 is the lowest
        ---
        laser_level : float64  # (V) command voltage, comparable within a session only
        laser_level_name : varchar(16)  # high is the highest, low the lowest, medium below the highest
        laser_duration : float64  # (s) median duration of the pulses
        n_condition_pulses : int32  # number of pulses
        """

    class Evidence(dj.Part):
        """The response of one unit to one waveform at one level."""

        definition = """
        # Answer of one unit to one waveform at one level
        -> Optotagging.Condition
        -> ecephys.Recording.Unit
        ---
        n_epoch_spikes : int32  # spikes of the unit from the first to the last pulse of all conditions
        n_evoked_spikes : int32  # spikes in the pulses, edges censored
        n_baseline_spikes : int32  # spikes in the baseline windows before the pulses
        n_artifact_spikes : int32  # spikes in the censored edges of the pulses
        p_artifact=null : float64  # (1) test that the edges hold no more spikes than the baseline
        laser_baseline_rate=null : float64  # (Hz) rate in the baseline windows
        laser_evoked_rate=null : float64  # (Hz) rate in the pulses, edges censored
        laser_fold=null : float64  # (1) evoked rate over baseline rate plus 1 Hz
        laser_z=null : float64  # (1) evoked rate in standard deviations of the bins between the pulses
        p_wilcoxon=null : float64  # (1) paired signed-rank test, pulse above an equal window before
        p_salt=null : float64  # (1) test of the first-spike latencies, Kvitsiani 2013
        salt_information=null : float64  # (1) its distance from the baseline, SALT's I
        first_spike_latency=null : float64  # (s) median first spike in the pulses, NULL without a response
        first_spike_jitter=null : float64  # (s) median absolute deviation of these
        laser_reliability=null : float64  # (1) share of pulses with a spike
        cosine_fraction=null : float64  # (1) share of a raised cosine with a raised rate
        censored_p_wilcoxon=null : float64  # (1) evoked spikes against equal light-free windows before
        bennett_baseline_rate=null : float64  # (Hz) mean of the bins between the pulses, Bennett 2025
        bennett_baseline_sd=null : float64  # (Hz) their standard deviation
        bennett_z=null : float64  # (1) z-score as published, NULL for a unit silent between the pulses
        bennett_latency=null : float64  # (s) median next spike after the censored onset
        bennett_jitter=null : float64  # (s) median absolute deviation of these
        bennett_cosine_fraction=null : float64  # (1) the same as published
        bennett_code_latency=null : float64  # (s) latency as in their code, the censored time added twice
        bennett_code_jitter=null : float64  # (s) median absolute deviation of these
        swdb_baseline_rate=null : float64  # (Hz) rate from 10 to 2 ms before, SWDB 2022
        swdb_evoked_rate=null : float64  # (Hz) rate from 1 to 9 ms after the onset
        swdb_fold=null : float64  # (1) the latter over the former plus 1 Hz
        tutorial_baseline_rate=null : float64  # (Hz) rate from 10 to 1 ms before, quick-start notebook
        tutorial_evoked_rate=null : float64  # (Hz) rate from 1 to 8 ms after the onset
        tutorial_fold=null : float64  # (1) the latter over the former plus 1 Hz
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), OptotagParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: EvidenceParameters) -> tuple[Any, ...]:
        """Measure the response of each unit to each condition."""
        pulses, seed = pulses_frame(key), seed_of(key)
        units, times = session_spikes(key)
        evidence = laser_evidence_by_condition(
            times, units["spike_offset"], units["n_spikes"], pulses, settings, seed=seed
        )
        named = evidence.join(units[["probe_name", "unit_id"]], on="unit")
        return made_with, seed, laser_conditions(pulses), named

    def make_insert(
        self, key: Key, made_with: Key, seed: int, conditions: pd.DataFrame, evidence: pd.DataFrame
    ) -> None:
        """Insert the conditions and the evidence."""
        outcome = "no_laser_table" if conditions.empty else "measured"
        self.insert1({**key, **made_with, "optotag_outcome": outcome, "optotag_seed": seed})
        insert_rows(self.Condition(), rows_from_frame(conditions, self.Condition(), key, CONDITION_COLUMNS))
        insert_rows(self.Evidence(), rows_from_frame(evidence, self.Evidence(), key, EVIDENCE_COLUMNS))


@schema
class OptotagMethod(ParameterTable):
    """One method of labelling units by their responses to the laser; see docs/optotagging.md."""

    settings = LabelMethod
    defaults = METHODS
    descriptive = ("name", "source")
    definition = definition_of(
        "optotag_method", "a labelling", "vbn.analysis.optotagging.LabelMethod", key="optotag_method"
    )


@schema
class OptotagLabel(Computation):
    """The labels that one method assigns to the units of one session."""

    method_version = 2  # NULL where nothing was tested
    definition = f"""
    # Labels of the units of one session by one method
    -> Optotagging
    -> OptotagMethod
    ---
    n_tagged=null : int32  # units labelled tagged, NULL where none has a label
    n_passing=null : int32  # units that meet the rule, whatever the genotype, NULL where none was tested
    {provenance_lines("optotag_label")}
    """

    class Unit(dj.Part):
        """The label of one unit, or why it has none."""

        definition = f"""
        # Label of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        optotag_label : enum('tagged', 'untagged', 'unlabelled')  # unlabelled where the method cannot tell
        optotag_reason=null : enum({NOT_TAGGED})  # why it is not tagged
        optotag_passes=null : bool  # whether it meets the rule, whatever the genotype, NULL if not tested
        optotag_q_value=null : float64  # (1) p-value of the method, adjusted over the units of the session
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the method, the genotype, and whether there was a laser."""
        outcome = (Optotagging & key).fetch1("optotag_outcome")
        genotype = (session.Mouse & key).fetch1("genotype")
        return self.provenance(key), OptotagMethod.get(key), genotype, outcome != "no_laser_table"

    def make_compute(
        self, key: Key, made_with: Key, method: LabelMethod, genotype: str, has_laser: bool
    ) -> tuple[Any, ...]:
        """Label the units by the evidence at the highest levels."""
        units = fetch_frame((ecephys.Recording.Unit & key_of_session(key)).proj())[["probe_name", "unit_id"]]
        labels = label_units_by_method(
            strongest_evidence(key), method, genotype, has_laser, units=units["unit_id"]
        )
        labels["reason"] = labels["reason"].replace("", None)
        return made_with, units.join(labels, on="unit_id")

    def make_insert(self, key: Key, made_with: Key, labels: pd.DataFrame) -> None:
        """Insert the labels."""
        tagged = (labels["label"] == TAGGED)[labels["label"] != UNLABELLED]
        flags = {"n_tagged": tagged, "n_passing": labels["passes"].dropna()}
        counts = {name: int(of.sum()) if len(of) else None for name, of in flags.items()}
        self.insert1({**key, **made_with, **counts})
        columns = {f"optotag_{name}": name for name in ("label", "reason", "passes", "q_value")}
        insert_rows(self.Unit(), rows_from_frame(labels, self.Unit(), key, columns))


def unit_labels(method: str = DEFAULT_METHOD) -> Any:
    """Return the units' labels by one method, as a query to restrict and join by unit.

    Parameters
    ----------
    method : name of a row of OptotagMethod.

    Returns
    -------
    query expression : key of the unit, ``optotag_label``, ``optotag_reason``, ``optotag_passes``.

    Raises
    ------
    NotFoundError
        If there is no such method.
    """
    OptotagMethod.get(method)
    return OptotagLabel.Unit & {"optotag_method": method}


def strongest_evidence(key: Key) -> pd.DataFrame:
    """Return the evidence of a session's units at the highest level of each waveform.

    Parameters
    ----------
    key : restriction to one entry of Optotagging.

    Returns
    -------
    One row per unit and waveform, with the columns of `vbn.analysis.optotagging.laser_evidence_by_condition`;
    ``unit`` is the unit's id.
    """
    strongest = Optotagging.Condition & key & {"laser_level_name": "high"}
    query = (Optotagging.Evidence & key) * strongest.proj("laser_level", n_pulses="n_condition_pulses")
    frame = fetch_frame(query).drop(columns=list(Optotagging.primary_key))
    numbers = frame.columns.difference(["laser_waveform", "probe_name", "unit_id"])
    return frame.astype(dict.fromkeys(numbers, float)).rename(columns={**EVIDENCE_COLUMNS, "unit_id": "unit"})
