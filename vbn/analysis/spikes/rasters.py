"""Spikes around events, for raster plots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats, Integers, checked_events


def spikes_around(
    spike_times: ArrayLike, event_times: ArrayLike, start_s: float, stop_s: float
) -> tuple[Floats, Integers]:
    """Return a unit's spikes around events.

    Parameters
    ----------
    spike_times : (n_spikes,) seconds, ascending.
    event_times : (n_events,) seconds, in any order; a spike near several of them is returned for each.
    start_s, stop_s : window in seconds relative to an event, half open.

    Returns
    -------
    time_s : (n,) seconds from the event to each spike, event by event.
    event : (n,) index of that event in ``event_times``.

    Examples
    --------
    >>> spikes_around([1.0, 2.25], [2.0, 1.0], -0.5, 0.5)
    (array([0.25, 0.  ]), array([0, 1]))
    """
    train, events = np.asarray(spike_times, dtype=np.float64), checked_events(event_times)
    first, last = (np.searchsorted(train, events + edge) for edge in (start_s, stop_s))
    counts = last - first
    event = np.repeat(np.arange(events.size), counts)
    spike = np.arange(event.size) + (first - (np.cumsum(counts) - counts))[event]
    return train[spike] - events[event], event
