"""Cell classes from labels, and the false positive rates of the methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.optotagging.genotype import is_cre_positive
from vbn.analysis.optotagging.methods import TAGGED, UNLABELLED
from vbn.analysis.spikes.trains import Floats

CELL_CLASSES = ("Sst", "Vip", "RS", "FS", UNLABELLED)
WILD_TYPE = "wild type"
FAST_SPIKING_MS = 0.4


def cell_class(label: ArrayLike, waveform_duration_ms: ArrayLike, cre_line: str | None) -> NDArray[np.str_]:
    """Assign units to the cell classes of Bennett 2025.

    Parameters
    ----------
    label : (n_units,) from `label_units_by_method`.
    waveform_duration_ms : (n_units,) trough-to-peak duration; NaN if unknown.
    cre_line : genotype or Cre line of the mouse.

    Returns
    -------
    (n_units,) ``Sst`` or ``Vip`` for tagged units, depending on the mouse (``unlabelled`` in a mouse of
    neither line). All other units, also of wild types, are ``RS`` (regular-spiking) above 0.4 ms and ``FS``
    (fast-spiking) below; ``unlabelled`` at exactly 0.4 ms, as in their code, and where the duration is NaN.

    Notes
    -----
    Units that cannot be labelled, for lack of pulses or of a laser table, are classed by waveform: in a Cre
    mouse, the RS and FS units may then include cells of the labelled class.
    """
    duration = np.asarray(waveform_duration_ms, dtype=np.float64)
    by_waveform = np.select(
        [duration > FAST_SPIKING_MS, duration < FAST_SPIKING_MS], ["RS", "FS"], UNLABELLED
    )
    return np.where(np.asarray(label) == TAGGED, line_of(cre_line, otherwise=UNLABELLED), by_waveform)


def line_of(genotype: str | None, otherwise: str = "other") -> str:
    """Return the labelled cell class of a mouse: ``Sst``, ``Vip``, or ``otherwise``.

    Examples
    --------
    >>> line_of("Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt")
    'Vip'
    """
    if not is_cre_positive(genotype):
        return otherwise
    text = str(genotype).lower()
    return next((line for line in ("Sst", "Vip") if line.lower() in text), otherwise)


def false_positive_rate(passes: ArrayLike, genotype: ArrayLike) -> float:
    """Return the fraction of wild-type units that pass a method's rule.

    Parameters
    ----------
    passes : (n_units,) from `label_units_by_method`, for one method; units that were not tested do not count.
    genotype : (n_units,) genotype of each unit's mouse.

    Returns
    -------
    Between 0 and 1; NaN without wild-type units.
    """
    wild = np.array(
        [not is_cre_positive(name) for name in np.asarray(genotype, dtype=object)], dtype=np.bool_
    )
    here = pd.Series(np.asarray(passes, dtype=object)[wild]).dropna()
    return float(here.astype(bool).mean()) if here.size else np.nan


def tagged_shares(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the units that pass each method, by mouse line.

    Parameters
    ----------
    labels : one row per unit and method, from any number of sessions: method, session_id, genotype, passes;
        units that were not tested do not count.

    Returns
    -------
    One row per method and line (``Sst``, ``Vip``, ``other``, ``wild type``), in this order: n_sessions,
    n_units, n_passing, share, share_low and share_high (95 % Wilson interval). For wild types the share is
    the false positive rate. Empty if ``labels`` is.
    """
    labels = labels[labels["passes"].notna()].astype({"passes": bool})
    lines = [
        WILD_TYPE if not is_cre_positive(name) else line_of(name)
        for name in labels["genotype"].to_numpy(dtype=object)
    ]
    ordered = pd.Categorical(lines, ["Sst", "Vip", "other", WILD_TYPE], ordered=True)
    groups = labels.assign(line=ordered).groupby(["method", "line"], observed=True, sort=True)
    table = groups.agg(
        n_sessions=("session_id", "nunique"), n_units=("passes", "size"), n_passing=("passes", "sum")
    ).reset_index()
    passing, units = table["n_passing"].to_numpy(np.float64), table["n_units"].to_numpy(np.float64)
    low, high = wilson_interval(passing, units)
    return table.assign(share=passing / units, share_low=low, share_high=high)


def wilson_interval(n_true: ArrayLike, n: ArrayLike, coverage: float = 0.95) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of a proportion (Wilson 1927).

    Parameters
    ----------
    n_true, n : (n_groups,) number of successes, and of all.
    coverage : confidence level.

    Returns
    -------
    (n_groups,) lower and upper limits, which include the proportion itself; 0 and 1 where n is 0.
    """
    total = np.asarray(n, dtype=np.float64)
    safe = np.maximum(total, 1)
    share = np.asarray(n_true, dtype=np.float64) / safe
    z = float(scipy.special.ndtri((1 + coverage) / 2))
    middle = (share + z**2 / (2 * safe)) / (1 + z**2 / safe)
    half = z / (1 + z**2 / safe) * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    known = total > 0
    # Where none or all are true, rounding may put a limit on the wrong side of the proportion.
    low, high = np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)
