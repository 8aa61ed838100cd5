"""Base class of the tables that measure each unit of a session from its spikes."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from schemas.bases.parameter_table import ParameterTable
from schemas.bases.provenance import Computation
from schemas.reading.recordings import session_spikes
from schemas.rows.insert import insert_rows, rows_from_frame
from vbn.analysis.spikes.trains import SpikePieces

UNIT_SUFFIXES = ("_hz", "_s", "_deg2", "_deg")


class UnitMeasurement(Computation):
    """A table with one row per session and parameter set, and a part with one row per unit.

    Attributes
    ----------
    prefix : prefix of the part's attribute names, so that tables can be joined.
    parameter_table : the table of the parameter sets.
    """

    prefix: ClassVar[str]
    parameter_table: ClassVar[type[ParameterTable]]

    @staticmethod
    def measure(key: dict[str, Any], spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Return one row per unit; columns ``n_...`` that the part lacks belong to the session's row."""
        raise NotImplementedError

    @staticmethod
    def spikes(key: dict[str, Any]) -> tuple[pd.DataFrame, SpikePieces]:
        """Return the spikes of all units of the session, as `session_spikes` does."""
        return session_spikes(key)

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), self.parameter_table.get(key)

    def make_compute(self, key: dict[str, Any], made_with: dict[str, Any], settings: Any) -> tuple[Any, ...]:
        """Measure all units of the session."""
        units, times = self.spikes(key)
        measured = self.measure(key, (times, units["spike_offset"], units["n_spikes"]), settings)
        measured.columns = [self._attribute(str(column)) for column in measured.columns]
        return made_with, units[["probe_name", "unit_id"]].join(measured)

    def make_insert(self, key: dict[str, Any], made_with: dict[str, Any], measured: pd.DataFrame) -> None:
        """Insert the session's counts and the units."""
        own = self.session_row(measured)
        if lost := sorted(set(map(str, measured)) - {*self.heading.names, *self.Unit.heading.names}):
            raise ValueError(f"{type(self).__name__} has no attribute for {', '.join(lost)}.")
        shared = [
            name for name in self.heading.names if name in measured.columns and name not in (*key, *own)
        ]
        counts = {name: int(measured[name].iloc[0]) if len(measured) else 0 for name in shared}
        self.insert1({**key, **made_with, **counts, **own})
        insert_rows(self.Unit(), rows_from_frame(measured, self.Unit(), key))

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return further values of the session's row."""
        responsive = measured[self.prefix + "_is_responsive"]
        return {f"n_{self.prefix}_responsive": count_of_known(responsive)}

    @classmethod
    def _attribute(cls, column: str) -> str:
        """Return the name of a column's attribute: without the unit, with the prefix."""
        unit = next((unit for unit in UNIT_SUFFIXES if column.endswith(unit)), "")
        name = column.removesuffix(unit)
        if name.startswith("n_"):
            return f"n_{cls.prefix}_{name[2:]}"
        return name if name.startswith(cls.prefix + "_") else f"{cls.prefix}_{name}"


def count_of_known(flags: pd.Series[Any]) -> int | None:
    """Return how many are true, missing ones aside; None where all are missing: nothing was tested."""
    return int(flags.sum()) if flags.notna().any() else None
