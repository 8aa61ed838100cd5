"""What is printed into a pipe that is closed, onto a full disk, or without any stream at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.files

PATIENCE_S = 300


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("sessions",), ("query", "units", "--format", "csv")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_into_a_closed_pipe_is_no_crash(
    populated_synthetic: Any, words: tuple[str, ...], unbuffered: str
) -> None:
    """``vbn status | head -1``"""
    with populated_synthetic.start(*words, env={"PYTHONUNBUFFERED": unbuffered}) as process:
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_onto_a_full_disk_is_told_in_words(populated_synthetic: Any, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = populated_synthetic.vbn(
            "sessions", env={"PYTHONUNBUFFERED": unbuffered}, stdout=full, check=False
        )
    words = "vbn: No space is left where this writes, so it is not complete. Make room.\n"
    assert (done.returncode, done.stderr) == (1, words)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("words", ["sessions", "--version"])
def test_closed_streams_are_no_crash(populated_synthetic: Any, closed: str, words: str) -> None:
    """As of a job that a scheduler starts without any."""
    command = ["sh", "-c", f'exec "$0" -m populate {words} {closed}', sys.executable]
    environment = populated_synthetic.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
