"""Which units answer to the laser."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from schemas import ecephys, parameters, session, stimulus
from schemas._datajoint import dj
from schemas.rows import insert_rows, key_of_session, rows_from_frame
from vbn.analysis.optotagging import OptotagParameters, highest_level_onsets, label_units, laser_evidence

schema = dj.Schema()

METHOD_VERSION = 1


@schema
class OptotagParams(dj.Lookup):
    """One set of parameters of the optotagging."""

    definition = """
    # Parameters of the optotagging
    optotag_params : varchar(64)  # readable name
    ---
    optotag_content : json  # fields of vbn.analysis.optotagging.OptotagParameters
    method_version : int16  # version of the method
    content_hash : char(64)  # sha256 of content and method version
    unique index (content_hash)
    """


def seed_defaults() -> None:
    """Enter the default parameters if they are missing."""
    content = parameters.as_json(asdict(OptotagParameters()))
    row = {"optotag_params": "censored_pulses", "optotag_content": content}
    parameters.add_parameters(OptotagParams(), row, content, METHOD_VERSION)


EVIDENCE_COLUMNS = {
    "optotag_label": "label",
    "laser_baseline_rate": "baseline_rate_hz",
    "laser_evoked_rate": "evoked_rate_hz",
    "laser_fold": "fold",
    "laser_p_value": "p_value",
    "laser_latency": "first_spike_latency_s",
    "laser_jitter": "first_spike_jitter_s",
    "laser_reliability": "reliability",
}


@schema
class Optotagging(dj.Computed):
    """The optotagging of one session: evidence and label of every unit, or why there is none."""

    definition = """
    # Optotagging of one session
    -> ecephys.Recording
    -> stimulus.OptoStimulation
    -> OptotagParams
    ---
    optotag_outcome : enum('labelled', 'control', 'no_laser_table', 'no_pulses')  # control is a wild type
    n_pulses_used : int32  # pulses at the highest level of the session
    pulse_level=null : float64  # (V) that level
    n_tagged : int32  # units labelled tagged
    """

    class Unit(dj.Part):
        """The evidence that one unit answers to the laser, and its label."""

        definition = """
        # Evidence and label of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        optotag_label : enum('tagged', 'untagged', 'control')  # control in wild types
        laser_baseline_rate=null : float64  # (Hz) rate before the pulses
        laser_evoked_rate=null : float64  # (Hz) rate within the pulses, edges censored
        laser_fold=null : float64  # (1) evoked rate over baseline rate plus 1 Hz
        laser_p_value=null : float64  # (1) paired Wilcoxon test, evoked above baseline
        laser_latency=null : float64  # (s) median first spike after the onset
        laser_jitter=null : float64  # (s) median absolute deviation of the first spikes
        laser_reliability=null : float64  # (1) share of pulses with a spike
        n_artifact_spikes : int32  # spikes in the censored edges of the pulses
        """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the parameters and the mouse's Cre line."""
        return (OptotagParams & key).fetch1("optotag_content"), (session.Mouse & key).fetch1("cre_line")

    def make_compute(
        self, key: dict[str, Any], content: dict[str, Any], cre_line: str | None
    ) -> tuple[Any, ...]:
        """Measure every unit's answer to the strongest pulses and label it."""
        settings = OptotagParameters(**parameters.from_json(content))
        pulses = laser_pulses(key)
        onsets = highest_level_onsets(pulses, settings.waveform)
        if len(onsets) == 0:
            return ("no_laser_table" if pulses.empty else "no_pulses"), 0, None, None
        frames = []
        for probe, units, times in ecephys.iterate_probe_spikes(ecephys.Recording.Unit & key_of_session(key)):
            offsets, sizes = units["spike_offset"].to_numpy(), units["n_spikes"].to_numpy()
            evidence = laser_evidence(times, offsets, sizes, onsets, settings)
            labels = label_units(evidence, cre_line, settings)
            frames.append(
                evidence.assign(label=labels, unit_id=units["unit_id"], probe_name=probe["probe_name"])
            )
        level = pulses.loc[pulses["start_time"].isin(onsets), "level"].max()
        return (
            ("labelled" if cre_line else "control"),
            len(onsets),
            level,
            pd.concat(frames) if frames else None,
        )

    def make_insert(
        self,
        key: dict[str, Any],
        outcome: str,
        n_pulses: int,
        level: float | None,
        units: pd.DataFrame | None,
    ) -> None:
        """Insert the session's outcome and its units' evidence."""
        n_tagged = 0 if units is None else int((units["label"] == "tagged").sum())
        row = {
            "optotag_outcome": outcome,
            "n_pulses_used": n_pulses,
            "pulse_level": level,
            "n_tagged": n_tagged,
        }
        self.insert1({**key, **row})
        if units is not None:
            insert_rows(self.Unit(), rows_from_frame(units, self.Unit(), key, EVIDENCE_COLUMNS))


def laser_pulses(key: dict[str, Any]) -> pd.DataFrame:
    """Return a session's pulses: ``start_time`` and ``level`` (float64), ``stimulus_name``."""
    query = stimulus.OptoStimulation.Pulse & key_of_session(key)
    rows = query.proj(start_time="pulse_start_time", stimulus_name="waveform", level="level").to_dicts(
        order_by="pulse_id"
    )
    return pd.DataFrame(rows, columns=["start_time", "level", "stimulus_name"])
