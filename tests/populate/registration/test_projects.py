"""A recording of one's own beside the release: joined where asked, mixed nowhere else, and moved."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks.fuzz.mutants import replace_text, with_own_ids
from schemas import queries
from schemas.rows.fetch import fetch_frame
from vbn.errors import SettingError

pytestmark = pytest.mark.slow

OWN = 9_450_000_001
MAPPING = """\
project = "our-rig"
ids = "stored"

[session]
mouse_id = "our mouse"

[units]
snr = "signal_to_noise"

[trials]
table = "intervals/trials"
"""
TABLES = (
    "Recording", "ChangeDetection", "Licks", "OptoStimulation", "Stimulus",
    "ChangeResponse", "Optotagging", "OptotagLabel", "CellClass", "Psth",
)  # fmt: skip


@dataclass
class Mixed:
    """A database of the release, and what was said of it before a session of a rig came."""

    database: Any
    before: dict[str, Any]


def own_recording(source: Path, path: Path) -> Path:
    """Write a recording of a rig that has the release's layout, and its own name of a column."""
    shutil.copyfile(source, path)
    with h5py.File(path, "r+") as file:
        replace_text(file, "identifier", str(OWN))
        with_own_ids(file, 7)
        units = file["units"]
        units.move("snr", "signal_to_noise")
        names = [name.replace("snr", "signal_to_noise") for name in units.attrs["colnames"]]
        units.attrs["colnames"] = np.array(names, dtype=h5py.string_dtype())
    return path


def populate(database: Any, *more: object) -> None:
    database.call("populate", *(f"--table={name}" for name in TABLES), *more)


def said(database: Any, session_id: int, *project: object) -> dict[str, Any]:
    """Return what is said of the release: sessions, counts, contrasts and figures."""
    database.connect()
    from schemas.figures import change_hierarchy, laser_evidence

    evidence = laser_evidence(session_id)
    named = [str(each) for each in project[1:]] or None
    return {
        "sessions": database.json("sessions", *project),
        "units": database.json("query", "units", *project, "--columns", "unit_id,snr"),
        "contrast": database.json(
            "query",
            "contrast",
            "unit_firing_rate",
            "--within",
            "structure_acronym",
            *project,
        ),
        "report": database.json("optotagging", "report", *project),
        "lines": {line.line: (list(line.session_id), line.n_passing.sum()) for line in evidence.lines},
        "hierarchy": repr(change_hierarchy(criteria="all", min_units=1, project=named).n_units.tolist()),
    }


@pytest.fixture(scope="module")
def mixed(
    make_database: Callable[..., Any], synthetic_release: Path, synthetic_files: list[Path], open_folder: Path
) -> Mixed:
    database = make_database().keep_few_sets()
    database.call("register", *synthetic_files, "--catalogue", synthetic_release / "project_metadata")
    populate(database)
    all_pass(database)
    with pytest.MonkeyPatch.context() as patch:
        all_respond(patch)
        before = said(database, session_id_of(synthetic_files[0]))
    own, mapping = own_recording(synthetic_files[0], open_folder / "own.nwb"), open_folder / "own.toml"
    mapping.write_text(MAPPING)
    done = database.call("register", own, "--mapping", mapping)
    assert f"registered  {OWN}" in done.stdout
    populate(database)
    all_pass(database)
    return Mixed(database, before)


def session_id_of(path: Path) -> int:
    return int(path.stem.rsplit("_")[-1])


def all_pass(database: Any) -> None:
    """No unit of these short sessions has enough pulses to pass: here all do."""
    schema = f'"{database.prefix}optotagging"'
    database.server.query(f'UPDATE {schema}."__optotag_label" SET n_passing = 3')
    database.server.query(f'UPDATE {schema}."__optotag_label__unit" SET optotag_passes = TRUE')


def all_respond(patch: pytest.MonkeyPatch) -> None:
    """No unit of these short sessions responds significantly: here all are taken to."""
    from schemas.figures import hierarchy

    taken = {hierarchy.RESPONDS: True, hierarchy.MODULATIONS[1]: 0.25}
    patch.setattr(hierarchy, "fetch_frame", lambda query: fetch_frame(query).assign(**taken))


