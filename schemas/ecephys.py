"""Probes, channels, units and their spike times."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pandas as pd

import vbn.nwb
from schemas import session
from schemas.bases.file_import import FileImport
from schemas.bases.issues import note_issues
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, MadeWith, provenance_lines, source_hash
from schemas.bases.unique_ids import refusing_known_ids, require_own_ids
from schemas.files.atlas import atlas_streamlines, atlas_volumes
from schemas.files.open_file import registered_file
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows, key_of_session, require_storable, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.anatomy import UNLISTED_GROUP
from vbn.anatomy.layer4_sink import Sink, SinkParameters, highest_cortical_site, layer4_sink
from vbn.anatomy.layers import LAYERS, Atlas, site_layers
from vbn.nwb.checks.findings import (
    find_channel_issues,
    find_infinite_values,
    find_late_spikes,
    find_unit_issues,
)
from vbn.nwb.issue import first_of, issue
from vbn.nwb.readers.lfp import LfpPieceParameters
from vbn.nwb.readers.probes import CCF_COLUMNS
from vbn.nwb.readers.recording_end import last_recorded_time, last_spikes

schema = Schema()

# Metrics whose names also occur in other tables are prefixed with the table's name.
UNIT_COLUMNS = {"unit_firing_rate": "firing_rate", "unit_amplitude": "amplitude", "pt_ratio": "PT_ratio"}


@schema
class Structure(dj.Lookup):
    """One brain structure of the Allen CCF, by the acronym that the release uses."""

    definition = """
    # One brain structure
    structure_acronym : varchar(32)  # acronym without layer or substructure
    ---
    structure_name=null : varchar(255)  # full name in the CCFv3 ontology
    parent_acronym=null : varchar(32)  # acronym of the structure that holds it
    structure_group : varchar(32)  # coarse group such as visual cortex, hippocampus or thalamus
    """


@schema
class Recording(FileImport):
    """The electrophysiology of one session, as imported from its NWB file."""

    definition = f"""
    # The electrophysiology of one session
    -> session.NwbFile
    ---
    n_probes : int16  # number of probes
    n_channels : int32  # number of channels of all probes
    n_units : int32  # number of units, none left out
    n_recorded_spikes : int64  # number of spikes of all units
    {provenance_lines("recording")}
    """

    class Probe(dj.Part):
        """One Neuropixels probe of a session, with the spike times of its units."""

        definition = """
        # One Neuropixels probe of a session
        -> master
        probe_name : varchar(32)  # probeA to probeF, unique within the session
        ---
        probe_id : int64  # id of this insertion, unique over the data set
        sampling_rate=null : float64  # (Hz) measured sampling rate of the spike band
        has_lfp_data : bool  # whether the release has an LFP file of this probe
        lfp_sampling_rate=null : float64  # (Hz) sampling rate of the LFP file
        probe_spike_times : <npy@vbn>  # (s) float64, all units one after the other, see Unit.spike_offset
        unique index (probe_id)
        """

    class Channel(dj.Part):
        """One recording site of a probe."""

        definition = """
        # One recording site of a probe
        -> Recording.Probe
        channel_id : int64  # id, unique over the data set
        ---
        probe_channel_number=null : int32  # index on the probe, 0 at the tip
        probe_vertical_position=null : int32  # (um) distance from the tip
        probe_horizontal_position=null : int32  # (um) position across the shank
        anterior_posterior_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to posterior
        dorsal_ventral_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to ventral
        left_right_ccf_coordinate=null : float64  # (um) CCF coordinate, growing to the right
        -> [nullable] Structure
        valid_data=null : bool  # whether the site is usable
        filtering=null : varchar(255)  # hardware filters
        unique index (channel_id)
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
        peak_waveform=null : <blob>  # (uV) float32, 82 samples at 30 kHz, mean waveform on the peak channel
        spike_offset : int64  # (samples) where the unit begins in probe_spike_times
        n_spikes : int64  # (samples) number of spikes of the unit
        unique index (unit_id)
        """

    @property
    def key_source(self) -> Any:
        """Recordings only: a behavior session has no probes."""
        return session.NwbFile & {"file_kind": "recording"}

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read probes, channels and units; the spike times are read probe by probe on insert."""
        recording = registered_file(source)
        require_own_ids(key["session_id"], recording.path, vbn.nwb.read_ids(recording))
        units = vbn.nwb.read_units(recording)
        waveforms = vbn.nwb.read_peak_waveforms(recording, units)
        units["peak_waveform"] = [
            None if np.isnan(row).all() else row for row in waveforms.astype(np.float32)
        ]
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
        self.insert1(
            {**key, **self.provenance(key), **counts, "n_recorded_spikes": int(units["n_spikes"].sum())}
        )
        with refusing_known_ids(key["session_id"], recording.path):
            located, last = self._insert_probes(key, probes, units, recording)
            channel_rows = rows_from_frame(with_unregistered_as_missing(channels), self.Channel(), key)
            unlisted = enter_structures(channels["structure_acronym"].dropna())
            insert_rows(self.Channel(), channel_rows)
            insert_rows(self.Unit(), rows_from_frame(located, self.Unit(), key, UNIT_COLUMNS))
        issues = find_channel_issues(channels) + find_unit_issues(units, channels)
        issues += find_infinite_values(units, "units") + find_infinite_values(channels, "channels")
        issues += find_late_spikes(last, last_recorded_time(recording))
        issues += [issue("unlisted_structure", "channels", ", ".join(unlisted))] if unlisted else []
        issues += find_lfp_of_no_probe(key, set(probes["probe_id"]))
        note_issues(key, "Recording", issues)

    def _insert_probes(
        self, key: dict[str, Any], probes: pd.DataFrame, units: pd.DataFrame, recording: Any
    ) -> tuple[pd.DataFrame, dict[int, float]]:
        """Insert the probes; return the units with their offsets, and each unit's last spike."""
        spans: list[pd.DataFrame] = []
        last: dict[int, float] = {}
        for probe_name, span, spike_times in vbn.nwb.iterate_spike_times(recording, units):
            spans.append(span[["unit_id", "spike_offset"]])
            last |= last_spikes(span, spike_times)
            self._insert_probe(key, probes, probe_name, spike_times)
        for probe_name in set(probes["probe_name"]) - set(units["probe_name"]):
            self._insert_probe(key, probes, probe_name, np.empty(0))
        located = units.merge(pd.concat(spans), on="unit_id") if spans else units.assign(spike_offset=0)
        return located, last

    def _insert_probe(self, key: dict[str, Any], probes: pd.DataFrame, name: str, times: np.ndarray) -> None:
        probe = probes[probes["probe_name"] == name].assign(probe_spike_times=None)
        (row,) = rows_from_frame(probe, self.Probe(), key)
        self.Probe.insert1({**row, "probe_spike_times": times})


