"""Which files are taken from the paths that a user names."""

from __future__ import annotations

import os

import pytest

from vbn import nwb
from vbn.errors import NotFoundError, NotReadableError


@pytest.fixture
def folder(tmp_path):
    """A download folder with all that may lie about in one."""
    names = ("b/2.nwb", "a/1.nwb", "a/UPPER.NWB", "a/notes.txt", "a/3.nwb.part", "a/._1.nwb", ".cache/4.nwb")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_folders_are_searched_and_sorted(folder):
    found = [path.relative_to(folder).as_posix() for path in nwb.find_nwb_files([folder])]
    assert found == ["a/1.nwb", "a/UPPER.NWB", "b/2.nwb"]


def test_files_are_taken_as_given_and_in_order(folder):
    given = [folder / "b/2.nwb", folder / "a/notes.txt", folder / "a/1.nwb"]
    assert nwb.find_nwb_files(given) == given
    assert nwb.find_nwb_files([str(path) for path in given]) == given


def test_one_path_is_as_good_as_a_list(folder):
    assert nwb.find_nwb_files(str(folder / "a")) == nwb.find_nwb_files([folder / "a"])


def test_no_file_comes_twice(folder):
    """By whichever path, also through a link."""
    (folder / "b/link.nwb").symlink_to(folder / "a/1.nwb")
    found = nwb.find_nwb_files([folder / "a/1.nwb", folder, folder / "a", folder / "b/../a/1.nwb"])
    assert found == [folder / "a/1.nwb", folder / "a/UPPER.NWB", folder / "b/2.nwb"]


def test_linked_folders_are_followed_once(folder):
    (folder / "b/loop").symlink_to(folder)
    assert len(nwb.find_nwb_files([folder])) == 3


def test_a_broken_link_is_listed_for_the_reader_to_complain_about(folder):
    (folder / "b/gone.nwb").symlink_to(folder / "nowhere.nwb")
    assert folder / "b/gone.nwb" in nwb.find_nwb_files([folder])


def test_an_absent_path_is_named(folder):
    with pytest.raises(NotReadableError, match="absent: the path does not exist"):
        nwb.find_nwb_files([folder, folder / "absent"])


def test_a_folder_without_nwb_files_is_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(NotFoundError, match="empty: no NWB file"):
        nwb.find_nwb_files([folder / "empty"])


def test_no_paths_give_no_files():
    assert nwb.find_nwb_files([]) == []


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    """Root may list anything, so the refusal is made up."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(NotReadableError, match="permission"):
        nwb.find_nwb_files([folder])
