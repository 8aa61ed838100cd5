"""Which units answer the laser, and so belong to the labelled cell class.

In Sst and Vip mice, cells of that class carry channelrhodopsin and fire a few milliseconds after a pulse of
blue light begins. The light also makes an *artefact* at both edges of a pulse, in every mouse, which the
sorter takes for spikes: nothing within ``censor_s`` of an edge is looked at (Bennett 2025, whose evoked
window this is). Laser levels are control voltages that differ from session to session, so the evidence is
that of the session's highest level.

Wild types get the same pulses; whatever answers in them is the rate of false positives, and their units
are ``control``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from vbn.analysis.spikes import Floats, Integers, checked_events, unit_trains

Window = tuple[float, float]
TAGGED, UNTAGGED, CONTROL = "tagged", "untagged", "control"
EVIDENCE_COLUMNS = (
    "baseline_rate_hz",
    "evoked_rate_hz",
    "fold",
    "p_value",
    "first_spike_latency_s",
    "first_spike_jitter_s",
    "reliability",
    "n_pulses",
    "n_artifact_spikes",
)


@dataclass(frozen=True)
class OptotagParameters:
    """How the answer to the laser is measured, and what makes a unit tagged.

    Windows are half open, in seconds relative to a pulse's onset. A unit must meet all criteria.

    Parameters
    ----------
    waveform : name of the stimulus whose pulses are used.
    pulse_duration_s : its length.
    censor_s : the artefact reaches this far from each edge.
    evoked_window_s : where the answer is looked for; outside the artefact (Bennett 2025).
    baseline_window_s : what it is compared with.
    min_evoked_rate_hz : the evoked rate must exceed this (SWDB 2022: 50).
    min_fold : evoked rate / (baseline rate + 1) must exceed this.
    max_p_value : of the one-sided paired test.
    min_reliability : least share of pulses with a spike in the evoked window.
    max_latency_s : the median latency of the first spike must be below this (Bennett 2025: 0.008).
    max_jitter_s : so must its median absolute deviation (Bennett 2025: 0.002).

    Notes
    -----
    SWDB 2022 takes 8 ms before each pulse as the baseline, and a fold of 5. In a few dozen pulses
    that is a fraction of a second, in which a unit of 8 Hz has two or three spikes or none; and a unit of
    40 Hz that answers every pulse once reaches only 4.5. So the baseline is 200 ms here (before the pulse
    comes at least half a second without light), the fold 3, and a unit must also answer reliably.
    """

    waveform: str = "pulse"
    pulse_duration_s: float = 0.010
    censor_s: float = 0.0015
    evoked_window_s: Window = (0.0015, 0.0085)
    baseline_window_s: Window = (-0.200, -0.002)
    min_evoked_rate_hz: float = 50.0
    min_fold: float = 3.0
    max_p_value: float = 0.05
    min_reliability: float = 0.5
    max_latency_s: float = 0.008
    max_jitter_s: float = 0.002

    def __post_init__(self) -> None:
        for name in ("evoked_window_s", "baseline_window_s"):
            window = tuple(getattr(self, name))  # JSON gives a list back
            object.__setattr__(self, name, window)
            if len(window) != 2 or not window[0] < window[1]:
                raise ValueError(f"{name} must be (start, stop) with start < stop, got {window}.")
        if self.pulse_duration_s <= 0 or self.censor_s < 0:
            raise ValueError(f"pulse_duration_s must be positive and censor_s not negative, got {self}.")
        self._check_windows_are_clean()

    def _check_windows_are_clean(self) -> None:
        """Both windows must keep clear of the artefact at the pulse's edges."""
        tolerance = 1e-9
        start, stop = self.evoked_window_s
        clean = (self.censor_s - tolerance, self.pulse_duration_s - self.censor_s + tolerance)
        if start < clean[0] or stop > clean[1]:
            raise ValueError(
                f"evoked_window_s must lie between the pulse's edges and {self.censor_s} s away from both, "
                f"got {self.evoked_window_s} for a pulse of {self.pulse_duration_s} s."
            )
        if self.baseline_window_s[1] > -self.censor_s + tolerance:
            raise ValueError(
                f"baseline_window_s must end {self.censor_s} s before the pulse, "
                f"got {self.baseline_window_s}."
            )


DEFAULT = OptotagParameters()


def highest_level_onsets(pulses: pd.DataFrame, waveform: str = DEFAULT.waveform) -> Floats:
    """Onsets of the pulses of one waveform at the session's highest level.

    Parameters
    ----------
    pulses : one row per pulse: start_time (s), level (control voltage), stimulus_name.
    waveform : the stimulus_name to take.

    Returns
    -------
    (n_pulses,) seconds, ascending; empty when the session has none of these.
    """
    level = pulses["level"].to_numpy(np.float64)
    chosen = (pulses["stimulus_name"] == waveform).to_numpy(np.bool_) & np.isfinite(level)
    if not chosen.any():
        return np.empty(0)
    at_highest = chosen & np.isclose(level, level[chosen].max(), rtol=1e-9, atol=0)
    return np.sort(pulses["start_time"].to_numpy(np.float64)[at_highest])