@schema
class SpikeAmplitudes(FileImport):
    """The spike amplitudes of one recording; imported only if the table is requested by name."""

    definition = f"""
    # Spike amplitudes of one recording
    -> Recording
    ---
    {provenance_lines("spike_amplitudes")}
    """
    is_optional = True

    class Probe(dj.Part):
        """The amplitudes of all spikes of one probe."""

        definition = """
        # Amplitudes of the spikes of one probe
        -> master
        -> Recording.Probe
        ---
        probe_spike_amplitudes : <npy@vbn>  # (V) float64, in the order of Recording.Probe.probe_spike_times
        """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Open the file; the amplitudes are read probe by probe on insert."""
        return (registered_file(source),)

    def make_insert(self, key: dict[str, Any], recording: vbn.nwb.RecordingFile) -> None:
        """Insert the amplitudes, held in memory one probe at a time."""
        self.insert1({**key, **self.provenance(key)})
        units = vbn.nwb.read_units(recording)
        for probe_name, _, amplitudes in vbn.nwb.iterate_spike_amplitudes(recording, units):
            self.Probe.insert1({**key, "probe_name": probe_name, "probe_spike_amplitudes": amplitudes})


class OfLfpFile(MadeWith):
    """A table whose rows come from LFP files."""

    @classmethod
    def source(cls, key: dict[str, Any]) -> str:
        """Return an identifier of the current content of a probe's LFP file."""
        probe = {**key_of_session(key), "probe_name": key["probe_name"]}
        file_key = {**key_of_session(key), "lfp_probe_id": (Recording.Probe & probe).fetch1("probe_id")}
        file = (session.LfpFile & file_key).proj("lfp_blake2b", "lfp_size_bytes").fetch1()
        return source_hash(file["lfp_blake2b"], file["lfp_size_bytes"])

    @classmethod
    def sources(cls) -> pd.DataFrame:
        """Return an identifier of the current content of each LFP file: the probe's key, and ``present``."""
        probes = fetch_frame(Recording.Probe.proj("probe_id"))
        files = fetch_frame(session.LfpFile.proj("lfp_blake2b", "lfp_size_bytes"))
        keys = ["mouse_id", "session_id", "lfp_probe_id"]
        rows = probes.rename(columns={"probe_id": "lfp_probe_id"}).merge(files, on=keys)
        contents = zip(rows["lfp_blake2b"], rows["lfp_size_bytes"], strict=True)
        return rows[list(Recording.Probe.primary_key)].assign(
            present=[source_hash(*each) for each in contents]
        )


