"""Parameters of the laser response measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

Window = tuple[float, float]


@dataclass(frozen=True)
class EvidenceParameters:
    """Windows and other settings of the measurements; checked on construction, serialisable as JSON.

    Windows are half open, in seconds relative to pulse onset. The ``swdb_*`` and ``tutorial_*`` windows
    reproduce published methods, which censor nothing.

    Parameters
    ----------
    censor_s : reach of the light artefact around both edges of a pulse; the evoked window is the rest of the
        pulse, +1.5 to +8.5 ms of a 10 ms pulse (Bennett 2025).
    baseline_window_s : baseline of rate and fold, before each pulse (our choice).
    paired_baseline_stop_s : the paired test compares the evoked window, of a raised cosine its central half
        where the light is strongest, with one of the same length that ends here.
    gap_margin_s : gaps begin this long after a pulse and end this long before the next (Bennett 2025); then
        half the duration of the shortest gap is removed from the start of each.
    n_gap_bins : bins drawn with replacement from the gaps (Bennett 2025).
    gap_bin_s : length of these bins for the z-score (Bennett 2025).
    cosine_waveform : name of the raised-cosine waveform.
    cosine_bin_s, cosine_alpha : bin width for raised cosines, and significance level of each bin's test
        against the gap bins (Bennett 2025).
    cosine_observations : minimum number of counts per test; with fewer pulses, neighbouring bins are pooled.
        The release has 50 pulses, so there every bin is tested by itself.
    salt_baseline_s : light-free time before each pulse, cut into windows as long as the evoked one.
    salt_bin_s : resolution of first-spike latencies (Kvitsiani 2013).
    salt_recovery_s : time after a pulse that does not count as light-free, for the paired test neither.
    swdb_baseline_window_s, swdb_evoked_window_s : windows of the Summer Workshop 2022 and of AllenSDK's
        optotagging tutorial for Visual Coding.
    tutorial_baseline_window_s, tutorial_evoked_window_s : windows of AllenSDK's VBN quick-start notebook.
    epoch_margin_s : the laser epoch extends this far before the first and after the last pulse.
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
        """Return the evoked window of a pulse of this length; empty if artefacts cover the whole pulse."""
        return (self.censor_s, max(self.censor_s, duration_s - self.censor_s))

    def paired_windows_s(self, duration_s: float, *, is_cosine: bool) -> tuple[Window, Window]:
        """Return the two equally long windows that the paired test compares: before a pulse, and within it.

        Those of a raised cosine of 1 s are -0.5 to -0.002 and 0.25 to 0.748 s: as pulses are 1.5 s apart or
        more, half a second of dark remains after the cosine before.
        """
        before = self.paired_baseline_stop_s
        tested = self.evoked_window_s(duration_s)
        if is_cosine:
            tested = (duration_s / 4, max(0.75 * duration_s + before, duration_s / 4))
        return (before - (tested[1] - tested[0]), before), tested


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
