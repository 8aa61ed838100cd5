"""A session along time, from which any part can be shown at any resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas import behavior, ecephys, session, stimulus
from schemas.figures.behavior import Samples, pupil_samples, running_samples, shown_changes
from schemas.figures.overview import session_blocks
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import names_or_none, session_key
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import licks_frame, presentations_frame, rewards_frame, trials_frame
from schemas.selection import described_units
from vbn.analysis.spikes.trains import SpikePieces
from vbn.plots.session import row_order

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SessionTimeline:
    """What happened in a session. Times are seconds on the session clock.

    Attributes
    ----------
    session_id : id of the session.
    blocks : stimulus blocks and the laser, in order: ``name``, ``start``, ``stop``.
    units : one row per unit, by structure and depth as in the figure of the session: ``unit_id``,
        ``structure_acronym`` and ``structure_group`` (None for none), ``probe_name``,
        ``probe_vertical_position`` (um from the tip), ``spike_offset``, ``n_spikes``. Empty without
        a recording.
    spike_times : the spikes of all units, see `vbn.analysis.spikes.trains`.
    flashes : images of task and replay, and omissions, in order: ``start_time``, ``end_time``,
        ``image_name``, ``kind`` (flash, change, omission).
    change_time_s : (n_changes,) when changes and sham changes were on the screen.
    outcome : (n_changes,) outcome of their trials.
    running, pupil : times and values (cm/s, px²); None if not recorded. The pupil has no value in blinks.
    lick_time_s, reward_time_s : (n_licks,), (n_rewards,).
    """

    session_id: int
    blocks: pd.DataFrame
    units: pd.DataFrame
    spike_times: SpikePieces
    flashes: pd.DataFrame
    change_time_s: Floats
    outcome: list[str]
    running: Samples | None
    pupil: Samples | None
    lick_time_s: Floats
    reward_time_s: Floats

    @property
    def limits_s(self) -> tuple[float, float]:
        """Start of the first block and end of the last."""
        return float(self.blocks["start"].min()), float(self.blocks["stop"].max())


def session_timeline(session_id: int) -> SessionTimeline:
    """Return what happened in a session, with or without a recording.

    Raises
    ------
    NotFoundError
        If there is no such session, or it is not imported.
    """
    key = session_key(session_id)
    require_entries(key, behavior.ChangeDetection, behavior.Licks, stimulus.Stimulus)
    if (session.NwbFile & key).fetch1("file_kind") == "recording":
        require_entries(key, ecephys.Recording, stimulus.OptoStimulation)
    units, spike_times = session_spikes(key)
    changes, outcomes = shown_changes(key, trials_frame(key))
    return SessionTimeline(
        session_id=session_id,
        blocks=session_blocks(key),
        units=_ordered(units, key),
        spike_times=spike_times,
        flashes=_flashes(presentations_frame(key)),
        change_time_s=changes,
        outcome=outcomes,
        running=running_samples(key),
        pupil=pupil_samples(key),
        lick_time_s=licks_frame(key)["timestamps"].to_numpy(float),
        reward_time_s=rewards_frame(key)["timestamps"].to_numpy(float),
    )


def _ordered(units: pd.DataFrame, key: dict[str, Any]) -> pd.DataFrame:
    """Return units with their location, by structure and depth."""
    columns = ["unit_id", "structure_acronym", "structure_group", "probe_vertical_position"]
    located = units.merge(described_units(key)[columns], on="unit_id", how="left", validate="one_to_one")
    names, groups = (names_or_none(located[name]) for name in columns[1:3])
    order = row_order(names, groups, located["probe_vertical_position"].to_numpy(float))
    named = located.assign(
        structure_acronym=pd.Series(names, dtype=object), structure_group=pd.Series(groups, dtype=object)
    )
    return named.iloc[order].reset_index(drop=True)


def _flashes(presentations: pd.DataFrame) -> pd.DataFrame:
    """Return the images and omissions of task and replay."""
    omitted = presentations["omitted"].fillna(False).to_numpy(bool)
    is_change = presentations["is_change"].fillna(False).to_numpy(bool)
    shown = presentations.assign(kind=np.where(omitted, "omission", np.where(is_change, "change", "flash")))
    names = ["start_time", "end_time", "image_name", "kind"]
    return shown.loc[shown["image_name"].notna(), names].reset_index(drop=True)