class LfpImport(OfLfpFile, dj.Imported):
    """A table with one entry per registered LFP file."""


@schema
class Lfp(LfpImport):
    """The metadata of the local field potential of one probe; the samples stay in its file."""

    definition = f"""
    # Local field potential of one probe
    -> Recording.Probe
    ---
    n_lfp_samples : int64  # (samples) length of the signal
    n_lfp_channels : int32  # number of channels
    lfp_rate=null : float64  # (Hz) measured sampling rate
    lfp_start_time=null : float64  # (s) first sample
    lfp_stop_time=null : float64  # (s) last sample
    lfp_unit : varchar(32)  # unit of the samples as stored
    lfp_channel_ids : <blob>  # (id) int64, channels in the order of the columns
    {provenance_lines("lfp")}
    """

    @property
    def key_source(self) -> Any:
        """Probes whose LFP file is registered."""
        registered = session.LfpFile.to_arrays("lfp_probe_id").tolist()
        return Recording.Probe & [{"probe_id": number} for number in registered]

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the location of the file."""
        return (lfp_source(key),)

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the metadata."""
        file = registered_file(source)
        lfp = vbn.nwb.read_lfp_probe(file)
        sizes = {"n_lfp_samples": lfp.n_samples, "n_lfp_channels": lfp.n_channels}
        times = {"lfp_rate": lfp.sampling_rate_hz, "lfp_start_time": lfp.start_s, "lfp_stop_time": lfp.stop_s}
        row = {**sizes, **times, "lfp_unit": lfp.unit}
        channel_ids = np.array(lfp.channel_ids, dtype=np.int64)
        return ({**require_storable(self, row, file.path), "lfp_channel_ids": channel_ids},)

    def make_insert(self, key: dict[str, Any], row: dict[str, Any]) -> None:
        """Insert the row."""
        self.insert1({**key, **self.provenance(key), **row})


@schema
class CurrentSourceDensity(LfpImport):
    """The current source density of one probe around a flash, as the release computed it."""

    definition = f"""
    # Current source density of one probe
    -> Lfp
    ---
    has_csd : bool  # whether the file holds one
    csd=null : <npy@vbn>  # (V/cm^2) float64, times by virtual channels
    csd_timestamps=null : <blob>  # (s) float64, times after the flash
    csd_vertical_positions=null : <blob>  # (um) float64, distance of the virtual channels from the tip
    csd_horizontal_positions=null : <blob>  # (um) float64, position of the virtual channels across the shank
    {provenance_lines("current_source_density")}
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the location of the file."""
        return (lfp_source(key),)

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the current source density; None if there is none."""
        return (vbn.nwb.read_csd(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], csd: vbn.nwb.CurrentSourceDensity | None) -> None:
        """Insert the current source density with its axes."""
        arrays = {} if csd is None else {
            "csd": csd.values,  # noqa: PD011
            "csd_timestamps": csd.timestamps_s,
            "csd_vertical_positions": csd.virtual_y_um,
            "csd_horizontal_positions": csd.virtual_x_um,
        }  # fmt: skip
        self.insert1({**key, **self.provenance(key), "has_csd": csd is not None, **arrays})
        about = f"csd of {key['probe_name']}"
        missing = [issue("missing_csd", about, "there is none in the LFP file")] if csd is None else []
        note_issues(key, "CurrentSourceDensity", missing, about)


@schema
class LfpPieceParams(ParameterTable):
    """One definition of a piece of the LFP to copy into the store; there is none by default."""

    settings = LfpPieceParameters
    defaults: ClassVar[dict[str, LfpPieceParameters]] = {}
    definition = """
    # One way to cut a piece out of the LFP
    lfp_piece : varchar(64)  # readable name
    ---
    piece_start=null : float64  # (s) begin of the piece, NULL is the first sample
    piece_stop=null : float64  # (s) end of the piece, NULL is the last sample
    decimation : int16  # low-pass filtered, and one of this many samples kept
    lfp_piece_version : int16  # version of the method
    lfp_piece_hash : char(64)  # sha256 of content and method version
    unique index (lfp_piece_hash)
    """


@schema
class LfpPiece(LfpImport):
    """A piece of the LFP of one probe, copied into the store."""

    definition = f"""
    # A piece of the LFP of one probe
    -> Lfp
    -> LfpPieceParams
    ---
    piece_timestamps : <npy@vbn>  # (s) float64, time of each sample
    piece_samples : <npy@vbn>  # (V) float32, samples by channels, columns as Lfp.lfp_channel_ids
    {provenance_lines("lfp_piece")}
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the location of the file, and the definition of the piece."""
        return lfp_source(key), (LfpPieceParams & key).fetch1()

    def make_compute(
        self, key: dict[str, Any], source: dict[str, Any], piece: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Read the piece."""
        bounds = {"start_s": piece["piece_start"], "stop_s": piece["piece_stop"]}
        return vbn.nwb.read_lfp_samples(registered_file(source), **bounds, decimate=piece["decimation"])

    def make_insert(self, key: dict[str, Any], timestamps: np.ndarray, samples: np.ndarray) -> None:
        """Insert the row."""
        self.insert1(
            {**key, **self.provenance(key), "piece_timestamps": timestamps, "piece_samples": samples}
        )


