"""The harness that injects faults: a small run of it, and that it sees what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import content

ROOT = Path(__file__).parents[3]
N_FAULTS = 3
HARMLESS = {"files_put_aside"}


def test_workers_under_faults_leave_what_an_undisturbed_one_leaves(server: Any) -> None:
    """`make faults` injects many more; docs/reliability.md has what it found."""
    backend = "mysql" if server.backend == "mysql" else "embedded"
    command = [sys.executable, "-m", "benchmarks.faults", "--backend", backend, "--sessions", "1"]
    command += ["--faults", str(N_FAULTS), "--per-run", str(N_FAULTS), "--seed", "11"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **server.settings}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert sum(sum(run["faults"].values()) for run in runs) >= N_FAULTS
    assert all(not number for run in runs for name, number in run["verdict"].items() if name not in HARMLESS)


@pytest.fixture
def worked_on(database: Any, synthetic_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    def forked(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        with database.server.launcher.fork(words, environment, str(database.folder)) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(words, process.wait(), output, errors)

    monkeypatch.setattr(content, "python", forked)
    database.vbn("register", synthetic_files[0])
    database.vbn("populate", "--table", "ChangeDetection", "--table", "Licks", "--table", "Running")
    return database


def test_the_harness_sees_what_is_wrong(worked_on: Any) -> None:
    environment, query = worked_on.environment, worked_on.server.query
    behavior = f"{worked_on.prefix}behavior"
    before = content.Content.of(environment)
    assert before.compare(before, environment, worked_on.store) == content.Verdict()

    query(f'DELETE FROM "{behavior}"."_change_detection__reward" WHERE reward_id = 0')
    query(f'UPDATE "{behavior}"."_licks" SET n_licks = n_licks + 1')
    job = (
        'INSERT INTO "{}"."~~{}" (mouse_id, session_id, status, priority) '
        f'SELECT mouse_id, session_id, \'{{}}\', 5 FROM "{worked_on.prefix}session"."session"'
    )
    for table, status in (("eye_tracking", "reserved"), ("rig_geometry", "error")):
        query(job.format(behavior, table, status))
    (worked_on.store / "_schema" / behavior / "stray.npy").write_bytes(b"?")
    verdict = before.compare(content.Content.of(environment), environment, worked_on.store)
    assert verdict == content.Verdict(
        lost_rows=1,
        half_entries=1,
        reservations_left=1,
        unexpected_errors=1,
        different_tables=2,
        files_put_aside=1,
    )
    assert not verdict.is_good


def test_counts_of_rows_are_compared_entry_by_entry() -> None:
    one = {"T": {"a": {"Part": 2}}}
    assert content._counts(one) == Counter({"T a": 1, "T.Part a": 2})
    assert content.half_entries({"T": {"a": {"Part": 1}}}, one) == 1
    assert content.half_entries(one, one) == 0
