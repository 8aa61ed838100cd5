"""Probes, channels, units and their spike times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import vbn.nwb
from schemas import session
from schemas._datajoint import dj
from schemas.files import registered_recording
from schemas.rows import insert_rows, rows_from_frame

schema = dj.Schema()

# Metrics whose names other tables use as well carry the table's name.
UNIT_COLUMNS = {"unit_firing_rate": "firing_rate", "unit_amplitude": "amplitude", "pt_ratio": "PT_ratio"}


@schema
class Recording(dj.Imported):
    """The electrophysiology of one session, as imported from its NWB file."""

    definition = """
    # The electrophysiology of one session
    -> session.NwbFile
    ---
    n_probes : int16  # number of probes
    n_channels : int32  # number of channels of all probes
    n_units : int32  # number of units, none left out
    n_recorded_spikes : int64  # number of spikes of all units
    """

    class Probe(dj.Part):
        """One Neuropixels probe of a session, with the spike times of its units."""

        definition = """
        # One Neuropixels probe of a session
        -> master
        probe_name : varchar(32)  # probeA to probeF, unique within the session
        ---
        probe_id : int64  # id of this insertion, unique over the data set
        sampling_rate : float64  # (Hz) measured sampling rate of the spike band
        has_lfp_data : bool  # whether the release has an LFP file of this probe
        lfp_sampling_rate=null : float64  # (Hz) sampling rate of the LFP file
        probe_spike_times : <npy@vbn>  # (s) float64, all units one after the other, see Unit.spike_offset
        """

    class Channel(dj.Part):
        """One recording site of a probe."""

        definition = """
        # One recording site of a probe
        -> Recording.Probe
        channel_id : int64  # id, unique over the data set
        ---
        probe_channel_number : int32  # index on the probe, 0 at the tip
        probe_vertical_position : int32  # (um) distance from the tip
        probe_horizontal_position : int32  # (um) position across the shank
        anterior_posterior_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to posterior
        dorsal_ventral_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to ventral
        left_right_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to the right
        structure_acronym=null : varchar(32)  # CCF structure, NULL where not registered
        valid_data : bool  # whether the site is usable
        filtering=null : varchar(255)  # hardware filters
        """

    class Unit(dj.Part):
        """One sorted unit with its quality metrics."""

        definition = """
        # One sorted unit
        -> Recording.Probe
        unit_id : int64  # id, unique over the data set
        ---
        -> Recording.Channel.proj(peak_channel_id='channel_id')
        cluster_id=null : int32  # cluster of Kilosort, unique within the probe
        local_index=null : int32  # index of the unit within the probe
        quality=null : varchar(16)  # good or noise, NULL in releases before v0.5.0
        unit_firing_rate=null : float64  # (Hz) spikes per second of the recording
        presence_ratio=null : float64  # (1) share of the recording in which the unit fires, at most 0.99
        isi_violations=null : float64  # (1) rate of spikes in the refractory period over the firing rate
        amplitude_cutoff=null : float64  # (1) estimated share of missed spikes, 0.5 is undefined
        snr=null : float64  # (1) signal to noise ratio of the waveform
        isolation_distance=null : float64  # (1) Mahalanobis distance to the nearest other spikes
        l_ratio=null : float64  # (1) contamination by the Mahalanobis distance
        d_prime=null : float64  # (1) separation from other units by linear discriminant analysis
        nn_hit_rate=null : float64  # (1) share of nearest neighbours from the same unit
        nn_miss_rate=null : float64  # (1) share of other spikes with nearest neighbours in this unit
        silhouette_score=null : float64  # (1) cluster separation
        max_drift=null : float64  # (um) largest drift of the depth
        cumulative_drift=null : float64  # (um) sum of the drifts of the depth
        unit_amplitude=null : float64  # (uV) peak to peak of the mean waveform
        waveform_duration=null : float64  # (ms) trough to peak
        pt_ratio=null : float64  # (1) peak to trough ratio
        repolarization_slope=null : float64  # (V/s) slope to the peak after the trough
        recovery_slope=null : float64  # (V/s) slope after the peak
        spread=null : float64  # (um) extent of the waveform along the probe
        velocity_above=null : float64  # (ms/mm) inverse velocity of the waveform towards the brain surface
        velocity_below=null : float64  # (ms/mm) inverse velocity of the waveform towards the tip
        spike_offset : int64  # (samples) where the unit begins in probe_spike_times
        n_spikes : int64  # (samples) number of spikes of the unit
        """

    @property
    def key_source(self) -> Any:
        """Recordings only: a behavior session has no probes."""
        return session.NwbFile & {"file_kind": "recording"}

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch where the file is."""
        return ((session.NwbFile & key).fetch1(),)

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read probes, channels and units; the spike times follow probe by probe on insert."""
        recording = registered_recording(source)
        units = vbn.nwb.read_units(recording)
        return vbn.nwb.read_probes(recording), vbn.nwb.read_channels(recording), units, recording

    def make_insert(
        self,
        key: dict[str, Any],
        probes: pd.DataFrame,
        channels: pd.DataFrame,
        units: pd.DataFrame,
        recording: Any,
    ) -> None:
        """Insert the session's rows; the spike times are held in memory one probe at a time."""
        counts = {"n_probes": len(probes), "n_channels": len(channels), "n_units": len(units)}
        self.insert1({**key, **counts, "n_recorded_spikes": int(units["n_spikes"].sum())})
        spans = []
        for probe_name, span, spike_times in vbn.nwb.iterate_spike_times(recording, units):
            spans.append(span[["unit_id", "spike_offset"]])
            self._insert_probe(key, probes, probe_name, spike_times)
        for probe_name in set(probes["probe_name"]) - set(units["probe_name"]):
            self._insert_probe(key, probes, probe_name, np.empty(0))
        insert_rows(self.Channel(), rows_from_frame(channels, self.Channel(), key))
        located = units.merge(pd.concat(spans), on="unit_id") if spans else units.assign(spike_offset=0)
        insert_rows(self.Unit(), rows_from_frame(located, self.Unit(), key, UNIT_COLUMNS))

    def _insert_probe(self, key: dict[str, Any], probes: pd.DataFrame, name: str, times: np.ndarray) -> None:
        probe = probes[probes["probe_name"] == name].assign(probe_spike_times=None)
        (row,) = rows_from_frame(probe, self.Probe(), key)
        self.Probe.insert1({**row, "probe_spike_times": times})


