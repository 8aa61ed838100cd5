"""Writing a simulated session as an NWB file in the release's layout.

Spikes, amplitudes and waveforms are written with h5py, unit by unit, into contiguous data sets, so that a
session of 74 million spikes needs little more memory than its spike times.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb.ecephys
from hdmf.common import DynamicTable, ElementIdentifiers, VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.base import TimeSeriesReference, TimeSeriesReferenceVectorData
from pynwb.device import Device
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units

from vbn.synthetic import extensions
from vbn.synthetic.extensions import BEHAVIOR, ECEPHYS, EYE, TEMPLATE, extension_class
from vbn.synthetic.images import unwarped_image, warped_image
from vbn.synthetic.settings import CHANNELS_PER_PROBE, DRIVER_LINES, GENOTYPES, REPORTER_LINES, generator
from vbn.synthetic.signals import Ellipse, SimulatedEye
from vbn.synthetic.simulate import AMPLITUDE_STREAM, METRIC_STREAM, WAVEFORM_STREAM, SimulatedSession
from vbn.synthetic.task import FLASH_FRAMES, IMAGES
from vbn.synthetic.timeline import image_stimulus_name
from vbn.synthetic.units import draw_metrics, spike_metrics
from vbn.synthetic.waveforms import N_SAMPLES, Waveform, draw_waveform, spread_over_probe, waveform_metrics

_FILTERING = "AP band: 500 Hz high-pass; LFP band: 1000 Hz low-pass"
_NO_DESCRIPTION = "no description"
_TEMPLATE_DATES = {"G": "2019.05.26", "H": "2019.05.26"}
_AMPLITUDE_SPREAD = 0.12


def write_session(path: Path, session: SimulatedSession) -> list[int]:
    """Write one session to ``path`` (overwritten); return the number of spikes per unit, in file order."""
    trains = list(session.spike_trains())
    waveforms = [
        draw_waveform(generator(session.settings, session.identity.index, WAVEFORM_STREAM, row), unit)
        for row, unit in enumerate(session.units)
    ]
    nwbfile = _nwb_file(session)
    _add_probes(nwbfile, session)
    clock = _add_stimulus_times(nwbfile, session)
    _add_intervals(nwbfile, session, clock)
    _add_behavior(nwbfile, session)
    _add_templates(nwbfile, session)
    if session.eye is not None:
        _add_eye(nwbfile, session.eye, session.identity.equipment_name)
    if len(session.laser):
        _add_laser(nwbfile, session.laser)
    _add_units(nwbfile, session, trains, waveforms)
    # An open file, because pynwb warns about paths that do not end in .nwb.
    with (
        h5py.File(path, "w") as file,
        NWBHDF5IO(file=file, mode="w", manager=extensions.build_manager()) as io,
    ):
        with warnings.catch_warnings():
            # The ellipses are SpatialSeries by inheritance, but hdmf expects unnamed ones as well.
            warnings.filterwarnings(
                "ignore", message="EllipseEyeTracking 'EyeTracking' is missing required value"
            )
            io.write(nwbfile)
        _as_in_release(file)
        _fill_units(file, session, trains, waveforms)
    return [len(train) for train in trains]


def _nwb_file(session: SimulatedSession) -> NWBFile:
    who = session.identity
    subject = extension_class("BehaviorSubject", BEHAVIOR)(
        subject_id=who.mouse_id,
        age=f"P{who.age_days}D",
        sex=who.sex,
        genotype=GENOTYPES[who.genotype],
        species="Mus musculus",
        description="A synthetic mouse of the visual behavior task",
        driver_line=list(DRIVER_LINES[who.genotype]),
        reporter_line=REPORTER_LINES[who.genotype],
    )
    nwbfile = NWBFile(
        session_description=who.session_type,
        identifier=str(who.session_id),
        session_start_time=who.start,
        institution="None: a synthetic session",
        keywords=["visual", "behavior", "task"],
        subject=subject,
    )
    nwbfile.add_lab_meta_data(_metadata(session))
    nwbfile.add_lab_meta_data(_task_parameters(session))
    return nwbfile


def _metadata(session: SimulatedSession) -> Any:
    return extension_class("BehaviorMetadata", BEHAVIOR)(
        name="metadata",
        project_code="Not Available",
        behavior_session_id=session.identity.behavior_session_id,
        stimulus_frame_rate=60.0,
        equipment_name=session.identity.equipment_name,
        behavior_session_uuid="None",
        session_type=session.identity.session_type,
    )


def _task_parameters(session: SimulatedSession) -> Any:
    return extension_class("BehaviorTaskParameters", BEHAVIOR)(
        name="task_parameters",
        stimulus_distribution="geometric",
        auto_reward_volume=0.005,
        stimulus_name=image_stimulus_name(session.identity.image_set),
        blank_duration_sec=["0.5", "0.5"],
        omitted_flash_fraction=0.05,
        task="change detection",
        n_stimulus_frames=int(FLASH_FRAMES * (~session.flashes.omitted).sum()),
        stimulus="images",
        session_type=session.identity.session_type,
        reward_volume=session.identity.reward_volume_ml,
        response_window_sec=["0.15", "0.75"],
        stimulus_duration_sec=0.25,
    )


def _add_probes(nwbfile: NWBFile, session: SimulatedSession) -> None:
    who = session.identity
    nwbfile.add_device(
        _device(Device, name=who.equipment_name, description="Synthetic rig", manufacturer="None")
    )
    groups = {}
    for probe, name in enumerate(who.probe_names):
        device = _device(
            extension_class("EcephysProbe", ECEPHYS),
            name=name,
            description="Neuropixels 1.0 Probe",
            manufacturer="imec",
            sampling_rate=30000.0 + 0.03 * (who.probe_id(probe) % 7 - 3),
            probe_id=who.probe_id(probe),
        )
        nwbfile.add_device(device)
        groups[name] = extension_class("EcephysElectrodeGroup", ECEPHYS)(
            name=name,
            description="Ecephys Electrode Group",
            location="See electrode locations",
            device=device,
            probe_id=who.probe_id(probe),
            has_lfp_data=False,
            lfp_sampling_rate=float("nan"),
        )
        nwbfile.add_electrode_group(groups[name])
    nwbfile.electrodes = _electrodes(session.channels, groups)


def _device(device_class: Any, **fields: Any) -> Any:
    """Create a device with ``manufacturer``, which the release's files have and newer pynwb deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The 'manufacturer' field is deprecated")
        return device_class(**fields)


