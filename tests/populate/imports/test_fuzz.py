"""Whatever is wrong with a file, it is imported whole, with issues, or refused in words; table by table.

Each mutant is a copy of a small session in which one or two objects are lost, or have other attributes,
types, shapes or values; of each five one is of a training session and one of an LFP file. Mutants are
numbered: number 7 is always the same. ``VBN_MUTANTS`` says how many there are, and ``VBN_FIRST_MUTANT`` with
which to begin.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz.importing import Tally, import_files, partial_rows, without_escape
from benchmarks.fuzz.mutants import FIRST_ID, SMALL, Sources, make_mutant
from vbn.synthetic import write_sessions

pytestmark = [pytest.mark.files, pytest.mark.slow]

N_MUTANTS = int(os.environ.get("VBN_MUTANTS", "7"))
FIRST = int(os.environ.get("VBN_FIRST_MUTANT", "0"))


@pytest.fixture(scope="module")
def sources(open_folder: Path, synthetic_release: Path) -> Sources:
    (recording,) = write_sessions(open_folder / "seed", SMALL)
    (training,) = synthetic_release.rglob("behavior_session_*.nwb")
    (lfp,) = synthetic_release.rglob("probe_*_lfp.nwb")
    return Sources(recording, training, lfp, next(lfp.parent.glob("ecephys_session_*.nwb")))


@pytest.fixture(scope="module")
def tally(make_database: Callable[..., Any], sources: Sources, open_folder: Path) -> Tally:
    from schemas import ecephys

    database, found = make_database().keep_few_sets(), Tally()
    ecephys.add_lfp_piece("a piece", start_s=20.0, stop_s=22.0, decimate=2)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in database.environment.items():
            patch.setenv(name, value)
        run_mutants(database, found, sources, open_folder)
    if database.stored_files() != database.referenced_files():
        found.wrong.append(f"left in the store: {database.stored_files() ^ database.referenced_files()}")
    if set(database.job_states()) - {"error"}:
        found.wrong.append(f"jobs: {database.job_states()}")
    print(f"{found.mutants} mutants: {dict(found.ends)}")
    return found


def run_mutants(database: Any, found: Tally, sources: Sources, open_folder: Path) -> None:
    for number in range(FIRST, FIRST + N_MUTANTS):
        paths, changes = make_mutant(number, sources, open_folder)
        found.mutants += 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            problems = [
                *without_escape(import_files(paths, found)),
                *partial_rows(FIRST_ID + number),
            ]
        found.wrong += [f"{number} ({'; '.join(changes)}): {problem}" for problem in problems]
        found.warned |= {f"{number} ({'; '.join(changes)}): {one.message}" for one in caught}
        for path in paths:
            path.unlink()


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
