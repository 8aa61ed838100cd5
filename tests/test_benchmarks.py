"""The benchmarks' own arithmetic, and that one of them runs; never how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.files


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_table_of_the_example_is_that_of_the_docstring():
    done = run("-m", "doctest", "benchmarks/measure.py")
    assert done.returncode == 0, done.stdout


def test_a_goal_in_another_unit_than_the_measurement_is_refused():
    code = "from benchmarks.measure import *; Results('r').add('a', 1.0, goal=at_most(3, 'GB'))"
    assert "ValueError: a goal in 'GB' for 'a', which is in 's'" in run("-c", code).stderr


def test_the_psth_benchmark_finds_the_same_spikes_as_the_loop_and_writes_its_rows(tmp_path):
    """The loop runs in a process of its own; the benchmark stops where the two count different spikes."""
    size = ("--units", 30, "--spikes", 30_000, "--events", 20, "--subset", 5, "--repeats", 1)
    done = run("-m", "benchmarks.psth", *size, "--peers", "seed", "--json", tmp_path / "psth.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "psth.json").read_text())
    one_pass, *ours, loop = results["rows"]
    assert [row["ratio"] for row in ours] == pytest.approx([row["value"] / one_pass["value"] for row in ours])
    (ours,) = (row for row in ours if row["name"] == loop["base"])
    assert loop["ratio"] == pytest.approx(loop["value"] / ours["value"])
    assert loop["met"] == (loop["ratio"] >= 90)
    assert results["machine"]["cores"] >= 1


def test_the_driver_names_the_benchmarks_that_there_are():
    done = run("-m", "benchmarks", "sessoin")
    assert done.returncode == 2
    assert "no benchmark is named sessoin; there are psth, counts, opening, session" in done.stderr


def test_growth_is_told_against_the_same_at_the_first_size():
    code = (
        "from benchmarks import growth; r = growth.Results('r'); "
        "[growth.add(r, [10, 40], size, name, value) for size, name, value in "
        "[(10, 'a', 2.0), (10, 'b', 1.0), (40, 'a', 3.0), (40, 'b', 5.0)]]; print(r.markdown())"
    )
    rows = run("-c", code).stdout.splitlines()[2:]
    assert [[cell.strip() for cell in row.split("|")[1:4]] for row in rows] == [
        ["a: 10", "2.0 s", ""],
        ["b: 10", "1.0 s", ""],
        ["a: 40", "3.0 s", "1.5 x a: 10"],
        ["b: 40", "5.0 s", "5.0 x b: 10"],
    ]


def test_shares_of_roles_leave_out_units_that_were_not_tested():
    """Of two running units one was tested and found, of two untuned both were tested and one was found."""
    import pandas as pd

    from benchmarks.roles import CLAIMS, as_table, found_shares

    running = "running_q_shift_active <= .05"
    found = {claim.condition: (set[int](), set[int]()) for claim in CLAIMS} | {running: ({1, 3}, {1, 3, 4})}
    shares = found_shares(pd.Series({1: "running", 2: "running", 3: "untuned", 4: "untuned"}), found)
    assert [tuple(row) for row in shares.to_numpy()] == [
        (running, "running", True, 1, 1.0),
        (running, "untuned", False, 2, 0.5),
    ]
    assert as_table(shares).splitlines()[2:] == [f"| `{running}` | 1.00 | 1 | 0.50 | 2 | untuned 0.50 of 2 |"]


@pytest.mark.slow
def test_what_models_attribute_is_scored_in_worlds_that_are_known_and_a_run_goes_on_where_it_was(tmp_path):
    kept = tmp_path / "kept.jsonl"
    words = ("-m", "benchmarks.attribution", "--sessions", 1, "--units", 4, "--minutes", 24, "--keep", kept)
    done = run(*words, "--worlds", "poisson", "image_tuned")
    assert done.returncode == 0, done.stderr
    rows = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) > 1
    }
    ours, published = rows["image_tuned"][:7], rows["image_tuned"][7:]
    assert rows["world"][:3] == rows["world"][7:10] == ["explained", "images", "omissions"]
    assert float(ours[0]) >= 0.5 <= float(published[0])
    assert float(ours[1]) >= 0.5
    assert ours[2:] == [""] * 5
    assert rows["poisson"][1:7] == [""] * 6
    assert float(rows["poisson"][0]) <= 0.25
    lines = kept.read_text().splitlines()
    assert len(lines) == 2
    marked = json.loads(lines[0])
    marked["shares"]["poisson"]["pupil"] = [1.0, 4]
    kept.write_text(json.dumps(marked) + "\n" + lines[1][:40])  # killed while it wrote
    again = run(*words, "--worlds", "poisson", "image_tuned")
    assert again.returncode == 0, again.stderr
    assert "| poisson | " in again.stdout
    assert " 0.25 |" in next(line for line in again.stdout.splitlines() if line.startswith("| poisson"))
    assert json.loads(kept.read_text().splitlines()[-1]) == json.loads(lines[1])