_ELECTRODE_COLUMNS = {
    "location": "brain structure of the channel, None where it has no place",
    "group": "probe of the channel",
    "group_name": "name of the probe of the channel",
    "probe_vertical_position": "distance of the channel from the tip, um",
    "probe_horizontal_position": "position of the channel across the shank, um",
    "probe_id": "identifier of the probe",
    "probe_channel_number": "number of the channel on its probe, 0 at the tip",
    "valid_data": "whether the channel's data can be used",
    "x": "anterior-posterior CCF coordinate, um",
    "y": "dorsal-ventral CCF coordinate, um",
    "z": "left-right CCF coordinate, um",
    "imp": "impedance, not measured",
    "filtering": "filters of the hardware",
}


def _electrodes(channels: pd.DataFrame, groups: dict[str, Any]) -> DynamicTable:
    """Build the electrode table in the type of the installed pynwb; :func:`_as_in_release` renames it."""
    data = {name: _plain(channels[name]) for name in channels.columns}
    data["group"] = [groups[name] for name in channels["group_name"]]
    data["imp"] = np.full(len(channels), np.nan)
    data["filtering"] = [_FILTERING] * len(channels)
    columns = [VectorData(name=n, description=d, data=data[n]) for n, d in _ELECTRODE_COLUMNS.items()]
    ids = ElementIdentifiers(name="id", data=data["id"])
    newer = getattr(pynwb.ecephys, "ElectrodesTable", None)
    if newer is not None:
        return newer(columns=columns, id=ids)
    return DynamicTable(
        name="electrodes", description="metadata about extracellular electrodes", columns=columns, id=ids
    )


def _as_in_release(file: h5py.File) -> None:
    """Rename the electrode table's type to DynamicTable: AllenSDK's pynwb does not know the newer type."""
    attributes = file["general/extracellular_ephys/electrodes"].attrs
    attributes["neurodata_type"] = "DynamicTable"
    attributes["namespace"] = "hdmf-common"


