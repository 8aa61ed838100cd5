"""Where and how the answer to the laser is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

Window = tuple[float, float]


@dataclass(frozen=True)
class EvidenceParameters:
    """Windows and numbers of the measurements; JSON-able, and valid once made.

    Windows are half open, seconds relative to a pulse's onset. Fields named ``swdb_*`` and ``tutorial_*``
    are those of other people's methods, measured as they measured: nothing is censored in them.

    Parameters
    ----------
    censor_s : light makes artefacts as far as this from both edges of a pulse; the evoked window is what is
        left of it between them, +1.5 to +8.5 ms of a 10 ms pulse (Bennett 2025).
    baseline_window_s : before each pulse: ours, of the rate and the fold.
    paired_baseline_stop_s : the paired test compares the evoked window with one of the same length that ends
        here (but no longer than ``baseline_window_s``, of which a raised cosine's is 1 s).
    gap_margin_s : the gaps between pulses begin so much after one and end so much before the next (Bennett
        2025); then half of the shortest gap is taken from the beginning of each.
    n_gap_bins : bins drawn with replacement from the gaps (Bennett 2025).
    gap_bin_s : length of these bins for the z-score (Bennett 2025).
    cosine_waveform : name of the pulses that have a raised-cosine modulation.
    cosine_bin_s, cosine_alpha : bins of the raised cosine, and the level at which each is tested against the
        bins from the gaps (Bennett 2025).
    cosine_observations : a test rests on so many counts at least: with fewer pulses, neighbouring bins are
        tested together. 50 is the number of pulses in the release, in which every bin is tested alone.
    salt_baseline_s : stimulus-free time before each pulse, cut into windows as long as the evoked one.
    salt_bin_s : resolution of first-spike latencies (Kvitsiani 2013).
    salt_recovery_s : time after a pulse that does not count as stimulus-free.
    swdb_baseline_window_s, swdb_evoked_window_s : of the Summer Workshop 2022 and of AllenSDK's tutorial on
        optotagging in Visual Coding.
    tutorial_baseline_window_s, tutorial_evoked_window_s : of AllenSDK's VBN quick-start notebook.
    epoch_margin_s : the laser's epoch begins so much before the first pulse and ends so much after the last.
    """

    censor_s: float = 0.0015
    baseline_window_s: Window = (-0.200, -0.002)
    paired_baseline_stop_s: float = -0.002
    gap_margin_s: float = 0.005
    n_gap_bins: int = 10_000
    gap_bin_s: float = 0.007
    cosine_waveform: str = "raised_cosine"
    cosine_bin_s: float = 0.010
    cosine_alpha: float = 0.01
    cosine_observations: int = 50
    salt_baseline_s: float = 0.5
    salt_bin_s: float = 0.001
    salt_recovery_s: float = 0.1
    swdb_baseline_window_s: Window = (-0.010, -0.002)
    swdb_evoked_window_s: Window = (0.001, 0.009)
    tutorial_baseline_window_s: Window = (-0.010, -0.001)
    tutorial_evoked_window_s: Window = (0.001, 0.008)
    epoch_margin_s: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith("_window_s"):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))  # JSON gives lists
        problems = [*_window_problems(self), *_number_problems(self)]
        if problems:
            raise ValueError("These parameters cannot be used: " + "; ".join(problems) + ".")

    def evoked_window_s(self, duration_s: float) -> Window:
        """Return where an answer is looked for in a pulse of this length; empty in one of artefacts only."""
        return (self.censor_s, max(self.censor_s, duration_s - self.censor_s))

    def paired_window_s(self, duration_s: float) -> Window:
        """Return the window before a pulse that the paired test compares the evoked one with."""
        start, stop = self.evoked_window_s(duration_s)
        longest = self.baseline_window_s[1] - self.baseline_window_s[0]
        return (self.paired_baseline_stop_s - min(stop - start, longest), self.paired_baseline_stop_s)


def _window_problems(parameters: EvidenceParameters) -> list[str]:
    problems = []
    for field in fields(parameters):
        if not field.name.endswith("_window_s"):
            continue
        window = getattr(parameters, field.name)
        if len(window) != 2 or not all(_is_finite(edge) for edge in window) or not window[0] < window[1]:
            problems.append(f"{field.name} must be (start, stop) with start < stop, not {window!r}")
        elif "baseline" in field.name and window[1] > 0:
            problems.append(f"{field.name} must end before the pulse, not at {window[1]} s")
    return problems


_POSITIVE = ("gap_bin_s", "cosine_bin_s", "salt_baseline_s", "salt_bin_s")
_NOT_NEGATIVE = ("censor_s", "gap_margin_s", "salt_recovery_s", "epoch_margin_s")


def _number_problems(parameters: EvidenceParameters) -> list[str]:
    problems = []
    for name in (*_POSITIVE, *_NOT_NEGATIVE):
        value = getattr(parameters, name)
        if not _is_finite(value) or value < 0 or (value == 0 and name in _POSITIVE):
            kind = "positive" if name in _POSITIVE else "0 or positive"
            problems.append(f"{name} must be a {kind} number of seconds, not {value!r}")
    for name in ("n_gap_bins", "cosine_observations"):
        value = getattr(parameters, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(f"{name} must be a whole number of 1 or more, not {value!r}")
    if not _is_finite(parameters.cosine_alpha) or not 0 < parameters.cosine_alpha < 1:
        problems.append(f"cosine_alpha must lie between 0 and 1, not {parameters.cosine_alpha!r}")
    if not _is_finite(parameters.paired_baseline_stop_s) or parameters.paired_baseline_stop_s > 0:
        problems.append(
            f"paired_baseline_stop_s must not be positive, not {parameters.paired_baseline_stop_s!r}"
        )
    if not isinstance(parameters.cosine_waveform, str) or not parameters.cosine_waveform:
        problems.append(f"cosine_waveform must be a name, not {parameters.cosine_waveform!r}")
    return problems


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
