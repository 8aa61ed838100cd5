"""LFP files that were copied, touched or changed: the same content is the same file, with a hash or not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.files

LFP_DESCRIPTION = "LFP data and associated info for one probe"
N_SAMPLES = 50


def write_lfp(path: Path, recording: Path, value: float = 0.0) -> int:
    """Write the LFP file of a recording's first probe; return the probe's id."""
    with h5py.File(recording) as source, h5py.File(path, "w") as file:
        electrodes = source["general/extracellular_ephys/electrodes"]
        probe_id = int(electrodes["probe_id"][0])
        file.attrs.update({"neurodata_type": "NWBFile", "nwb_version": "2.6.0", "namespace": "core"})
        file["identifier"], file["session_description"] = str(probe_id), LFP_DESCRIPTION
        for name in ("session_start_time", "timestamps_reference_time"):
            file[name] = source[name][()]
        for name in ("general/metadata", "general/subject", "general/devices"):
            source.copy(name, file, name)
        table = file.create_group("general/extracellular_ephys/electrodes")
        rows = np.flatnonzero(electrodes["probe_id"][:] == probe_id)[:4]
        for name in electrodes:
            if isinstance(electrodes[name], h5py.Dataset) and name != "group":
                table[name] = electrodes[name][:][rows]
        name = next(name for name in source["general/devices"] if name.startswith("probe"))
        source.copy(f"general/extracellular_ephys/{name}", file["general/extracellular_ephys"], name)
        series = file.create_group(f"acquisition/probe_{probe_id}_lfp/probe_{probe_id}_lfp_data")
        series["data"] = np.full((N_SAMPLES, len(rows)), value, np.float32)
        series["timestamps"] = np.arange(N_SAMPLES) / 1250
    return probe_id


@pytest.fixture
def lab(database: Any, synthetic_files: list[Path], open_folder: Path) -> Any:
    """A database with a recording and the LFP file of one of its probes, which is ``database.lfp``."""
    database.lfp = open_folder / f"{database.prefix}lfp.nwb"
    database.probe_id = write_lfp(database.lfp, synthetic_files[0])
    outcomes = database.json_lines("register", synthetic_files[0], database.lfp)
    assert [line["status"] for line in outcomes] == ["registered"] * 2, outcomes
    return database


def forget_hash(database: Any) -> None:
    """Let the row be as an earlier version left it."""
    from schemas import session

    database.connect()
    session.LfpFile.update1({**session.LfpFile.fetch1("KEY"), "lfp_blake2b": None})


def copied(database: Any, name: str, change: Callable[[Path], Any] = Path) -> Path:
    path = database.lfp.with_name(f"{database.prefix}{name}.nwb")
    shutil.copyfile(database.lfp, path)
    change(path)
    os.utime(path, ns=(1, 1))
    return path


def other_samples(path: Path) -> None:
    """Other content, same size."""
    with h5py.File(path, "r+") as file:
        (series,) = file["acquisition"].values()
        next(iter(series.values()))["data"][...] = 1.0


def other_times(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        (series,) = file["acquisition"].values()
        next(iter(series.values()))["timestamps"][...] += 1.0


def status_of(database: Any, path: Path, *words: str) -> tuple[str, str]:
    (line,) = database.json_lines("register", path, *words, check=False)
    return line["status"], line["message"]


def test_a_hash_is_kept(lab: Any) -> None:
    from schemas import session
    from vbn.release.cache import content_hash

    lab.connect()
    assert session.LfpFile.fetch1("lfp_blake2b") == content_hash(lab.lfp)


@pytest.mark.parametrize("has_hash", [True, False])
def test_a_copy_is_the_same_file_and_another_content_is_not(lab: Any, has_hash: bool) -> None:
    from schemas import session

    if not has_hash:
        forget_hash(lab)
    assert status_of(lab, copied(lab, "copy"))[0] == "unchanged"
    status, message = status_of(lab, copied(lab, "other", other_samples))
    assert status == "failed"
    probe = f"the LFP of probe {lab.probe_id} (probeA of session 9000000001) is registered from local:"
    assert probe in message
    assert "session 9100000001" not in message
    assert ("blake2b" in message) == has_hash
    assert "--replace" in message
    assert status_of(lab, copied(lab, "right", other_samples), "--replace")[0] == "replaced"
    assert session.LfpFile.fetch1("lfp_blake2b") is not None


def test_a_touched_file_without_hash_is_compared_with_what_was_imported(lab: Any) -> None:
    forget_hash(lab)
    os.utime(lab.lfp, ns=(5, 5))
    assert status_of(lab, lab.lfp)[0] == "unchanged"  # nothing was made from it
    lab.call("populate", "--table", "Recording", "--table", "Lfp")
    assert status_of(lab, lab.lfp)[0] == "unchanged"
    assert lab.json("stale") == []
    other_times(lab.lfp)
    assert status_of(lab, lab.lfp)[0] == "failed"


def test_a_copy_of_a_registered_file_that_is_gone(lab: Any) -> None:
    copy = copied(lab, "copy")
    lab.lfp.unlink()
    assert status_of(lab, copy)[0] == "unchanged"
    forget_hash(lab)
    assert status_of(lab, copy)[0] == "unchanged"


def test_what_is_hashed_is_what_is_read(
    database: Any, synthetic_files: list[Path], open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file is put in the place of the first after that was opened."""
    from populate.registration import register
    from schemas import session

    path, other = (open_folder / f"{database.prefix}{name}_lfp.nwb" for name in ("swapped", "other"))
    write_lfp(path, synthetic_files[0])
    write_lfp(other, synthetic_files[0], value=1.0)
    hash_it = register.hash_and_version

    def swap_and_hash(place: Path, *report: Any) -> Any:
        if place == path:
            other.replace(path)
        return hash_it(place, *report)

    monkeypatch.setattr(register, "hash_and_version", swap_and_hash)
    lines = database.json_lines("register", synthetic_files[0], path, check=False)
    assert [line["status"] for line in lines] == ["registered", "failed"]
    assert "while it was read" in lines[1]["message"]
    assert not session.LfpFile()
