"""Mean waveforms: 384 channels x 82 samples (30 kHz), microvolts; the peak channel's trough is sample 20."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vbn.synthetic.settings import CHANNELS_PER_PROBE
from vbn.synthetic.units import Unit

N_SAMPLES = 82
TROUGH_SAMPLE = 20
SAMPLES_PER_MS = 30.0
_NOISE_UV = 0.3


@dataclass(frozen=True)
class Waveform:
    """Waveform of one unit on its peak channel, (82,) microvolts, and its spatial decay constant (um)."""

    peak: np.ndarray
    spread_um: float


def draw_waveform(rng: np.random.Generator, unit: Unit) -> Waveform:
    """Draw a narrow (fast-spiking) or broad (regular-spiking) waveform; noise units get a symmetric one."""
    to_peak = int(rng.integers(6, 11) if unit.is_fast else rng.integers(14, 25))
    ratio = float(rng.uniform(0.35, 0.75) if unit.is_fast else rng.uniform(0.2, 0.5))
    trough_width, peak_width = (1.8, 3.0) if unit.is_fast else (2.6, 6.5)
    if unit.quality == "noise":
        ratio, trough_width, peak_width = 0.95, 4.0, 4.0
    sample = np.arange(N_SAMPLES) - TROUGH_SAMPLE
    trough = np.exp(-0.5 * (sample / trough_width) ** 2)
    after = np.exp(-0.5 * ((sample - to_peak) / np.where(sample < to_peak, to_peak / 2.5, peak_width)) ** 2)
    shape = -trough + ratio * after
    shape[:TROUGH_SAMPLE] = np.minimum(shape[:TROUGH_SAMPLE], 0)
    return Waveform(unit.amplitude_uv * shape / np.ptp(shape), float(rng.uniform(35, 70)))


def waveform_metrics(waveform: Waveform) -> dict[str, float]:
    """Compute metrics of the peak channel: amplitude (uV), duration (ms), peak-trough ratio, slopes (V/s)."""
    trace = waveform.peak
    trough = int(trace.argmin())
    peak = trough + int(trace[trough:].argmax())
    slope = np.diff(trace) * SAMPLES_PER_MS / 1000
    recovery = slope[peak : peak + 10]
    return {
        "amplitude": float(np.ptp(trace)),
        "waveform_duration": (peak - trough) / SAMPLES_PER_MS,
        "PT_ratio": float(trace[peak] / -trace[trough]),
        "repolarization_slope": float(slope[trough:peak].max()) if peak > trough else float("nan"),
        "recovery_slope": float(recovery.min()) if len(recovery) else float("nan"),
    }


def spread_over_probe(
    rng: np.random.Generator, waveform: Waveform, channel: int, x_um: np.ndarray, y_um: np.ndarray
) -> np.ndarray:
    """Return the waveform on all channels, (384, 82) uV, decaying with distance, with a little noise.

    Parameters
    ----------
    channel : the peak channel's number.
    x_um, y_um : (384,) horizontal and vertical position of the channels.
    """
    distance = np.hypot(x_um - x_um[channel], y_um - y_um[channel])
    weight = np.exp(-distance / waveform.spread_um)
    noise = rng.normal(0, _NOISE_UV, size=(CHANNELS_PER_PROBE, N_SAMPLES))
    noise[channel] = 0
    return np.asarray(weight[:, None] * waveform.peak + noise)
