"""Data of the overview of a session."""

from __future__ import annotations

from typing import Any

import pandas as pd

from schemas import behavior, ecephys, session, stimulus
from schemas.figures.behavior import binned_pupil, binned_running
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import names_or_none, session_key
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import licks_frame, pulses_frame, rewards_frame
from schemas.rows.fetch import fetch_frame
from schemas.selection import described_units
from vbn.analysis.spikes.binning import equal_bins, event_rates_in_bins, rates_in_bins
from vbn.plots.session import SessionOverview

Key = dict[str, Any]

KINDS = {"spontaneous": "gray", "gabor": "Gabors", "flash": "flashes"}
"""Prefix of the names of stimuli outside the task -> their name in the figure."""


def session_overview(session_id: int, *, bin_s: float = 10.0) -> SessionOverview:
    """Return the time course of a session: blocks, firing rates of all units, running, pupil, licks, rewards.

    Parameters
    ----------
    session_id : id of the session; one without a recording has no units.
    bin_s : bin width in seconds.

    Raises
    ------
    NotFoundError
        If there is no such session, or it is not imported.
    ValueError
        If ``bin_s`` is not positive.
    """
    key = session_key(session_id)
    require_entries(key, behavior.ChangeDetection, behavior.Licks, stimulus.Stimulus)
    if (session.NwbFile & key).fetch1("file_kind") == "recording":
        require_entries(key, ecephys.Recording, stimulus.OptoStimulation)
    blocks = session_blocks(key)
    edges = equal_bins(float(blocks["start"].min()), float(blocks["stop"].max()), bin_s)
    units, spike_times = session_spikes(key)
    rates = rates_in_bins(spike_times, units["spike_offset"], units["n_spikes"], edges)
    locations = units[["unit_id"]].merge(
        described_units(key), on="unit_id", how="left", validate="one_to_one"
    )
    return SessionOverview(
        session_id=session_id,
        session_type=(session.Session & key).fetch1("session_type"),
        block_name=blocks["name"].tolist(),
        block_start_s=blocks["start"].to_numpy(float),
        block_stop_s=blocks["stop"].to_numpy(float),
        edges_s=edges,
        rate_hz=rates,
        structure=names_or_none(locations["structure_acronym"]),
        structure_group=names_or_none(locations["structure_group"]),
        depth_um=locations["probe_vertical_position"].to_numpy(float),
        running_speed_cm_s=binned_running(key, edges),
        pupil_area_px2=binned_pupil(key, edges),
        lick_rate_hz=event_rates_in_bins(licks_frame(key)["timestamps"], edges),
        reward_time_s=rewards_frame(key)["timestamps"].to_numpy(float),
    )


def session_blocks(key: Key) -> pd.DataFrame:
    """Return the stimulus blocks, followed by the laser: ``name``, ``start``, ``stop``."""
    shown = fetch_frame(stimulus.Stimulus.Block & key, "block_start_time")
    names = [_kind(*each) for each in zip(shown["stimulus_name"], shown["block_is_active"], strict=True)]
    frame = pd.DataFrame(
        {"name": names, "start": shown["block_start_time"], "stop": shown["block_stop_time"]}
    )
    pulses = pulses_frame(key)
    if pulses.empty:
        return frame
    laser = {"name": "laser", "start": pulses["start_time"].min(), "stop": pulses["stop_time"].max()}
    return pd.concat([frame, pd.DataFrame([laser])], ignore_index=True)


def _kind(stimulus_name: str, is_active: bool) -> str:
    if is_active:
        return "change detection"
    return next((kind for start, kind in KINDS.items() if stimulus_name.startswith(start)), "replay")