def laser_evidence(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    pulse_onsets: ArrayLike,
    parameters: OptotagParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure how each unit answers laser pulses.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    pulse_onsets : (n_pulses,) seconds, in any order, of pulses of one level.
    parameters : the windows.

    Returns
    -------
    One row per unit, in their order:

    * baseline_rate_hz, evoked_rate_hz: mean rates in the two windows;
    * fold: evoked / (baseline + 1) (SWDB 2022);
    * p_value: one-sided paired Wilcoxon signed-rank test over pulses, evoked rate against baseline rate,
      normal approximation; 1 when the two never differ;
    * first_spike_latency_s, first_spike_jitter_s: median, and median absolute deviation from it, of the
      first spike in the evoked window, over the pulses that have one; NaN when none has;
    * reliability: share of pulses with a spike in the evoked window;
    * n_pulses;
    * n_artifact_spikes: spikes within ``censor_s`` of a pulse's onset or offset.

    Without pulses the counts are 0 and everything else NaN.
    """
    onsets = np.sort(checked_events(pulse_onsets, "pulse_onsets"))
    rows = [
        _unit_evidence(train, onsets, parameters) for train in unit_trains(spike_times, offsets, n_spikes)
    ]
    table = pd.DataFrame(rows, columns=list(EVIDENCE_COLUMNS), dtype=np.float64)
    return table.astype({"n_pulses": np.int64, "n_artifact_spikes": np.int64})


def _unit_evidence(train: Floats, onsets: Floats, parameters: OptotagParameters) -> dict[str, float]:
    if onsets.size == 0:
        return {"n_pulses": 0, "n_artifact_spikes": 0}
    evoked = _count(train, onsets, parameters.evoked_window_s) / _length(parameters.evoked_window_s)
    baseline = _count(train, onsets, parameters.baseline_window_s) / _length(parameters.baseline_window_s)
    latency, jitter = _first_spike(train, onsets, parameters.evoked_window_s)
    return {
        "baseline_rate_hz": float(baseline.mean()),
        "evoked_rate_hz": float(evoked.mean()),
        "fold": float(evoked.mean() / (baseline.mean() + 1)),
        "p_value": signed_rank_p_value(evoked - baseline),
        "first_spike_latency_s": latency,
        "first_spike_jitter_s": jitter,
        "reliability": float(np.mean(evoked > 0)),
        "n_pulses": onsets.size,
        "n_artifact_spikes": _count_artifacts(train, onsets, parameters),
    }


def _length(window: Window) -> float:
    return window[1] - window[0]


def _count(train: Floats, onsets: Floats, window: Window) -> Integers:
    """(n_pulses,) spikes in the window of each pulse."""
    return np.searchsorted(train, onsets + window[1]) - np.searchsorted(train, onsets + window[0])


def _count_artifacts(train: Floats, onsets: Floats, parameters: OptotagParameters) -> int:
    reach, offset = parameters.censor_s, parameters.pulse_duration_s
    at_onset = _count(train, onsets, (-reach, reach))
    at_offset = _count(train, onsets, (offset - reach, offset + reach))
    return int(at_onset.sum() + at_offset.sum())


def _first_spike(train: Floats, onsets: Floats, window: Window) -> tuple[float, float]:
    """Median latency of the first spike in the window, and its median absolute deviation."""
    answered = _count(train, onsets, window) > 0
    if not answered.any():
        return np.nan, np.nan
    first = np.searchsorted(train, onsets[answered] + window[0])
    latency = train[first] - onsets[answered]
    median = float(np.median(latency))
    return median, float(np.median(np.abs(latency - median)))


def signed_rank_p_value(differences: Floats) -> float:
    """Wilcoxon signed-rank test of paired differences against "not greater than 0".

    Parameters
    ----------
    differences : (n_pairs,).

    Returns
    -------
    p-value of the normal approximation without continuity correction, zero differences dropped (as
    ``scipy.stats.wilcoxon(..., alternative="greater", method="asymptotic")``); 1 when all are zero.

    Notes
    -----
    With ranks r_i of the absolute differences, W = sum of those of positive differences has mean
    sum(r_i) / 2 and variance sum(r_i^2) / 4, with ties as without.
    """
    # Equal pairs of counts must stay ties after the division by the windows' lengths.
    nonzero = np.round(differences[differences != 0], 9)
    if nonzero.size == 0:
        return 1.0
    ranks = rankdata(np.abs(nonzero))
    excess = ranks[nonzero > 0].sum() - ranks.sum() / 2
    return float(ndtr(-excess / np.sqrt(np.sum(ranks**2) / 4)))


def is_cre_positive(genotype: str | None) -> bool:
    """Whether a genotype or a Cre line names a Cre driver: so not for ``wt/wt``, empty or missing text."""
    return isinstance(genotype, str) and "cre" in genotype.lower()


def label_units(
    evidence: pd.DataFrame, genotype: str | None, parameters: OptotagParameters = DEFAULT
) -> NDArray[np.str_]:
    """Tell tagged from untagged units.

    Parameters
    ----------
    evidence : from `laser_evidence`.
    genotype : the mouse's genotype or Cre line, ``Sst-IRES-Cre/wt;...``; None or ``wt/wt`` for a wild type.
    parameters : the criteria.

    Returns
    -------
    (n_units,) ``tagged`` where all criteria are met, ``untagged`` elsewhere, also when there was no pulse
    (``n_pulses`` is 0); ``control`` throughout in a mouse without Cre, in which nothing can answer.
    """
    if not is_cre_positive(genotype):
        return np.full(len(evidence), CONTROL)
    met = (
        (evidence["evoked_rate_hz"] > parameters.min_evoked_rate_hz)
        & (evidence["fold"] > parameters.min_fold)
        & (evidence["p_value"] <= parameters.max_p_value)
        & (evidence["reliability"] >= parameters.min_reliability)
        & (evidence["first_spike_latency_s"] < parameters.max_latency_s)
        & (evidence["first_spike_jitter_s"] < parameters.max_jitter_s)
    )
    return np.where(met.to_numpy(np.bool_), TAGGED, UNTAGGED)
