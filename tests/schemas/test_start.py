"""What somebody waits for at the start: questions to the server, and what is read without need."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import schemas
from populate.work.status import table_status
from schemas import ecephys, session
from schemas.deploy import seeds
from schemas.files import open_file as files
from schemas.server.datajoint import dj
from vbn.anatomy import structures


def test_connecting_does_not_ask_for_every_table(synthetic_database: Any, questions: list[str]) -> None:
    schemas.disconnect()
    synthetic_database.connect()
    assert 5 < len(questions) < 30
    missing = dj.FreeTable(ecephys.Recording.connection, f"{ecephys.Recording.database}.nowhere")
    assert not missing.is_declared  # DataJoint asks again


def test_the_state_of_all_tables_takes_few_questions(synthetic_database: Any, questions: list[str]) -> None:
    n_tables = len(table_status())
    assert n_tables > 30
    assert len(questions) < 1.3 * n_tables  # a heading alone takes 5 for each schema


def test_one_unit_takes_two_questions_when_its_table_is_known(
    synthetic_database: Any, questions: list[str]
) -> None:
    schemas.disconnect()
    synthetic_database.connect()
    unit_id = min(ecephys.Recording.Unit.to_arrays("unit_id").tolist())
    questions.clear()
    assert list(ecephys.spike_times(ecephys.Recording.Unit & {"unit_id": unit_id})) == [unit_id]
    assert len(questions) == 2


def test_structures_that_are_missing_or_otherwise_are_seeded(
    synthetic_database: Any, questions: list[str]
) -> None:
    expected = structures().set_index("acronym")["name"].to_dict()
    used = set(ecephys.Recording.Channel.to_arrays("structure_acronym").tolist())
    removed, changed = sorted(map(str, expected.keys() - used))[:2]
    (ecephys.Structure & {"structure_acronym": removed}).delete_quick()
    ecephys.Structure.update1({"structure_acronym": changed, "structure_name": "another"})
    seeds.seed_structures()
    names = dict(zip(*ecephys.Structure.to_arrays("structure_acronym", "structure_name"), strict=True))
    assert {name: names[name] for name in expected} == expected
    questions.clear()
    seeds.seed_structures()
    assert len(questions) == 1


def test_pynwb_reads_a_file_again_only_if_it_may_have_changed(
    synthetic_database: Any,
) -> None:
    row = session.NwbFile.to_dicts()[0]
    with files.closing_file():
        assert files.registered_file(row).nwbfile is None
    for other in ({"modified_ns": row["modified_ns"] - 1}, {"blake2b": None}, {"modified_ns": None}):
        with files.closing_file():
            assert files.registered_file({**row, **other}).nwbfile.identifier == str(row["session_id"])


def test_no_command_waits_for_packages_that_it_does_not_use() -> None:
    slow: tuple[str, ...] = (
        "bokeh",
        "dandi",
        "hdmf",
        "matplotlib",
        "numba",
        "panel",
        "polars",
        "pynwb",
        "xarray",
    )
    slow += tuple(f"scipy.{name}" for name in ("fft", "ndimage", "optimize", "signal", "special", "stats"))
    lines = (
        "import sys, populate.cli",
        "from schemas import queries",
        "from schemas.bases import registry",
        "registry.modules()",
        f"print(*(name for name in {slow!r} if name in sys.modules))",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == []
