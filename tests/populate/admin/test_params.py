"""``vbn params``: list, show, add, as people type them."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_the_default_sets_are_listed(populated_synthetic: Any) -> None:
    listed = populated_synthetic.json("params", "list")
    assert ("Alignment", "change_active", 2) in {
        (row["table"], row["name"], row["version"]) for row in listed
    }
    assert all(len(row["hash"]) == 64 for row in listed)
    only = populated_synthetic.json("params", "list", "UnitCriteria")
    assert {row["table"] for row in only} == {"UnitCriteria"}
    assert "bennett_2025" in populated_synthetic.call("params", "list").stdout


def test_what_is_shown_can_be_entered_again(populated_synthetic: Any, tmp_path: Any) -> None:
    shown = populated_synthetic.call("params", "show", "PerformanceParams", "allensdk").stdout
    assert json.loads(shown)["sliding_window"] == 100
    (tmp_path / "set.json").write_text(shown)
    again = populated_synthetic.call(
        "params", "add", "PerformanceParams", "allensdk", "--content", tmp_path / "set.json"
    )
    assert "exists already" in again.stdout


def test_a_new_set_is_computed_beside_the_old_one(make_database: Any, populated_synthetic: Any) -> None:
    database = make_database().register_as(populated_synthetic)
    database.call("populate", "--table", "ChangeDetection", "--table", "Licks", "--table", "Performance")
    database.call(
        "params", "add", "PerformanceParams", "window50", "--like", "allensdk", "--set", "sliding_window=50"
    )
    from schemas import performance

    database.call("populate", "--table", "Performance")
    counts = {
        name: len(performance.Performance & {"performance_params": name}) for name in ("allensdk", "window50")
    }
    assert counts == {"allensdk": 2, "window50": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("PerformanceParam", "x"), "no parameter table 'PerformanceParam'. Near to it: PerformanceParams"),
        (("PerformanceParams", "x", "--like", "allen"), "no parameter set 'allen'. There are: allensdk"),
        (
            ("PerformanceParams", "x", "--like", "allensdk", "--set", "sliding_windo=5"),
            "Near to it: sliding_window",
        ),
        (
            ("PerformanceParams", "x", "--like", "allensdk", "--set", "sliding_window"),
            "is not parameter=value",
        ),
        (("PerformanceParams", "x", "--like", "allensdk", "--set", "sliding_window=five"), "sliding_window"),
        (("PerformanceParams", "x", "--set", "sliding_window=5"), "needs reward_rate_half_window"),
        (("PerformanceParams", "x", "--like", "allensdk"), "has the same content as 'allensdk'"),
        (
            ("PerformanceParams", "allensdk", "--like", "allensdk", "--set", "sliding_window=5"),
            "other content",
        ),
    ],
)
def test_what_cannot_be_entered_is_said_in_a_line(
    populated_synthetic: Any, arguments: tuple[str, ...], message: str
) -> None:
    done = populated_synthetic.call("params", "add", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["no json", "[1]"])
def test_a_content_that_is_no_json_object_is_refused(
    populated_synthetic: Any, tmp_path: Any, text: str
) -> None:
    (tmp_path / "set.json").write_text(text)
    done = populated_synthetic.call(
        "params", "add", "PerformanceParams", "x", "--content", tmp_path / "set.json", check=False
    )
    assert done.returncode == 1
    assert "JSON" in done.stderr