@schema
class Layer4SinkParams(ParameterTable):
    """One way to find layer 4 in a current source density."""

    settings = SinkParameters
    defaults: ClassVar[dict[str, SinkParameters]] = {"earliest_sink": SinkParameters()}
    definition = definition_of("layer4_sink", "the sink of layer 4", "vbn.anatomy.layer4_sink.SinkParameters")


@schema
class Layer4Sink(OfLfpFile, Computation):
    """The depth of layer 4 along one probe, by its current source density."""

    definition = f"""
    # Depth of layer 4 along one probe by its current source density
    -> CurrentSourceDensity
    -> Layer4SinkParams
    ---
    cortex_surface=null : float64  # (um) height above the tip of the highest site in a visual area
    layer4_sink_position=null : float64  # (um) height above the tip of the earliest strong sink, or none
    layer4_sink_time=null : float64  # (s) time of the sink's peak after the flash
    layer4_sink_strength=null : float64  # (V/cm^2) the sink above the baseline
    {provenance_lines("layer4_sink")}
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the current source density, the sites, and how to look for the sink."""
        sites = fetch_frame((Recording.Channel & key).proj("probe_vertical_position", "structure_acronym"))
        return self.provenance(key), (CurrentSourceDensity & key).fetch1(), sites, Layer4SinkParams.get(key)

    def make_compute(
        self, key: dict[str, Any], made_with: Any, density: Any, sites: Any, parameters: SinkParameters
    ) -> tuple[Any, ...]:
        """Find the sink; there is none without a visual area."""
        surface, sink = highest_cortical_site(sites), None
        if density["has_csd"] and surface is not None:
            axes = density["csd_timestamps"], density["csd_vertical_positions"]
            sink = layer4_sink(density["csd"].load(), *axes, surface, parameters)
        return made_with, surface, sink

    def make_insert(
        self, key: dict[str, Any], made_with: dict[str, Any], surface: float | None, sink: Sink | None
    ) -> None:
        """Insert the row, with NULLs where nothing was found."""
        names = ("layer4_sink_position", "layer4_sink_time", "layer4_sink_strength")
        found = dict(zip(names, sink or (None,) * len(names), strict=True))
        self.insert1({**key, **made_with, "cortex_surface": surface, **found})


def add_lfp_piece(
    name: str, *, start_s: float | None = None, stop_s: float | None = None, decimate: int = 1
) -> bool:
    """Define a piece of the LFP; the next populate copies it from every registered LFP file.

    Parameters
    ----------
    name : readable name.
    start_s, stop_s : seconds on the session clock, None for no limit.
    decimate : decimation factor, applied after a low-pass filter.

    Returns
    -------
    bool : whether it was added, False if it exists already.
    """
    return LfpPieceParams.add(name, LfpPieceParameters(start_s, stop_s, decimate))


def lfp_source(key: dict[str, Any]) -> dict[str, Any]:
    """Return the location of a probe's LFP file, with the attribute names of NwbFile."""
    probe_id = (Recording.Probe & key).fetch1("probe_id")
    row = (session.LfpFile & key_of_session(key) & {"lfp_probe_id": probe_id}).fetch1()
    names = ("root", "relative_path", "size_bytes", "blake2b", "modified_ns")
    return {name: row["lfp_" + name] for name in names} | {"file_kind": "lfp"}


@schema
class AtlasParams(ParameterTable):
    """One volume of the Allen CCF from which channels get their layers; there is none by default."""

    settings = Atlas
    defaults: ClassVar[dict[str, Atlas]] = {}
    descriptive = ("annotation", "depths", "streamlines", "surface")
    later: ClassVar[dict[str, Any]] = {"streamlines_blake2b": None, "surface_blake2b": None}
    definition = definition_of("atlas", "the layers of channels", "vbn.anatomy.layers.Atlas", key="atlas")


