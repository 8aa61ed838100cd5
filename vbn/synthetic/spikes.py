"""Spike trains: a background with a refractory period, plus responses.

The background is a renewal process (dead time 2 ms, then exponential), thinned where the rate varies. A
:class:`Response` adds, for every event, a Poisson number of spikes with random delays. There are no loops
over spikes, so that 74 million of them take a minute or two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vbn.synthetic.units import Unit

DEAD_TIME_S = 0.002
_FIRST_SPIKE_S = 0.01
_SECOND_SPIKE_S = 0.0038
Delays = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Response:
    """Extra spikes after events: (n_events,) times in s and mean counts, and the distribution of delays (s).

    The number of spikes is Poisson, or with ``single`` one or none (mean counts are then probabilities).
    """

    times_s: np.ndarray
    mean_counts: np.ndarray
    delays: Delays
    single: bool = False


@dataclass(frozen=True)
class Stimuli:
    """The stimuli and signals to which units can respond, in on-screen times."""

    images: pd.DataFrame
    image_names: tuple[str, ...]
    gabors: pd.DataFrame
    flashes: pd.DataFrame
    laser: pd.DataFrame
    running_times_s: np.ndarray
    running_cm_s: np.ndarray
    end_s: float
    lick_times_s: np.ndarray = field(default_factory=lambda: np.empty(0))


def spread_delays(latency_s: float, duration_s: float) -> Delays:
    """Return delays within ``duration_s`` from ``latency_s`` on, most of them early (a beta distribution)."""
    return lambda rng, n: latency_s + duration_s * rng.beta(1.4, 2.6, size=n)


def even_delays(latency_s: float, duration_s: float) -> Delays:
    """Return uniform delays within ``duration_s`` from ``latency_s`` on."""
    return lambda rng, n: latency_s + duration_s * rng.random(n)


def precise_delays(latency_s: float, jitter_s: float) -> Delays:
    """Return normal delays, at most three standard deviations from ``latency_s``."""
    return lambda rng, n: latency_s + jitter_s * rng.normal(size=n).clip(-3, 3)


def raised_cosine_delays(duration_s: float) -> Delays:
    """Return delays with a raised-cosine density over ``duration_s`` (by inverse transform sampling)."""
    phase = np.linspace(0, 1, 513)
    cumulative = phase - np.sin(2 * np.pi * phase) / (2 * np.pi)
    return lambda rng, n: duration_s * np.interp(rng.random(n), cumulative, phase)


def responses(unit: Unit, stimuli: Stimuli) -> list[Response]:
    """Return a unit's responses; none for roles without responses."""
    build = {
        "change": _change_responses,
        "visual": _visual_responses,
        "rf": _receptive_field_responses,
        "omission": _omission_responses,
        "opto": _laser_responses,
        "opto_artifact": _artifact_responses,
        "novelty": _novelty_responses,
        "lick": _lick_responses,
    }.get(unit.role)
    return build(unit.parameters, stimuli) if build else []


_Parameters = dict[str, object]


def _number(parameters: _Parameters, name: str) -> float:
    value = parameters[name]
    assert isinstance(value, int | float)
    return float(value)


def _numbers(parameters: _Parameters, name: str) -> np.ndarray:
    return np.asarray(parameters[name], dtype=np.float64)


def _spread(parameters: _Parameters, times_s: np.ndarray, rates_hz: np.ndarray) -> Response:
    latency, duration = _number(parameters, "latency_s"), _number(parameters, "duration_s")
    return Response(times_s, rates_hz * duration, spread_delays(latency, duration))


def _change_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    table = stimuli.images
    is_change = table["is_change"].to_numpy() == 1
    active = table["active"].to_numpy()
    changes = np.where(active, _number(parameters, "add_hz_active"), _number(parameters, "add_hz_passive"))
    rates = np.where(is_change, changes, _number(parameters, "add_hz_nonchange"))
    rates = np.where(table["omitted"].to_numpy() == 1, 0.0, rates)
    return [_spread(parameters, table["start_time"].to_numpy(), rates)]


def _visual_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    table = stimuli.images
    gains = dict(zip(stimuli.image_names, _numbers(parameters, "add_hz_by_image"), strict=True))
    rates = table["image_name"].map(gains).fillna(0.0).to_numpy(dtype=np.float64)
    preferred = stimuli.flashes["color"].to_numpy() == _number(parameters, "flash_color")
    flash_rates = np.where(preferred, _number(parameters, "add_hz_flash"), 0.0)
    return [
        _spread(parameters, table["start_time"].to_numpy(), rates),
        _spread(parameters, stimuli.flashes["start_time"].to_numpy(), flash_rates),
    ]


