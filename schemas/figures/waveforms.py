"""The mean waveform of a unit on channels around its peak, from the session's file where it is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import vbn.nwb
from schemas import ecephys, session
from schemas.figures.unit import unit_key
from schemas.files.open_file import closing_file, file_at_hand
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import key_of_session
from vbn.errors import NotFoundError, VbnError

Floats = NDArray[np.float64]

REACH_UM = 100.0
NO_NUMBER = -1
COLUMNS = ("probe_channel_number", "probe_vertical_position", "probe_horizontal_position")


@dataclass(frozen=True)
class ChannelWaveforms:
    """The mean waveform of a unit on channels of its probe.

    Attributes
    ----------
    unit_id : id of the unit.
    channel : (n_channels,) numbers of the channels on the probe; `NO_NUMBER` if the file has none.
    peak : index of the peak channel among them.
    x_um, y_um : (n_channels,) their places: across the shank, and above the tip; NaN if the file has none.
    structure : (n_channels,) their structures; None for none.
    waveform_uv : (n_channels, n_samples) microvolts, at 30 kHz.
    lacking : why only the peak channel is there, in words; empty if all are.
    """

    unit_id: int
    channel: NDArray[np.int64]
    peak: int
    x_um: Floats
    y_um: Floats
    structure: list[str | None]
    waveform_uv: Floats
    lacking: str = ""

    @property
    def time_ms(self) -> Floats:
        """(n_samples,) milliseconds from the trough of the peak channel."""
        peak = self.waveform_uv[self.peak]
        trough = int(np.argmin(np.where(np.isnan(peak), np.inf, peak)))
        ms: Floats = (np.arange(self.waveform_uv.shape[1]) - trough) / 30.0
        return ms

    @property
    def peak_to_peak_uv(self) -> Floats:
        """(n_channels,) microvolts."""
        found: Floats = np.ptp(self.waveform_uv, axis=1)
        return found


def channel_waveforms(unit_id: int, *, reach_um: float = REACH_UM) -> ChannelWaveforms:
    """Return the mean waveform of a unit on the channels near its peak channel.

    Parameters
    ----------
    unit_id : id of the unit.
    reach_um : greatest distance along the probe from the peak channel.

    Raises
    ------
    NotFoundError
        If there is no such unit, or no waveform of it.

    Notes
    -----
    The database holds the waveform on the peak channel only: the others are read from the session's file, if
    it is on this machine and as it was registered. Nothing is downloaded.
    """
    key = unit_key(unit_id)
    stored = (ecephys.Recording.Unit & key).proj("peak_channel_id", "peak_waveform").fetch1()
    if stored["peak_waveform"] is None:
        raise NotFoundError("There is no waveform of this unit in its file.")
    channels = _channels_near(key, stored["peak_channel_id"], reach_um)
    is_peak = channels["channel_id"] == stored["peak_channel_id"]
    try:
        waveform, lacking = _on_channels(key, channels), ""
    except VbnError as error:
        lacking, channels, is_peak = str(error), channels[is_peak], is_peak[is_peak]
        waveform = np.asarray(stored["peak_waveform"], dtype=float)[None, :]
    return ChannelWaveforms(
        unit_id=unit_id,
        channel=channels["probe_channel_number"].fillna(NO_NUMBER).to_numpy(np.int64),
        peak=int(np.argmax(is_peak)),
        x_um=channels["probe_horizontal_position"].to_numpy(float),
        y_um=channels["probe_vertical_position"].to_numpy(float),
        structure=[None if pd.isna(name) else str(name) for name in channels["structure_acronym"]],
        waveform_uv=waveform,
        lacking=lacking,
    )


def _channels_near(key: dict[str, Any], peak_channel_id: int, reach_um: float) -> pd.DataFrame:
    """Return the channels near the peak channel that have a place on the probe; always the peak channel."""
    of_probe = {**key_of_session(key), "probe_name": key["probe_name"]}
    channels = fetch_frame((ecephys.Recording.Channel & of_probe).proj(*COLUMNS, "structure_acronym"))
    is_peak = channels["channel_id"] == peak_channel_id
    height = channels["probe_vertical_position"].astype(float)
    is_near = (height - height[is_peak].iloc[0]).abs() <= reach_um
    placed = channels[list(COLUMNS)].notna().all(axis=1)
    chosen = channels[(is_near & placed) | is_peak]
    return chosen.sort_values("probe_channel_number", ignore_index=True)


def _on_channels(key: dict[str, Any], channels: pd.DataFrame) -> Floats:
    """Read the waveform on channels of the probe."""
    if channels[list(COLUMNS)].isna().any(axis=None):  # the peak channel, which is always among them
        raise NotFoundError("the file does not say where on the probe the peak channel is.")
    numbers = channels["probe_channel_number"]
    source = (session.NwbFile & key_of_session(key)).fetch1()
    with closing_file():
        recording = file_at_hand(source)
        waveform = vbn.nwb.read_unit_waveform(recording, key["unit_id"])
        if not waveform.size or numbers.max() >= len(waveform):
            raise recording.invalid(f"unit {key['unit_id']} has waveforms of {len(waveform)} channels only.")
    chosen: Floats = waveform[numbers.to_numpy(int)]
    return chosen
