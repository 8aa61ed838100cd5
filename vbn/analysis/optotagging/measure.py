"""Spike counts and times around laser pulses, in one pass over each unit's train.

What is the same for all units of a session (windows, bins drawn from the gaps) is in an `EvidencePlan`; the
result, `Measured`, has numbers per unit and pulse, from which `vbn.analysis.optotagging.evidence` computes
rates and tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vbn.analysis.optotagging.baseline import (
    DrawnBins,
    Windows,
    draw_bins,
    gap_windows,
    mean_and_deviation,
    preceding_windows,
)
from vbn.analysis.optotagging.conditions import Pulses
from vbn.analysis.optotagging.cosine import binned_counts, responsive_fraction
from vbn.analysis.optotagging.parameters import EvidenceParameters, Window
from vbn.analysis.optotagging.salt import latency_histogram, salt
from vbn.analysis.spikes.edges import Edges
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.statistics import excess_p_value


@dataclass(frozen=True)
class SaltWindows:
    """Light-free windows of one condition; ``before`` (n_windows, n_pulses): indices of those before each.

    ``test`` are the windows of the pulses, as long.
    """

    windows: Windows
    before: Integers
    n_bins: int
    test: Windows


@dataclass(frozen=True)
class EvidencePlan:
    """What to look up in every train.

    ``edges`` are (2 n_windows, n_pulses), begin and end of each window, in the order of ``names``;
    ``lengths_s`` is (n_conditions, n_windows). Spikes before ``from_s`` are not needed; after ``until_s``,
    only the next spike after a pulse is.
    """

    parameters: EvidenceParameters
    pulses: Pulses
    names: tuple[str, ...]
    edges: Edges
    lengths_s: Floats
    epoch_s: Window
    from_s: float
    until_s: float
    gap_bins: DrawnBins
    cosine_bins: DrawnBins
    is_cosine: Booleans
    salt_windows: dict[int, SaltWindows]
    cosines: dict[int, tuple[Floats, int]]  # onsets of the pulses of a condition, and number of its bins


def make_plan(pulses: Pulses, parameters: EvidenceParameters, seed: int) -> EvidencePlan:
    """Lay out a session's windows, and draw the baseline bins from its gaps.

    Parameters
    ----------
    pulses : at least one pulse, of at least one condition.
    parameters : windows and other settings.
    seed : seed of the draws.
    """
    waveforms = pulses.conditions["waveform"].to_numpy(dtype=object)
    is_cosine = np.asarray(waveforms == parameters.cosine_waveform, dtype=np.bool_)
    durations = pulses.conditions["duration_s"].tolist()
    windows = [
        condition_windows(parameters, duration, is_cosine=wave)
        for duration, wave in zip(durations, is_cosine.tolist(), strict=True)
    ]
    relative = np.array([list(of.values()) for of in windows])  # (n_conditions, n_windows, 2)
    # Pulses without a condition get the first condition's windows; their counts are never used.
    edges = relative[np.maximum(pulses.condition, 0)].transpose(1, 2, 0) + pulses.start_s
    margin = parameters.epoch_margin_s
    epoch = (float(pulses.start_s[0]) - margin, float(pulses.stop_s.max()) + margin)
    before_pulses = _salt_windows(pulses, parameters, is_cosine)
    starts = [found.windows.start_s[0] for found in before_pulses.values() if found.windows.start_s.size]
    gap_bins, cosine_bins = _gap_bins(pulses, parameters, seed)
    return EvidencePlan(
        parameters=parameters,
        pulses=pulses,
        names=tuple(windows[0]),
        edges=Edges(edges.reshape(-1, edges.shape[-1])),
        lengths_s=relative[..., 1] - relative[..., 0],
        epoch_s=epoch,
        from_s=float(min(epoch[0], edges.min(), *starts)),
        until_s=float(max(epoch[1], edges.max())),
        gap_bins=gap_bins,
        cosine_bins=cosine_bins,
        is_cosine=is_cosine,
        salt_windows=before_pulses,
        cosines=_cosines(pulses, parameters, is_cosine),
    )


def condition_windows(
    parameters: EvidenceParameters, duration_s: float, *, is_cosine: bool = False
) -> dict[str, Window]:
    """Return all windows of a pulse of this length by name, in seconds relative to its onset."""
    censor, middle = parameters.censor_s, duration_s / 2
    paired, tested = parameters.paired_windows_s(duration_s, is_cosine=is_cosine)
    return {
        "evoked": parameters.evoked_window_s(duration_s),
        "baseline": parameters.baseline_window_s,
        "paired": paired,
        "tested": tested,
        "onset_artifact": (-censor, min(censor, middle)),
        "offset_artifact": (max(duration_s - censor, middle), duration_s + censor),
        "swdb_baseline": parameters.swdb_baseline_window_s,
        "swdb_evoked": parameters.swdb_evoked_window_s,
        "tutorial_baseline": parameters.tutorial_baseline_window_s,
        "tutorial_evoked": parameters.tutorial_evoked_window_s,
        # Where Bennett's code begins to look for the first spike; it looks without limit.
        "twice_censored": (2 * censor, 2 * censor),
    }


def _gap_bins(pulses: Pulses, parameters: EvidenceParameters, seed: int) -> tuple[DrawnBins, DrawnBins]:
    # Separate streams, so that neither draw depends on the other's bin length.
    of_rates, of_cosine = np.random.default_rng(seed).spawn(2)
    start, stop, margin = pulses.start_s, pulses.stop_s, parameters.gap_margin_s
    rates = gap_windows(start, stop, parameters.gap_bin_s, margin)
    cosine = gap_windows(start, stop, parameters.cosine_bin_s, margin)
    n_bins = parameters.n_gap_bins
    return draw_bins(of_rates, rates, n_bins), draw_bins(of_cosine, cosine, n_bins)


def _salt_windows(
    pulses: Pulses, parameters: EvidenceParameters, is_cosine: Booleans
) -> dict[int, SaltWindows]:
    """Return the light-free windows before the pulses of each condition with a sharp onset."""
    found: dict[int, tuple[Windows, Integers, int, Windows]] = {}
    for row, duration in enumerate(pulses.conditions["duration_s"].tolist()):
        start, stop = parameters.evoked_window_s(duration)
        n_bins = round((stop - start) / parameters.salt_bin_s)
        if is_cosine[row] or n_bins < 1:
            continue
        windows, before = preceding_windows(
            pulses.start_s,
            pulses.stop_s,
            stop - start,
            int(parameters.salt_baseline_s / (stop - start) + 1e-9),
            margin_s=-parameters.paired_baseline_stop_s,
            recovery_s=parameters.salt_recovery_s,
        )
        test = Windows(pulses.onsets(row) + start, windows.length_s)
        found[row] = windows, before[:, pulses.condition == row], n_bins, test
    return _only_used(found)


def _only_used(found: dict[int, tuple[Windows, Integers, int, Windows]]) -> dict[int, SaltWindows]:
    """Leave out the windows, most of a long gap's, that are before no pulse; equal ones are one object."""
    used: dict[tuple[float, int], list[Integers]] = {}
    for windows, before, n_bins, _ in found.values():
        used.setdefault((windows.length_s, n_bins), []).append(before.ravel())
    kept: dict[tuple[float, int], tuple[Integers, Windows]] = {}
    for windows, _, n_bins, _ in found.values():
        key = windows.length_s, n_bins
        if key not in kept:
            numbers = np.unique(np.concatenate(used[key]))
            kept[key] = numbers, Windows(windows.start_s[numbers], windows.length_s)
    plans = {}
    for row, (windows, before, n_bins, test) in found.items():
        numbers, few = kept[windows.length_s, n_bins]
        plans[row] = SaltWindows(few, np.searchsorted(numbers, before), n_bins, test)
    return plans


