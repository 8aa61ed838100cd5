"""``vbn calibrate``: no database, from the simulation to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from populate.cli import main
from populate.commands.calibrate import command
from vbn.calibration import run

SMALL = ("--sessions", "2", "--units", "5", "--seed", "1")


def called(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_two_sessions_of_five_units_become_a_table_and_a_page(tmp_path: Path) -> None:
    page = tmp_path / "calibration.md"
    done = called(*SMALL, "--world", "ou_60", "--world", "mixed_mild", "--write", str(page))
    assert done.exit_code == 0
    assert "PupilModulation" in done.output
    assert "cosine_p_wilcoxon" in done.output
    text = page.read_text()
    assert text.startswith("# Calibration\n")
    assert "2 sessions with 5 units" in text
    assert "| mixed_mild |" in text
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.md"]


def test_json_has_every_cell_with_its_interval_and_is_the_same_again() -> None:
    arguments = (*SMALL, "--world", "poisson", "--column", "FullFieldResponse.p_white", "--json")
    first = called(*arguments)
    rows = json.loads(first.output)
    assert [row["what"] for row in rows] == ["false_positive", "false_positive_01"]
    for row in rows:
        assert (row["table"], row["column"], row["world"]) == ("FullFieldResponse", "p_white", "poisson")
        assert (row["n"], row["sessions"]) == (10, 2)
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    assert called(*arguments).output == first.output


def test_an_interrupted_run_shows_the_sessions_that_are_done_and_writes_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.session_scores

    def interrupted(settings: Any, index: int, **options: Any) -> run.Scores:
        if index == 1:
            raise KeyboardInterrupt
        return whole(settings, index, **options)

    monkeypatch.setattr(run, "session_scores", interrupted)
    page = tmp_path / "calibration.md"
    done = called(*SMALL, "--world", "poisson", "--column", "FullFieldResponse.p_white", "--write", str(page))
    assert done.exit_code == 130
    assert "this is of 1 of 2 sessions" in done.stderr
    assert "p_white" in done.stdout
    assert not page.exists()


def test_an_unknown_world_is_refused_with_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "--world", "poison"])
    assert end.value.code == 1
    assert "There is no world 'poison'. Near to it: poisson" in capsys.readouterr().err
