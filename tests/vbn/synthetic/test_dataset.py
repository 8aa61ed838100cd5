"""The data set as a whole: determinism, csv tables, progress, and what is left behind by a failure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from vbn.synthetic import SyntheticSettings, write_sessions

SMALL = {"sessions": 1, "seed": 3, "minutes": 2, "probes": 1, "units_per_probe": 3, "template_shape": (8, 12)}
NOT_REPEATED = {"/file_create_date"}


def values(path: Path) -> dict[str, bytes]:
    """All datasets as bytes, except references, the creation date and pynwb's own specifications."""
    found: dict[str, bytes] = {}

    def visit(name: str, item: Any) -> None:
        skipped = name.startswith("specifications") or f"/{name}" in NOT_REPEATED
        if isinstance(item, h5py.Dataset) and not skipped and not _has_references(item.dtype):
            data = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            found[name] = repr(np.asarray(data).tolist()).encode()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def _has_references(dtype: np.dtype) -> bool:
    parts = [dtype[name] for name in dtype.names] if dtype.names else [dtype]
    return any(h5py.check_ref_dtype(part) for part in parts)


@dataclass(frozen=True)
class Written:
    """A data set, the values of its first session, and what was told while it was written."""

    folder: Path
    path: Path
    values: dict[str, bytes]
    told: list[tuple[int, int]]


def written(folder: Path, **changed: Any) -> Written:
    told: list[tuple[int, int]] = []
    settings = SyntheticSettings(**{**SMALL, **changed})
    path = write_sessions(folder, settings, progress=lambda done, total: told.append((done, total)))[0]
    return Written(folder, path, values(path), told)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """One session. For reading only."""
    return written(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two sessions, else the same. For reading only."""
    return written(tmp_path_factory.mktemp("two"), sessions=2)


def test_equal_settings_give_equal_files_and_another_seed_others(tmp_path: Path, small: Written) -> None:
    again = written(tmp_path / "again")
    first, other = small.values, written(tmp_path / "other", seed=4).values
    assert first == again.values
    assert first.keys() == other.keys()
    differing = {name for name in first if first[name] != other[name]}
    assert {"units/spike_times", "intervals/trials/start_time", "processing/running/speed/data"} <= differing
    truths = [(of.folder / "ground_truth.json").read_bytes() for of in (small, again)]
    assert truths[0] == truths[1]


def test_a_session_is_the_same_whether_alone_or_among_others(small: Written, two: Written) -> None:
    assert small.values == two.values


def test_fewer_extras_leave_the_rest_as_it_was(tmp_path: Path, small: Written) -> None:
    whole = small.values
    bare = written(tmp_path / "bare", eye_tracking=False, waveforms=False).values
    assert set(bare) < set(whole)
    assert not [name for name in bare if "EyeTracking" in name or "waveform_mean" in name]
    assert not [name for name in bare if bare[name] != whole[name]]


def test_without_laser_there_is_no_table(tmp_path: Path) -> None:
    path = write_sessions(tmp_path, SyntheticSettings(**SMALL, laser=False))[0]
    with h5py.File(path) as file:
        assert "optotagging" not in file["processing"]
    truth = json.loads((tmp_path / "ground_truth.json").read_text())["sessions"][path.parent.name]
    assert (truth["n_laser"], truth["laser_levels"]) == (0, [])


def test_progress_is_told_from_nothing_to_all(two: Written) -> None:
    assert two.told == [(0, 2), (1, 2), (2, 2)]


def test_a_failure_leaves_no_half_a_file_and_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Written
) -> None:
    import vbn.synthetic.writer

    shutil.copytree(small.folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / small.path.relative_to(small.folder)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(vbn.synthetic.writer, "_fill_units", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sessions(tmp_path, SyntheticSettings(**SMALL))
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob("*.part*"))


def test_paths_are_the_releases(dataset: Any) -> None:
    assert [path.relative_to(dataset.folder).as_posix() for path in dataset.paths[:1]] == [
        "behavior_ecephys_sessions/9000000001/ecephys_session_9000000001.nwb"
    ]
    assert len(dataset.paths) == len(dataset.truth["sessions"]) == 5
    assert not list(dataset.folder.rglob("*.part*"))


def test_csv_tables_describe_the_sessions(dataset: Any) -> None:
    folder = dataset.folder / "project_metadata"
    sessions = pd.read_csv(folder / "ecephys_sessions.csv", index_col="ecephys_session_id")
    behavior = pd.read_csv(folder / "behavior_sessions.csv", index_col="behavior_session_id")
    for session_id, truth in dataset.truth["sessions"].items():
        row = sessions.loc[int(session_id)]
        assert row["experience_level"] == truth["experience_level"]
        assert (row["image_set"], row["genotype"]) == (truth["image_set"], truth["genotype"])
        assert str(row["mouse_id"]) == truth["mouse_id"]
        assert row["session_number"] == (1 if truth["experience_level"] == "Familiar" else 2)
        assert (row["unit_count"], row["probe_count"], row["channel_count"]) == (32, 2, 768)
        assert "'VISam'" in row["structure_acronyms"]
        assert behavior.loc[row["behavior_session_id"], "ecephys_session_id"] == int(session_id)


def test_csv_tables_have_the_releases_columns(dataset: Any, corpus_recording: Path) -> None:
    for name in ("ecephys_sessions.csv", "behavior_sessions.csv"):
        theirs = pd.read_csv(corpus_recording.parents[2] / "project_metadata" / name)
        ours = pd.read_csv(dataset.folder / "project_metadata" / name)
        assert ours.columns.tolist() == theirs.columns.tolist()


def test_importing_the_package_imports_no_nwb_library() -> None:
    code = "import sys, vbn.synthetic; sys.exit('pynwb' in sys.modules or 'hdmf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
