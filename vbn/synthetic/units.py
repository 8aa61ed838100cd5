"""Synthetic units: a role with its parameters, a location, a waveform and quality metrics.

==============  ==========================================================================================
role            response, on top of a background rate
==============  ==========================================================================================
change          image changes in the active block, half as strongly in the replay; other flashes weakly
visual          images, each with its own strength, and one colour of full-field flashes
rf              Gabors at one position on the screen
omission        omitted images, half as strongly in the replay
opto            laser pulses, after about 3.5 ms (Cre mice only; ``untuned`` in wild types)
opto_artifact   spikes within 1 ms of the laser pulse edges in every mouse: light artefacts, not cells
running         rate increases with running speed
untuned         none
noise           none; labelled noise, with many refractory violations
drift           none; present in one half of the session only
rare            none; four to eight spikes in total
novelty         all images, changes half as much again; novel ones more (`vbn.synthetic.novelty`)
lick            spikes around each lick
suppressed      fires less after each image
==============  ==========================================================================================

The last three are of data sets of novelty only, together with ``untuned``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.synthetic.anatomy import in_cortex

ROLES = (
    "change", "visual", "rf", "omission", "opto", "opto_artifact", "running", "untuned", "noise", "drift",
    "rare",
)  # fmt: skip
_SHARES = {
    "change": 0.24, "visual": 0.23, "untuned": 0.20, "rf": 0.07, "omission": 0.06, "running": 0.05,
    "opto": 0.03, "opto_artifact": 0.02, "noise": 0.06, "drift": 0.02, "rare": 0.02,
}  # fmt: skip
_NOVELTY_SHARES = {"novelty": 0.64, "lick": 0.12, "suppressed": 0.12, "untuned": 0.12}
_MOSTLY_CORTICAL = {"rf": 0.6, "novelty": 0.75}
_CORTICAL_ROLES = ("change", "visual", "omission", "opto", "opto_artifact")
_VISUAL_BELOW_CORTEX = ("LGd", "LP", "SCig")
NAN_METRICS = (
    "nn_miss_rate",
    "silhouette_score",
    "isolation_distance",
    "l_ratio",
    "velocity_above",
    "velocity_below",
)


@dataclass(frozen=True)
class Unit:
    """One unit as injected; ``parameters`` are those of its role, ready for JSON."""

    unit_id: int
    probe: int
    local_index: int
    cluster_id: int
    channel: int
    peak_channel_id: int
    structure: str
    channel_valid: bool
    role: str
    quality: str
    baseline_hz: float
    is_fast: bool
    amplitude_uv: float
    parameters: dict[str, object]


def draw_roles(
    rng: np.random.Generator, n_units: int, *, has_channelrhodopsin: bool, is_of_novelty: bool = False
) -> list[str]:
    """Draw a probe's roles in random order: with 15 units or more at least one of each, the rest by share.

    Wild types have ``untuned`` instead of ``opto`` units.
    """
    share_of = _NOVELTY_SHARES if is_of_novelty else _SHARES
    names = list(share_of)
    certain = (names if is_of_novelty else list(ROLES)) if n_units >= 15 else []
    shares = np.array(list(share_of.values()))
    drawn = rng.choice(names, size=n_units - len(certain), p=shares / shares.sum()).tolist()
    roles = [str(role) for role in rng.permutation(certain + drawn)]
    return roles if has_channelrhodopsin else ["untuned" if role == "opto" else role for role in roles]


def draw_units(
    rng: np.random.Generator,
    channels: pd.DataFrame,
    unit_ids: np.ndarray,
    probe: int,
    *,
    has_channelrhodopsin: bool,
    is_of_novelty: bool = False,
) -> list[Unit]:
    """Draw the units of one probe, in file order; their ids are a random permutation of ``unit_ids``."""
    n = len(unit_ids)
    roles = draw_roles(rng, n, has_channelrhodopsin=has_channelrhodopsin, is_of_novelty=is_of_novelty)
    ids = rng.permutation(unit_ids)
    clusters = np.cumsum(rng.integers(1, 3, size=n)) - 1
    location = channels["location"].to_numpy()
    valid = channels["valid_data"].to_numpy()
    units = []
    for row, role in enumerate(roles):
        channel = _peak_channel(rng, role, location, valid, on_invalid=row == n - 1 and n >= 15)
        units.append(
            Unit(
                unit_id=int(ids[row]),
                probe=probe,
                local_index=row,
                cluster_id=int(clusters[row]),
                channel=channel,
                peak_channel_id=int(channels["id"].iloc[channel]),
                structure=str(location[channel]),
                channel_valid=bool(valid[channel]),
                role=role,
                quality="noise" if role == "noise" else "good",
                baseline_hz=_baseline(rng, role),
                is_fast=bool(rng.random() < (0.45 if role == "opto" else 0.22)),
                amplitude_uv=float(np.exp(rng.normal(np.log(130), 0.4))),
                parameters=draw_parameters(rng, role),
            )
        )
    return units


def _peak_channel(
    rng: np.random.Generator, role: str, location: np.ndarray, valid: np.ndarray, *, on_invalid: bool
) -> int:
    """Draw a channel: tuned units in visual areas, most others in the brain, one on an invalid channel."""
    below_surface = np.flatnonzero(in_cortex(location))[-1] + 1
    candidates = np.arange(len(location)) < below_surface
    if on_invalid and (candidates & ~valid).any():
        return int(rng.choice(np.flatnonzero(candidates & ~valid)))
    if role in _CORTICAL_ROLES or (role in _MOSTLY_CORTICAL and rng.random() < _MOSTLY_CORTICAL[role]):
        candidates = in_cortex(location)
    elif role == "rf" and np.isin(location.astype(str), _VISUAL_BELOW_CORTEX).any():
        candidates = np.isin(location.astype(str), _VISUAL_BELOW_CORTEX)
    elif role == "noise":
        candidates = np.ones(len(location), dtype=bool)
    return int(rng.choice(np.flatnonzero(candidates & valid)))


def _baseline(rng: np.random.Generator, role: str) -> float:
    if role == "rare":
        return 0.0
    centre = {"opto": 3.5, "opto_artifact": 3.0, "change": 3.0, "omission": 3.0, "rf": 4.0}.get(role, 4.5)
    return float(np.clip(np.exp(rng.normal(np.log(centre), 0.55)), 0.6, 30.0))


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)


def draw_parameters(rng: np.random.Generator, role: str) -> dict[str, object]:
    """Draw a role's parameters: rates in Hz added during the response, times in s after the stimulus."""
    if role == "change":
        strength = float(rng.uniform(25, 70))
        return {
            "latency_s": _clipped(rng.normal(0.058, 0.008), 0.04, 0.08),
            "duration_s": float(rng.uniform(0.12, 0.22)),
            "add_hz_active": strength,
            "add_hz_passive": strength / 2,
            "add_hz_nonchange": float(rng.uniform(3, 8)),
        }
    if role == "visual":
        gains = np.clip(rng.gamma(0.7, 22.0, size=8), 0, 70)
        gains[rng.integers(8)] = rng.uniform(35, 70)
        return {
            "latency_s": _clipped(rng.normal(0.055, 0.008), 0.035, 0.08),
            "duration_s": float(rng.uniform(0.1, 0.22)),
            "add_hz_by_image": [float(g) for g in gains.round(3)],
            "flash_color": float(rng.choice([-1.0, 1.0])),
            "add_hz_flash": float(rng.uniform(25, 60)),
        }
    if role == "rf":
        return {
            "latency_s": 0.05,
            "duration_s": 0.15,
            "position_x": float(rng.integers(-3, 4) * 10),
            "position_y": float(rng.integers(-3, 4) * 10),
            "width_deg": 10.0,
            "add_hz": float(rng.uniform(50, 90)),
        }
    return _other_parameters(rng, role)


