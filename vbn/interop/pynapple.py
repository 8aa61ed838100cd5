"""Spikes and intervals as objects of pynapple, which NeMoS takes as they are.

Times are seconds on the session clock. pynapple has times to the nanosecond, and no two intervals of an
``IntervalSet`` touch or overlap: it takes a microsecond from the end of an interval that touches the next,
and where it has to join or omit intervals it discards what is known of all of them. What would come to that
is refused or left out here, with a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbn.errors import SettingError
from vbn.interop.optional import require_library

if TYPE_CHECKING:
    from pynapple import IntervalSet, TsGroup

TOUCHING_S = 1e-6
"""What is taken from the end of an interval that touches the next, as pynapple does."""


class OmittedIntervalsWarning(UserWarning):
    """Some intervals have no end or no duration, and are left out."""


def ts_group(
    spike_times: Mapping[int, np.ndarray], units: pd.DataFrame, support_s: tuple[float, float]
) -> TsGroup:
    """Return spike trains as a TsGroup.

    Parameters
    ----------
    spike_times : unit id -> (n_spikes,) seconds, ascending. A unit may have no spike.
    units : one row per unit, its index the unit ids; the columns become metadata.
    support_s : begin and end in seconds of the time in which spikes could be seen, from which pynapple has
        its ``rate``.
    """
    nap = require_library("pynapple")
    trains = {unit_id: nap.Ts(np.asarray(times)) for unit_id, times in spike_times.items()}
    support = nap.IntervalSet(*support_s)
    return nap.TsGroup(trains, time_support=support, metadata=_metadata(units.loc[list(trains)]))


def interval_set(rows: pd.DataFrame, start: str, end: str) -> IntervalSet:
    """Return intervals with what is known of each.

    Parameters
    ----------
    rows : one row per interval, in any order.
    start, end : columns with begin and end in seconds; the others become metadata.

    Raises
    ------
    SettingError
        If intervals overlap.

    Warns
    -----
    OmittedIntervalsWarning
        If some have no begin, end or duration; they are left out.
    """
    nap = require_library("pynapple")
    times = rows[[start, end]].astype(float)
    lasting = times[end] > times[start]
    if not lasting.all():
        warnings.warn(
            f"{(~lasting).sum()} of {len(rows)} intervals have no end or no duration, and are left out.",
            OmittedIntervalsWarning,
            stacklevel=2,
        )
    rows = rows[lasting].sort_values(start, kind="stable", ignore_index=True)
    starts, ends = (rows[name].to_numpy(dtype=float, copy=True) for name in (start, end))
    if overlapping := int((starts[1:] < ends[:-1]).sum()):
        raise SettingError(
            f"{overlapping} of {len(rows)} intervals begin before the one before has ended; an "
            "IntervalSet would join them. Choose fewer rows, such as those of one stimulus."
        )
    touching = np.flatnonzero(starts[1:] - ends[:-1] < TOUCHING_S)
    ends[touching] = starts[touching + 1] - TOUCHING_S
    return nap.IntervalSet(starts, ends, metadata=_metadata(rows.drop(columns=[start, end])))


def _metadata(frame: pd.DataFrame) -> pd.DataFrame:
    """Return columns that can be compared: with what is missing a comparison is False, not NA."""
    return frame.assign(**{str(name): _comparable(values) for name, values in frame.items()})


def _comparable(values: pd.Series[Any]) -> pd.Series[Any]:
    missing = values.isna()
    if values.dtype == "boolean":
        return values.astype(object).where(~missing, None) if missing.any() else values.astype(bool)
    if values.dtype == "Int64":
        return values.astype(float if missing.any() else np.int64)
    return values.astype(float) if values.dtype == object and missing.all() else values
