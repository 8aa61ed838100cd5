"""Sessions, import issues and failed jobs can be asked for by conditions and columns, as queries can."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.files


def test_sessions_and_issues_meet_conditions_and_have_the_columns_asked_for(populated_synthetic: Any) -> None:
    json = populated_synthetic.json
    every = json("sessions")
    wanted = [row["session_id"] for row in every if row["has_file"] and "images_H" in row["session_type"]]
    assert 0 < len(wanted) < len(every)
    where = ("--where", "has_file AND session_type LIKE '%images_H%'")
    assert json("sessions", *where, "--columns", "session_id") == [{"session_id": each} for each in wanted]
    issues = json("issues")
    last = issues[-1]
    condition = f"issue_code = '{last['issue_code']}' AND session_id >= {last['session_id']}"
    found = json("issues", "--where", condition)
    assert found == [
        row
        for row in issues
        if row["issue_code"] == last["issue_code"] and row["session_id"] >= last["session_id"]
    ]
    assert 0 < len(found) < len(issues)
    table = populated_synthetic.vbn("issues", "--columns", "issue_code,session_id").stdout.splitlines()
    assert table[0].split() == ["issue_code", "session_id"]
    assert [line.split() for line in table[1:-1]] == [
        [row["issue_code"], str(row["session_id"])] for row in issues
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sessions", "--where", "imprted = 'all'"), "Near to it: imported"),
        (("sessions", "--where", "imported = all"), "'all', in single quotes"),
        (("issues", "--columns", "sevrity"), "Near to it: severity"),
        (("errors", "--where", "mesage LIKE '%x%'"), "Near to it: message"),
    ],
)
def test_what_cannot_be_asked_is_said(populated_synthetic: Any, words: tuple[str, ...], said: str) -> None:
    done = populated_synthetic.vbn(*words, check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_failed_jobs_meet_conditions_on_table_key_and_message(
    database: Any, populated_synthetic: Any
) -> None:
    from schemas.behavior import Licks, RigGeometry

    database.register_as(populated_synthetic)
    for table, message in ((RigGeometry, "the file is cut short"), (Licks, "no space left")):
        jobs = table().jobs
        jobs.refresh(delay=-1)
        for key in jobs.pending.to_dicts():
            jobs.reserve(key)
            jobs.error(key, error_message=message)
    every = database.json("errors")
    assert len(every) == 4
    session_id = every[0]["key"]["session_id"]
    for condition, wanted in (
        ("message LIKE '%space%'", [each for each in every if each["table"] == "Licks"]),
        (f"session_id = {session_id}", [each for each in every if each["key"]["session_id"] == session_id]),
    ):
        assert database.json("errors", "--where", condition) == wanted
        assert len(wanted) == 2
    asked = database.json("errors", "--where", "table = 'Licks'", "--columns", "session_id,message")
    assert [list(row) for row in asked] == [["session_id", "message"]] * 2
    assert {row["message"] for row in asked} == {"no space left"}
    text = database.vbn("errors", "--where", "table = 'Licks'").stdout
    assert "2 failed." in text
    assert "cut short" not in text