def _receptive_field_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    table = stimuli.gabors
    squared = sum(
        (table[name].to_numpy() - _number(parameters, name)) ** 2 for name in ("position_x", "position_y")
    )
    rates = _number(parameters, "add_hz") * np.exp(-squared / (2 * _number(parameters, "width_deg") ** 2))
    return [_spread(parameters, table["start_time"].to_numpy(), rates)]


def _omission_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    table = stimuli.images[stimuli.images["omitted"] == 1]
    strengths = (_number(parameters, "add_hz_active"), _number(parameters, "add_hz_passive"))
    rates = np.where(table["active"].to_numpy(), *strengths)
    return [_spread(parameters, table["start_time"].to_numpy(), rates)]


def _laser_levels(stimuli: Stimuli, waveform: str) -> tuple[np.ndarray, np.ndarray]:
    """Return start times and level ranks (0 for the lowest) of one waveform's pulses."""
    table = stimuli.laser[stimuli.laser["stimulus_name"] == waveform]
    levels = np.unique(stimuli.laser["level"].to_numpy(dtype=np.float64))
    rank = np.searchsorted(levels, table["level"].to_numpy(dtype=np.float64))
    return table["start_time"].to_numpy(dtype=np.float64), rank


def _laser_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    pulses, pulse_rank = _laser_levels(stimuli, "pulse")
    waves, wave_rank = _laser_levels(stimuli, "raised_cosine")
    probability = _numbers(parameters, "probability_by_level")[pulse_rank]
    latency, jitter = _number(parameters, "latency_s"), _number(parameters, "jitter_s")
    cosine = _numbers(parameters, "raised_cosine_hz_by_level")
    return [
        Response(pulses, probability, precise_delays(latency, jitter), single=True),
        Response(pulses, 0.3 * probability, precise_delays(latency + _SECOND_SPIKE_S, jitter), single=True),
        Response(waves, 0.5 * cosine[wave_rank], raised_cosine_delays(1.0)),
    ]


def _artifact_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    pulses, _ = _laser_levels(stimuli, "pulse")
    edges = np.concatenate([pulses, pulses + 0.01])
    probability = np.full(len(edges), _number(parameters, "probability"))
    within = _number(parameters, "within_s")
    return [Response(edges, probability, even_delays(-0.3 * within, 1.2 * within), single=True)]


def _novelty_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    table = stimuli.images
    factor = np.where(table["is_change"].to_numpy() == 1, 1.5, 1.0)
    novel = np.where(table["is_image_novel"].to_numpy() == 1, _number(parameters, "effect_hz"), 0.0)
    rates = factor * _number(parameters, "image_hz") + novel
    rates = np.where(table["omitted"].to_numpy() == 1, 0.0, rates)
    first, last = _numbers(parameters, "window_s")
    return [
        Response(table["start_time"].to_numpy(), rates * (last - first), even_delays(first, last - first))
    ]


def _lick_responses(parameters: _Parameters, stimuli: Stimuli) -> list[Response]:
    counts = np.full(len(stimuli.lick_times_s), _number(parameters, "spikes_per_lick"))
    return [Response(stimuli.lick_times_s, counts, precise_delays(0.0, _number(parameters, "jitter_s")))]


def background(rng: np.random.Generator, rate_hz: float, start_s: float, end_s: float) -> np.ndarray:
    """Draw a train with a refractory period and a mean rate of about ``rate_hz``, (n_spikes,) s, ascending.

    A rate of 0 or an empty interval gives no spikes; the rate is limited to 400 Hz.
    """
    if rate_hz <= 0 or end_s <= start_s:
        return np.empty(0)
    mean_gap = 1 / min(rate_hz, 400.0) - DEAD_TIME_S
    expected = (end_s - start_s) * rate_hz
    n = int(expected + 6 * np.sqrt(expected) + 20)
    times = start_s + np.cumsum(DEAD_TIME_S + rng.exponential(mean_gap, size=n)) - DEAD_TIME_S
    return times[times < end_s]


def draw_responses(rng: np.random.Generator, unit_responses: list[Response]) -> np.ndarray:
    """Draw the extra spikes of all responses, (n_spikes,) s, unsorted."""
    parts = [np.empty(0)]
    for response in unit_responses:
        mean = response.mean_counts
        counts = rng.random(len(mean)) < mean if response.single else rng.poisson(mean)
        events = np.repeat(response.times_s, counts.astype(np.int64))
        parts.append(events + response.delays(rng, len(events)))
    return np.concatenate(parts)


def expected_response_count(unit: Unit, stimuli: Stimuli) -> float:
    """Return the expected number of extra spikes of a unit, including those driven by running speed."""
    extra = sum(float(response.mean_counts.sum()) for response in responses(unit, stimuli))
    if unit.role == "running":
        extra += (
            _number(unit.parameters, "hz_per_cm_s")
            * float(np.clip(stimuli.running_cm_s, 0, None).mean())
            * stimuli.end_s
        )
    return extra


