"""What encoding models would find by chance: the same fits to counts that are shifted in time.

Counts are rotated against the design by a minute or more, which keeps how the rate drifts and fluctuates, but
nothing of what the unit answers to. Except to flashes: these are periodic, and a response to each of them
would be one at any shift. So the bins of each flash are rotated as well, by an amount of its own. X'X and its
factors are those of the fits themselves: a shift costs one X'Y and a solve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.encoding.design import SessionTraces, make_design, spike_counts
from vbn.analysis.encoding.model import can_be_fitted, shared_sums, units_at_once
from vbn.analysis.encoding.parameters import BIN_S, BINS_PER_FLASH, EncodingParameters
from vbn.analysis.spikes.trains import Floats, Integers


@dataclass(frozen=True)
class NullParameters:
    """How the null of encoding models is drawn.

    Parameters
    ----------
    n_shifts : number of shifts; the least p-value is 1 / (n_shifts + 1).
    least_shift_s : least time, in seconds, by which counts are rotated, in either direction.
    seed : of the shifts, with the session's id.

    Raises
    ------
    ValueError
        If there are no shifts, or a number is negative.
    """

    n_shifts: int = 19
    least_shift_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_shifts < 1 or not 0 <= self.least_shift_s < float("inf") or self.seed < 0:
            raise ValueError(
                "The null needs one shift or more, and a least shift and a seed of 0 or more, got "
                f"{self.n_shifts}, {self.least_shift_s} s and {self.seed}."
            )


@dataclass(frozen=True)
class NullResult:
    """P-values of encoding models, against shifted counts.

    Attributes
    ----------
    n_shifts : number of shifts; 0 if the block is too short for any.
    p_explained : (n_units,) of variance explained; NaN without shifts.
    dropout_names : (n_dropouts,).
    p_change : (n_units, n_dropouts) of the change without clipping.
    """

    n_shifts: int
    p_explained: Floats
    dropout_names: list[str]
    p_change: Floats


def encoding_null(
    spikes: tuple[ArrayLike, ArrayLike, ArrayLike],
    traces: SessionTraces,
    parameters: EncodingParameters,
    penalties: Floats,
    null: NullParameters,
    seed: int = 0,
    dropouts: Sequence[str] = (),
) -> NullResult:
    """Compare encoding models with those of shifted counts.

    Parameters
    ----------
    spikes : of the units, see `vbn.analysis.spikes.trains`.
    traces, parameters, seed : as of the model.
    penalties : (n_units,) lambda of each unit's model.
    null : number of shifts.
    dropouts : names of the dropouts that are compared as well; those that the session has not are left out.

    Returns
    -------
    NullResult
        p is (1 + number of shifts with as much as without) / (1 + number of shifts), never 0.
    """
    design = make_design(traces, parameters)
    n_units = int(np.size(spikes[2]))
    drawn = shifted_rows(design.n_rows, null, seed)
    if not can_be_fitted(design, parameters) or not n_units or not len(drawn):
        return NullResult(0, np.full(n_units, np.nan), [], np.empty((n_units, 0)))
    counts = spike_counts(*spikes, design.bin_starts)
    prepared = shared_sums(design, parameters, seed)
    names = [each.name for each in prepared.dropouts]
    chosen = [names.index(name) for name in dropouts if name in names]
    above = np.zeros((1 + len(chosen), n_units))
    for penalty in np.unique(penalties):
        solver = prepared.solver(float(penalty), parameters.threshold)
        for units in units_at_once(np.flatnonzero(penalties == penalty)):
            found = []
            for rows in (np.arange(design.n_rows), *drawn):
                sums = prepared.score_sums(counts[np.ix_(rows, units)])
                explained, changes = solver.raw_explained(sums, chosen)
                found.append(np.vstack([explained, -changes]))
            above[:, units] = (np.array(found[1:]) >= found[0]).sum(axis=0)
    p = (1 + above) / (1 + len(drawn))
    return NullResult(len(drawn), p[0], [names[number] for number in chosen], p[1:].T)


def shifted_rows(n_rows: int, null: NullParameters, seed: int) -> Integers:
    """Draw the row from which each row takes its counts, (n_shifts, n_rows); fewer if there are not as many.

    Parameters
    ----------
    n_rows : number of rows, `BINS_PER_FLASH` for each flash.
    null : how many shifts, and how far.
    seed : equal ones give equal shifts.
    """
    n_flashes = n_rows // BINS_PER_FLASH
    least = max(1, math.ceil(null.least_shift_s / (BIN_S * BINS_PER_FLASH)))
    possible = np.arange(least, n_flashes - least + 1)
    rng = np.random.default_rng([null.seed, seed])
    shifts = rng.choice(possible, min(null.n_shifts, possible.size), replace=False)
    flash, column = np.arange(n_flashes)[:, None], np.arange(BINS_PER_FLASH)
    rows = [
        (flash - shift) % n_flashes * BINS_PER_FLASH
        + (column + rng.integers(BINS_PER_FLASH, size=(n_flashes, 1))) % BINS_PER_FLASH
        for shift in shifts
    ]
    return np.array(rows, np.int64).reshape(len(rows), n_rows)
