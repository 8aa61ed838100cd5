"""``vbn calibrate``: no database, from the simulation to the page."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from populate.cli import main
from populate.commands.calibrate import command
from populate.output.calibration import chosen_settings
from schemas import responses
from vbn.calibration import run
from vbn.calibration.columns import Measure
from vbn.errors import SettingError

pytestmark = [pytest.mark.usefixtures("simulated_once"), pytest.mark.simulation]

SMALL = ("--sessions", "2", "--units", "5", "--seed", "1")


def called(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_two_sessions_of_five_units_become_a_table_and_a_page(tmp_path: Path) -> None:
    page = tmp_path / "calibration.md"
    done = called(
        *SMALL, "--world", "ou_60", "--world", "mixed_mild", "--mixtures", "3", "--write", str(page)
    )
    assert done.exit_code == 0
    assert "PupilModulation" in done.output
    assert "cosine_p_wilcoxon" in done.output
    text = page.read_text()
    assert text.startswith("# Calibration\n")
    assert "2 sessions with 5 units" in text
    assert "| mixed_mild |" in text
    assert "The mixtures have 3 sessions" in text
    assert {path.name for path in tmp_path.iterdir()} == {"calibration.md", "calibration.scores.jsonl"}


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


TWO_TABLES = ("--world", "poisson", "--column", "FullFieldResponse", "--column", "PupilModulation")


def counted(monkeypatch: pytest.MonkeyPatch, stop_after: int = 1000) -> list[str]:
    """Return a list of the tables that will be computed; from one on, the run is interrupted."""
    computed: list[str] = []

    def scored(measure: Measure, *arguments: Any) -> run.Scores:
        if len(computed) == stop_after:
            raise KeyboardInterrupt
        computed.append(measure.table)
        return whole(measure, *arguments)

    whole = run._table_scores
    monkeypatch.setattr(run, "_table_scores", scored)
    return computed


def test_an_interrupted_run_shows_what_is_done_and_goes_on_from_there_to_the_same_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, whole = tmp_path / "calibration.md", tmp_path / "whole.md"
    called(*SMALL, *TWO_TABLES, "--write", str(whole))
    with monkeypatch.context() as patch:
        counted(patch, stop_after=3)
        done = called(*SMALL, *TWO_TABLES, "--write", str(page))
    assert done.exit_code == 130
    assert "this is of 3 of 4 tables of all worlds and sessions; the same command goes on" in done.stderr
    assert "p_white" in done.stdout
    assert not page.exists()
    kept = tmp_path / "calibration.scores.jsonl"
    kept.write_bytes(kept.read_bytes()[:-20])  # as a kill does to the last line
    with monkeypatch.context() as patch:
        computed = counted(patch)
        assert called(*SMALL, *TWO_TABLES, "--write", str(page)).exit_code == 0
    assert sorted(computed) == ["FullFieldResponse", "PupilModulation"]
    assert page.read_text() == whole.read_text()


def test_only_a_table_of_another_method_version_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ("--keep", str(tmp_path / "kept.jsonl"))
    called(*SMALL, *TWO_TABLES, *kept)
    computed = counted(monkeypatch)
    called(*SMALL, *TWO_TABLES, *kept)
    assert computed == []
    monkeypatch.setattr(responses.PupilModulation, "method_version", 1000)
    called(*SMALL, *TWO_TABLES, *kept)
    assert computed == ["PupilModulation"] * 2
    called("--sessions", "2", "--units", "4", "--seed", "1", *TWO_TABLES, *kept)
    assert len(computed) == 2 + 4


@pytest.mark.slow
def test_a_run_in_two_processes_that_is_killed_goes_on_to_the_same_results(tmp_path: Path) -> None:
    """All of it is killed once the first scores have been kept; then in one process."""
    kept = tmp_path / "kept.jsonl"
    arguments = [*SMALL, *TWO_TABLES, "--json"]
    command_line = [sys.executable, "-m", "vbn_datajoint", "calibrate", *arguments]
    running = subprocess.Popen(
        [*command_line, "--processes", "2", "--keep", str(kept)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (kept.exists() and b"\n" in kept.read_bytes()) and running.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert kept.read_bytes().count(b"\n") >= 1
    assert called(*arguments, "--keep", str(kept)).output == called(*arguments).output
    both = called(*arguments, "--processes", "2")
    assert both.output == called(*arguments).output


def test_a_file_of_another_kind_is_not_appended_to(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n")
    with pytest.raises(SettingError, match="is no line of kept scores"):
        called(*SMALL, *TWO_TABLES, "--keep", str(page))
    assert page.read_text() == "# A page\n"


def test_mixtures_have_as_many_sessions_as_are_asked_for() -> None:
    of_both = ("--world", "mixed_mild", "--world", "poisson", "--column", "FullFieldResponse.is_responsive")
    rows = json.loads(called(*SMALL, *of_both, "--mixtures", "3", "--json").output)
    assert {(row["world"], row["what"], row["sessions"]) for row in rows} == {
        ("mixed_mild", "fdr", 3),
        ("poisson", "false_positive", 2),
    }


def test_an_unknown_world_is_refused_with_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "--world", "poison"])
    assert end.value.code == 1
    assert "There is no world 'poison'. Near to it: poisson" in capsys.readouterr().err


OF_MODELS = ("--seed", "1", "--sessions", "2", "--column", "Variability", "--world", "poisson")


def test_a_table_of_models_is_tested_alone_and_kept_in_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept.jsonl"
    first = called(*OF_MODELS, "--keep", str(kept), "--json")
    rows = json.loads(first.output)
    assert {row["table"] for row in rows} == {"Variability"}
    assert {row["world"] for row in rows} == {"poisson"}
    assert {row["sessions"] for row in rows} == {2}
    assert [path.name for path in tmp_path.iterdir()] == ["kept.models.scores.jsonl"]
    with monkeypatch.context() as patch:  # nothing is computed again
        patch.setattr("vbn.calibration.models.session.simulate_events", None)
        assert called(*OF_MODELS, "--keep", str(kept), "--json").output == first.output
    monkeypatch.setattr(responses.Variability, "method_version", 1000)
    monkeypatch.setattr("vbn.calibration.models.session.simulate_events", None)
    with pytest.raises(TypeError):
        called(*OF_MODELS, "--keep", str(kept))


def test_the_page_has_both_and_says_how_many_sessions_each_is_of(tmp_path: Path) -> None:
    page = tmp_path / "calibration.md"
    of_both = ("--column", "FullFieldResponse", "--column", "Variability", "--world", "poisson")
    done = called(*SMALL, *of_both, "--write", str(page))
    assert "fano_factor_local" in done.output
    text = page.read_text()
    assert "2 sessions with 5 units in each world" in text
    assert "[Models and populations](#models-and-populations) have 2 sessions." in text
    assert "### Variability\n\n2 sessions, 40 units:" in text
    without = called(*SMALL, *of_both[:2], "--world", "poisson", "--write", str(page))
    assert without.exit_code == 0
    assert "Models and populations" not in page.read_text()
    only = called(*OF_MODELS, "--write", str(tmp_path / "models.md"))  # nothing was written, and nothing said
    assert only.exit_code == 0
    assert "### Variability\n\n2 sessions, 40 units:" in (tmp_path / "models.md").read_text()


@pytest.mark.parametrize(
    ("chosen", "units", "models"),
    [
        ({}, True, 40), ({"models": 0}, True, None), ({"models": 4}, True, 4),
        ({"columns": ("Decoding",)}, False, 3), ({"columns": ("p_selectivity",)}, True, None),
        ({"columns": ("Reliability", "Decoding")}, True, 3), ({"worlds": ("ou_60",)}, True, None),
        ({"worlds": ("synapse",)}, False, 3), ({"worlds": ("ou_60",), "models": 2}, True, 2),
        ({"worlds": ("mixed",), "models": 2}, True, None),
    ],
)  # fmt: skip
def test_names_say_what_is_tested(chosen: dict[str, Any], units: bool, models: int | None) -> None:
    of_units, of_models = chosen_settings(
        3, 5, chosen.get("models"), 0, chosen.get("worlds", ()), chosen.get("columns", ())
    )
    assert (of_units is not None) == units
    assert (of_models and of_models.sessions) == models


def test_one_session_of_models_is_refused() -> None:
    with pytest.raises(SettingError, match="no sessions, or 2 or more"):
        called("--models", "1")
