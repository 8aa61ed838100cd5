"""Whoever uses a table before `schemas.connect` is told to call it; without a server, in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PRELUDE = """
import schemas
from datajoint import U
from schemas import ecephys, psth, queries, session
computed, part, manual = psth.Psth, ecephys.Recording.Unit, session.Mouse
for table in (computed, part, manual):
    table(), table.__name__, table.__doc__, repr(table), table.table_name  # these need none
"""
USES = (
    "len({}())", "bool({}())", "next(iter({}()))", "list({})", "repr({}())", "{}().heading.names",
    "{}.heading.names",
    "'x' in {}.heading", "{}.heading['x']", "{}.primary_key", "{}.full_table_name", "{}().full_table_name",
    "{}.connection.query('SELECT 1')", "{} & {{'session_id': 1}}", "{} & 'session_id = 1'", "{} - {}",
    "{} * {}", "{} + {}", "{}.proj()", "{}.aggr({}, n='count(*)')", "U('session_id') & {}", "{} & []",
    "{}.to_dicts()", "{}.to_pandas()", "{}.to_arrays()", "{}.keys()", "{}.fetch1()", "{}.head()",
    "{}.drop_quick()", "{}.describe()", "{}.parents()", "{}.children()", "{}.parts()", "{}().is_declared",
    "{}.alter()", "{}.update1({{'a': 1}})", "{{'a': 1}} in {}()", "{}.descendants()", "{}.delete_quick()",
)  # fmt: skip
WRITES = ("{}.insert1({{'a': 1}})", "{}.insert([{{'a': 1}}])", "{}.delete(prompt=False)", "{}.drop()")
OTHERS = (
    "computed.populate()", "computed.populate(reserve_jobs=True)", "computed.progress()", "computed.jobs",
    "computed.key_source", "queries.units()", "queries.units(session_id=1)", "queries.cell_classes()",
    "queries.sessions()", "queries.sessions(requires='recording')", "queries.familiar_novel_pairs()",
    "queries.changes()", "queries.omissions()", "queries.flashes()", "queries.gabors()",
    "queries.full_field_flashes()", "queries.trial_table()", "queries.flash_table()",
    "queries.spike_times(part)",
    "queries.psth_matrix(part, 'change')", "queries.responses_table('change_response', part)",
    "queries.restrict(manual, 'mouse_id = 1')", "schemas.server.connection.active()",
)  # fmt: skip


def complaints(uses: list[str], folder: Path) -> list[str]:
    """Return those uses that do not end in the words, each with how it ended."""
    script = PRELUDE + (
        "from vbn.errors import SettingError\n"
        f"for use in {uses!r}:\n"
        "    try:\n"
        "        print(use, 'gave', eval(use))\n"
        "    except SettingError as error:\n"
        "        assert 'Call schemas.connect() first' in str(error)\n"
        "    except BaseException as error:\n"
        "        print(use, 'raised', repr(error))\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "VBN_HOME": str(folder / "home")}
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *sys.path])
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    assert not (folder / "home").exists()
    return done.stdout.splitlines()


def test_any_use_of_a_table_says_what_to_call(tmp_path: Path) -> None:
    """Writing into a computed table or a part is refused by DataJoint itself, connected or not."""
    of_tables = [use.format(kind, kind) for kind in ("computed", "part", "manual") for use in USES]
    writes = [use.format("manual") for use in WRITES]
    assert complaints([*of_tables, *writes, *OTHERS], tmp_path) == []
