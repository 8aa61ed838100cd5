"""The log of a worker for services: every line is a JSON object, whatever happens."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from typing import Any

import pytest

from populate.work.worklog import everything_to, json_log, reporter
from vbn.errors import SettingError

FIELDS = {"time", "level", "host", "pid", "message", "table", "session"}


def lines_of(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line.keys() >= FIELDS for line in lines)
    return lines


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize(
    ("error", "level", "code", "words"),
    [
        (SettingError("No such\ntable."), "error", 1, "refused: No such\ntable."),
        (RuntimeError("a bug"), "error", 1, "RuntimeError: a bug"),
    ],
)
def test_what_is_logged_and_what_ends_a_worker_are_lines_too(
    capsys: pytest.CaptureFixture[str], error: Exception, level: str, code: int, words: str
) -> None:
    def work() -> None:
        report = reporter(json_log)
        with everything_to(report):
            logging.getLogger("a.library").warning("low\non memory")
            warnings.warn("a column of zeros", RuntimeWarning, stacklevel=1)
            report("job_failed", table="Running", key={"mouse_id": "1", "session_id": 7}, error="cut short")
            raise error

    with pytest.raises(SystemExit) as end:
        work()
    written = capsys.readouterr()
    logged, warned, failed, last = lines_of(written.out)
    assert written.err == ""
    assert end.value.code == code
    assert (logged["level"], logged["message"]) == ("warning", "log: low\non memory")
    assert "a column of zeros" in warned["message"]
    assert (failed["level"], failed["table"], failed["session"]) == ("error", "Running", 7)
    assert last["level"] == level
    assert words in last["message"]


def test_a_lack_of_memory_outside_of_a_job_ends_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as while a job's failure is recorded; a service manager starts the worker again."""
    with pytest.raises(SystemExit) as end, everything_to(reporter(json_log)):
        raise MemoryError("Out of memory while compressing data")
    assert end.value.code == 1
    last = lines_of(capsys.readouterr().out)[-1]
    assert last["event"] == "refused"
    assert "not enough memory to go on" in last["message"]


def test_an_interruption_ends_it_as_the_command_would() -> None:
    with pytest.raises(SystemExit) as end, everything_to(reporter(json_log)):
        raise KeyboardInterrupt
    assert end.value.code == 130


@pytest.mark.parametrize(("option", "format_of_all"), [(["--log-format", "json"], "text"), ([], "json")])
def test_a_worker_that_cannot_begin_says_so_in_the_format_of_the_log(
    option: list[str], format_of_all: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBN_LOG_FORMAT", format_of_all)
    monkeypatch.setenv("VBN_PREFIX", "Seven")
    command = [sys.executable, "-m", "populate", "worker", *option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = lines_of(done.stdout)[-1]
    assert (done.returncode, done.stderr) == (1, "")
    assert "The schema prefix 'Seven' cannot be used" in line["message"]
