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


def units_in_groups() -> Any:
    """Units with the structure and the group of their peak channel."""
    peaks = ecephys.Recording.Channel.proj("structure_acronym", peak_channel_id="channel_id")
    return ecephys.Recording.Unit.proj("peak_channel_id") * peaks * ecephys.Structure


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


def test_every_structure_of_the_catalogue_is_listed(recorded: Any, corpus: Path) -> None:
    import pandas as pd

    stored = set((ecephys.Structure & "structure_group <> 'unlisted'").to_arrays("structure_acronym"))
    channels = pd.read_csv(corpus / "project_metadata" / "channels.csv", keep_default_na=False)
    named = {name.split("-")[0] for name in channels["structure_acronym"]} - {"", "None"}
    assert named
    assert named <= stored


@pytest.mark.parametrize("group", ["visual cortex", "thalamus", "hippocampus"])
def test_units_of_a_group_are_a_query(recorded: Any, group: str) -> None:
    of_structure = {
        row["structure_acronym"]: row["structure_group"]
        for row in ecephys.Structure.to_dicts()  # the group is ours, its units are AllenSDK's
    }
    location = recorded.table("channels")["structure_acronym"]
    expected = {
        unit_id
        for unit_id, channel in recorded.table("units")["peak_channel_id"].items()
        if of_structure.get(location[channel]) == group
    }
    query = units_in_groups() & recorded.key & {"structure_group": group}
    assert set(query.to_arrays("unit_id").tolist()) == expected


def test_the_corpus_has_units_in_several_groups(recorded: Any) -> None:
    groups = Counter((units_in_groups()).to_arrays("structure_group").tolist())
    assert {"visual cortex", "hippocampus"} <= groups.keys()


def test_missing_locations_are_null_and_root_is_not_missing(recorded: Any) -> None:
    channels = recorded.table("channels")
    missing = channels["structure_acronym"].isna() | channels["structure_acronym"].isin(["", "None"])
    stored = ecephys.Recording.Channel & recorded.key
    assert len(stored & "structure_acronym IS NULL") == missing.sum()
    n_root = (channels["structure_acronym"] == "root").sum()
    assert len(stored & {"structure_acronym": "root"}) == n_root


def test_coordinates_are_micrometres_and_missing_ones_null(recorded: Any) -> None:
    names = {
        "anterior_posterior_ccf_coordinate": 13200,
        "dorsal_ventral_ccf_coordinate": 8000,
        "left_right_ccf_coordinate": 11400,
    }
    channels = recorded.table("channels")
    for name, longest_um in names.items():
        stored = ecephys.Recording.Channel & recorded.key & f"{name} IS NOT NULL"
        values = stored.to_arrays(name)
        assert len(values) == channels[name].notna().sum()
        assert ((values > 0) & (values < longest_um)).all()
        assert len(values) == 0 or values.max() > 100  # micrometres, not voxels or millimetres


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
    unit_query = units_in_groups() & {"structure_group": "unlisted"}
    assert len(unit_query) >= 0