def _plain(column: pd.Series[Any]) -> Any:
    """Return values for HDF5: text as a list of str, anything else as an array."""
    numeric = column.dtype.kind in "biuf"
    return column.to_numpy() if numeric else [str(value) for value in column]


def _add_stimulus_times(nwbfile: NWBFile, session: SimulatedSession) -> TimeSeries:
    stamps = session.clock.stimulus_timestamps
    clock = TimeSeries(name="timestamps", data=stamps, timestamps=stamps, unit="s")
    module = nwbfile.create_processing_module(name="stimulus", description="Times of the stimulus frames")
    module.add(clock)
    return clock


def _add_intervals(nwbfile: NWBFile, session: SimulatedSession, clock: TimeSeries) -> None:
    for name, table in session.presentations.items():
        samples = _sample_columns(table, clock, "stimulus_time_interval")
        nwbfile.add_time_intervals(
            _time_intervals(f"{name}_presentations", f"Presentations of {name}", table, samples)
        )
    nwbfile.trials = _time_intervals("trials", "experimental trials", session.behavior.trials)


def _time_intervals(
    name: str, description: str, table: pd.DataFrame, sample_columns: list[VectorData] | None = None
) -> TimeIntervals:
    columns: list[VectorData] = list(sample_columns or [])
    names = [column.name for column in columns if not isinstance(column, VectorIndex)]
    for column in table.columns:
        if column == "lick_times":
            columns += _ragged(column, list(table[column]))
        else:
            columns.append(VectorData(name=column, description=_NO_DESCRIPTION, data=_plain(table[column])))
    return TimeIntervals(
        name=name,
        description=description,
        columns=columns,
        colnames=[*table.columns, *names],
        id=ElementIdentifiers(name="id", data=np.arange(len(table))),
    )


def _ragged(name: str, rows: list[np.ndarray]) -> list[VectorData]:
    values = VectorData(name=name, description=_NO_DESCRIPTION, data=np.concatenate(rows))
    return [values, _index(values, [len(row) for row in rows])]


def _index(target: VectorData, lengths: list[int]) -> VectorIndex:
    return VectorIndex(name=f"{target.name}_index", data=_row_ends(lengths), target=target)


def _row_ends(lengths: list[int]) -> np.ndarray:
    """Return the ends of ragged rows, in the smallest unsigned type that holds them."""
    ends = np.cumsum(np.array(lengths, dtype=np.int64))
    return ends.astype(np.min_scalar_type(int(ends[-1])))


def _sample_columns(table: pd.DataFrame, series: TimeSeries, tag: str) -> list[VectorData]:
    """Return the columns ``tags`` and ``timeseries``: the samples of ``series`` in each interval."""
    first = np.searchsorted(series.timestamps, table["start_time"].to_numpy(), side="left")
    last = np.searchsorted(series.timestamps, table["stop_time"].to_numpy(), side="left")
    counts = np.maximum(last - first, 1)
    references = [TimeSeriesReference(int(i), int(n), series) for i, n in zip(first, counts, strict=True)]
    tags = VectorData(name="tags", description="user-defined tags", data=[tag] * len(table))
    samples = TimeSeriesReferenceVectorData(
        name="timeseries", description="samples of a TimeSeries", data=references
    )
    ones = [1] * len(table)
    return [tags, _index(tags, ones), samples, _index(samples, ones)]


def _add_behavior(nwbfile: NWBFile, session: SimulatedSession) -> None:
    behavior, running = session.behavior, session.running
    if len(behavior.lick_times_s):
        module = nwbfile.create_processing_module(name="licking", description="Licks")
        module.add(
            TimeSeries(name="licks", data=behavior.lick_frames, timestamps=behavior.lick_times_s, unit="N/A")
        )
    if len(behavior.rewards):
        module = nwbfile.create_processing_module(name="rewards", description="Rewards")
        times = behavior.rewards["timestamps"].to_numpy()
        for name, column in (("volume", "volume"), ("autorewarded", "auto_rewarded")):
            module.add(
                TimeSeries(name=name, data=behavior.rewards[column].to_numpy(), timestamps=times, unit="mL")
            )
    module = nwbfile.create_processing_module(name="running", description="Running speed")
    wheel = running.timestamps_s
    for name, data, unit in (
        ("speed", running.speed, "cm/s"),
        ("speed_unfiltered", running.speed_unfiltered, "cm/s"),
        ("dx", running.dx, "cm"),
    ):
        module.add(TimeSeries(name=name, data=data, timestamps=wheel, unit=unit))
    for name, data in (("v_sig", running.v_sig), ("v_in", running.v_in)):
        nwbfile.add_acquisition(TimeSeries(name=name, data=data, timestamps=wheel, unit="V"))


