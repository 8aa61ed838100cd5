"""Signals of running wheel and eye camera that follow the task, with the artefacts of real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.signal import butter, lfilter, sosfiltfilt
from scipy.special import expit

WHEEL_RADIUS_CM = 5.5036
WHEEL_VOLTAGE_V = 5.06
BLINK_Z = 3.0
BLINK_DILATION_FRAMES = 2
_EYE_RATE_HZ = 60.0
_EYE_STARTS_S = 1.98
_FIRST_EYE_FRAMES_WITHOUT_FIT = 16


@dataclass(frozen=True)
class SimulatedRunning:
    """Signals of the wheel, one sample per frame: speeds in cm/s, ``dx`` in degrees per frame, volts."""

    timestamps_s: np.ndarray
    speed: np.ndarray
    speed_unfiltered: np.ndarray
    dx: np.ndarray
    v_sig: np.ndarray
    v_in: np.ndarray


def slow_noise(rng: np.random.Generator, n: int, time_constant: float) -> np.ndarray:
    """Draw ``n`` samples of an AR(1) process of unit variance; ``time_constant`` is in samples, > 0."""
    keep = np.exp(-1.0 / time_constant)
    steps = rng.normal(0, np.sqrt(1 - keep**2), size=n)
    first = rng.normal() * keep
    return np.asarray(lfilter([1.0], [1.0, -keep], steps, zi=[first])[0])


def bump(times_s: np.ndarray, events_s: np.ndarray, rise_s: float, fall_s: float) -> np.ndarray:
    """Return a trace with a bump of peak 1 after each event, a difference of exponentials.

    Parameters
    ----------
    times_s : (n_samples,) seconds, ascending.
    events_s : (n_events,) seconds, in any order.
    rise_s, fall_s : time constants in seconds, 0 < rise_s < fall_s.

    Returns
    -------
    (n_samples,) sum of the bumps; 0 without events. A bump ends after 8 times ``fall_s``.
    """
    trace = np.zeros(len(times_s))
    peak_s = rise_s * fall_s / (fall_s - rise_s) * np.log(fall_s / rise_s)
    peak = np.exp(-peak_s / fall_s) - np.exp(-peak_s / rise_s)
    for event in events_s:
        low, high = np.searchsorted(times_s, [event, event + 8 * fall_s])
        after = times_s[low:high] - event
        trace[low:high] += (np.exp(-after / fall_s) - np.exp(-after / rise_s)) / peak
    return trace


def simulate_running(
    rng: np.random.Generator, frame_times_s: np.ndarray, reward_times_s: np.ndarray, replay_start_s: float
) -> SimulatedRunning:
    """Simulate the wheel: slow fluctuations around 30 cm/s, slower for drinking and in the replay."""
    n = len(frame_times_s)
    drive = 30 + 9 * slow_noise(rng, n, 12 / 0.0167) + 4 * slow_noise(rng, n, 1.2 / 0.0167)
    drinking = np.clip(bump(frame_times_s, reward_times_s, 0.35, 0.9), 0, 1)
    calm = 1 - 0.35 * expit((frame_times_s - replay_start_s) / 2.0)
    mean_speed = np.clip(drive, 0, None) * (1 - 0.88 * drinking) * calm
    dt = np.gradient(frame_times_s)
    degrees = np.degrees(mean_speed * dt / WHEEL_RADIUS_CM) + rng.normal(0, 0.25, size=n)
    dx = np.round(degrees, 5)
    unfiltered = np.radians(dx) * WHEEL_RADIUS_CM / dt
    smooth = sosfiltfilt(butter(3, 4.0, fs=1 / FRAME_S, output="sos"), unfiltered)
    v_in = np.round(WHEEL_VOLTAGE_V + rng.normal(0, 0.001, size=n), 5)
    angle = (np.cumsum(dx) + rng.uniform(0, 360)) % 360
    return SimulatedRunning(
        frame_times_s, smooth, unfiltered, dx, np.round(angle / 360 * WHEEL_VOLTAGE_V, 5), v_in
    )


FRAME_S = 1 / 59.95


@dataclass(frozen=True)
class Ellipse:
    """One fitted ellipse per camera frame: centre (n, 2) px, semi-axes px, angle rad, areas px^2."""

    center: np.ndarray
    width: np.ndarray
    height: np.ndarray
    angle: np.ndarray
    area_raw: np.ndarray
    area: np.ndarray


@dataclass(frozen=True)
class SimulatedEye:
    """Eye tracking: three ellipses with common timestamps, and the likely blinks."""

    timestamps_s: np.ndarray
    eye: Ellipse
    pupil: Ellipse
    corneal_reflection: Ellipse
    likely_blink: np.ndarray


def likely_blinks(eye_area: np.ndarray, pupil_area: np.ndarray) -> np.ndarray:
    """Mark likely blinks: frames with a missing or outlying eye or pupil area, and the 2 frames around them.

    Parameters
    ----------
    eye_area, pupil_area : (n_frames,) pixel^2, NaN where no ellipse was fitted.

    Returns
    -------
    (n_frames,) bool.

    Notes
    -----
    Outliers are more than 3 (population) standard deviations from the mean over frames with a fit, as in
    AllenSDK's ``determine_likely_blinks``.
    """
    marked = np.zeros(len(eye_area), dtype=bool)
    for area in (eye_area, pupil_area):
        spread = np.nanstd(area)
        z = (area - np.nanmean(area)) / (spread if spread > 0 else 1.0)
        marked |= np.isnan(area) | (np.abs(np.nan_to_num(z)) > BLINK_Z)
    return np.asarray(binary_dilation(marked, iterations=BLINK_DILATION_FRAMES)) if marked.any() else marked


def simulate_eye(
    rng: np.random.Generator, end_s: float, dilating_events_s: np.ndarray, running: SimulatedRunning
) -> SimulatedEye:
    """Simulate the eye: the pupil dilates after events and with running; in blinks, fits are NaN or wrong."""
    times = np.round(np.arange(_EYE_STARTS_S, end_s, 1 / _EYE_RATE_HZ), 5)
    n = len(times)
    speed = np.interp(times, running.timestamps_s, running.speed)
    radius = 38 + 2.2 * slow_noise(rng, n, 20 * _EYE_RATE_HZ) + 0.06 * (speed - 30)
    radius = np.clip(radius + 4.0 * np.clip(bump(times, dilating_events_s, 0.7, 1.6), 0, 1.5), 18, 60)
    drift = np.stack([slow_noise(rng, n, 3 * _EYE_RATE_HZ), slow_noise(rng, n, 3 * _EYE_RATE_HZ)], axis=1)
    eye = _fit(rng, np.array([320.0, 240.0]) + 0.5 * drift, np.full(n, 110.0), 0.8, 0.004)
    pupil = _fit(rng, np.array([325.0, 236.0]) + 4 * drift, radius, 0.94, 0.008)
    reflection = _fit(rng, np.array([308.0, 253.0]) + 0.3 * drift, np.full(n, 6.7), 0.97, 0.02)
    shut = _draw_blinks(rng, times)
    parts = [_with_blinks(rng, part, shut) for part in (eye, pupil)]
    areas = [np.pi * parts[0][1] * parts[0][2], np.pi * np.maximum(parts[1][1], parts[1][2]) ** 2]
    blink = likely_blinks(*areas)
    reflection_area = np.pi * reflection[1] * reflection[2]
    return SimulatedEye(
        times,
        _ellipse(parts[0], areas[0], blink, mask_shape=True),
        _ellipse(parts[1], areas[1], blink, mask_shape=True),
        _ellipse(reflection, reflection_area, blink, mask_shape=False),
        blink,
    )


_Fit = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _fit(
    rng: np.random.Generator, center: np.ndarray, radius: np.ndarray, aspect: float, noise: float
) -> _Fit:
    n = len(radius)
    width, height = (radius * scale * (1 + rng.normal(0, noise, size=n)) for scale in (1.0, aspect))
    return center + rng.normal(0, 0.15, size=center.shape), width, height, rng.normal(0, 0.08, size=n)


def _draw_blinks(rng: np.random.Generator, times_s: np.ndarray) -> np.ndarray:
    """Return (n,) True for a closed eye: a blink of 4 to 10 frames about every 12 s, and the first frames."""
    shut = np.zeros(len(times_s), dtype=bool)
    for start in np.flatnonzero(rng.random(len(times_s)) < 1 / (12 * _EYE_RATE_HZ)):
        shut[start : start + int(rng.integers(4, 11))] = True
    shut[:_FIRST_EYE_FRAMES_WITHOUT_FIT] = True
    return shut


def _with_blinks(rng: np.random.Generator, fit: _Fit, shut: np.ndarray) -> _Fit:
    """Spoil the fit in blinks: two thirds of the frames have no fit, the others far too small an ellipse."""
    center, width, height, angle = (part.copy() for part in fit)
    lost = shut & (rng.random(len(shut)) < 0.67)
    lost[:_FIRST_EYE_FRAMES_WITHOUT_FIT] = True
    width[shut] *= 0.4
    height[shut] *= 0.3
    for part in (center, width, height, angle):
        part[lost] = np.nan
    return center, width, height, angle


def _ellipse(fit: _Fit, area_raw: np.ndarray, blink: np.ndarray, *, mask_shape: bool) -> Ellipse:
    center, width, height, angle = fit
    if mask_shape:
        width, height, angle = (np.where(blink, np.nan, part) for part in (width, height, angle))
    return Ellipse(center, width, height, angle, area_raw, np.where(blink, np.nan, area_raw))
