"""One name, one meaning: no two modules define a class, or a function, of one public name."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

A_RESULT_AND_ITS_TABLE = {
    "AlignedBehavior", "ChangeResponse", "CurrentSourceDensity", "Psth", "RigGeometry", "TaskParameters",
}  # fmt: skip
IN_COMMENTS_OF_COLUMNS = {"UnitCriteria"}
"""Their paths stand in the comments of columns, in databases that exist."""

A_COMMAND_AND_WHAT_IT_CALLS = {"command", "export_nwb", "export_table", "list_sessions"}
ONE_FOR_EACH_SERVER = {"dumped", "load"}
WHAT_A_FIGURE_SHOWS_AND_HOW_IT_IS_FOUND = {"change_response", "training_history", "sensitivity"}
THE_SAME_CHECKED = {"spike_times"}
"""`queries.spike_times` refuses what `ecephys.spike_times` answers with nothing."""

BY_THE_NAME_OF_THE_MODULE = {
    "draw_rates", "draw_waveform", "image_names", "likely_blinks", "make_ids_unique", "plain", "run",
    "structures", "texts", "version_of",
}  # fmt: skip
"""Functions that are called within their module, or as `module.name`."""

ALLOWED = {
    ast.ClassDef: A_RESULT_AND_ITS_TABLE | IN_COMMENTS_OF_COLUMNS,
    ast.FunctionDef: A_COMMAND_AND_WHAT_IT_CALLS
    | ONE_FOR_EACH_SERVER
    | WHAT_A_FIGURE_SHOWS_AND_HOW_IT_IS_FOUND
    | THE_SAME_CHECKED
    | BY_THE_NAME_OF_THE_MODULE,
}


@cache
def module_bodies() -> dict[str, list[ast.stmt]]:
    """Return the statements at the top of each of our modules."""
    return {
        path.relative_to(PROJECT).as_posix(): ast.parse(path.read_text()).body
        for package in ("vbn", "schemas", "populate")
        for path in sorted((PROJECT / package).rglob("*.py"))
    }


def doubled(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, list[str]]:
    """Return the public names that several modules define, with the modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, body in module_bodies().items():
        for node in body:
            if isinstance(node, kind) and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("kind", ALLOWED, ids=["classes", "functions"])
def test_a_name_has_one_meaning(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> None:
    found = doubled(kind)
    assert {name: found[name] for name in found.keys() - ALLOWED[kind]} == {}
    assert ALLOWED[kind] - found.keys() == set(), "what is unique needs no exception"
