"""Whatever is wrong with a file, it is imported whole, with issues, or refused in words; table by table.

Each mutant is a copy of a small session in which one or two objects are lost, or have other attributes,
types, shapes or values; of each five one is of a training session and one of an LFP file, where the corpus
is at hand. Mutants are numbered: number 7 is always the same. ``VBN_MUTANTS`` says how many there are, and
``VBN_FIRST_MUTANT`` with which to begin.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

OwnIds = Callable[[h5py.File, int], None]

N_MUTANTS = int(os.environ.get("VBN_MUTANTS", "16"))
FIRST = int(os.environ.get("VBN_FIRST_MUTANT", "0"))
FIRST_ID = 9_500_000_000
# What `populate.runner.explain` writes for an exception that nobody expected.
UNEXPECTED = re.compile(r"^[A-Za-z_.]*(Error|Exception|Warning|Interrupt)\b: |Traceback|object at 0x")
# Attribute of a table -> the part that it counts.
COUNTS = {
    ("Recording", "n_units"): "ecephys._recording__unit",
    ("Recording", "n_channels"): "ecephys._recording__channel",
    ("Recording", "n_probes"): "ecephys._recording__probe",
    ("ChangeDetection", "n_trials"): "behavior._change_detection__trial",
    ("ChangeDetection", "n_rewards"): "behavior._change_detection__reward",
    ("Stimulus", "n_presentations_total"): "stimulus._stimulus__presentation",
    ("Stimulus", "n_blocks"): "stimulus._stimulus__block",
    ("OptoStimulation", "n_pulses"): "stimulus._opto_stimulation__pulse",
}
LFP_TABLES = ("Recording", "Lfp", "CurrentSourceDensity", "LfpPiece")


@dataclass
class Tally:
    """How the mutants ended."""

    ends: Counter[str] = field(default_factory=Counter)
    mutants: int = 0
    wrong: list[str] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)


def other_values(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values of another shape or type, or with another content."""
    n = len(values)
    numbers = values.dtype.kind in "iuf"
    some = rng.integers(0, max(n, 1), size=3)

    def put(value: float) -> np.ndarray:
        changed = values.astype(float) if numbers else np.zeros(n)
        if n:
            changed[some] = value
        return changed

    choices: list[Callable[[], np.ndarray]] = [
        lambda: np.zeros((0, *values.shape[1:])),
        lambda: np.full(values.shape, "text", dtype=object),
        lambda: np.full(values.shape, "", dtype=object),
        lambda: np.full(values.shape, "long " * 400, dtype=object),
        lambda: np.full(values.shape, np.nan),
        lambda: np.full(values.shape, np.inf),
        lambda: np.full(values.shape, 7),
        lambda: np.full(values.shape, 2**62),
        lambda: np.full(values.shape, -(2**31) - 5),
        lambda: np.zeros((n, 2, *values.shape[1:])),
        lambda: np.zeros(max(n - 1, 0)),
        lambda: np.zeros(n + 3),
        lambda: np.zeros(values.shape, dtype=bool),
        lambda: -values if numbers and values.dtype.kind != "u" else np.zeros(values.shape),
        lambda: values[::-1] if values.dtype.kind in "iufb" else np.ones(values.shape),
        lambda: values.astype(np.float32) if numbers else np.zeros(values.shape, np.int8),
        lambda: values.astype(np.uint16) if values.dtype.kind in "iu" else np.ones(values.shape),
        lambda: put(np.nan),
        lambda: put(np.inf),
        lambda: put(-1.0),
        lambda: put(1e300),
    ]
    with np.errstate(all="ignore"):
        return choices[rng.integers(len(choices))]()


def change_attribute(found: Any, rng: np.random.Generator) -> str:
    names = list(found.attrs)
    attribute = names[rng.integers(len(names))]
    values = (
        np.nan,
        "text",
        "",
        "long " * 400,
        np.array([1.0, 2.0]),
        -1,
        np.inf,
        np.array([], dtype=float),
        None,
    )
    value = values[rng.integers(len(values))]
    if value is None:
        del found.attrs[attribute]
    else:
        found.attrs[attribute] = value
    return f"{found.name}@{attribute} = {value!r}"


