"""Planted synapses: of pairs of units, one fires once more milliseconds after some spikes of the other."""

from __future__ import annotations

import numpy as np

from vbn.synthetic.spikes import DEAD_TIME_S, drop_refractory, sorted_by_runs
from vbn.synthetic.units import Unit

DELAY_S, JITTER_S, SHARE = 0.003, 0.0003, 0.05
LEAST_HZ = 4.0
_NO_SENDERS = ("noise", "opto_artifact", "rare", "drift")


def plant_synapses(rng: np.random.Generator, units: list[Unit], n: int, scale: float) -> dict[int, int]:
    """Choose pairs of good units that fire enough, each unit once.

    Parameters
    ----------
    rng : random numbers.
    units : of the session.
    n : number of pairs; fewer where there are not as many units.
    scale : factor of the background rates.

    Returns
    -------
    Row of the unit that fires more -> row of the one that makes it fire.
    """
    able = [
        row
        for row, unit in enumerate(units)
        if unit.quality == "good"
        and unit.channel_valid
        and unit.role not in _NO_SENDERS
        and unit.baseline_hz * scale >= LEAST_HZ
    ]
    drawn = rng.permutation(able)[: 2 * n].tolist()
    return dict(zip(drawn[1::2], drawn[0::2], strict=False))


def with_synapse(rng: np.random.Generator, train: np.ndarray, sender: np.ndarray, end_s: float) -> np.ndarray:
    """Add a spike after so many of another unit's, (n_spikes,) s, ascending."""
    caused = sender[rng.random(sender.size) < SHARE]
    added = caused + DELAY_S + JITTER_S * rng.standard_normal(caused.size)
    whole = sorted_by_runs(np.concatenate([train, added[added < end_s]]))
    return drop_refractory(whole, DEAD_TIME_S * 0.9)
