"""What a monitor watches, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import schemas
import vbn
from populate.admin.backup.manifest import MANIFEST, read_manifest
from populate.work.jobs import job_table_name
from populate.work.status import imported_counts, table_status
from schemas import session
from schemas.bases.registry import schema_names, tables
from schemas.server.connection import Database
from schemas.server.datajoint import dj
from vbn.errors import VbnError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STORE_IS_MEASURED_EVERY_S = 600


@dataclass
class Metric:
    """A gauge with its values, each with labels.

    Attributes
    ----------
    name : its name, with the unit at the end.
    help : what it is.
    samples : pairs of labels and value.
    """

    name: str
    help: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Metric:
        """Add a value."""
        self.samples.append((labels, value))
        return self

    def text(self) -> str:
        """Return it in the text format."""
        lines = [f"# HELP {self.name} {_escaped(self.help)}", f"# TYPE {self.name} gauge"]
        for labels, value in self.samples:
            quoted = (f'{name}="{_escaped(text, quotes=True)}"' for name, text in labels.items())
            lines.append(
                f"{self.name}{{{','.join(quoted)}}} {value!r}" if labels else f"{self.name} {value!r}"
            )
        return "\n".join(lines) + "\n"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def metrics_text(backups: Sequence[Path] = ()) -> str:
    """Return all metrics in the text format.

    Parameters
    ----------
    backups : folders of backups, or folders that hold such folders, as ``vbn backup --keep`` makes them.
    """
    database = schemas.connect()
    found = [*_of_work(), *_of_space(database), *(_last_backup(folder) for folder in backups)]
    info = Metric("vbn_info", "The version and the database.")
    info.add(1, version=vbn.__version__, backend=database.backend, prefix=database.prefix)
    return "".join(metric.text() for metric in (info, *_merged(found)))


def _merged(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the metrics with the values of those of one name in one place, as the format wants it."""
    merged: dict[str, Metric] = {}
    for metric in metrics:
        merged.setdefault(metric.name, Metric(metric.name, metric.help)).samples.extend(metric.samples)
    return list(merged.values())


def _of_work() -> Iterator[Metric]:
    kinds = Counter(session.NwbFile.to_arrays("file_kind").tolist())
    sessions = Metric("vbn_sessions", "Registered sessions, by kind of file.")
    for kind in ("recording", "behavior_only"):
        sessions.add(kinds[kind], kind=kind)
    yield sessions
    n_imported = sum(state == "all" for state in imported_counts().values())
    yield Metric("vbn_sessions_imported", "Sessions that are imported completely.").add(n_imported)
    jobs = Metric("vbn_jobs", "Entries of each populated table: done, missing, reserved or failed (error).")
    for state in table_status():
        missing = max(state.total - state.done - state.reserved - state.errors, 0)
        counts = {"done": state.done, "missing": missing, "reserved": state.reserved, "error": state.errors}
        for name, count in counts.items():
            jobs.add(count, table=state.table, state=name)
    yield jobs
    yield Metric("vbn_oldest_reservation_seconds", "Age of the oldest reserved job, 0 if there is none.").add(
        _oldest_reservation_s()
    )
    severities = Counter(session.ImportIssue.to_arrays("severity").tolist())
    issues = Metric("vbn_import_issues", "Import issues, by severity.")
    for severity in ("info", "warning", "error"):
        issues.add(severities[severity], severity=severity)
    yield issues


def _oldest_reservation_s() -> float:
    """Return the age by the server's clock."""
    union = " UNION ALL ".join(
        f"SELECT min(reserved_time) AS since FROM {job_table_name(cls())} WHERE status = 'reserved'"  # noqa: S608
        for cls in tables(dj.Imported, dj.Computed)
    )
    query = dj.conn().query
    (since,) = query(f"SELECT min(since) FROM ({union}) AS reserved").fetchone()  # noqa: S608
    if since is None:
        return 0.0
    (now,) = query(f"SELECT {_now()}").fetchone()
    return max(float((now - since).total_seconds()), 0.0)


def _now() -> str:
    is_mysql = dj.conn().adapter.backend == "mysql"
    return "CURRENT_TIMESTAMP(3)" if is_mysql else "CURRENT_TIMESTAMP(3)::timestamp"


def _of_space(database: Database) -> Iterator[Metric]:
    yield Metric("vbn_database_size_bytes", "Size of the tables and their indices.").add(
        _database_size_bytes(database)
    )
    folder = database.store.folder
    if folder is not None and folder.is_dir():  # a reader of the page need not reach it
        yield Metric("vbn_store_size_bytes", "Size of the arrays in the store.").add(
            _size_bytes(folder, int(time.monotonic() / STORE_IS_MEASURED_EVERY_S))
        )
        yield Metric("vbn_store_free_bytes", "Space left on the store's disk.").add(
            shutil.disk_usage(folder).free
        )


def _database_size_bytes(database: Database) -> int:
    names = schema_names(database.prefix)
    listed = ", ".join(["%s"] * len(names))
    size, place = "sum(data_length + index_length)", "information_schema.tables WHERE table_schema"
    if database.backend != "mysql":
        size = "sum(pg_total_relation_size(c.oid))"
        place = "pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname"
    query = f"SELECT {size} FROM {place} IN ({listed})"  # noqa: S608
    return int(database.connection.query(query, args=names).fetchone()[0] or 0)


@lru_cache(maxsize=1)
def _size_bytes(folder: Path, _when: int) -> int:
    """Return the size of all files; a large store takes long, so the page measures it now and then only."""
    total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - there are many
    return total


def _last_backup(folder: Path) -> Metric:
    """Return when the latest complete backup in a folder was made, with arrays; 0 if there is none."""
    made_at = 0.0
    for path in (folder / MANIFEST, *folder.glob(f"*/{MANIFEST}"), *folder.glob(f"*/*/{MANIFEST}")):
        with contextlib.suppress(VbnError):  # a damaged one is none
            manifest = read_manifest(path.parent)
            if manifest.has_arrays:
                made_at = max(made_at, datetime.fromisoformat(manifest.made_at).timestamp())
    latest = Metric(
        "vbn_last_backup_timestamp_seconds",
        "When the latest complete backup, with arrays, was made, 0 if there is none.",
    )
    return latest.add(made_at, folder=str(folder))
