"""Opening a published folder of the release's size: cold, warm, and what a web server sends for a question.

python -m benchmarks.published PUBLISHED                       # a folder of vbn publish, of a few sessions
python -m benchmarks.published PUBLISHED --sessions 16 --units 2085
python -m benchmarks.published --large LARGE                   # one that this has made before

The sessions of a small folder are repeated, with other ids and numbers that are a little off, until it has as
many sessions and units as the release. Each opening is a process of its own. What a question needs are the
column chunks that its answer is made of, in the row groups of its sessions, by the footers of the files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet
from tqdm import tqdm

from benchmarks.measure import Results, at_most, parser
from populate.output.publish.chunk_hashes import chunk_lists, hashes_of
from populate.output.publish.describe import TableFile
from populate.output.publish.parquet_files import write_parquet
from schemas.bases.publication import PublishedTable, chunk_span
from schemas.server import published
from tests.fixtures.web_server import Site

SESSION_STEP, UNIT_STEP = 10**9, 10**5
UNITS, PSTHS = "tables/ecephys/Recording.Unit.parquet", "tables/psth/Psth.Unit.parquet"
CHANNELS = "tables/ecephys/Recording.Channel.parquet"
REPEATS = 5

OPEN = """
import json, sys, time
import datajoint
begin = time.perf_counter()
import schemas
schemas.open(sys.argv[1])
opened = time.perf_counter()
answer = eval(sys.argv[2]) if len(sys.argv) > 2 else None
answered = time.perf_counter()
names = list(getattr(answer, "coords", getattr(answer, "columns", ())))
print(json.dumps([opened - begin, answered - opened, time.process_time(), names]))
"""


class LargeSite(Site):
    """A server that reads no more of a file than it sends."""

    def read(self, path: str) -> Any:
        file = self.folder / path.lstrip("/")
        if not file.is_file() or not file.stat().st_size:
            return super().read(path)
        with file.open("rb") as opened:
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


GROUPS = """
SELECT structure_acronym, cortical_layer, cell_class, COUNT(*) AS units, AVG(snr) AS snr,
    AVG(unit_firing_rate) AS rate
FROM {unit} AS u
JOIN {channel} AS c ON c.session_id = u.session_id AND c.channel_id = u.peak_channel_id
LEFT JOIN {layer} AS l ON l.session_id = c.session_id AND l.channel_id = c.channel_id
JOIN {of_class} AS k ON k.session_id = u.session_id AND k.unit_id = u.unit_id
WHERE optotag_method = 'bennett_2025' AND snr > 1
GROUP BY structure_acronym, cortical_layer, cell_class
"""
"""A question that reads a row of four tables for every unit."""

IN_DUCKDB = """
import json, sys, time
import duckdb
begin = time.perf_counter()
rows = duckdb.sql(sys.argv[1]).fetchall()
print(json.dumps([time.perf_counter() - begin, len(rows), sum(row[3] for row in rows)]))
"""

IN_SQL = """
import json, sys, time
import datajoint
import schemas
schemas.open(sys.argv[1])
times = []
for _ in range(4):
    begin = time.perf_counter()
    rows = datajoint.conn().query(sys.argv[2]).fetchall()
    times.append(time.perf_counter() - begin)
