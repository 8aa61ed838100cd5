"""Brain structures: groups of them are queries, and no acronym of a file is lost."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import pytest

from schemas import ecephys, session

UNKNOWN = "Zz9"
# By hand, from the atlas: what anybody would expect in each group.
MEMBERS = {
    "visual cortex": {"VISp", "VISl", "VISal", "VISam", "VISpm", "VISrl", "VISli"},
    "thalamus": {"LGd", "LP", "LGv", "PO", "Eth", "TH"},
    "hippocampus": {"CA1", "CA3", "DG", "SUB", "ProS", "POST", "HPF"},
    "midbrain": {"MRN", "SCig", "APN", "MB"},
    "unassigned": {"root", "grey"},
}


@pytest.mark.parametrize("group", MEMBERS)
def test_the_groups_hold_what_anybody_would_expect(synthetic_database: Any, group: str) -> None:
    stored = (ecephys.Structure & {"structure_group": group}).to_arrays("structure_acronym")
    assert MEMBERS[group] <= set(stored.tolist())


def test_there_are_more_structures_than_the_release_shows(synthetic_database: Any) -> None:
    names = set(ecephys.Structure.to_arrays("structure_acronym").tolist())
    assert len(names) > 50
    assert {"root", "grey"} <= names


def test_the_parent_of_every_structure_is_one_and_all_lead_to_the_root(synthetic_database: Any) -> None:
    parents = {row["structure_acronym"]: row["parent_acronym"] for row in ecephys.Structure.to_dicts()}
    known = {name: parent for name, parent in parents.items() if name != "root" and parent is not None}
    assert set(known.values()) <= parents.keys()
    for name in known:
        steps = 0
        while name != "root":
            name, steps = parents[name], steps + 1
            assert steps < 20


def test_a_name_finds_its_own_structure_where_another_differs_in_case_only(synthetic_database: Any) -> None:
    names = ecephys.Structure.to_arrays("structure_acronym").tolist()
    assert [name for name, number in Counter(map(str.lower, names)).items() if number > 1] == ["cm"]
    for name in names:
        assert (ecephys.Structure & {"structure_acronym": name}).fetch1("structure_acronym") == name
    assert len(ecephys.Structure & {"structure_acronym": "visp"}) == 0


@pytest.fixture
def with_unknown(synthetic_files: list[Path], make_database: Any, tmp_path: Path) -> Any:
    path = tmp_path / "unknown.nwb"
    shutil.copyfile(synthetic_files[0], path)
    with h5py.File(path, "r+") as file:
        location = file["general/extracellular_ephys/electrodes/location"]
        location[:3] = [UNKNOWN, UNKNOWN, UNKNOWN.lower()]
    database = make_database()
    database.json_lines("register", path)
    yield database
    database.drop()


def test_an_unknown_acronym_is_entered_as_unlisted_with_an_issue(with_unknown: Any) -> None:
    """Two spellings that differ in case only are two structures."""
    assert with_unknown.json("populate", "--table", "Recording") == {"done": 1, "failures": []}
    rows = (ecephys.Structure & {"structure_group": "unlisted"}).to_dicts()
    assert {row["structure_acronym"] for row in rows} == {UNKNOWN, UNKNOWN.lower()}
    assert all(row["parent_acronym"] is None and row["structure_name"] is None for row in rows)
    (issue,) = (session.ImportIssue & {"issue_code": "unlisted_structure"}).to_dicts()
    assert UNKNOWN in issue["issue_detail"]
    assert len(ecephys.Recording.Channel & f"structure_acronym = '{UNKNOWN}'") == 2