def mutate(file: h5py.File, rng: np.random.Generator) -> str:
    """Change one object of a file, and tell what."""
    names: list[str] = []
    file.visit(lambda name: None if name.startswith("specifications") else names.append(name))
    name = names[rng.integers(len(names))]
    found = file[name]
    if len(found.attrs) and rng.random() < 0.3:
        return change_attribute(found, rng)
    is_column = isinstance(found, h5py.Dataset) and found.shape not in (None, ())
    values = other_values(found[()], rng) if is_column and found.dtype.names is None else None
    attributes = dict(found.attrs)
    del file[name]
    if values is None or rng.random() < 0.2:
        return f"{name} {lose(file, name, rng)}"
    made = file.create_dataset(
        name, data=values, dtype=h5py.string_dtype() if values.dtype == object else None
    )
    if rng.random() < 0.7:
        made.attrs.update(attributes)
    return f"{name} has shape {values.shape} and type {values.dtype}"


def lose(file: h5py.File, name: str, rng: np.random.Generator) -> str:
    """Put something else in the place of an object, or nothing."""
    kind = rng.integers(6)
    if kind == 0:
        file.create_group(name)
        return "is an empty group"
    if kind == 1:
        file[name] = h5py.SoftLink("/nowhere")
        return "is a link to nowhere"
    if kind == 2:
        file[name] = "text"
        return "is a text"
    return "is lost"


def damage_bytes(path: Path, rng: np.random.Generator) -> str:
    """Overwrite a stretch of the file, or cut its end off."""
    size = path.stat().st_size
    if rng.random() < 0.5:
        os.truncate(path, int(size * rng.random()))
        return "cut"
    start = int(size * rng.random())
    with path.open("r+b") as file:
        file.seek(start)
        file.write(rng.bytes(min(2000, size - start)))
    return f"bytes from {start} on are random"


@dataclass(frozen=True)
class Sources:
    """What mutants are copies of: a recording of one probe; with the corpus a training session, an LFP file.

    The LFP file comes with its recording, which is copied unchanged.
    """

    recording: Path
    training: Path | None = None
    lfp: Path | None = None
    recording_of_lfp: Path | None = None

    def of(self, number: int) -> Path:
        other = {4: self.training, 2: self.lfp}.get(number % 5)
        return other or self.recording


@pytest.fixture(scope="module")
def sources(open_folder: Path) -> Sources:
    from vbn.synthetic import SyntheticSettings, write_sessions

    small = SyntheticSettings(
        sessions=1, seed=5, minutes=2, probes=1, units_per_probe=3, template_shape=(8, 8)
    )
    (recording,) = write_sessions(open_folder / "seed", small)
    if "VBN_CORPUS" not in os.environ:
        return Sources(recording)
    corpus = Path(os.environ["VBN_CORPUS"])
    lfp = next(iter(sorted(corpus.rglob("probe_*_lfp.nwb"))), None)
    training = next(iter(sorted(corpus.rglob("behavior_session_*.nwb"))), None)
    return Sources(recording, training, lfp, next(lfp.parent.glob("ecephys_session_*.nwb")) if lfp else None)


def make_mutant(number: int, sources: Sources, folder: Path, own_ids: OwnIds) -> tuple[list[Path], list[str]]:
    """Make the mutant; return the files to register, the mutant last, and what was changed."""
    rng = np.random.default_rng(number)
    source, session_id = sources.of(number), FIRST_ID + number
    paths = [folder / f"mutant_{number}.nwb"]
    shutil.copyfile(source, paths[0])
    if source == sources.lfp:
        paths.insert(0, unchanged_recording(session_id, sources, folder, lambda file: own_ids(file, number)))
    with h5py.File(paths[-1], "r+") as file:
        if source != sources.lfp:  # which is numbered by its probe
            replace_identifier(file, session_id)
        own_ids(file, number)
        if source != sources.recording:
            file["general/metadata"].attrs["behavior_session_id"] = session_id
        changes = [] if number % 20 == 19 else [mutate(file, rng) for _ in range(1 + number % 2)]
    return paths, changes or [damage_bytes(paths[-1], rng)]


def unchanged_recording(
    session_id: int, sources: Sources, folder: Path, change: Callable[[h5py.File], None]
) -> Path:
    """Copy the LFP file's recording."""
    path = folder / f"recording_{session_id}.nwb"
    shutil.copyfile(sources.recording_of_lfp, path)
    with h5py.File(path, "r+") as file:
        replace_identifier(file, session_id)
        file["general/metadata"].attrs["behavior_session_id"] = session_id
        change(file)
    return path


def replace_identifier(file: h5py.File, number: int) -> None:
    del file["identifier"]
    file["identifier"] = str(number)


