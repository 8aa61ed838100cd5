"""What a table's ``make`` reads, it depends on, or says so: else results of stale rows pass as present."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from populate.work.staleness import stale_rows
from schemas import behavior, psth, stimulus
from schemas.bases.registry import tables
from schemas.server.datajoint import dj
from tests.fixtures.database import Database

pytestmark = pytest.mark.database

COUNTS = ("presentation_counts", "presentation_counts__window", "presentation_counts_params")
"""Read where they are not stale; else spikes are counted anew, with the same result."""
NO_INPUT = ("mapped_file", "rig_mapping", "structure", "image", "flash_sets")
"""Where files are, names that are entered once, and choices that never change."""


@contextmanager
def reading() -> Iterator[set[tuple[str, str]]]:
    """Note the schema and table of all that is selected from."""
    found: set[tuple[str, str]] = set()
    with pytest.MonkeyPatch.context() as patch:
        query = dj.Connection.query

        def noted(self: dj.Connection, statement: str, *arguments: Any, **options: Any) -> Any:
            if statement.lstrip().startswith("SELECT"):
                found.update(re.findall(r'["`](\w+)["`]\.["`]([^"`]+)["`]', statement))
            return query(self, statement, *arguments, **options)

        patch.setattr(dj.Connection, "query", noted)
        yield found


def test_tables_depend_on_what_they_read(populated_synthetic: Database) -> None:
    populated_synthetic.connect()
    undeclared, n_made = {}, 0
    for cls in tables(dj.Imported, dj.Computed):
        table = cls()
        keys = table.keys(limit=1)
        if not keys or not hasattr(cls, "make_fetch"):
            continue
        with reading() as read:
            table.make_compute(keys[0], *table.make_fetch(keys[0]))
        n_made += 1
        known = {*table.ancestors(), *(each().full_table_name for each in cls.also_reads)}
        known = {re.sub('["`]', "", name) for name in known}
        names = {f"{schema}.{re.sub('(?<=[a-z])__.*', '', name)}" for schema, name in read} - known
        own = {name.split(".")[1] for name in names if name.startswith(populated_synthetic.prefix)}
        if left := {name.strip("#_") for name in own if not name.startswith("~")} - {*COUNTS, *NO_INPUT}:
            undeclared[cls.__name__] = left
    assert undeclared == {}
    assert n_made > 30


@pytest.mark.parametrize(
    ("changed", "remade", "kept"),
    [
        (
            behavior.Licks,
            {"OmissionResponse", "ImageSelectivity", "Correlations"},
            {"ChangeResponse"},
        ),
        (stimulus.OptoStimulation, {"AlignedBehavior", "Optotagging"}, {"ImageSelectivity"}),
    ],
)
def test_what_is_made_of_stale_rows_is_stale(
    populated_synthetic: Database,
    monkeypatch: pytest.MonkeyPatch,
    changed: Any,
    remade: set[str],
    kept: set[str],
) -> None:
    populated_synthetic.connect()
    assert stale_rows() == []
    monkeypatch.setattr(changed, "method_version", changed.method_version + 1)
    rows = stale_rows()
    stale = {row.table for row in rows}
    assert remade <= stale
    assert not kept & stale
    if changed is stimulus.OptoStimulation:
        alignments = {row.key["alignment"] for row in rows if row.table == "AlignedBehavior"}
        to_pulses = (psth.Alignment & {"event": psth.PULSE}).to_arrays("alignment").tolist()
        assert alignments == {*to_pulses}