@schema
class ChannelLayer(Computation):
    """The cortical layers of the channels of one session, by one volume of the Allen CCF."""

    method_version = 2  # version 2: no depth of 0 where the volume has none; distances
    definition = f"""
    # Cortical layers of the channels of one session
    -> Recording
    -> AtlasParams
    ---
    n_layered_channels : int32  # number of channels in a layer
    n_snapped_channels : int32  # number of these that have the layer of the nearest channel with one
    {provenance_lines("channel_layer")}
    """

    class Channel(dj.Part):
        """The layer, the depth and the distances from the pia of one recording site."""

        definition = """
        # Layer and depth of one recording site
        -> master
        -> Recording.Channel
        ---
        ccf_structure_id=null : int64  # structure of the voxel, NULL outside the brain or without coordinates
        ccf_area=null : varchar(32)  # area of isocortex of the voxel, which structure_acronym need not be
        cortical_layer=null : varchar(8)  # 1, 2/3, 4, 5, 6a, 6b, none elsewhere in the brain, or NULL
        ccf_area_agrees=null : bool  # whether the area is structure_acronym, NULL where one of them is
        layer_is_snapped : bool  # whether the layer is that of the nearest channel of the probe with one
        cortical_depth=null : float64  # (1) 0 at the pia, 1 at the white matter, NULL in no layer or snapped
        pia_distance=null : float64  # (um) straight to the pia, where the site's streamline begins
        streamline_distance=null : float64  # (um) from the pia along the streamline, NULL without one
        streamline_length=null : float64  # (um) length of the streamline: the thickness of the cortex there
        """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch which volumes to use."""
        return self.provenance(key), AtlasParams.get(key)

    def make_compute(self, key: dict[str, Any], made_with: dict[str, Any], atlas: Atlas) -> tuple[Any, ...]:
        """Look the channels up."""
        channels = fetch_frame(Recording.Channel & key)
        with atlas_streamlines(atlas) as streamlines:
            found = site_layers(channels, *atlas_volumes(atlas), atlas.snap_distance_um, streamlines)
        found.columns = found.columns.str.removesuffix("_um")
        return made_with, channels[["probe_name", "channel_id"]].join(found)

    def make_insert(self, key: dict[str, Any], made_with: dict[str, Any], layers: pd.DataFrame) -> None:
        """Insert the counts and the channels."""
        counts = {
            "n_layered_channels": int(layers["cortical_layer"].isin(LAYERS).sum()),
            "n_snapped_channels": int(layers["layer_is_snapped"].sum()),
        }
        self.insert1({**key, **made_with, **counts})
        renamed = {"ccf_area_agrees": "area_agrees"}
        insert_rows(self.Channel(), rows_from_frame(layers, self.Channel(), key, renamed))


def with_unregistered_as_missing(channels: pd.DataFrame) -> pd.DataFrame:
    """Return channels with the coordinates (0, 0, 0), which mean that there are none, set to missing."""
    coordinates = channels[list(CCF_COLUMNS)]
    return channels.assign(**coordinates.mask((coordinates == 0).all(axis=1)))


def find_lfp_of_no_probe(key: dict[str, Any], probe_ids: set[int]) -> list[vbn.nwb.Issue]:
    """Find registered LFP files whose probe the recording does not have; they are not imported."""
    registered = (session.LfpFile & key_of_session(key)).to_arrays("lfp_probe_id").tolist()
    alone = sorted(set(registered) - probe_ids)
    return [issue("lfp_of_no_probe", "probes", first_of(alone))] if alone else []


def enter_structures(acronyms: Iterable[str]) -> list[str]:
    """Insert acronyms that are not among the known structures, so that none is lost; return them."""
    unlisted = sorted(set(acronyms) - set(Structure.to_arrays("structure_acronym")))
    rows = [{"structure_acronym": name, "structure_group": UNLISTED_GROUP} for name in unlisted]
    Structure.insert(rows, skip_duplicates=True)
    return unlisted


READERS = (
    "iterate_probe_spikes", "lfp_samples", "located_frame", "session_spikes", "spike_times", "unit_waveform",
)  # fmt: skip
"""Functions of `schemas.reading.recordings` that are also available in this module."""


def __getattr__(name: str) -> Any:
    """Import the readers on first use: they import this module, so it cannot import them at the top."""
    if name not in READERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("schemas.reading.recordings"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *READERS})