def _cosines(
    pulses: Pulses, parameters: EvidenceParameters, is_cosine: Booleans
) -> dict[int, tuple[Floats, int]]:
    """Return the onsets of the pulses of each raised cosine, and the number of bins in one."""
    durations = pulses.conditions["duration_s"].tolist()
    found = {}
    for row in np.flatnonzero(is_cosine).tolist():
        start, stop = parameters.evoked_window_s(durations[row])
        found[row] = pulses.onsets(row), int((stop - start) / parameters.cosine_bin_s + 1e-9)
    return found


@dataclass(frozen=True)
class Measured:
    """Measurements of each unit's train.

    Attributes
    ----------
    n_epoch_spikes : (n_units,) spikes in the laser epoch.
    counts : (n_units, n_windows, n_pulses) spikes in each window of each pulse.
    first_s : (n_units, n_pulses) time of the first spike in the evoked window, s after onset; NaN if none.
    next_s : (n_units, n_pulses) time of the next spike after the onset artefact, however late; NaN if none.
    next_code_s : (n_units, n_pulses) the same as computed by Bennett's code.
    gap : (n_units, 2) mean and standard deviation of the counts in the gap bins; NaN without gaps.
    salt : (n_units, n_conditions, 2) p-value and information; NaN where not tested.
    excess : (n_units, n_conditions) p-value of the evoked spikes against SALT's windows, else NaN.
    cosine : (n_units, n_conditions, 2) responsive fraction with bins pooled where pulses are few, and with
        each bin tested by itself; NaN except for raised cosines.
    """

    n_epoch_spikes: Integers
    counts: Integers
    first_s: Floats
    next_s: Floats
    next_code_s: Floats
    gap: Floats
    salt: Floats
    excess: Floats
    cosine: Floats


