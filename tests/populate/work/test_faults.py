"""The harness that injects faults: a small run of it, and that it sees what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import content, kinds, report, watch, workers
from benchmarks.faults.world import stores

ROOT = Path(__file__).parents[3]
N_FAULTS = 3
KINDS = ("kill -9 of a worker", "silent network", "fork", "missing mount", "wrong store")


def test_workers_under_faults_leave_what_an_undisturbed_one_leaves(server: Any) -> None:
    """`make faults` injects many more; docs/reliability.md has what it found."""
    backend = "mysql" if server.backend == "mysql" else "embedded"
    command = [sys.executable, "-m", "benchmarks.faults", "workers", "--backend", backend]
    command += ["--faults", str(N_FAULTS), "--per-run", str(N_FAULTS), "--seed", "11", "--sessions", "1"]
    command += ["--kinds", *KINDS]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **server.settings}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    numbers = {row[1]: [int(cell) for cell in row[3:6]] for row in rows[2:]}
    assert numbers["**all**"][1] >= N_FAULTS
    assert numbers["**all**"][2] == 0


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


def test_the_harness_sees_what_is_wrong(worked_on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, query = worked_on.environment, worked_on.server.query
    behavior = f"{worked_on.prefix}behavior"
    before = content.Content.of(environment)
    assert before.compare(before, environment, worked_on.store) == content.Verdict()
    monkeypatch.setattr(content, "PATIENCE_S", 0)
    assert content.locks_left(environment) == 0
    with contextlib.closing(worked_on.server.open_connection()) as holder:
        mark = "`" if worked_on.server.backend == "mysql" else '"'
        holder.cursor().execute("BEGIN")
        holder.cursor().execute(f"SELECT 1 FROM {mark}{behavior}{mark}.{mark}_licks{mark}")
        assert content.locks_left(environment) > 0
    assert not content.Verdict(locks_left=1).is_good

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


def test_what_a_worker_was_started_with_is_seen_in_its_log(
    database: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    database.vbn("register", synthetic_files[0], env={"VBN_ROOTS": roots(synthetic_files[0].parents[1])})
    (tmp_path / "empty").mkdir()
    settings: dict[str, dict[str, str]] = {
        "missing mount": {"VBN_ROOTS": roots(tmp_path / "absent")},
        "wrong store": {"DJ_STORES": stores(tmp_path / "empty")},
        "out of memory": {"VBN_FAULT": "memory:1"},
        "nothing": {},
    }
    for kind, setting in settings.items():
        log = tmp_path / f"{kind}.log"
        words = ("-m", "benchmarks.faults.worker", "worker", "--until-idle", "--log", "json")
        environment = {"VBN_ROOTS": roots(synthetic_files[0].parents[1]), **setting}
        for _ in range(3):
            done = database.vbn("--table", "Recording", env=environment, check=False, program=words)
            failed = database.json("errors")
            # Memory may also lack where no job is, and HDF5 itself may crash where it finds none.
            if done.returncode != -signal.SIGSEGV and (failed or kind != "out of memory"):
                break
        log.write_text(done.stdout + done.stderr)
        found = [name for name in workers.SIGNS if workers.StartFault(name, "", log, 0).has_happened()]
        assert found == [kind] * (kind != "nothing"), log.read_text()
        assert done.returncode == (kind != "nothing")
        if kind == "out of memory":
            (only,) = failed
            assert workers.SHORT_OF_MEMORY in str(only)
            database.vbn("retry", "--table", "Recording")


def roots(folder: Path) -> str:
    return json.dumps({"lab": str(folder)})


def test_counts_of_rows_are_compared_entry_by_entry() -> None:
    one = {"T": {"a": {"Part": 2}}}
    assert content._counts(one) == Counter({"T a": 1, "T.Part a": 2})
    assert content.half_entries({"T": {"a": {"Part": 1}}}, one) == 1
    assert content.half_entries(one, one) == 0


def test_the_page_shows_the_results_that_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(report.PAGE.read_text())
    monkeypatch.setattr(report, "PAGE", page)
    results = json.loads(report.RESULTS.read_text())
    report.write_page(results)
    assert page.read_text() == (ROOT / "docs" / "reliability.md").read_text()
    more = {"kinds": {"fork": {"tries": 3, "faults": 2, "problems": ["it hangs"]}}, "server": "Another"}
    assert "| fork | Another | 3 | 2 | 1 |" in report.table_of([*results, more])
    assert all(kind.how for kind in {**kinds.FAULTS, **kinds.STARTS}.values())


def test_growth_is_seen_after_the_first_quarter() -> None:
    level = [(100.0 + number, 9) for number in range(5)] + [(110.0, 10)] * 15
    assert watch._growth(level) == {"memory_mb": [110, 110], "descriptors": [10, 10], "grows": False}
    assert watch._growth([(100.0 + number, 9) for number in range(40)])["grows"]
    assert watch._growth([(100.0, number) for number in range(40)])["grows"]
