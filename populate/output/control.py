"""The tables of a session, computed from rotated spikes; nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, responses, stimulus
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import session_key
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import presentations_frame
from schemas.reading.unit_measurement import UnitMeasurement
from vbn.analysis.spikes.trains import Floats
from vbn.calibration.columns import MEASURES, Measure
from vbn.calibration.control import (
    LEAST_SHIFT_S,
    Calls,
    blocks_of,
    calls_of,
    judged_columns,
    least_shifts,
    left_out_columns,
    rotated,
)
from vbn.errors import NotFoundError

RHYTHM = "compares with before the event: rotation keeps the rhythm of the events"
UNTESTED = "nothing was tested in this session"
ABSENT = "not imported or populated yet, or not a table of one row per unit"


@dataclass(frozen=True)
class Recomputation:
    """A table that is computed anew: what is put to the test, its class, key and parameters."""

    measure: Measure
    table: type[UnitMeasurement]
    key: dict[str, Any]
    settings: Any


@dataclass(frozen=True)
class SessionControl:
    """A session ready to be rotated.

    Attributes
    ----------
    spikes : times, offsets and numbers of spikes of all units.
    blocks_s : (n_blocks, 2) start and stop of each block.
    tables : what is computed.
    left_out : ``Table.column`` -> why it is not put to the test.
    """

    session_id: int
    spikes: tuple[Any, Any, Any]
    blocks_s: Floats
    tables: tuple[Recomputation, ...]
    left_out: dict[str, str]

    @classmethod
    def of(cls, session_id: int) -> SessionControl:
        """Read a session.

        Raises
        ------
        NotFoundError
            If it is not registered, not imported, or has no units.
        """
        key = session_key(session_id)
        require_entries(key, ecephys.Recording, stimulus.Stimulus)
        units, times = session_spikes(key)
        if units.empty:
            raise NotFoundError(f"Session {session_id} has no units.")
        tables: list[Recomputation] = []
        left_out: dict[str, str] = {}
        for measure in MEASURES:
            left_out |= {_name(measure, column): RHYTHM for column in left_out_columns(measure)}
            if not judged_columns(measure):
                continue
            if found := _recomputation(measure, key):
                tables.append(found)
            else:
                left_out |= {_name(measure, column): ABSENT for column in judged_columns(measure)}
        spikes = (times, units["spike_offset"].to_numpy(), units["n_spikes"].to_numpy())
        return cls(session_id, spikes, blocks_of(presentations_frame(key)), tuple(tables), left_out)

    @property
    def kinds(self) -> dict[str, str]:
        """Return the kind of each column that is put to the test."""
        return {
            _name(each.measure, column): column.kind
            for each in self.tables
            for column in judged_columns(each.measure)
        }

    def untested(self, rows: pd.DataFrame) -> dict[str, str]:
        """Return the columns that are not among the rows of a result, with why."""
        found = set(rows["table"] + "." + rows["column"])
        return {name: UNTESTED for name in self.kinds if name not in found}

    @property
    def short_blocks_s(self) -> list[float]:
        """Return the lengths of the blocks that are too short to be rotated by 30 s at least."""
        lengths = self.blocks_s[:, 1] - self.blocks_s[:, 0]
        return [float(each) for each in lengths[least_shifts(self.blocks_s) < LEAST_SHIFT_S]]

    def repeat(self, seed: int, number: int, advance: Callable[[], object] = lambda: None) -> Calls:
        """Rotate all units and compute the tables.

        Parameters
        ----------
        seed, number : equal ones give equal results.
        advance : called after each table.
        """
        spikes = rotated(self.spikes, self.blocks_s, np.random.default_rng([seed, number]))
        found: Calls = {}
        for each in self.tables:
            found |= calls_of(each.measure, each.table.measure(each.key, spikes, each.settings))
            advance()
        return found


def _name(measure: Measure, column: Any) -> str:
    return f"{measure.table}.{column.name}"


def _recomputation(measure: Measure, key: dict[str, Any]) -> Recomputation | None:
    """Return how to compute a table with its default parameters, None if it cannot be for this session."""
    table = getattr(responses, measure.table, None)
    if not (isinstance(table, type) and issubclass(table, UnitMeasurement)):
        return None
    sets = {each.key_name(): each.default_name() for each in table.parameters()}
    keys = (table().key_source & key & sets).keys()
    return Recomputation(measure, table, dict(keys[0]), table.parameter_table.get(keys[0])) if keys else None
