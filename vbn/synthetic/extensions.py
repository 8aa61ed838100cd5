"""NWB extension types of VBN files, declared for the writer of synthetic files only.

The release's files use four extensions of NWB's core: probes, behavior metadata, image templates and ellipse
eye tracking. They are declared here under the same names and versions, so that readers treat the files alike.
:func:`build_manager` uses a type map of its own: pynwb's global one is not changed, and files with cached
namespaces of the same names can be read in the same process.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hdmf.build import BuildManager, TypeMap
from pynwb import get_type_map
from pynwb.spec import NWBAttributeSpec, NWBDatasetSpec, NWBGroupSpec, NWBNamespaceBuilder

ECEPHYS = "ndx-aibs-ecephys"
BEHAVIOR = "ndx-aibs-behavior-ophys"
TEMPLATE = "ndx-aibs-stimulus-template"
EYE = "ndx-ellipse-eye-tracking"
VERSIONS = {ECEPHYS: "0.2.0", BEHAVIOR: "0.2.0", TEMPLATE: "0.1.0", EYE: "0.1.0"}


def _attribute(name: str, dtype: str, doc: str, **more: Any) -> NWBAttributeSpec:
    return NWBAttributeSpec(name=name, dtype=dtype, doc=doc, **more)


def _group(type_name: str, base: str, doc: str, **parts: Any) -> NWBGroupSpec:
    return NWBGroupSpec(neurodata_type_def=type_name, neurodata_type_inc=base, doc=doc, **parts)


def _ecephys_types() -> list[NWBGroupSpec]:
    probe_id = ("probe_id", "int", "Identifier of the probe in the data set")
    return [
        _group(
            "EcephysProbe",
            "Device",
            "One Neuropixels probe",
            attributes=[
                _attribute("sampling_rate", "float64", "Samples per second of the spike band"),
                _attribute(*probe_id),
            ],
        ),
        _group(
            "EcephysElectrodeGroup",
            "ElectrodeGroup",
            "All channels of one Neuropixels probe",
            attributes=[
                _attribute("has_lfp_data", "bool", "Whether a file with the probe's LFP exists"),
                _attribute(*probe_id),
                _attribute("lfp_sampling_rate", "float64", "Samples per second of the LFP, NaN without LFP"),
            ],
        ),
    ]


def _behavior_types() -> list[NWBGroupSpec]:
    return [_task_parameters(), _subject(), _metadata(), _rig_geometry()]


def _task_parameters() -> NWBGroupSpec:
    pair = {"shape": (2,)}
    return _group(
        "BehaviorTaskParameters",
        "LabMetaData",
        "How the change detection task was set",
        attributes=[
            _attribute("stimulus_distribution", "text", "Distribution the change times are drawn from"),
            _attribute("auto_reward_volume", "float", "Water of a free reward, mL"),
            _attribute("stimulus_name", "text", "Name of the set of images"),
            _attribute("blank_duration_sec", "text", "Least and greatest gap between two images, s", **pair),
            _attribute("omitted_flash_fraction", "float", "Probability that an image is left out"),
            _attribute("task", "text", "Name of the task"),
            _attribute("n_stimulus_frames", "int", "Frames with an image on screen"),
            _attribute("stimulus", "text", "Kind of stimulus"),
            _attribute("session_type", "text", "Name of the protocol"),
            _attribute("reward_volume", "float", "Water of an earned reward, mL"),
            _attribute("response_window_sec", "text", "When after a change a lick is rewarded, s", **pair),
            _attribute("stimulus_duration_sec", "float", "Time an image stays on screen, s"),
        ],
    )


def _subject() -> NWBGroupSpec:
    return _group(
        "BehaviorSubject",
        "Subject",
        "The mouse, with its transgenic lines",
        attributes=[
            _attribute(
                "driver_line", "text", "Driver lines, empty for a wild type", shape=(None,), required=False
            ),
            _attribute("reporter_line", "text", "Reporter line"),
        ],
    )


def _metadata() -> NWBGroupSpec:
    return _group(
        "BehaviorMetadata",
        "LabMetaData",
        "What identifies a behaviour session",
        attributes=[
            _attribute("project_code", "text", "Project the session belongs to"),
            _attribute("behavior_session_id", "int", "Identifier of the behaviour session"),
            _attribute("stimulus_frame_rate", "float", "Nominal frames per second of the monitor"),
            _attribute("equipment_name", "text", "Name of the rig"),
            _attribute("behavior_session_uuid", "text", "Identifier of the session in the training system"),
            _attribute("session_type", "text", "Name of the protocol"),
        ],
    )


def _rig_geometry() -> NWBGroupSpec:
    def vector(name: str, doc: str) -> NWBDatasetSpec:
        unit = _attribute("unit_of_measurement", "text", "Unit of the three numbers")
        return NWBDatasetSpec(
            name=name, doc=doc, dtype="float", shape=(None,), dims=("x, y, z",), attributes=[unit]
        )

    return _group(
        "OphysEyeTrackingRigMetadata",
        "NWBDataInterface",
        "Where eye camera, light and monitor stand",
        attributes=[_attribute("equipment", "text", "Name of the rig")],
        datasets=[
            vector("camera_rotation", "Rotation of the camera about x, y, z"),
            vector("camera_position", "Position of the camera"),
            vector("led_position", "Position of the infrared light"),
            vector("monitor_position", "Position of the monitor"),
            vector("monitor_rotation", "Rotation of the monitor about x, y, z"),
        ],
    )


def _template_types() -> list[NWBGroupSpec]:
    unwarped = NWBDatasetSpec(
        name="unwarped",
        doc="The images before warping, NaN where the warped image leaves the screen",
        dtype="float",
        shape=(None, None, None),
    )
    return [
        _group(
            "StimulusTemplate", "ImageSeries", "Images, warped for the eye's position", datasets=[unwarped]
        )
    ]


def _eye_types() -> list[NWBGroupSpec]:
    centre = NWBDatasetSpec(
        name="data",
        doc="Centre (x, y) of the ellipse",
        dtype="numeric",
        shape=(None, 2),
        dims=("num_times", "x, y"),
        attributes=[
            _attribute("unit", "text", "Unit of the centre", default_value="meters", required=False),
            _attribute("conversion", "float32", "Factor to that unit", default_value=1.0, required=False),
            _attribute("offset", "float32", "Added after the factor", default_value=0.0, required=False),
            _attribute(
                "resolution", "float32", "Smallest step, -1 if unknown", default_value=-1.0, required=False
            ),
            _attribute("continuity", "text", "How to read between samples", required=False),
        ],
    )
    traces = {
        "area": "Area of the ellipse, NaN in likely blinks",
        "area_raw": "Area of the ellipse, blinks included",
        "width": "First half axis",
        "height": "Second half axis",
        "angle": "Rotation of the ellipse",
    }
    series = [NWBDatasetSpec(name=n, doc=d, dtype="float", shape=(None,)) for n, d in traces.items()]
    parts = [
        NWBGroupSpec(name="eye_tracking", neurodata_type_inc="EllipseSeries", doc="The eye's outline"),
        NWBGroupSpec(name="pupil_tracking", neurodata_type_inc="EllipseSeries", doc="The pupil"),
        NWBGroupSpec(
            name="corneal_reflection_tracking",
            neurodata_type_inc="EllipseSeries",
            doc="The light's reflection",
        ),
        NWBGroupSpec(
            name="likely_blink", neurodata_type_inc="TimeSeries", doc="Whether the eye was likely shut"
        ),
    ]
    return [
        _group("EllipseSeries", "SpatialSeries", "An ellipse that moves in time", datasets=[centre, *series]),
        _group("EllipseEyeTracking", "EyeTracking", "Ellipses around eye, pupil and reflection",
               default_name="EyeTracking", groups=parts),
    ]  # fmt: skip


def _load(type_map: TypeMap, folder: Path, name: str, types: list[NWBGroupSpec]) -> None:
    builder = NWBNamespaceBuilder(
        doc=f"The types of {name} that Visual Behavior Neuropixels recordings use",
        name=name,
        version=VERSIONS[name],
        author="vbn-datajoint",
        contact="vbn-datajoint",
    )
    builder.include_namespace("core")
    source = f"{name}.extension.yaml"
    for spec in types:
        builder.add_spec(source, spec)
    builder.export(f"{name}.namespace.yaml", outdir=str(folder))
    type_map.load_namespaces(str(folder / f"{name}.namespace.yaml"))


@cache
def _type_map() -> TypeMap:
    type_map = get_type_map()
    declared = {
        ECEPHYS: _ecephys_types(),
        BEHAVIOR: _behavior_types(),
        TEMPLATE: _template_types(),
        EYE: _eye_types(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, types in declared.items():
            _load(type_map, Path(folder), name, types)
    return type_map


def build_manager() -> BuildManager:
    """Return a manager that writes core and extension types, without changing pynwb's global types."""
    return BuildManager(_type_map())


def extension_class(type_name: str, namespace: str) -> Any:
    """Return the container class of an extension type, from the type map of :func:`build_manager`."""
    return _type_map().get_dt_container_cls(type_name, namespace)