def test_nothing_that_is_said_of_the_release_changes_while_a_session_of_a_rig_is_there(
    mixed: Mixed, synthetic_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_respond(monkeypatch)
    session_id = session_id_of(synthetic_files[0])
    assert said(mixed.database, session_id, "--project", "vbn-release") == mixed.before
    assert mixed.before["lines"]
    from schemas.figures import change_hierarchy

    with pytest.raises(SettingError, match="The hierarchy would mix 2 projects: our-rig, vbn-release"):
        change_hierarchy(criteria="all", min_units=1)
    said_of_all = said(mixed.database, session_id, "--project", "all")
    assert len(said_of_all["sessions"]) == len(mixed.before["sessions"]) + 1
    assert said_of_all["report"] != mixed.before["report"]


def test_the_report_of_optotagging_is_of_one_project(mixed: Mixed) -> None:
    refused = mixed.database.call("optotagging", "report", check=False)
    assert "The report would mix 2 projects: our-rig, vbn-release" in refused.stderr
    (row,) = mixed.database.json("optotagging", "report", "--project", "our-rig", "--method", "bennett_2025")
    assert row["n_sessions"] == 1


def test_a_figure_of_both_says_what_is_whose(
    mixed: Mixed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    all_respond(monkeypatch)
    out, words = tmp_path / "both.svg", ("plot", "hierarchy", "--criteria", "all", "--min-units", 1)
    mixed.database.call(*words, "--project", "all", "--out", out)
    assert "3 sessions (1 of our-rig, 2 of vbn-release)" in out.read_text(encoding="utf-8")
    mixed.database.call(*words, "--project", "our-rig", "--out", out)
    assert "1 session; " in out.read_text(encoding="utf-8")
    laser = ("plot", "optotagging", "--session", OWN, "--out", out)
    mixed.database.call(*laser)
    assert "lines: sessions, 1 of our-rig" in out.read_text(encoding="utf-8")
    mixed.database.call(*laser, "--project", "all")
    assert "1 of our-rig and 2 of vbn-release" in out.read_text(encoding="utf-8")


def test_lists_and_labels_select_in_figures_of_several_sessions(
    mixed: Mixed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    all_respond(monkeypatch)
    database = mixed.database
    from schemas.figures import change_hierarchy

    try:
        database.call("query", "units", "--session", OWN, "--limit", 5, "--save-list", "own-five")
        database.call("note", "add", "--list", "own-five", "--label", "noise")
        counted = [
            change_hierarchy(criteria="all", min_units=1, project="all", **chosen).n_units.sum()
            for chosen in (
                {},
                {"in_list": "own-five"},
                {"not_in_list": "own-five"},
                {"without_label": "noise"},
            )
        ]
        assert counted[0] - 5 == counted[2] == counted[3]
        assert counted[1] <= 5  # those in a structure
        # A list of one project mixes nothing: no project need be named.
        out = tmp_path / "five.svg"
        done = database.call(
            "plot", "hierarchy", "--criteria", "all", "--min-units", 1, "--list", "own-five", "--out", out
        )
        assert re.fullmatch(r".*: \d+ structures?, 1 session\.\n", done.stdout)
        wrong = database.call(
            "plot", "hierarchy", "--criteria", "all", "--list", "own-fives", "--out", out, check=False
        )
        assert "There is no list 'own-fives'. Near to it: own-five" in wrong.stderr
    finally:
        database.connect()
        for note_id in queries.notes()["note_id"]:
            queries.withdraw_note(note_id)
        queries.remove_list("own-five")


def test_projects_are_coordinates_of_results(mixed: Mixed) -> None:
    mixed.database.connect()
    matrix = queries.psth_matrix(queries.units(), "change_active")
    assert set(matrix["project"].to_numpy()) == {"our-rig", "vbn-release"}
    np.testing.assert_array_equal(matrix["project"] == "our-rig", matrix["session_id"] == OWN)
    frame = queries.responses_table(queries.units(project="our-rig"), ["ChangeResponse"])
    assert set(frame["project"]) == {"our-rig"}
    assert set(queries.trial_table()["project"]) == {"our-rig", "vbn-release"}


def test_projects_are_listed(mixed: Mixed) -> None:
    ours, theirs = mixed.database.json("project", "list")
    assert (ours["project"], ours["n_mice"], ours["n_sessions"], ours["n_recordings"]) == ("our-rig", 1, 1, 1)
    assert (theirs["project"], theirs["n_mice"], theirs["n_sessions"]) == ("vbn-release", 1, 2)
    assert theirs["n_units"] == 2 * ours["n_units"] > 0
    assert mixed.database.call("project", "list").stdout.split()[:2] == ["project", "n_mice"]


def test_a_session_in_the_wrong_project_is_moved_and_nothing_else_changes(mixed: Mixed) -> None:
    database = mixed.database
    before = database.contents()
    try:
        done = database.call("project", "set", "their-rig", "--session", OWN)
        assert done.stdout == f"{OWN}: our-rig -> their-rig\n"
        assert "names the project 'our-rig': correct it before you register the file again" in done.stderr
        after = database.contents()
        changed = [name for name in before if before[name] != after[name]]
        assert changed == ["session.session"]
        assert "1 of their-rig" in database.call("sessions").stdout
        assert database.call("project", "set", "their-rig", "--mouse", "our mouse").stdout.startswith(
            "Nothing"
        )
    finally:
        database.call("project", "set", "our-rig", "--mouse", "our mouse")
    assert database.contents() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("our-rig", "--session", "{first}"), "is of the same mouse"),
        (("our-rig", "--mouse", "{mouse}"), "is in the tables of the release, whose sessions stay"),
        (("our-rig", "--session", "1"), "There is no session 1. There are: 9000000001"),
        (("our-rig", "--mouse", "our mice"), "There is no mouse 'our mice'. Near to it: our mouse"),
        (("all", "--mouse", "our mouse"), "'all' cannot be the name of a project"),
        (("our rig", "--mouse", "our mouse"), "'our rig' cannot be the name of a project"),
    ],
)
def test_what_cannot_be_moved_is_said(
    mixed: Mixed, synthetic_files: list[Path], words: tuple[str, ...], message: str
) -> None:
    mouse = next(row["mouse_id"] for row in mixed.before["sessions"])
    named = [word.format(first=session_id_of(synthetic_files[0]), mouse=mouse) for word in words]
    before = mixed.database.contents()
    refused = mixed.database.call("project", "set", *named, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert mixed.database.contents() == before


def test_nothing_to_move_is_wrong_usage(mixed: Mixed) -> None:
    assert mixed.database.call("project", "set", "our-rig", check=False).returncode == 2


def test_moves_are_reported_as_json(mixed: Mixed) -> None:
    done = mixed.database.call("project", "set", "our-rig", "--session", OWN, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == []
