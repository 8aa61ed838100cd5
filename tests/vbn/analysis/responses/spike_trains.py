"""Spike trains of a few units as the product's functions take them."""

from __future__ import annotations

from typing import Any

import numpy as np


def spikes_at(*trains: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all spike times, each unit's offset and number."""
    in_order = [np.sort(np.asarray(train, dtype=float)) for train in trains]
    n_spikes = np.array([train.size for train in in_order])
    return np.concatenate([*in_order, []]), np.cumsum(n_spikes) - n_spikes, n_spikes