def _add_templates(nwbfile: NWBFile, session: SimulatedSession) -> None:
    image_set = session.identity.image_set
    names = IMAGES[image_set]
    warped = np.stack([warped_image(name, session.settings.template_shape) for name in names])
    template = extension_class("StimulusTemplate", TEMPLATE)(
        name=f"Natural_Images_Lum_Matched_set_ophys_{image_set}_{_TEMPLATE_DATES[image_set]}",
        data=warped,
        unwarped=np.stack([unwarped_image(image) for image in warped]),
        unit="NA",
        format="raw",
        timestamps=np.full(len(names), np.nan),
        control=np.arange(len(names), dtype=np.uint64),
        control_description=list(names),
    )
    nwbfile.add_stimulus_template(template)


def _add_eye(nwbfile: NWBFile, eye: SimulatedEye, equipment: str) -> None:
    first = _ellipse_series("eye_tracking", eye.eye, eye.timestamps_s)
    nwbfile.add_acquisition(
        extension_class("EllipseEyeTracking", EYE)(
            name="EyeTracking",
            eye_tracking=first,
            pupil_tracking=_ellipse_series("pupil_tracking", eye.pupil, first),
            corneal_reflection_tracking=_ellipse_series(
                "corneal_reflection_tracking", eye.corneal_reflection, first
            ),
            likely_blink=TimeSeries(
                name="likely_blink", data=eye.likely_blink, timestamps=first, unit="N/A", description="blinks"
            ),
        )
    )
    geometry = {
        "camera_position": ([102.8, 74.7, 31.6], "mm"),
        "camera_rotation": ([0.0, 0.0, 2.8], "deg"),
        "led_position": ([246.0, 92.3, 52.6], "mm"),
        "monitor_position": ([118.6, 86.2, 31.6], "mm"),
        "monitor_rotation": ([0.0, 0.0, 0.0], "deg"),
    }
    parts: dict[str, Any] = {name: values for name, (values, _) in geometry.items()}
    parts |= {f"{name}__unit_of_measurement": unit for name, (_, unit) in geometry.items()}
    name = "eye_tracking_rig_metadata"
    module = nwbfile.create_processing_module(name=name, description="Geometry of the eye tracking rig")
    module.add(
        extension_class("OphysEyeTrackingRigMetadata", BEHAVIOR)(name=name, equipment=equipment, **parts)
    )


def _ellipse_series(name: str, ellipse: Ellipse, timestamps: Any) -> Any:
    """Build one ellipse series; ``timestamps`` is an array, or the series to share them with (soft link)."""
    return extension_class("EllipseSeries", EYE)(
        name=name,
        reference_frame="nose",
        data=ellipse.center,
        area=ellipse.area,
        area_raw=ellipse.area_raw,
        width=ellipse.width,
        height=ellipse.height,
        angle=ellipse.angle,
        timestamps=timestamps,
    )


def _add_laser(nwbfile: NWBFile, laser: pd.DataFrame) -> None:
    durations = laser["duration"].to_numpy(dtype=np.float64)
    series = TimeSeries(
        name="optotagging", data=durations, timestamps=laser["start_time"].to_numpy(), unit="seconds"
    )
    samples = _sample_columns(laser, series, "optical_stimulation")
    table = _time_intervals("optogenetic_stimulation", "", laser, samples)
    module = nwbfile.create_processing_module(name="optotagging", description="Pulses of the laser")
    module.add(series)
    module.add(table)


