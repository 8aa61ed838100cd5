"""Spike times, waveforms and LFP of recordings, wherever they are stored."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import vbn.nwb
from schemas import ecephys, session
from schemas.files.array_store import mapped
from schemas.files.open_file import registered_file
from schemas.reading.kept_frames import read_once
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import key_of_session
from schemas.server.datajoint import decode_array
from vbn.analysis.spikes.trains import SpikePieces


def spike_times(units: Any) -> dict[int, np.ndarray]:
    """Return the spike times of units, wherever they are stored.

    Parameters
    ----------
    units : query expression that selects rows of ``Recording.Unit``, for example
        ``figures.located_units(key) & {"structure_acronym": "VISp"}``.

    Returns
    -------
    dict
        Unit id -> (n_spikes,) float64, ascending, seconds on the session clock.
    """
    return {
        int(unit_id): np.array(times[offset : offset + size])
        for _, frame, times in iterate_probe_spikes(units)
        for unit_id, offset, size in frame.to_numpy()
    }


def iterate_probe_spikes(units: Any) -> Iterator[tuple[dict[str, Any], pd.DataFrame, np.ndarray]]:
    """Yield the spike times of units, probe by probe.

    Parameters
    ----------
    units : query expression that selects rows of ``Recording.Unit``.

    Yields
    ------
    key : the probe's primary key.
    frame : one row per selected unit of the probe, by ascending unit id: ``unit_id``,
        ``spike_offset``, ``n_spikes``.
    spike_times : (n,) float64, seconds; the probe's whole array as a memory map. A unit's
        spikes are ``spike_times[spike_offset : spike_offset + n_spikes]``.
    """
    wanted = (ecephys.Recording.Unit & units.proj()).proj("spike_offset", "n_spikes")
    *probe_key, _ = ecephys.Recording.Unit.primary_key
    rows = sorted(wanted.cursor().fetchall())  # by probe and unit, independent of the server's collation
    for values, members in itertools.groupby(rows, key=lambda row: row[: len(probe_key)]):
        key = dict(zip(probe_key, values, strict=True))
        numbers = np.array([row[len(probe_key) :] for row in members], dtype=np.int64)
        frame = pd.DataFrame(numbers, columns=["unit_id", "spike_offset", "n_spikes"])
        yield key, frame, _probe_spike_times(key)


def _probe_spike_times(key: dict[str, Any]) -> np.ndarray:
    """Return the spike times of a probe as a memory map.

    The server is queried directly: DataJoint would first read the table's heading, with eight queries that
    take longer than everything else.
    """
    connection, condition = ecephys.Recording.Unit.connection, " AND ".join(f"{name} = %s" for name in key)
    query = f"SELECT probe_spike_times FROM {ecephys.Recording.Probe.full_table_name} WHERE {condition}"  # noqa: S608
    (stored,) = connection.query(query, args=tuple(key.values())).fetchone()
    stored = json.loads(stored) if isinstance(stored, str) else stored  # PostgreSQL's driver decodes it
    return mapped(decode_array(stored, connection))


def session_spikes(key: dict[str, Any]) -> tuple[pd.DataFrame, SpikePieces]:
    """Return the spikes of all units of a session, in the form that the functions of ``vbn.analysis`` take.

    Parameters
    ----------
    key : a key that contains the session's primary key.

    Returns
    -------
    units : one row per unit, by probe and unit id: ``probe_name``, ``unit_id``, ``spike_offset`` (into
        the concatenated pieces), ``n_spikes``.
    spike_times : seconds, the probes' arrays as memory maps.
    """
    frames, pieces, n_before = [], [], 0
    for probe, units, times in iterate_probe_spikes(ecephys.Recording.Unit & key_of_session(key)):
        frames.append(
            units.assign(probe_name=probe["probe_name"], spike_offset=units["spike_offset"] + n_before)
        )
        pieces.append(times)
        n_before += times.size
    columns = ["probe_name", "unit_id", "spike_offset", "n_spikes"]
    units = pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    return units.astype(dict.fromkeys(columns[1:], np.int64)), SpikePieces(pieces)


@read_once(ecephys.Recording)
def located_frame(
    key: dict[str, Any],
    unit_columns: tuple[str, ...] = (),
    channel_columns: tuple[str, ...] = ("structure_acronym",),
) -> pd.DataFrame:
    """Return a session's units, by probe and unit id, with columns of the units and of their peak channels.

    The tables are joined here, not on the server: right after an import, before it has updated its
    statistics, its plan for the join may take seconds.
    """
    units = (ecephys.Recording.Unit & key_of_session(key)).proj("peak_channel_id", *unit_columns)
    channels = (ecephys.Recording.Channel & key_of_session(key)).proj(*channel_columns)
    locations = fetch_frame(channels)[["channel_id", *channel_columns]]
    located = fetch_frame(units, ["probe_name", "unit_id"]).merge(
        locations.rename(columns={"channel_id": "peak_channel_id"}), on="peak_channel_id", how="left"
    )
    return located[["probe_name", "unit_id", *unit_columns, *channel_columns]]


def unit_waveform(key: dict[str, Any]) -> np.ndarray:
    """Read the mean waveform of one unit on all channels of its probe, from the session's file.

    Parameters
    ----------
    key : primary key of the unit.

    Returns
    -------
    (384, 82) float64, microvolts; channel 0 is at the tip, samples at 30 kHz.
    """
    source = (session.NwbFile & key_of_session(key)).fetch1()
    return vbn.nwb.read_unit_waveform(registered_file(source), key["unit_id"])


def lfp_samples(key: dict[str, Any], **piece: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a piece of the LFP of one probe from its file.

    Parameters
    ----------
    key : primary key of the probe.
    piece : ``start_s``, ``stop_s``, ``channel_ids``, ``decimate`` of `vbn.nwb.read_lfp_samples`.

    Returns
    -------
    timestamps : (n_times,) float64, seconds.
    samples : (n_times, n_channels) float32, volts.
    """
    return vbn.nwb.read_lfp_samples(registered_file(ecephys.lfp_source(key)), **piece)
