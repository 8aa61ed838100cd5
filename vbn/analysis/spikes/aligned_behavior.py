"""Behavior around events, on the time axis of the firing rates.

Sampled traces (running speed, pupil) are interpolated linearly to the bin centres, event by event; licks are
counted in bins, as spikes are. A trace is NaN before its first and after its last sample; NaN is ignored in
the mean. This follows the AllenSDK tutorial ``visual_behavior_neuropixels_quickstart``, whose pupil trace
also leaves out likely blinks and interpolates over the gaps; here, gaps longer than `MAX_GAP_S` are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.spikes.psth import TimeAxis, count_spikes, psth
from vbn.analysis.spikes.trains import Floats, checked_events

MAX_GAP_S = 0.5
"""Longest gap between samples that is interpolated: a blink, not a lost pupil.

The default of the toolbox PuPl (Kinley & Levy 2022, ``interpeyedata``: 500 ms); Murphy et al. 2014 take 1 s.
"""


@dataclass(frozen=True)
class AlignedBehavior:
    """Running, licks and pupil around events: means over events and their standard errors (``_sem``).

    Every array is (n_bins,). A mean is NaN where no event has a value, a standard error (ddof 1) where fewer
    than two have one. The pupil arrays are None without eye tracking, or without that part of it.

    Attributes
    ----------
    time_s : centres of the bins, relative to the event.
    running_speed_cm_s, running_speed_sem : cm/s.
    lick_rate_hz, lick_rate_sem : licks per second.
    pupil_area, pupil_area_sem : pixels squared.
    pupil_x, pupil_x_sem : horizontal position of the pupil's centre in the camera image, pixels.
    n_events : number of events.
    """

    time_s: Floats
    running_speed_cm_s: Floats
    running_speed_sem: Floats
    lick_rate_hz: Floats
    lick_rate_sem: Floats
    pupil_area: Floats | None
    pupil_area_sem: Floats | None
    pupil_x: Floats | None
    pupil_x_sem: Floats | None
    n_events: int


def align_behavior(
    event_times: ArrayLike,
    axis: TimeAxis,
    *,
    running: tuple[ArrayLike, ArrayLike],
    lick_times: ArrayLike,
    pupil: tuple[ArrayLike, ArrayLike, ArrayLike | None, ArrayLike] | None,
) -> AlignedBehavior:
    """Average running speed, lick rate and pupil around events.

    Parameters
    ----------
    event_times : (n_events,) seconds, in any order.
    axis : the bins.
    running : times (n_samples,) in seconds, ascending, and speed (n_samples,) in cm/s.
    lick_times : (n_licks,) seconds, in any order; may be empty.
    pupil : times (n_frames,) in seconds, ascending, area (n_frames,) in pixels squared, horizontal centre
        (n_frames,) in pixels or None where only the area is known, and likely_blink (n_frames,); None without
        eye tracking. Frames with a likely blink or NaN are dropped, and gaps of up to `MAX_GAP_S`
        interpolated.

    Returns
    -------
    AlignedBehavior

    Raises
    ------
    ValueError
        If event times are not finite, or the arrays of a trace differ in length.
    """
    events = checked_events(event_times)
    speed, speed_sem = align_trace(events, axis, *running)
    licks, licks_sem = _lick_rate(events, axis, lick_times)
    area, area_sem, x, x_sem = _align_pupil(events, axis, pupil)
    return AlignedBehavior(
        time_s=axis.centers_s,
        running_speed_cm_s=speed,
        running_speed_sem=speed_sem,
        lick_rate_hz=licks,
        lick_rate_sem=licks_sem,
        pupil_area=area,
        pupil_area_sem=area_sem,
        pupil_x=x,
        pupil_x_sem=x_sem,
        n_events=events.size,
    )


def align_trace(
    event_times: ArrayLike, axis: TimeAxis, times: ArrayLike, values: ArrayLike
) -> tuple[Floats, Floats]:
    """Average a sampled trace around events.

    Parameters
    ----------
    event_times : (n_events,) seconds.
    axis : the bins, at whose centres the trace is sampled.
    times : (n_samples,) seconds, ascending.
    values : (n_samples,) the trace; non-finite samples are dropped, and gaps of up to `MAX_GAP_S`
        interpolated.

    Returns
    -------
    mean : (n_bins,) mean over events; NaN where none has a value.
    standard_error : (n_bins,) with ddof 1; NaN where fewer than two events have a value.
    """
    events = checked_events(event_times)
    time, value = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if time.ndim != 1 or time.shape != value.shape:
        raise ValueError(f"A trace needs times and values of one length, got {time.shape} and {value.shape}.")
    keep = np.isfinite(time) & np.isfinite(value)
    return _mean_and_sem(_interpolate(time[keep], value[keep], events[:, np.newaxis] + axis.centers_s))


def _interpolate(times: Floats, values: Floats, new_times: Floats) -> Floats:
    """Interpolate linearly; NaN outside the samples, and in gaps longer than `MAX_GAP_S`."""
    if times.size == 0:
        return np.full(new_times.shape, np.nan)
    after = np.searchsorted(times, new_times).clip(0, times.size - 1)
    gap = np.where(times[after] == new_times, 0.0, times[after] - times[(after - 1).clip(0)])
    found = np.interp(new_times, times, values, left=np.nan, right=np.nan)
    return np.where(gap <= MAX_GAP_S + 1e-9, found, np.nan)


def _mean_and_sem(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard error over rows, ignoring NaN."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    # NaN instead of 0 as the denominator avoids numpy's warning and gives NaN.
    mean = np.where(known, values, 0.0).sum(axis=0) / np.where(n > 0, n, np.nan)
    squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, np.sqrt(squares / np.where(n > 1, n * (n - 1.0), np.nan))


def _lick_rate(events: Floats, axis: TimeAxis, lick_times: ArrayLike) -> tuple[Floats, Floats]:
    """Return mean and standard error of the lick rate, counting licks like the spikes of one unit."""
    licks = np.sort(checked_events(lick_times, "lick_times"))
    result = psth(count_spikes(licks, [0], [licks.size], events, axis), axis)
    return result.rate_hz[0], result.sem_hz[0]


def _align_pupil(
    events: Floats, axis: TimeAxis, pupil: tuple[ArrayLike, ArrayLike, ArrayLike | None, ArrayLike] | None
) -> tuple[Floats | None, Floats | None, Floats | None, Floats | None]:
    if pupil is None:
        return None, None, None, None
    times, area, likely_blink = (np.asarray(pupil[part]) for part in (0, 1, 3))
    blink = likely_blink.astype(np.bool_)
    if blink.shape != times.shape:
        raise ValueError(f"likely_blink must be as long as the times, got {blink.shape} and {times.shape}.")
    valid = ~blink
    mean_area, sem_area = align_trace(events, axis, times[valid], area[valid])
    if pupil[2] is None:
        return mean_area, sem_area, None, None
    mean_x, sem_x = align_trace(events, axis, times[valid], np.asarray(pupil[2])[valid])
    return mean_area, sem_area, mean_x, sem_x