def _unit_table(
    session: SimulatedSession, trains: list[np.ndarray], waveforms: list[Waveform]
) -> pd.DataFrame:
    rows = []
    for row, (unit, train, waveform) in enumerate(zip(session.units, trains, waveforms, strict=True)):
        drawn = draw_metrics(generator(session.settings, session.identity.index, METRIC_STREAM, row), unit)
        rows.append(
            {
                "cluster_id": unit.cluster_id,
                "local_index": unit.local_index,
                "peak_channel_id": unit.peak_channel_id,
                "quality": unit.quality,
                **drawn,
                **spike_metrics(train, session.end_s),
                **waveform_metrics(waveform),
            }
        )
    table = pd.DataFrame(rows)
    return table[sorted(table.columns)]


_LARGE_COLUMNS = {
    "spike_times": "times (s) of detected spiking events",
    "spike_amplitudes": "amplitude (V) of detected spiking events",
    "waveform_mean": "mean waveform (uV) on each channel of the unit's probe",
}


def _large_shapes(
    session: SimulatedSession, counts: list[int]
) -> dict[str, tuple[list[int], tuple[int, ...]]]:
    """Return entries per unit, and shape, of each large column."""
    shapes: dict[str, tuple[list[int], tuple[int, ...]]] = {
        name: (counts, (sum(counts),)) for name in ("spike_times", "spike_amplitudes")
    }
    if session.settings.waveforms:
        rows = [CHANNELS_PER_PROBE] * len(counts)
        shapes["waveform_mean"] = (rows, (sum(rows), N_SAMPLES))
    return shapes


def _add_units(
    nwbfile: NWBFile, session: SimulatedSession, trains: list[np.ndarray], waveforms: list[Waveform]
) -> None:
    """Add the unit table, with placeholders for the large columns, which :func:`_fill_units` fills."""
    metrics = _unit_table(session, trains, waveforms)
    shapes = _large_shapes(session, [len(train) for train in trains])
    columns = [
        VectorData(name=name, description=_NO_DESCRIPTION, data=_plain(metrics[name]))
        for name in metrics.columns
    ]
    for name, (_, shape) in shapes.items():
        values = VectorData(name=name, description=_LARGE_COLUMNS[name], data=np.zeros((1, *shape[1:])))
        columns += [values, _index(values, [1] * len(trains))]
    nwbfile.units = Units(
        name="units",
        description="",
        columns=columns,
        colnames=[*metrics.columns, *shapes],
        id=ElementIdentifiers(
            name="id", data=np.array([unit.unit_id for unit in session.units], dtype=np.int64)
        ),
    )


def _fill_units(
    file: h5py.File, session: SimulatedSession, trains: list[np.ndarray], waveforms: list[Waveform]
) -> None:
    shapes = _large_shapes(session, [len(train) for train in trains])
    large = {name: _reallocate(file["units"], name, *shape) for name, shape in shapes.items()}
    channels = session.channels.iloc[:CHANNELS_PER_PROBE]
    x_um = channels["probe_horizontal_position"].to_numpy(dtype=np.float64)
    y_um = channels["probe_vertical_position"].to_numpy(dtype=np.float64)
    stop = 0
    for row, (unit, train, waveform) in enumerate(zip(session.units, trains, waveforms, strict=True)):
        start, stop = stop, stop + len(train)
        rng = generator(session.settings, session.identity.index, AMPLITUDE_STREAM, row)
        relative = np.clip(1 + _AMPLITUDE_SPREAD * rng.standard_normal(len(train)), 0.3, None)
        large["spike_times"][start:stop] = train
        large["spike_amplitudes"][start:stop] = 1e-6 * unit.amplitude_uv * relative
        if "waveform_mean" in large:
            block = slice(CHANNELS_PER_PROBE * row, CHANNELS_PER_PROBE * (row + 1))
            large["waveform_mean"][block] = spread_over_probe(rng, waveform, unit.channel, x_um, y_um)


def _reallocate(table: h5py.Group, name: str, lengths: list[int], shape: tuple[int, ...]) -> h5py.Dataset:
    """Replace a ragged column by an empty one of this shape, contiguous as in the release.

    Its index is rewritten, too, because hdmf chooses its type by the length of the column.
    """
    index = f"{name}_index"
    attributes = {key: dict(table[key].attrs) for key in (name, index)}
    del table[name], table[index]
    dataset = table.create_dataset(name, shape=shape, dtype=np.float64)
    table.create_dataset(index, data=_row_ends(lengths))
    for key in (name, index):
        table[key].attrs.update(attributes[key])
    table[index].attrs["target"] = dataset.ref
    return dataset
