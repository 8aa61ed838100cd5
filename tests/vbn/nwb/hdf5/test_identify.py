"""What a file is, told by its content; and what is said about files that are something else."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import h5py
import pytest

from vbn import nwb
from vbn.errors import NotNwbError, NotReadableError, WrongKindError
from vbn.nwb.hdf5.identify import LFP_DESCRIPTION, unreadable

PARTS = ("root", "ephys", "task", "stimuli")


@pytest.fixture
def contents(request):
    """A whole recording."""
    return {path: value for part in PARTS for path, value in request.getfixturevalue(part).items()}


def without(contents, prefix):
    return {path: value for path, value in contents.items() if not path.startswith(prefix)}


def test_a_recording_has_its_kind_number_and_size(write_hdf5, contents):
    path = write_hdf5(contents)
    assert nwb.identify(path) == nwb.FileIdentity(
        path, nwb.FileKind.RECORDING, 1053941483, path.stat().st_size
    )
    assert nwb.identify(str(path)).path == path


def test_a_renamed_file_keeps_its_kind(write_hdf5, contents):
    path = write_hdf5(contents).rename(write_hdf5({}, "x").parent / "probe_probeA_lfp.nwb")
    assert nwb.identify(path).kind is nwb.FileKind.RECORDING


def test_an_lfp_file_is_known_by_its_description(write_hdf5, root, ephys):
    contents = without(ephys, "units") | root | {"session_description": LFP_DESCRIPTION, "identifier": "7"}
    identity = nwb.identify(write_hdf5(contents))
    assert (identity.kind, identity.identifier) == (nwb.FileKind.LFP, 7)


def test_a_behavior_only_file_is_numbered_by_its_behavior_session(write_hdf5, root, task):
    identity = nwb.identify(write_hdf5(root | task | {"identifier": "1053960987"}))
    assert (identity.kind, identity.identifier) == (nwb.FileKind.BEHAVIOR_ONLY, 1053960987)


@pytest.mark.parametrize("lost", ["units", "intervals/trials", "general/extracellular_ephys", "intervals"])
def test_a_recording_that_lost_a_part_is_still_a_recording(write_hdf5, contents, lost):
    """So that the reader of the part can say which one is lost."""
    assert nwb.identify(write_hdf5(without(contents, lost))).kind is nwb.FileKind.RECORDING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"general/metadata@behavior_session_id": None}, "has no behavior_session_id"),
        ({"processing/ophys@x": 1}, "optical physiology"),
        ({"identifier": "sub-01_ses-02"}, "identifier 'sub-01_ses-02' .* is not a whole number"),
        ({"identifier": "-5"}, "identifier '-5' .* is not a whole number"),
        ({"identifier": None}, "identifier '' .* is not a whole number"),
    ],
)
def test_other_nwb_files_are_refused_with_the_reason(write_hdf5, contents, change, reason):
    changed = {path: value for path, value in (contents | change).items() if value is not None}
    path = write_hdf5(changed)
    with pytest.raises(WrongKindError, match=reason):
        nwb.identify(path)


def test_metadata_alone_make_no_vbn_file(write_hdf5, root):
    path = write_hdf5(root)
    with pytest.raises(WrongKindError, match="neither units nor electrodes nor trials"):
        nwb.identify(path)


@pytest.mark.parametrize(
    "change", [{"@neurodata_type": None}, {"@nwb_version": None}, {"@neurodata_type": "Table"}]
)
def test_hdf5_without_an_nwb_root_is_no_nwb_file(write_hdf5, contents, change):
    changed = {path: value for path, value in (contents | change).items() if value is not None}
    path = write_hdf5(changed)
    with pytest.raises(NotNwbError, match="not an NWB file"):
        nwb.identify(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(NotReadableError, match=r"absent\.nwb: the file does not exist"):
        nwb.identify(tmp_path / "absent.nwb")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(NotReadableError, match="folder"):
        nwb.identify(tmp_path)


def test_a_path_through_a_file_does_not_exist(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotReadableError, match="not a folder"):
        nwb.identify(tmp_path / "file" / "session.nwb")


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "empty.nwb").touch()
    with pytest.raises(NotReadableError, match="empty"):
        nwb.identify(tmp_path / "empty.nwb")


@pytest.mark.parametrize("content", [b"x", b"just some text\n" * 1000, b"<html>404</html>"])
def test_what_is_not_hdf5_says_so(tmp_path, content):
    (tmp_path / "text.nwb").write_bytes(content)
    with pytest.raises(NotReadableError, match="not an HDF5 file"):
        nwb.identify(tmp_path / "text.nwb")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_says_so(write_hdf5, contents, share):
    """An interrupted download."""
    path = write_hdf5(contents)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(NotReadableError, match="cut short"):
        nwb.identify(path)


def test_a_forbidden_file_says_so(write_hdf5, contents, monkeypatch):
    """Root may read anything, so the refusal is made up."""
    path = write_hdf5(contents)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotReadableError, match="permission to read the file is refused"):
        nwb.identify(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_read_permission_says_so(write_hdf5, contents):
    path = write_hdf5(contents)
    path.chmod(0)
    with pytest.raises(NotReadableError, match="permission to read the file is refused"):
        nwb.identify(path)


def test_a_locked_file_is_not_called_damaged():
    error = unreadable("a.nwb", BlockingIOError(11, "Unable to open file (unable to lock file, errno = 11)"))
    assert "is locked" in str(error)
    assert "HDF5_USE_FILE_LOCKING" in error.advice


@pytest.mark.parametrize(
    "error",
    [
        KeyError("Unable to synchronously open object (memory allocation failed for chunk)"),
        OSError("Can't synchronously read data (memory allocation failed for raw data chunk)"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_file_for_which_there_is_no_memory_is_not_called_damaged(error):
    refused = unreadable("a.nwb", error)
    assert "there is not enough memory to read it" in str(refused)
    assert "Check it" not in str(refused)


def test_a_damaged_object_is_not_readable(write_hdf5, contents, monkeypatch):
    path = write_hdf5(contents)

    def fail(*args):
        raise RuntimeError("Unable to get group info (bad symbol table node)")

    monkeypatch.setattr(h5py.File, "get", fail)
    with pytest.raises(NotReadableError, match="bad symbol table node"):
        nwb.identify(path)


def test_identify_leaves_the_file_closed(write_hdf5, contents):
    path = write_hdf5(contents)
    nwb.identify(path)
    with h5py.File(path, "r+"):
        pass


def test_only_recordings_are_accepted(tmp_path):
    path = tmp_path / "file.nwb"
    nwb.require_recording(nwb.FileIdentity(path, nwb.FileKind.RECORDING, 1, 1))
    with pytest.raises(WrongKindError, match=r"LFP file of one probe .* ecephys_session_<id>\.nwb"):
        nwb.require_recording(nwb.FileIdentity(path, nwb.FileKind.LFP, 7, 1))
    with pytest.raises(WrongKindError, match="behaviour-only session 5, not a recording"):
        nwb.require_recording(nwb.FileIdentity(path, nwb.FileKind.BEHAVIOR_ONLY, 5, 1))


def test_errors_survive_the_way_back_from_a_worker(tmp_path):
    with pytest.raises(NotReadableError) as caught:
        nwb.identify(tmp_path / "absent.nwb")
    back = pickle.loads(pickle.dumps(caught.value))
    assert (type(back), str(back)) == (NotReadableError, str(caught.value))
