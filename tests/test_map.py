"""CONTRIBUTING.md's map of the folders, held against the tree."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "CONTRIBUTING.md").read_text()
PACKAGES = ("populate", "schemas", "vbn", "vbn_datajoint")


def test_every_folder_of_the_packages_has_one_line_and_every_line_a_folder() -> None:
    section = TEXT.partition("## The map")[2].partition("Where do I put")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
    there = {
        str(path.parent.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
    }
    assert sorted(listed) == sorted(there)


def test_what_is_named_as_the_place_of_something_is_there() -> None:
    section = TEXT.partition("Where do I put")[2].partition("## ")[0]
    places = re.findall(r"`((?:docs|populate|schemas|vbn)[/\w]*(?:\.\w+)?)`", section)
    assert len(places) >= 10
    assert [place for place in places if not (PROJECT / place).exists()] == []


def test_only_modules_with_tables_stand_at_the_top_of_schemas() -> None:
    from schemas.bases.registry import MODULES

    assert {path.stem for path in (PROJECT / "schemas").glob("*.py")} - {"__init__"} == set(MODULES)
