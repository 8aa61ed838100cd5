"""``vbn metrics``: what a monitor reads of the database, in the exact format."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from populate.output.metrics import Metric
from tests.fixtures.database import Database

LABEL = r'[a-z_]+="(?:[^"\\\n]|\\[\\n"])*"'
SAMPLE = re.compile(rf"(vbn_[a-z_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+(?:\.\d+)?(?:e[+-]\d+)?)")


def read(text: str) -> dict[tuple[str, ...], float]:
    """Return (name, label values ...) -> value; each name is described once, in front of its values."""
    assert text.endswith("\n")
    found, described = {}, []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            described.append(line.split()[2])
            continue
        if line.startswith("# TYPE "):
            assert line == f"# TYPE {described[-1]} gauge"
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert sample[1] == described[-1]
        found[sample[1], *re.findall(r'="((?:[^"\\]|\\.)*)"', sample[2] or "")] = float(sample[3])
    assert len(described) == len(set(described))
    return found


def test_what_would_end_a_label_or_a_line_is_escaped() -> None:
    text = Metric("vbn_x", "A\nB\\").add(1, folder='a"b\\c\nd').text()
    assert text == '# HELP vbn_x A\\nB\\\\\n# TYPE vbn_x gauge\nvbn_x{folder="a\\"b\\\\c\\nd"} 1\n'
    assert read(text) == {("vbn_x", r"a\"b\\c\nd"): 1}


def test_sessions_jobs_reservations_errors_sizes_and_the_last_backup(
    database: Database, populated_synthetic: Database, tmp_path: Path
) -> None:
    """Two sessions are registered, a job has failed, another is reserved for an hour; two backups exist."""
    from schemas.behavior import RigGeometry

    database.register_as(populated_synthetic)
    jobs = RigGeometry().jobs
    jobs.refresh(delay=-1)
    failed, reserved = jobs.pending.keys()
    jobs.reserve(failed)
    jobs.error(failed, error_message="cut short")
    jobs.reserve(reserved)
    is_mysql = database.server.backend == "mysql"
    hour = "INTERVAL 1 HOUR" if is_mysql else "INTERVAL '1 hour'"
    database.server.query(
        f'UPDATE "{database.prefix}behavior"."~~rig_geometry" SET reserved_time = reserved_time - {hour} '
        "WHERE status = 'reserved'"
    )
    (database.store / "array.npy").write_bytes(bytes(1000))
    latest = datetime(2026, 5, 1, tzinfo=UTC)
    later = latest + timedelta(days=1)
    for name, made_at, has_arrays in (
        ("old", latest - timedelta(days=3), True), ("daily/new", latest, True), ("lacking", later, False)
    ):  # fmt: skip
        texts = dict.fromkeys(("vbn_version", "backend", "server_version", "prefix", "store"), "")
        lists = {"has_arrays": has_arrays, "files": {}, "checksums": {}}
        dump = {"dump": f"database-{made_at:%Y%m%dT%H%M%S%fZ}.pgdump",
                "dump_file": {"size_bytes": 0, "sha256": "0" * 64}}  # fmt: skip
        manifest = {"format": 1, "made_at": made_at.isoformat(), **texts, **lists, **dump}
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text('{"format": 2, "ma')
    out = tmp_path / "vbn.prom"
    database.call("metrics", "--out", out, env={"VBN_BACKUP": str(tmp_path)})
    found = read(out.read_text())
    assert found["vbn_sessions", "recording"] == 2
    assert found[("vbn_sessions_imported",)] == 0
    states = {
        state: found["vbn_jobs", "RigGeometry", state] for state in ("done", "missing", "reserved", "error")
    }
    assert states == {"done": 0, "missing": 0, "reserved": 1, "error": 1}
    assert found["vbn_jobs", "Running", "missing"] == 2
    assert 3600 <= found[("vbn_oldest_reservation_seconds",)] < 3600 + 600
    assert found[("vbn_store_size_bytes",)] >= 1000
    assert found[("vbn_store_free_bytes",)] > 0
    assert found[("vbn_database_size_bytes",)] > 10**5
    assert found["vbn_last_backup_timestamp_seconds", str(tmp_path)] == latest.timestamp()
    absent = read(database.call("metrics", "--backup", tmp_path / "none").stdout)
    assert absent["vbn_last_backup_timestamp_seconds", str(tmp_path / "none")] == 0
