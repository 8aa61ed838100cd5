"""``vbn query``, as a person types it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from populate.commands.query import command
from schemas import psth, queries
from schemas.rows.fetch import fetch_frame
from schemas.stimulus import Stimulus

QUESTIONS = (
    "sessions", "pairs", "units", "responses", "psth", "spikes", "trials", "changes", "omissions", "flashes",
    "gabors", "full-field-flashes",
)  # fmt: skip


def ask(database: Any, *words: Any) -> str:
    return str(database.vbn("query", *words).stdout)


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_answer_in_a_table_and_says_how_many_rows_there_are(
    populated_synthetic: Any, question: str
) -> None:
    lines = ask(populated_synthetic, question, "--limit", 2).splitlines()
    assert len(lines) == (3 if question == "pairs" else 4)
    assert "_id" in lines[0]
    assert " row" in lines[-1]


def test_what_is_computed_here_is_filtered_as_what_the_server_answers(populated_synthetic: Any) -> None:
    def asked(question: str, *words: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = populated_synthetic.json("query", question, *words)
        return rows

    trials = asked("trials")
    late = [row for row in trials if not row["auto_rewarded"] and row["trial_start_time"] > 10]
    assert 0 < len(late) < len(trials)
    assert asked("trials", "--where", "NOT auto_rewarded AND trial_start_time > 10") == late
    changes = asked("flash-behavior", "--where", "is_change AND active = 1")
    found = [row["presentation_id"] for row in asked("changes", "--block", "active")]
    assert [row["presentation_id"] for row in changes] == found
    refused = populated_synthetic.call("query", "trials", "--where", "hitt = 1", check=False)
    assert (refused.returncode, "There is no attribute 'hitt' here. Near to it: hit" in refused.stderr) == (
        1,
        True,
    )


def test_every_query_of_rows_takes_conditions() -> None:
    taking = {
        name for name, query in command.commands.items() if "--where" in str([p.opts for p in query.params])
    }
    assert command.commands.keys() - taking == {"columns"}


@pytest.mark.files
def test_an_answer_is_the_same_in_every_format(populated_synthetic: Any, tmp_path: Path) -> None:
    words = ("units", "--group", "visual cortex", "--group", "thalamus", "--where", "snr > 1")
    populated_synthetic.connect()
    expected = fetch_frame(queries.units(group=["visual cortex", "thalamus"], where="snr > 1"))
    assert len(expected)
    readers = {
        "units.csv": lambda path: pd.read_csv(path, dtype=str),  # pandas' own parser of numbers is not exact
        "units.parquet": pd.read_parquet,
        "units.json": lambda path: pd.DataFrame(json.loads(path.read_text())),
    }
    for name, read in readers.items():
        done = populated_synthetic.vbn("query", *words, "--out", tmp_path / name)
        assert f"{len(expected)} rows" in done.stderr
        found = read(tmp_path / name)
        assert list(found.columns) == list(expected.columns)
        assert [int(value) for value in found["unit_id"]] == expected["unit_id"].tolist()
        assert [float(value) for value in found["snr"]] == expected["snr"].tolist()  # to the last digit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["units.csv", "units.json", "units.parquet"]
    printed = pd.read_csv(io.StringIO(ask(populated_synthetic, *words, "--format", "csv")))
    assert printed["unit_id"].tolist() == expected["unit_id"].tolist()


@pytest.mark.files
def test_units_are_saved_as_a_group_that_pynapple_loads(populated_synthetic: Any, tmp_path: Path) -> None:
    nap = pytest.importorskip("pynapple")
    populated_synthetic.connect()
    session_id = int(queries.sessions().to_arrays("session_id")[0])
    out = tmp_path / "new" / "units.npz"
    words = ("units", "--session", session_id, "--sort", "-snr", "--limit", 3, "--columns", "snr,cell_class")
    done = populated_synthetic.vbn("query", *words, "--pynapple", out)
    assert f"{out}: a TsGroup of 3 units." in done.stderr
    assert "unit_id" not in done.stdout  # it is not one of the columns
    group = nap.load_file(str(out))
    best = queries.unit_table(
        queries.units(session_id=session_id), ["unit_id", "cell_class"], sort=["-snr"], limit=3
    )
    assert sorted(group.index) == sorted(best["unit_id"])
    for unit_id, times in queries.spike_times(
        queries.units() & list(best[["unit_id"]].to_dict("records"))
    ).items():
        np.testing.assert_allclose(group[unit_id].t, times, rtol=0, atol=1e-9)
    wanted = best.set_index("unit_id")["cell_class"]
    assert group["cell_class"].to_dict() == wanted.loc[list(group.index)].to_dict()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "A TsGroup is of one session, as each has its own clock, and these are of 2. Choose one"),
        (("--where", "snr > 1e6"), "There are no such units"),
        (("--limit", "1", "--pynapple", "units.nwb"), "'units.nwb' must end in .npz"),
    ],
)
def test_what_is_no_group_is_not_saved(
    populated_synthetic: Any, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    pytest.importorskip("pynapple")
    out = tmp_path / "units.npz"
    done = populated_synthetic.vbn("query", "units", "--pynapple", out, *words, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_condition_that_cannot_be_calculated_is_no_bug(populated_synthetic: Any) -> None:
    """PostgreSQL ends a query that divides by 0, where MySQL has NULL; neither has such a number."""
    words = ("query", "units", "--columns", "unit_id")
    done = populated_synthetic.vbn(*words, "--where", "snr / (unit_id - unit_id) > 1", check=False)
    if populated_synthetic.server.backend == "postgresql":
        assert done.returncode == 1
        assert "(division by zero). Where a divisor can be 0, write NULLIF(divisor, 0)" in done.stderr
    else:
        assert done.returncode == 0
    done = populated_synthetic.vbn(*words, "--where", "exp(snr + unit_id) > 1", check=False)
    assert done.returncode == 1
    assert "The server cannot calculate this for the values that are there" in done.stderr
    assert "bug" not in done.stderr
    populated_synthetic.vbn(*words, "--where", "snr / NULLIF(unit_id - unit_id, 0) > 1")


def test_a_text_that_is_no_date_is_no_bug(populated_synthetic: Any) -> None:
    done = populated_synthetic.vbn("query", "units", "--where", "date_of_acquisition = 'soon'", check=False)
    assert done.returncode == 1
    assert "A value of the question has not the form of what it is compared with" in done.stderr
    assert "soon" in done.stderr


@pytest.mark.files
def test_responses_around_an_event_are_saved_as_one_row_per_unit(
    populated_synthetic: Any, tmp_path: Path
) -> None:
    out = tmp_path / "psth.parquet"
    ask(populated_synthetic, "psth", "--alignment", "omission_active", "--cell-class", "RS", "--out", out)
    found = pd.read_parquet(out)
    populated_synthetic.connect()
    unit_id = int(found["unit_id"].iloc[0])
    stored = (psth.Psth.Unit & {"unit_id": unit_id, "alignment": "omission_active"}).fetch1("psth_rate")
    rates = found.loc[0, [name for name in found if name.startswith("rate_")]].to_numpy(np.float32)
    np.testing.assert_array_equal(rates, stored)
    assert set(found["cell_class"]) == {"RS"}
    assert "rate_-0.995" in found


def test_whole_numbers_stay_whole_where_some_are_missing(populated_synthetic: Any) -> None:
    rows = json.loads(ask(populated_synthetic, "gabors", "--format", "json", "--limit", 3))
    assert [row["trial_id"] for row in rows] == [None] * 3
    populated_synthetic.connect()
    presentations = fetch_frame(Stimulus.Presentation.proj("trial_id"), nullable_integers=True)
    assert presentations["trial_id"].dtype == "Int64"
    assert 0 < presentations["trial_id"].isna().sum() < len(presentations)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("units", "--structure", "VISpp"), "Nothing has structure_acronym 'VISpp'. Near to it: VISp"),
        (("units", "--where", "snrr > 1"), "There is no attribute 'snrr' here. Near to it: snr"),
        (("units", "--columns", "unit_id,snrr"), "There is no column 'snrr'. Near to it: snr"),
        (("sessions", "--experience", "novl"), "Near to it: Novel"),
        (("sessions", "--requires", "eye_trackin"), "Near to it: eye_tracking"),
        (("responses", "--table", "Chang"), "There is no table of responses 'Chang'"),
        (("psth", "--where", "snr > 1e9"), "There are no such units"),
        (("units", "--format", "parquet"), "name one with --out"),
        (("units", "--out", "units.xls"), "must end in .csv, .parquet or .json"),
    ],
)
def test_what_is_misspelt_is_one_line_with_what_to_do(
    populated_synthetic: Any, words: tuple[str, ...], answer: str
) -> None:
    done = populated_synthetic.vbn("query", *words, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert answer in line
