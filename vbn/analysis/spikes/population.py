"""Population averages over groups of units, by structure or any other label.

Every unit has the same weight, whatever its rate. Units without a label are in no group. Groups are in
alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.trains import Booleans, Floats, Integers


@dataclass(frozen=True)
class PopulationPsth:
    """Mean responses of groups of units.

    Attributes
    ----------
    groups : (n_groups,) labels, sorted.
    n_units : (n_groups,) number of units averaged, without those with NaN.
    mean_hz : (n_groups, n_bins) mean over units; NaN without units.
    std_hz : (n_groups, n_bins) standard deviation over units (ddof 1); NaN for fewer than two.
    sem_hz : (n_groups, n_bins) standard error over units, ``std_hz / sqrt(n_units)``.
    """

    groups: tuple[str, ...]
    n_units: Integers
    mean_hz: Floats
    std_hz: Floats
    sem_hz: Floats


def population_psth(rate_hz: ArrayLike, groups: ArrayLike) -> PopulationPsth:
    """Average the responses of units group by group.

    Parameters
    ----------
    rate_hz : (n_units, n_bins) mean rate of each unit, as from `vbn.analysis.psth`. A unit with NaN in any
        bin is excluded from its group; the group is kept even if no unit remains.
    groups : (n_units,) labels, such as structure acronyms; None and NaN for units in no group.

    Returns
    -------
    PopulationPsth
        With no rows if there are no groups.

    Raises
    ------
    ValueError
        Unless there is one label per unit.
    """
    rates = np.asarray(rate_hz, dtype=np.float64)
    if rates.ndim != 2:
        raise ValueError(f"rate_hz must be of shape (n_units, n_bins), got {rates.shape}.")
    names, group = _grouped(groups, len(rates))
    known = np.isfinite(rates).all(axis=1)
    members = [rates[known & (group == row)] for row in range(len(names))]
    n_units = np.array([len(rows) for rows in members], dtype=np.int64)
    shape = (len(names), rates.shape[1])
    std_hz = np.array([_std(rows) for rows in members]).reshape(shape)
    return PopulationPsth(
        groups=names,
        n_units=n_units,
        mean_hz=np.array([_mean(rows) for rows in members]).reshape(shape),
        std_hz=std_hz,
        sem_hz=std_hz / np.sqrt(np.where(n_units > 0, n_units, np.nan))[:, np.newaxis],
    )


def _grouped(groups: ArrayLike, n_units: int) -> tuple[tuple[str, ...], Integers]:
    """Return the group names, and each unit's index among them, -1 for none."""
    labels = pd.Series(np.asarray(groups, dtype=object), dtype=object)
    if len(labels) != n_units:
        raise ValueError(f"There must be one group per unit: {len(labels)} groups, {n_units} units.")
    labels = labels.where(labels.notna(), None)
    code, names = pd.factorize(labels.to_numpy(object), sort=True)
    return tuple(str(name) for name in names), code.astype(np.int64)


def _mean(rows: Floats) -> Floats:
    return np.asarray(rows.mean(axis=0)) if len(rows) else np.full(rows.shape[1], np.nan)


def _std(rows: Floats) -> Floats:
    return np.asarray(rows.std(axis=0, ddof=1)) if len(rows) > 1 else np.full(rows.shape[1], np.nan)


def area_summary(groups: ArrayLike, flags: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Count the units of each group, and those with each property.

    Parameters
    ----------
    groups : (n_units,) labels, such as structure acronyms; None and NaN for units in no group.
    flags : for each property, such as ``responsive`` or ``tagged``, (n_units,) booleans; None, NaN and
        ``<NA>`` mean unknown.

    Returns
    -------
    One row per group: group, n_units, and for each property n_known_<name>, n_<name> and share_<name>, the
    fraction among units for which it is known (NaN if there are none).

    Raises
    ------
    ValueError
        Unless there is one label, and one value of each property, per unit.
    """
    labels = np.asarray(groups, dtype=object)
    names, group = _grouped(labels, len(labels))
    columns: dict[str, object] = {"group": list(names), "n_units": _count(group >= 0, group, names)}
    for name, values in flags.items():
        is_true, is_known = _true_and_known(values, len(labels), name)
        n_true, n_known = _count(is_true, group, names), _count(is_known, group, names)
        columns[f"n_known_{name}"] = n_known
        columns[f"n_{name}"] = n_true
        columns[f"share_{name}"] = n_true / np.where(n_known > 0, n_known, np.nan)
    return pd.DataFrame(columns)


def _true_and_known(values: ArrayLike, n_units: int, name: str) -> tuple[Booleans, Booleans]:
    series = pd.Series(np.asarray(values, dtype=object)).astype("boolean")
    if len(series) != n_units:
        raise ValueError(f"There must be one '{name}' per unit: {len(series)} values, {n_units} units.")
    return series.fillna(False).to_numpy(np.bool_), series.notna().to_numpy(np.bool_)


def _count(chosen: Booleans, group: NDArray[np.int64], names: tuple[str, ...]) -> Integers:
    return np.bincount(group[chosen & (group >= 0)], minlength=len(names)).astype(np.int64)