def sorted_by_runs(times_s: np.ndarray) -> np.ndarray:
    """Sort times that ascend in pieces, or but for neighbours: a tenth of the time of any order."""
    return np.sort(times_s, kind="stable")


def draw_spike_train(
    rng: np.random.Generator, unit: Unit, stimuli: Stimuli, baseline_hz: float
) -> np.ndarray:
    """Draw the spikes of one unit: (n_spikes,) s, ascending, > 0 and before the end of the recording.

    ``baseline_hz`` replaces the unit's own baseline if rates are scaled. Spikes that follow another within
    the dead time are dropped, except in noise and artefact units, which violate it by design.
    """
    times = sorted_by_runs(
        np.concatenate(
            [_background(rng, unit, stimuli, baseline_hz), draw_responses(rng, responses(unit, stimuli))]
        )
    )
    times = times[(times > 0) & (times < stimuli.end_s)]
    if unit.role in ("noise", "opto_artifact"):
        return times
    return drop_refractory(times, DEAD_TIME_S * 0.9)


def _background(rng: np.random.Generator, unit: Unit, stimuli: Stimuli, baseline_hz: float) -> np.ndarray:
    start, end = _FIRST_SPIKE_S, stimuli.end_s
    if unit.role == "rare":
        return rng.uniform(start, end, size=int(_number(unit.parameters, "n_spikes")))
    if unit.role == "noise":
        return rng.uniform(start, end, size=int(rng.poisson(baseline_hz * (end - start))))
    if unit.role == "drift":
        middle = (start + end) / 2
        first = unit.parameters["present"] == "first half"
        return (
            background(rng, baseline_hz, start, middle)
            if first
            else background(rng, baseline_hz, middle, end)
        )
    if unit.role == "running":
        return _speed_driven(rng, stimuli, baseline_hz, _number(unit.parameters, "hz_per_cm_s"))
    times = background(rng, baseline_hz, start, end)
    return _suppressed(rng, times, unit.parameters, stimuli) if unit.role == "suppressed" else times


def _suppressed(
    rng: np.random.Generator, times: np.ndarray, parameters: _Parameters, stimuli: Stimuli
) -> np.ndarray:
    """Take out a share of the spikes after each image."""
    shown = stimuli.images.loc[stimuli.images["omitted"] == 0, "start_time"].to_numpy()
    last = np.searchsorted(shown, times) - 1
    since = times - np.append(shown, -np.inf)[last]
    after = since - _number(parameters, "latency_s")
    is_lost = (after >= 0) & (after < _number(parameters, "duration_s"))
    kept: np.ndarray = times[~(is_lost & (rng.random(len(times)) < _number(parameters, "share_lost")))]
    return kept


def _speed_driven(
    rng: np.random.Generator, stimuli: Stimuli, baseline_hz: float, hz_per_cm_s: float
) -> np.ndarray:
    """Thin a fast train to a rate of baseline + slope x speed (speed 0 outside the wheel's recording)."""
    speed = np.clip(stimuli.running_cm_s, 0, None)
    greatest_hz = baseline_hz + hz_per_cm_s * float(speed.max())
    times = background(rng, greatest_hz, _FIRST_SPIKE_S, stimuli.end_s)
    now = np.interp(times, stimuli.running_times_s, speed, left=0.0, right=0.0)
    keep: np.ndarray = rng.random(len(times)) * greatest_hz < baseline_hz + hz_per_cm_s * now
    return np.asarray(times[keep])


def drop_refractory(times_s: np.ndarray, dead_time_s: float) -> np.ndarray:
    """Drop spikes until no interval is shorter than ``dead_time_s``; (n_spikes,) ascending in and out."""
    while len(times_s) > 1:
        too_soon = np.diff(times_s) < dead_time_s
        if not too_soon.any():
            break
        # In a run of close spikes, each pass drops every second one, so the first always stays.
        run_start = np.concatenate([[True], ~too_soon])
        position = np.arange(len(times_s)) - np.maximum.accumulate(
            np.where(run_start, np.arange(len(times_s)), 0)
        )
        times_s = times_s[position % 2 == 0]
    return times_s


def baseline_scale(units: list[Unit], stimuli: Stimuli, mean_rate_hz: float | None) -> float:
    """Return the factor for all background rates that gives the required mean rate; 1 if it is None.

    At least 0.02: responses alone may already exceed a low mean rate.
    """
    if mean_rate_hz is None:
        return 1.0
    extra_hz = sum(expected_response_count(unit, stimuli) for unit in units) / stimuli.end_s
    weight = {"drift": 0.5, "rare": 0.0}
    base_hz = sum(unit.baseline_hz * weight.get(unit.role, 1.0) for unit in units)
    if base_hz == 0:
        return 1.0
    return max(0.02, (mean_rate_hz * len(units) - extra_hz) / base_hz)
