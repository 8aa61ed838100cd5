"""The files have the layout of those that AllenSDK writes: paths, columns, types, dimensions, attributes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Layout = dict[str, Any]

# Deliberate differences: none in paths, types, dimensions or attribute names. Not compared at all:
# values of attributes other than types, units and column names (descriptions are in our own words); chunking
# and compression (ours are in one piece, as in the release, the corpus's tables are compressed); the width of
# unsigned indices (the smallest that holds the data); the cached core specifications and NWB version (of the
# writer's pynwb).


def layout(path: Path) -> Layout:
    """Walk a file with nothing but h5py; sessions' own names (probes, rig, image set) become placeholders."""
    with h5py.File(path) as file:
        names = {"_G_": "_SET_", "_H_": "_SET_", **dict.fromkeys(("NP.0", "NP.1"), "RIG")}
        probes = sorted(name for name in file["general/extracellular_ephys"] if name != "electrodes")
        names |= {name: f"PROBE{number}" for number, name in enumerate(probes)}
        found: Layout = {"/": _attributes(file)}
        _walk(file, "", found)
    return {_renamed(path, names): value for path, value in found.items()}


def _renamed(text: str, names: dict[str, str]) -> str:
    for own, placeholder in names.items():
        text = text.replace(own, placeholder)
    return text


def _walk(group: h5py.Group, above: str, found: Layout) -> None:
    for name in group:
        path, link = f"{above}/{name}", group.get(name, getlink=True)
        if path == "/specifications":
            found[path] = {n: tuple(group[name][n]) for n in group[name] if n.startswith("ndx-")}
        elif isinstance(link, h5py.SoftLink):
            found[path] = "soft link"
        elif isinstance(group[name], h5py.Group):
            found[path] = _attributes(group[name])
            _walk(group[name], path, found)
        else:
            found[path] = (_kind(group[name].dtype), group[name].ndim, _attributes(group[name]))


def _kind(dtype: np.dtype) -> str:
    if h5py.check_string_dtype(dtype):
        return "text"
    if h5py.check_ref_dtype(dtype):
        return "reference"
    if dtype.names:
        return str(tuple((name, _kind(dtype[name])) for name in dtype.names))
    return "unsigned index" if dtype.kind == "u" and dtype.itemsize < 8 else str(dtype)


def _attributes(item: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    compared = {"neurodata_type", "namespace", "unit", "unit_of_measurement"}
    found: dict[str, Any] = {}
    for name, value in item.attrs.items():
        if name == "colnames":
            found[name] = sorted(value)
        elif name in compared:
            found[name] = value
        else:
            found[name] = (
                str(value.dtype) if isinstance(value, np.ndarray | np.generic) else type(value).__name__
            )
    return found


def test_layout_is_that_of_a_recording_written_by_allensdk(corpus_recording: Path, dataset: Any) -> None:
    theirs, ours = layout(corpus_recording), layout(dataset.paths[0])
    theirs["/"].pop("nwb_version"), ours["/"].pop("nwb_version")
    assert sorted(set(theirs) ^ set(ours)) == []
    assert {path: (theirs[path], ours[path]) for path in theirs if theirs[path] != ours[path]} == {}


def test_every_session_has_the_same_layout_whatever_its_mouse(dataset: Any) -> None:
    first, *others = (layout(path) for path in dataset.paths)
    driver_line = first["/general/subject"].pop("driver_line")
    for other in others[:3]:
        assert other["/general/subject"].pop("driver_line") == driver_line == "object"
        assert other == first
    # The wild type's list of driver lines is empty, which HDF5 stores as float64; so do real files.
    assert others[3]["/general/subject"].pop("driver_line") == "float64"
    assert others[3] == first


def test_large_datasets_are_in_one_piece(recording: Path) -> None:
    with h5py.File(recording) as file:
        for name in ("spike_times", "spike_amplitudes", "waveform_mean"):
            assert file["units"][name].chunks is None
            assert file["units"][name].compression is None


def test_indices_point_at_their_columns_and_end_at_their_lengths(recording: Path) -> None:
    with h5py.File(recording) as file:
        tables = [
            file["units"],
            *file["intervals"].values(),
            file["processing/optotagging/optogenetic_stimulation"],
        ]
        indices = [table[name] for table in tables for name in table if "target" in table[name].attrs]
        assert len(indices) > 10
        for index in indices:
            target = file[index.attrs["target"]]
            assert target.name == index.name.removesuffix("_index")
            ends = index[:].astype(np.int64)
            assert (np.diff(ends) >= 0).all()
            assert ends[-1] == len(target)
            assert index.dtype == np.min_scalar_type(int(ends[-1]))


def test_timestamps_of_the_eyes_parts_are_soft_links(recording: Path) -> None:
    with h5py.File(recording) as file:
        for part in ("pupil_tracking", "corneal_reflection_tracking", "likely_blink"):
            link = file["acquisition/EyeTracking"][part].get("timestamps", getlink=True)
            assert link.path == "/acquisition/EyeTracking/eye_tracking/timestamps"


READ = """
import sys
from pathlib import Path
def read(path):
    import pynwb
    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
        file = io.read()
        assert len(file.units["spike_times"][0]) > 0
        assert len(file.electrodes) % 384 == 0
        return type(file.acquisition["EyeTracking"]).__name__, file.lab_meta_data["metadata"].session_type
def write(folder):
    from vbn.synthetic import SyntheticSettings, write_sessions
    settings = SyntheticSettings(sessions=1, minutes=2, units_per_probe=2, probes=1, waveforms=False)
    return str(write_sessions(Path(folder), settings)[0])
order, folder, corpus = sys.argv[1:]
for step in order:
    if step == "w":
        written = write(folder)
    else:
        name, session_type = read(corpus if step == "c" else written)
        assert name == "EllipseEyeTracking" and session_type.startswith("EPHYS_1_images_"), name
"""


@pytest.mark.parametrize("order", ["wcswsc", "cwsc"])
def test_pynwb_reads_both_kinds_in_one_process_in_any_order(
    order: str, tmp_path: Path, corpus_recording: Path
) -> None:
    """Letters: (w)rite, read the (c)orpus file, read the (s)ynthetic one."""
    command = [sys.executable, "-c", READ, order, str(tmp_path), str(corpus_recording)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pynwbs_own_types_stay_as_they_were(dataset: Any) -> None:
    import pynwb

    known = pynwb.get_type_map().namespace_catalog.namespaces
    assert not [name for name in known if name.startswith("ndx-")]


def test_pynwb_finds_nothing_wrong(dataset: Any) -> None:
    """Accepted: an unnamed SpatialSeries wanted by EyeTracking, which the release's files lack just so."""
    import pynwb

    with pynwb.NWBHDF5IO(dataset.paths[0], "r", load_namespaces=True) as io:
        problems = [str(problem) for problem in pynwb.validate(io=io)]
    assert [problem for problem in problems if "SpatialSeries" not in problem] == []