def _other_parameters(rng: np.random.Generator, role: str) -> dict[str, object]:
    if role == "omission":
        strength = float(rng.uniform(25, 55))
        return {
            "latency_s": 0.1,
            "duration_s": 0.4,
            "add_hz_active": strength,
            "add_hz_passive": strength / 2,
        }
    if role == "opto":
        return {
            "latency_s": _clipped(rng.normal(0.0035, 0.0003), 0.0028, 0.0042),
            "jitter_s": 0.0006,
            "probability_by_level": [0.6, 0.8, 0.95],
            "raised_cosine_hz_by_level": [25.0, 40.0, 60.0],
        }
    if role == "opto_artifact":
        return {"probability": 0.9, "within_s": 0.001}
    if role == "running":
        return {"hz_per_cm_s": float(rng.uniform(0.15, 0.4))}
    if role == "novelty":
        return {"image_hz": float(rng.uniform(10, 25))}
    if role == "lick":
        return {"spikes_per_lick": float(rng.uniform(1.5, 3)), "jitter_s": 0.04}
    if role == "suppressed":
        return {"latency_s": 0.03, "duration_s": 0.22, "share_lost": float(rng.uniform(0.5, 0.9))}
    if role == "drift":
        return {"present": str(rng.choice(["first half", "second half"]))}
    return {"n_spikes": int(rng.integers(4, 9))} if role == "rare" else {}


