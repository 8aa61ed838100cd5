"""The control on a recording: its units with their spikes rotated within each block of stimuli.

Rotation keeps rates, bursts and slow changes, and takes away what spikes have to do with single events; so
p-values should be small in 5 % of the units. A block is rotated in itself, as rates differ between task and
replay. What is left is the rhythm: flashes come at even intervals, and a unit that fires after each of them
does so after rotation, only earlier or later. Columns that compare a window after events with one before them
say so rightly; they are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Floats, unit_trains
from vbn.calibration.columns import FLAG, ClaimingColumn, Measure, P, Q, Spikes, as_spikes
from vbn.calibration.run import FALSE_POSITIVE, Cell, CellKey, called, interval
from vbn.synthetic.spikes import sorted_by_runs

LEAST_SHIFT_S = 30.0
ROTATED = "rotated"
EXPECTED = {P: "0.05", Q: "at most 0.05", FLAG: "at most 0.05"}
"""Kind of a column -> share of the units that should be called."""
KEEPS_RHYTHM = frozenset({"flash", "onset", "omission", "light", "laser"})
"""Claims whose columns compare windows after events with windows before them."""
_BETWEEN_EVENTS = ("p_color", "q_color")
"""Columns of these claims that compare events with each other."""

Calls = dict[tuple[str, str], Floats]
"""Table and column -> (n_units,): 1 where the column says that there is an effect, 0 where it does not, NaN
where nothing was tested."""


def judged_columns(measure: Measure) -> tuple[ClaimingColumn, ...]:
    """Return the p, q and flags of a table that rotation puts to the test."""
    return tuple(column for column in _deciding(measure) if not _keeps_rhythm(column))


def left_out_columns(measure: Measure) -> tuple[ClaimingColumn, ...]:
    """Return the p, q and flags of a table whose effect survives rotation."""
    return tuple(column for column in _deciding(measure) if _keeps_rhythm(column))


def _deciding(measure: Measure) -> list[ClaimingColumn]:
    return [column for column in measure.columns if column.kind in EXPECTED]


def _keeps_rhythm(column: ClaimingColumn) -> bool:
    return column.claim in KEEPS_RHYTHM and column.name not in _BETWEEN_EVENTS


def blocks_of(presentations: pd.DataFrame) -> Floats:
    """Return the first start and the last end of each block of stimuli, (n_blocks, 2) s.

    Parameters
    ----------
    presentations : ``stimulus_block``, ``start_time``, and ``end_time`` or, as in files, ``stop_time``.
    """
    times = presentations.filter(["start_time", "end_time", "stop_time"])
    ends = times.astype(np.float64).max(axis=1)
    of_block = presentations.assign(end=ends).groupby("stimulus_block")
    blocks = pd.DataFrame({"start": of_block["start_time"].min(), "stop": of_block["end"].max()})
    return np.asarray(blocks.sort_values("start").to_numpy(np.float64))


def least_shifts(blocks_s: Floats) -> Floats:
    """Return the least shift of each block, (n_blocks,) s: 30 s, or a third of a block below 90 s."""
    return np.minimum(LEAST_SHIFT_S, (blocks_s[:, 1] - blocks_s[:, 0]) / 3)


def rotated(spikes: Spikes, blocks_s: Floats, rng: np.random.Generator) -> Spikes:
    """Shift the spikes of each unit within each block, those beyond its end to its beginning.

    Parameters
    ----------
    spikes : see `vbn.analysis.spikes.trains`.
    blocks_s : (n_blocks, 2) start and stop, s; spikes outside the blocks stay.
    rng : draws a shift for each unit and block, the least either way that of `least_shifts`.

    Returns
    -------
    As many spikes per unit and block as before.
    """
    least = least_shifts(blocks_s)
    trains = []
    for train in unit_trains(*spikes):
        moved = np.array(train)
        for (start, stop), shortest in zip(blocks_s, least, strict=True):
            length = stop - start
            shift = rng.uniform(shortest, length - shortest)
            first, last = np.searchsorted(train, (start, stop))
            moved[first:last] = start + sorted_by_runs((train[first:last] - start + shift) % length)
        trains.append(moved)
    return as_spikes(trains)


def calls_of(measure: Measure, table: pd.DataFrame) -> Calls:
    """Return what a table says of rotated units.

    Parameters
    ----------
    measure : its columns that `judged_columns` returns are read.
    table : result of its function, (n_units,) rows.
    """
    found: Calls = {}
    for column in judged_columns(measure):
        nullable = table[column.name].astype("Float64")
        values: Floats = np.asarray(nullable.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
        found[measure.table, column.name] = np.where(np.isnan(values), np.nan, called(column, values))
    return found


def summarize_control(
    repeats: Sequence[Mapping[tuple[str, str], Floats]], kinds: Mapping[str, str]
) -> list[Cell]:
    """Return the share of units that each column calls, over all repeats.

    Parameters
    ----------
    repeats : of `calls_of`, all tables together.
    kinds : ``Table.column`` -> kind.

    Returns
    -------
    A cell per column that tested anything; its ``n`` counts units and repeats, its ``sessions`` repeats.

    Notes
    -----
    Shifts are independent, so for p-values the units are the clusters. q-values and flags of a repeat depend
    on each other: the repeats are, if there is more than one.
    """
    cells = []
    for table, column in repeats[0]:
        calls = np.stack([repeat[table, column] for repeat in repeats])
        by_repeat = kinds[f"{table}.{column}"] != P and len(repeats) > 1
        clusters = calls if by_repeat else calls.T
        totals, sizes = np.nansum(clusters, axis=1), (~np.isnan(clusters)).sum(axis=1).astype(np.float64)
        if not sizes.any():
            continue
        low, high = interval(totals[sizes > 0], sizes[sizes > 0], is_share=True)
        key = CellKey(table, column, ROTATED, FALSE_POSITIVE)
        cells.append(Cell(key, float(totals.sum() / sizes.sum()), low, high, int(sizes.sum()), len(repeats)))
    return cells
