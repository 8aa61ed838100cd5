"""All commands that report, into a pipe: as JSON and as text nothing is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest

from populate.cli import vbn_command
from populate.output import rendering, terminal
from schemas import queries
from schemas.rows.fetch import fetch_frame
from tests.populate.commands.test_options import ACTING, walked

pytestmark = pytest.mark.files

FEW = ("--limit", "3")
WORDS: dict[str, tuple[str, ...]] = {
    "explain": ("Recording.Unit", "unit_id=UNIT"),
    "params show": ("UnitCriteria", "bennett_2025"),
    "delete": ("Session", "--session", "SESSION", "--dry-run"),
    "deploy": ("--check",),
    "gc": ("--empty-quarantine",),
    "recompute": ("--yes",),
    "register": ("FOLDER",),
    "relocate": ("FOLDER",),
    "verify": ("--quick",),
    "catalogue": ("FOLDER/project_metadata",),
    "query contrast": ("snr", "--criteria", "all"),
    **{
        f"query {name}": FEW
        for name in ("psth", "spikes", "trials", "changes", "omissions", "flashes", "gabors",
                     "full-field-flashes", "flash-behavior", "responses", "columns")
    },
}  # fmt: skip
HEAVY = {"deploy", "recompute", "delete"}
"""Commands whose text is left to the examples of their help: they look through the whole database."""
LINES = {"register", "relocate", "verify"}
"""Commands that print an object per line, as they go on."""
NOT_HERE = {
    "populate": "tests/populate/commands/test_commands.py",
    "adopt": "tests/populate/adoption/test_adopt.py",
    "publish": "tests/populate/output/test_publish.py",
    "query decoding": "more flashes than this session has, tests/schemas/test_decoding.py",
    "query trial-decoding": "computed when asked for only, tests/schemas/test_decoding.py",
    "query connectivity": "computed when asked for only, tests/schemas/test_connectivity.py",
    **{
        f"freeze {name}": "tests/populate/output/test_freeze.py"
        for name in ("create", "show", "diff", "export")
    },
    "query novelty": "needs mice with both sessions, tests/schemas/test_mouse_novelty.py",
    "backup": "tests/populate/admin/test_backup.py",
    "restore": "tests/populate/admin/test_restore.py",
    "inspect": "tests/populate/registration/test_inspect.py",
    "calibrate": "tests/populate/commands/test_calibrate.py",
    "control": "tests/populate/commands/test_control.py",
    "release list": "tests/populate/commands/test_release_command.py",
    "release info": "tests/populate/commands/test_release_command.py",
    "admin users": "tests/populate/admin/test_roles.py",
    "project set": "tests/populate/registration/test_projects.py",
    "list show": "tests/populate/commands/test_lists.py",
}
REPORTS = [
    path
    for path, _command in walked(vbn_command, click.Context(vbn_command))
    if path not in ACTING and path not in NOT_HERE and not path.startswith("plot ")
]
SHORTENED = re.compile(r"[\x1b\u2500-\u259f…]|\.\.\.")


@pytest.fixture(scope="module")
def places(populated_synthetic: Any, synthetic_sessions: Path) -> dict[str, str]:
    populated_synthetic.connect()
    unit = queries.units().to_dicts(limit=1)[0]
    return {
        "UNIT": str(unit["unit_id"]),
        "SESSION": str(unit["session_id"]),
        "FOLDER": str(synthetic_sessions),
    }


def words_of(path: str, places: dict[str, str]) -> list[str]:
    words = [*path.split(), *WORDS.get(path, ())]
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    return words


def refused(constant: str) -> None:
    pytest.fail(f"{constant} is no JSON")


def values_in(found: Any) -> list[Any]:
    if isinstance(found, dict):
        return [each for value in found.values() for each in values_in(value)]
    return [each for value in found for each in values_in(value)] if isinstance(found, list) else [found]


@pytest.mark.parametrize("path", REPORTS)
def test_a_report_into_a_pipe_is_whole_as_json_and_as_text(
    path: str, populated_synthetic: Any, places: dict[str, str]
) -> None:
    words = words_of(path, places)
    done = populated_synthetic.call(*words, "--json", check=False)
    assert done.stdout or path == "relocate", done.stderr  # nothing has moved
    documents = done.stdout.splitlines() if path in LINES else [done.stdout]
    found = [json.loads(text, parse_constant=refused) for text in documents]
    if path in HEAVY:
        return
    text = populated_synthetic.call(*words, check=False).stdout
    if path != "params show":  # whose text is JSON, with whatever stands in it
        assert not SHORTENED.search(text.replace("_...'", "")), text  # of the schemas' names
    if path.startswith("query ") or path in ("status", "sessions", "checksum", "params list"):
        cells = text.split()
        shown = text.splitlines()[0].split() if path.startswith("query ") else None
        for row in found[0] if isinstance(found[0], list) else [found[0]]:
            kept = {name: row[name] for name in shown} if shown else row
            for value in values_in(kept):
                if not isinstance(value, bool) and value is not None:
                    assert all(part in cells or part in text for part in str(value).split()), (value, text)


def test_json_of_units_is_every_row_and_column_to_the_last_digit(populated_synthetic: Any) -> None:
    rows = populated_synthetic.json("query", "units")
    expected = fetch_frame(queries.units())
    assert [row["unit_id"] for row in rows] == expected["unit_id"].tolist()
    assert list(rows[0]) == list(expected.columns)
    for name in ("snr", "unit_firing_rate", "isi_violations", "waveform_halfwidth"):
        column = [None if pd.isna(value) else float(value) for value in expected[name]]
        assert [row[name] for row in rows] == column
    assert len(populated_synthetic.json("query", "units", "--limit", 7)) == 7


def test_on_a_terminal_there_are_frames_rounded_numbers_and_a_hundred_rows(
    populated_synthetic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("query", "columns", "--columns", "column")
    piped = populated_synthetic.call(*words).stdout.splitlines()
    of_units = ("query", "units", "--columns", "snr,isi_violations")
    digits = digits_in(populated_synthetic.call(*of_units).stdout)
    for module in (terminal, rendering):
        monkeypatch.setattr(module, "on_terminal", lambda: True)
    shown = populated_synthetic.call(*words).stdout.splitlines()
    n_columns = len(queries.columns())
    assert len(piped) == n_columns + 2
    assert len(shown) == 102 < n_columns
    assert "─" in populated_synthetic.call("status").stdout
    assert digits > 6 >= digits_in(populated_synthetic.call(*of_units).stdout)


def digits_in(text: str) -> int:
    return max(len(word.partition(".")[2]) for word in text.split())