def draw_metrics(rng: np.random.Generator, unit: Unit) -> dict[str, float]:
    """Draw the metrics that are not computed from spikes or waveform; some are NaN, as in real files."""
    good = unit.quality == "good"
    metrics = {
        "amplitude_cutoff": 0.5
        if rng.random() < 0.12
        else _clipped(rng.exponential(0.02 if good else 0.1), 0, 0.5),
        "cumulative_drift": float(rng.gamma(4, 60)),
        "d_prime": float(rng.normal(5.5 if good else 2.5, 1.2)),
        "isolation_distance": float(rng.gamma(4, 20)),
        "l_ratio": float(rng.exponential(0.01 if good else 0.2)),
        "max_drift": float(rng.gamma(6, 5)),
        "nn_hit_rate": float(rng.beta(12, 2) if good else rng.beta(3, 3)),
        "nn_miss_rate": float(rng.beta(1, 60)),
        "silhouette_score": float(rng.normal(0.12, 0.06)),
        "snr": float(np.exp(rng.normal(np.log(2.6 if good else 1.1), 0.3))),
        "spread": float(10 * rng.integers(3, 12)),
        "velocity_above": float(rng.normal(0, 0.7)),
        "velocity_below": float(rng.normal(0, 0.7)),
    }
    for name in NAN_METRICS:
        if rng.random() < 0.06:
            metrics[name] = float("nan")
    return metrics


def spike_metrics(spike_times_s: np.ndarray, end_s: float) -> dict[str, float]:
    """Compute firing rate, presence ratio and ISI violations as the release's pipeline does.

    Parameters
    ----------
    spike_times_s : (n_spikes,) s, ascending; may be empty (then 0, 0 and 0).
    end_s : length of the recording, s.

    Notes
    -----
    As in ``ecephys_spike_sorting``: presence_ratio is the number of 99 equal bins with a spike, divided by
    100; isi_violations compares the number of intervals shorter than 1.5 ms with that expected from a
    contaminating neuron.
    """
    n = len(spike_times_s)
    if n == 0:
        return {"firing_rate": 0.0, "presence_ratio": 0.0, "isi_violations": 0.0}
    rate_hz = n / end_s
    occupied = np.unique(np.minimum((spike_times_s / end_s * 99).astype(np.int64), 98))
    n_short = int((np.diff(spike_times_s) < 0.0015).sum())
    violation_s = 2 * n * (0.0015 - 0.000166)
    return {
        "firing_rate": rate_hz,
        "presence_ratio": len(occupied) / 100,
        "isi_violations": n_short / violation_s / rate_hz,
    }
