"""``vbn explain``, ``stale`` and ``recompute``: where a row came from, and whether that still holds."""

from __future__ import annotations

import shutil
from typing import Any

import h5py
import pytest

from schemas import ecephys, performance, psth


def contents_of_computed(database: Any) -> Any:
    names = ("psth.", "performance.", "optotagging.", "selection.", "responses.")
    return {name: rows for name, rows in database.contents().items() if name.startswith(names)}


@pytest.fixture
def own_copy(make_database: Any, populated_synthetic: Any) -> Any:
    """Two sessions with the task's tables, which a test may change."""
    database = make_database().register_as(populated_synthetic)
    tables = (
        "Recording",
        "ChangeDetection",
        "Licks",
        "Stimulus",
        "OptoStimulation",
        "Psth",
        "Performance",
        "RollingPerformance",
    )
    database.call("populate", *(word for name in tables for word in ("--table", name)))
    yield database
    database.drop()


def test_nothing_is_stale_after_populating(populated_synthetic: Any) -> None:
    assert populated_synthetic.json("stale") == []
    assert populated_synthetic.call("recompute").stdout == "Nothing is stale.\n"


@pytest.mark.slow
def test_another_method_makes_rows_stale_and_recompute_replaces_them(
    own_copy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents_of_computed(own_copy)
    monkeypatch.setattr(psth.Psth, "method_version", 99)
    stale = own_copy.json("stale")
    assert {row["table"] for row in stale} >= {"Psth"}
    assert {row["reason"] for row in stale if row["table"] == "Psth"} == {"the method has changed"}
    assert len([row for row in stale if row["table"] == "Psth"]) == len(psth.Psth())
    own_copy.call("recompute", "--yes")
    assert own_copy.json("stale") == []
    assert set(psth.Psth.to_arrays("psth_method_version")) == {99}
    monkeypatch.undo()
    own_copy.call("recompute", "--yes")
    assert contents_of_computed(own_copy) == before


@pytest.mark.slow
def test_another_file_is_refused_until_it_replaces_the_old_one(
    own_copy: Any, synthetic_files: Any, tmp_path: Any
) -> None:
    """A new release of a session: everything of it is stale, and recompute imports it anew."""
    first, second = own_copy.contents(), synthetic_files[0]
    changed = tmp_path / second.name
    shutil.copy(second, changed)
    with h5py.File(changed, "r+") as file:
        file["processing/running/speed/data"][:] += 1.0
    refused = own_copy.call("register", changed, check=False)
    assert refused.returncode == 1
    assert "register it with --replace" in refused.stderr
    assert own_copy.json("stale") == []
    (outcome,) = own_copy.json_lines("register", "--replace", changed)
    assert outcome["status"] == "replaced"
    stale = own_copy.json("stale")
    assert {row["key"]["session_id"] for row in stale} == {outcome["session_id"]}
    assert {"Recording", "Stimulus", "Psth", "Performance", "RollingPerformance"} <= {
        row["table"] for row in stale
    }
    own_copy.call("recompute", "--yes")
    assert own_copy.json("stale") == []
    own_copy.call("register", "--replace", second)
    own_copy.call("recompute", "--yes")
    assert own_copy.contents() == first


def test_changed_parameters_make_rows_stale(own_copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance.PerformanceParams, "method_version", 2)
    performance.PerformanceParams.seed()
    stale = own_copy.json("stale")
    assert {row["table"] for row in stale} == {"Performance", "RollingPerformance"}
    assert {row["reason"] for row in stale} == {"the parameters have changed"}


def test_recompute_asks_first(own_copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psth.Psth, "method_version", 99)
    before = len(psth.Psth())
    done = own_copy.vbn("recompute", check=False)  # the process knows version 1: nothing is stale there
    assert "Nothing is stale" in done.stdout
    refused = own_copy.call("recompute", check=False)
    assert refused.returncode != 0
    assert "Delete these rows" in refused.stdout
    assert len(psth.Psth()) == before


def test_a_row_is_explained_down_to_its_file(populated_synthetic: Any, synthetic_files: Any) -> None:
    populated_synthetic.connect()
    unit = ecephys.Recording.Unit.keys(order_by="KEY", limit=1)[0]
    steps = populated_synthetic.json(
        "explain", "Psth.Unit", f"unit_id={unit['unit_id']}", "alignment=change_active"
    )
    assert steps[0]["table"] == "Psth.Unit"
    assert {"Psth", "Alignment", "Recording", "Recording.Unit", "Stimulus", "Session", "Mouse"} <= {
        step["table"] for step in steps
    }
    assert steps[-1]["table"] == "NwbFile"
    assert steps[-1]["place"] == str(
        next(path for path in synthetic_files if str(unit["session_id"]) in path.name)
    )
    made_with = next(step["row"] for step in steps if step["table"] == "Psth")
    assert made_with["psth_source_hash"] == steps[-1]["row"]["blake2b"]
    alignment = next(step["row"] for step in steps if step["table"] == "Alignment")
    assert made_with["psth_params_hash"] == alignment["alignment_hash"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Psthh", "unit_id=1"), "no table 'Psthh'. Near to it: Psth"),
        (("Psth.Unit", "unit_idd=1"), "no attribute 'unit_idd'. Near to it: unit_id"),
        (("Psth.Unit", "unit_id"), "is not attribute=value"),
        (("Psth.Unit", "unit_id=1"), "no row with"),
        (("Psth", "alignment=change_active"), "2 rows of Psth match"),
    ],
)
def test_what_is_no_row_is_said_in_a_line(
    populated_synthetic: Any, arguments: tuple[str, ...], message: str
) -> None:
    done = populated_synthetic.call("explain", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