print(json.dumps([times, len(rows), sum(row[3] for row in rows)]))
"""

ASK = "__import__('schemas.queries').queries."
FEW_COLUMNS = f"{ASK}units(where='snr > 3').proj('snr').to_pandas().reset_index()"
"""A question about all units."""


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        large = options.large or enlarged(
            options.published, Path(name) / "large", options.sessions, options.units
        )
        report(large, Path(name)).finish(options.json)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("published", type=Path, nargs="?", help="a folder of vbn publish")
    made.add_argument("--sessions", type=int, default=153)
    made.add_argument("--units", type=int, default=2085, help="per session")
    made.add_argument("--large", type=Path, help="a folder that was enlarged before")
    return made.parse_args()


def enlarged(small: Path, large: Path, n_sessions: int, n_units: int) -> Path:
    """Write a folder with the sessions and units of a small one repeated."""
    manifest = json.loads((small / "manifest.json").read_bytes())
    of_units = {each["name"]: each["rows"] for each in manifest["tables"]}
    has = of_units["Session"]
    repeats, copies = -(-n_sessions // has), max(1, round(n_units * has / of_units["Recording.Unit"]))
    large.mkdir(parents=True, exist_ok=True)
    checksums, files = {}, []
    for each in tqdm(manifest["tables"], desc="enlarge", unit="table"):
        name = each["file"]
        path = large / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = parquet.read_table(small / name, partitioning=None)
        if {"session_id", "mouse_id"} <= set(rows.column_names) and "provenance" not in name:
            each["rows"] = rows.num_rows * repeats * (copies if is_of_units(each) else 1)
            pieces = repeated(rows, each["primary_key"], repeats, copies if is_of_units(each) else 1)
            write_parquet(path, rows.schema, pieces)
        elif each["name"] == "Mouse":
            each["rows"] = rows.num_rows * repeats
            write_parquet(path, rows.schema, (moved(rows, number) for number in range(repeats)))
        else:
            shutil.copy(small / name, path)
        files.append(
            TableFile(PublishedTable(each["module"], each["name"], None), rows.schema, each["rows"], path)
        )
    (large / "manifest.json").write_text(json.dumps(manifest))
    for name, text in chunk_lists({each.name: hashes_of(each.path) for each in files}).items():
        (large / name).parent.mkdir(parents=True, exist_ok=True)
        (large / name).write_text(text)
    for path in sorted(path for path in large.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            checksums[path.relative_to(large).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    (large / "checksums.sha256").write_text("".join(f"{each}  {name}\n" for name, each in checksums.items()))
    return large


def is_of_units(table: dict[str, list[str]]) -> bool:
    return "unit_id" in table["primary_key"]


def repeated(rows: pa.Table, key: Sequence[str], repeats: int, copies: int) -> Iterator[pa.Table]:
    """Yield the rows of one session after another, in the order of the primary key."""
    sessions = compute.unique(rows["session_id"])
    for number in range(repeats):
        for session in sessions:
            own = moved(rows.filter(compute.equal(rows["session_id"], session)), number)
            more = [shaken(with_units(own, copy), number * copies + copy) for copy in range(copies)]
            yield pa.concat_tables(more).sort_by([(name, "ascending") for name in key])


def moved(rows: pa.Table, number: int) -> pa.Table:
    """Return rows with the ids of another mouse and its sessions."""
    for place, field in enumerate(rows.schema):
        values = rows[field.name]
        if field.name == "mouse_id":
            numbers = compute.add(values.cast(pa.int64()), number).cast(pa.string())
            rows = rows.set_column(place, field, numbers)
        elif field.name.endswith("_id") and field.type == pa.int64():
            rows = rows.set_column(place, field, compute.add(values, number * SESSION_STEP))
    return rows


def with_units(rows: pa.Table, copy: int) -> pa.Table:
    if "unit_id" not in rows.column_names or not copy:
        return rows
    place = rows.column_names.index("unit_id")
    return rows.set_column(place, rows.schema.field(place), compute.add(rows["unit_id"], copy * UNIT_STEP))


def shaken(rows: pa.Table, seed: int) -> pa.Table:
    """Return rows whose numbers are a little off, so that they take the room of as many different ones."""
    random = np.random.default_rng(seed)
    for place, field in enumerate(rows.schema):
        values = rows[field.name].combine_chunks()
        if is_curves(field.type) and values.null_count == 0 and len(values):
            numbers = values.flatten().to_numpy(zero_copy_only=False)
            lengths = compute.list_value_length(values).to_numpy(zero_copy_only=False)
            factors = np.repeat(random.uniform(0.99, 1.01, len(values)), lengths)
            flat = pa.array((numbers * factors).astype(numbers.dtype))
            offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
            is_fixed = pa.types.is_fixed_size_list(field.type)
            rows = rows.set_column(
                place,
                field,
                pa.FixedSizeListArray.from_arrays(flat, type=field.type)
                if is_fixed
                else pa.ListArray.from_arrays(offsets, flat, type=field.type),
            )
        elif pa.types.is_float64(field.type):
            factors = pa.array(random.uniform(0.99, 1.01, len(values)))
            rows = rows.set_column(place, field, compute.multiply(values, factors))
    return rows


def is_curves(kind: pa.DataType) -> bool:
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    return bool(is_list and pa.types.is_float32(kind.value_type))


def report(large: Path, work: Path) -> Results:
    about = json.loads((large / "manifest.json").read_bytes())
    n_rows = {each["name"]: each["rows"] for each in about["tables"]}
    session = int(parquet.read_table(large / UNITS, columns=["session_id"])["session_id"][0].as_py())
    one = f"{ASK}psth_matrix({ASK}units() & {{'session_id': {session}}})"
    settings = {
        "sessions": n_rows["Session"], "units": n_rows["Recording.Unit"], "psths": n_rows["Psth.Unit"],
        "gigabytes": round(sum(each.stat().st_size for each in large.rglob("*.parquet")) / 1e9, 2),
    }  # fmt: skip
    results = Results("opening a published folder", settings)
    cold = opened(str(large), work / "folder", one)
    results.add("folder: opened for the first time", cold.open_s)
    results.add("folder: and the PSTHs of one session", cold.open_s + cold.answer_s, goal=at_most(60))
    warm = [opened(str(large), work / "folder", one) for _ in range(REPEATS)]
    results.add("folder: opened again", median(each.open_s for each in warm), goal=at_most(1))
    results.add("folder: the same PSTHs again", median(each.answer_s for each in warm))
    results.add(
        "folder: opened again, processor time with imports", median(each.processor_s for each in warm)
    )
    add_groups(results, large, work / "folder")
    os.environ["NO_PROXY"] = "*"
    site = LargeSite(large)
    site.start()
    add_site(results, site, work / "site", session, one)
    site.stop()
    return results


def add_groups(results: Results, large: Path, home: Path) -> None:
    """Add what counting all units by structure, layer and class takes: in DuckDB, and in SQL."""
    files = {
        "unit": UNITS, "channel": CHANNELS, "layer": "tables/ecephys/ChannelLayer.Channel.parquet",
        "of_class": "tables/responses/CellClass.Unit.parquet",
    }  # fmt: skip
    of_files = GROUPS.format(**{name: f"read_parquet('{large / file}')" for name, file in files.items()})
    in_duckdb = [asked(IN_DUCKDB, home, of_files) for _ in range(REPEATS)]
    published.use(large)
    folder = published.configured()
    assert folder is not None
    prefix = folder.prefix
    tables = {
        "unit": f'"{prefix}ecephys"."_recording__unit"',
        "channel": f'"{prefix}ecephys"."_recording__channel"',
        "layer": f'"{prefix}ecephys"."__channel_layer__channel"',
        "of_class": f'"{prefix}responses"."__cell_class__unit"',
    }  # fmt: skip
    times, *found = asked(IN_SQL, home, str(large), GROUPS.format(**tables))
    if any(other[1:] != found for other in in_duckdb):
        sys.exit(f"the answers differ: {in_duckdb}, {found}")
    base = "all units by structure, layer and class: DuckDB"
    results.add(base, median(each[0] for each in in_duckdb), note=f"{found[1]} units, {found[0]} groups")
    results.add("the same as SQL of the opened folder, at first", times[0], base=base)
    results.add("the same as SQL, again", median(times[1:]), base=base)


def asked(program: str, home: Path, *words: str) -> Any:
    """Return what a process prints as JSON."""
    environment = {**os.environ, "VBN_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def add_site(results: Results, site: Site, home: Path, session: int, one: str) -> None:
    """Add what a web server sends: for opening, for one session, for all units, and for opening again."""
    opened(site.url, home, None)
    results.add("URL: opened for the first time", site.body_bytes / 1e6, unit="MB", note=told(site))
    for name, question, of_session in (
        ("PSTHs of one session", one, session), ("snr of all units", FEW_COLUMNS, None),
    ):  # fmt: skip
        site.requests.clear()
        found = opened(site.url, home, question)
        tables = (UNITS, CHANNELS, PSTHS) if of_session else (UNITS, CHANNELS)
        needed = needs(site.folder, tables, {*found.names, *JOINED}, of_session)
        about, rest = overhead(site), site.body_bytes - overhead(site)
        base = f"URL: {name}, column chunks of the answer"
        results.add(base, needed / 1e6, unit="MB")
        results.add(
            f"URL: {name}, sent", rest / 1e6, unit="MB", base=base, goal=at_most(1.2, "x"), note=told(site)
        )
        results.add(f"URL: {name}, footers and hashes besides", about / 1e6, unit="MB")
        results.add(f"URL: {name}, time", found.answer_s)
    site.requests.clear()
    again = [opened(site.url, home, None) for _ in range(REPEATS)]
    results.add("URL: opened again, sent", site.body_bytes / REPEATS / 1e6, unit="MB")
    results.add("URL: opened again", median(each.open_s for each in again), goal=at_most(1))


JOINED = ("mouse_id", "session_id", "probe_name", "unit_id", "channel_id", "peak_channel_id", "psth_rate")
"""Columns by which the tables are joined, and the curves."""


def overhead(site: Site) -> int:
    """Return the bytes sent that are no column chunks: lists of hashes, manifest, footers."""
    total = 0
    for each in site.requests:
        name = each.path.lstrip("/")
        if not name.endswith(".parquet"):
            total += each.body_bytes
        elif each.range and each.status == 206:
            size = (site.folder / name).stat().st_size
            total += each.body_bytes if each.range[1] == size and each.range[0] > 4 else 0
    return total


def told(site: Site) -> str:
    """Return how many requests there were, and the bytes of the files of which most was sent."""
    found: dict[str, int] = {}
    for each in site.requests:
        name = each.path.rpartition("/")[2]
        found[name] = found.get(name, 0) + each.body_bytes
    most = sorted(found.items(), key=lambda item: -item[1])[:5]
    return f"{len(site.requests)} requests; " + ", ".join(f"{name} {size / 1e6:.2f}" for name, size in most)


def needs(large: Path, tables: Sequence[str], columns: Collection[str], session: int | None) -> int:
    """Return the bytes of the chunks of columns in the row groups that have a session."""
    total = 0
    for name in tables:
        about = parquet.read_metadata(large / name)
        for number in range(about.num_row_groups):
            chunks = [about.row_group(number).column(each) for each in range(about.num_columns)]
            span = next(each.statistics for each in chunks if each.path_in_schema == "session_id")
            if session is None or span.min <= session <= span.max:
                for each in chunks:
                    if each.path_in_schema.partition(".")[0] in columns:
                        start, stop = chunk_span(each)
                        total += stop - start
    return total


@dataclass(frozen=True)
class Opened:
    """What a process that opened a folder and asked a question took, and the names in its answer."""

    open_s: float
    answer_s: float
    processor_s: float
    names: list[str]


def opened(place: str, home: Path, question: str | None) -> Opened:
    """Open a folder in a process, and ask a question."""
    return Opened(*asked(OPEN, home, place, *([] if question is None else [question])))


if __name__ == "__main__":
    main()