def iterate_probe_spikes(units: Any) -> Iterator[tuple[dict[str, Any], pd.DataFrame, np.ndarray]]:
    """Yield the spike times of units, one probe after the other.

    Parameters
    ----------
    units : query expression with the rows of ``Recording.Unit`` that are wanted.

    Yields
    ------
    key : the probe's primary key.
    frame : one row per wanted unit of the probe, by ascending unit id: ``unit_id``,
        ``spike_offset``, ``n_spikes``.
    spike_times : (n,) float64, seconds; the probe's whole array as a memory map. A unit's
        spikes are ``spike_times[spike_offset : spike_offset + n_spikes]``.
    """
    wanted = (Recording.Unit & units.proj()).proj("spike_offset", "n_spikes")
    frame = pd.DataFrame(wanted.to_dicts(order_by="KEY"))
    if frame.empty:
        return
    probe_key = list(Recording.Probe.primary_key)
    for values, group in frame.groupby(probe_key, sort=True):
        key = dict(zip(probe_key, values, strict=True))
        reference = (Recording.Probe & key).fetch1("probe_spike_times")
        columns = group[["unit_id", "spike_offset", "n_spikes"]].reset_index(drop=True)
        yield key, columns, reference.load(mmap_mode="r")


def spike_times(units: Any) -> dict[int, np.ndarray]:
    """Return the spike times of units, wherever they are stored.

    Parameters
    ----------
    units : query expression with the rows of ``Recording.Unit`` that are wanted, for example
        ``figures.located_units(key) & {"structure_acronym": "VISp"}``.

    Returns
    -------
    dict
        Unit id -> (n_spikes,) float64, ascending, seconds on the session's clock.
    """
    return {
        int(unit_id): np.array(times[offset : offset + size])
        for _, frame, times in iterate_probe_spikes(units)
        for unit_id, offset, size in frame.to_numpy()
    }