def measure(plan: EvidencePlan, trains: Iterable[Floats]) -> Measured:
    """Measure all trains."""
    rows = [_measure_unit(plan, train) for train in trains]
    n_pulses, n_conditions = plan.pulses.start_s.size, len(plan.pulses.conditions)
    of_conditions = (n_conditions, 2), (n_conditions,), (n_conditions, 2)
    shapes = ((), (len(plan.names), n_pulses), *[(n_pulses,)] * 3, (2,), *of_conditions)
    columns = zip(*rows, strict=True) if rows else [()] * len(shapes)
    return Measured(
        *(np.array(column).reshape(len(rows), *shape) for column, shape in zip(columns, shapes, strict=True))
    )


def _measure_unit(plan: EvidencePlan, train: Floats) -> tuple[object, ...]:
    first, last = np.searchsorted(train, [plan.from_s, plan.until_s])
    onward, near = train[first:], train[first:last]
    index = np.stack(plan.edges.spikes_before(onward)).reshape(len(plan.names), 2, -1)
    counts = (index[:, 1] - index[:, 0]).astype(np.int32)
    onset, evoked = plan.pulses.start_s, plan.names.index("evoked")
    next_s = _spikes_at(onward, index[evoked, 0]) - onset
    code_s = _spikes_at(onward, index[plan.names.index("twice_censored"), 0])
    begin, end = np.searchsorted(near, plan.epoch_s)
    return (
        end - begin,
        counts,
        np.where(counts[evoked] > 0, next_s, np.nan),
        next_s,
        code_s - (onset + plan.parameters.censor_s),
        mean_and_deviation(plan.gap_bins.histogram(near)),
        *_light_free_tests(plan, near),
        _cosine_of_conditions(plan, near),
    )


def _spikes_at(train: Floats, index: Integers) -> Floats:
    """Return the times of the spikes with these indices; NaN past the last spike."""
    if train.size == 0:
        return np.full(index.shape, np.nan)
    return np.where(index < train.size, train[np.minimum(index, train.size - 1)], np.nan)


def _light_free_tests(plan: EvidencePlan, train: Floats) -> tuple[Floats, Floats]:
    """Return SALT's (n_conditions, 2) p and information, and (n_conditions,) p of the number of spikes."""
    found, excess = np.full((len(plan.is_cosine), 2), np.nan), np.full(len(plan.is_cosine), np.nan)
    of_baseline: dict[tuple[float, int], tuple[Integers, Integers]] = {}
    for row, light_free in plan.salt_windows.items():
        # Conditions with equally long pulses share their windows: locate the spikes once.
        key = (light_free.windows.length_s, light_free.n_bins)
        if key not in of_baseline:
            of_baseline[key] = _spikes_in(light_free.windows, light_free.n_bins, train)
        first_bins, counts = (each[light_free.before] for each in of_baseline[key])
        test, evoked = _spikes_in(light_free.test, light_free.n_bins, train)
        baseline = latency_histogram(first_bins, light_free.n_bins)
        found[row] = salt(baseline, latency_histogram(test[np.newaxis], light_free.n_bins)[0])
        excess[row] = excess_p_value(evoked, counts)
    return found, excess


def _spikes_in(windows: Windows, n_bins: int, train: Floats) -> tuple[Integers, Integers]:
    """Return (n_windows,) the bin of each window's first spike, 1 to ``n_bins`` or 0, and its spikes."""
    first_bins = np.zeros(windows.start_s.size, dtype=np.int64)
    counts = np.zeros_like(first_bins)
    index, first_since, n_spikes = windows.occupied(train)
    first_bins[index] = (
        np.minimum((first_since * (n_bins / windows.length_s)).astype(np.int64), n_bins - 1) + 1
    )
    counts[index] = n_spikes
    return first_bins, counts


def _cosine_of_conditions(plan: EvidencePlan, train: Floats) -> Floats:
    found = np.full((len(plan.is_cosine), 2), np.nan)
    if not plan.is_cosine.any():
        return found
    parameters = plan.parameters
    baseline = plan.cosine_bins.histogram(train)
    for row, (onsets, n_bins) in plan.cosines.items():
        counts = binned_counts(train, onsets, parameters.cosine_bin_s, n_bins)
        alpha, wanted = parameters.cosine_alpha, parameters.cosine_observations
        alone = responsive_fraction(counts, baseline, alpha, 1)
        few = len(counts) < wanted
        found[row] = responsive_fraction(counts, baseline, alpha, wanted) if few else alone, alone
    return found
