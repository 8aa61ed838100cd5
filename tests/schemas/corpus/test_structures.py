"""The channels' brain structures: what AllenSDK reads, in groups that are queries."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from schemas import ecephys

pytestmark = pytest.mark.corpus


def units_in_groups() -> Any:
    """Units with the structure and the group of their peak channel."""
    peaks = ecephys.Recording.Channel.proj("structure_acronym", peak_channel_id="channel_id")
    return ecephys.Recording.Unit.proj("peak_channel_id") * peaks * ecephys.Structure


def test_every_structure_of_the_catalogue_is_listed(recorded: Any, corpus: Path) -> None:
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