def import_files(paths: list[Path], tally: Tally) -> Iterator[str]:
    """Register and populate as the command line does; yield what is wrong with how that ends."""
    from populate import runner
    from populate.register import register

    is_lfp = len(paths) > 1
    *_, outcome = register(paths)
    if outcome.status == "failed":
        tally.ends["refused"] += 1
        tally.ends["LFP files refused"] += is_lfp
        yield from _wrong_message(outcome.message)
        return
    assert outcome.session_id is not None
    keys = runner.session_keys([outcome.session_id])
    results = list(runner.run(keys, runner.populated_tables(LFP_TABLES if is_lfp else ())))
    tally.ends["LFP files registered"] += is_lfp
    failed = {result.table: result.error for result in results if result.error is not None}
    tally.ends["with errors" if failed else "imported"] += 1
    tally.ends["tables with errors"] += len(failed)
    for table, message in failed.items():
        for problem in _wrong_message(message):
            yield f"{table}: {problem}"


def _wrong_message(message: str) -> Iterator[str]:
    if UNEXPECTED.search(message) or "\n" in message or len(message) > 1500:
        yield message[:400]


def partial_rows(database: Any, session_id: int) -> Iterator[str]:
    """Yield tables that hold only a part of a session."""
    from schemas.connection import tables

    counts = database.row_counts(session_id)
    classes = {cls.__name__: cls for cls in tables()}
    for (table, attribute), part in COUNTS.items():
        rows = (classes[table] & {"session_id": session_id}).to_arrays(attribute)
        expected = int(rows[0]) if len(rows) else 0
        if counts[part] != expected:
            yield f"{part} has {counts[part]} rows, {table}.{attribute} is {expected}"
    for name, number in counts.items():
        master = name.partition("__")[0] if not name.split(".")[1].startswith("__") else name
        if number and master in counts and not counts[master]:
            yield f"{name} has {number} rows without a row of {master}"


@pytest.fixture(scope="module")
def tally(make_database: Callable[..., Any], sources: Sources, open_folder: Path, own_ids: OwnIds) -> Tally:
    from schemas import ecephys

    database, found = make_database(), Tally()
    ecephys.add_lfp_piece("a piece", start_s=20.0, stop_s=22.0, decimate=2)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in database.environment.items():
            patch.setenv(name, value)
        run_mutants(database, found, sources, open_folder, own_ids)
    if database.stored_files() != database.referenced_files():
        found.wrong.append(f"left in the store: {database.stored_files() ^ database.referenced_files()}")
    if set(database.job_states()) - {"error"}:
        found.wrong.append(f"jobs: {database.job_states()}")
    print(f"{found.mutants} mutants: {dict(found.ends)}")
    return found


def run_mutants(database: Any, found: Tally, sources: Sources, open_folder: Path, own_ids: OwnIds) -> None:
    for number in range(FIRST, FIRST + N_MUTANTS):
        paths, changes = make_mutant(number, sources, open_folder, own_ids)
        found.mutants += 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            problems = [
                *_without_escape(import_files(paths, found)),
                *partial_rows(database, FIRST_ID + number),
            ]
        found.wrong += [f"{number} ({'; '.join(changes)}): {problem}" for problem in problems]
        found.warned |= {f"{number} ({'; '.join(changes)}): {one.message}" for one in caught}
        for path in paths:
            path.unlink()


def _without_escape(problems: Iterator[str]) -> Iterator[str]:
    """Turn an exception that the user would see into a problem."""
    try:
        yield from problems
    except Exception as error:  # noqa: BLE001 - this is what the test looks for
        yield f"escaped: {type(error).__name__}: {error}"[:400]


@pytest.mark.timeout(600 + 60 * N_MUTANTS)  # none hangs
def test_every_mutant_ends_in_success_in_issues_or_in_a_clean_error(tally: Tally) -> None:
    assert not tally.wrong, "\n".join(
        [f"{len(tally.wrong)} wrong ends of {tally.mutants} mutants", *tally.wrong]
    )


def test_no_mutant_makes_a_library_speak_to_the_user(tally: Tally) -> None:
    assert not tally.warned, "\n".join(sorted(tally.warned))


def test_mutants_end_in_all_three_ways(tally: Tally) -> None:
    """Else the mutants are too harmless, or too damaged, to tell anything."""
    if tally.mutants < 16:
        pytest.skip(f"{tally.mutants} mutants are too few")
    assert all(tally.ends[kind] for kind in ("refused", "with errors", "imported"))
