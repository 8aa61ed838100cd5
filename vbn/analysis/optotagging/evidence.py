"""Evidence for laser responses: one row per unit and condition.

Turns the spike counts and times of `vbn.analysis.optotagging.measure` into rates, tests and latencies over
the pulses of a condition, for all units at once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.optotagging.conditions import sorted_pulses
from vbn.analysis.optotagging.measure import EvidencePlan, Measured, make_plan, measure
from vbn.analysis.optotagging.parameters import EvidenceParameters
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, unit_trains
from vbn.analysis.statistics import one_sided_signed_rank_p_values, rate_excess_p_values, row_medians

DEFAULT_EVIDENCE = EvidenceParameters()
MAX_RESPONSE_P = 0.05
_INTEGERS = (
    "unit",
    "level_rank",
    "n_pulses",
    "n_epoch_spikes",
    "n_evoked_spikes",
    "n_baseline_spikes",
    "n_artifact_spikes",
)
_TEXTS = ("waveform", "level_name")
CONDITION_EVIDENCE_COLUMNS = (
    "unit",
    "waveform",
    "level",
    "level_rank",
    "level_name",
    "n_pulses",
    "n_epoch_spikes",
    "n_evoked_spikes",
    "n_baseline_spikes",
    "n_artifact_spikes",
    "p_artifact",
    "baseline_rate_hz",
    "evoked_rate_hz",
    "fold",
    "z",
    "p_wilcoxon",
    "p_salt",
    "salt_information",
    "first_spike_latency_s",
    "first_spike_jitter_s",
    "reliability",
    "cosine_fraction",
    "censored_p_wilcoxon",
    "bennett_baseline_rate_hz",
    "bennett_baseline_sd_hz",
    "bennett_z",
    "bennett_latency_s",
    "bennett_jitter_s",
    "bennett_cosine_fraction",
    "bennett_code_latency_s",
    "bennett_code_jitter_s",
    "swdb_baseline_rate_hz",
    "swdb_evoked_rate_hz",
    "swdb_fold",
    "tutorial_baseline_rate_hz",
    "tutorial_evoked_rate_hz",
    "tutorial_fold",
)
_Columns = dict[str, object]


def laser_evidence_by_condition(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    pulses: pd.DataFrame,
    parameters: EvidenceParameters = DEFAULT_EVIDENCE,
    *,
    seed: int,
) -> pd.DataFrame:
    """Measure how each unit responds to the pulses of each waveform and level.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets, n_spikes : (n_units,) index of each unit's first spike, and their number.
    pulses : all pulses of the session, in any order; see `laser_conditions`.
    parameters : windows and other settings.
    seed : 0 or more; seeds the draw of bins from the gaps. The draw does not depend on the units, so a
        session's units may be measured in parts.

    Returns
    -------
    One row per unit and condition, unit by unit, in the order of `laser_conditions`; no rows without pulses.
    ``unit`` is the unit's index in the input. Rates are in Hz, times in s after pulse onset. The evoked
    window excludes ``censor_s`` at each edge of the pulse.

    * n_epoch_spikes: the unit's spikes from one second before the first pulse to one second after the last;
    * n_evoked_spikes, n_baseline_spikes: spikes in the evoked and in the baseline windows; n_artifact_spikes:
      spikes within ``censor_s`` of the pulse edges; p_artifact: exact test that their rate exceeds that of
      the baseline;
    * baseline_rate_hz, evoked_rate_hz; fold: evoked / (baseline + 1 Hz);
    * z: (evoked rate - mean rate of the gap bins) / their standard deviation; if they hold no spike, the
      deviation that a single spike would give is used; NaN without gaps;
    * p_wilcoxon: one-sided signed-rank test over pulses of the counts in two equally long windows
      (`EvidenceParameters.paired_windows_s`), without pulses whose window before them has light in it or in
      the ``salt_recovery_s`` before; NaN if there is no other pulse;
    * censored_p_wilcoxon: `excess_p_value` of the evoked window against the windows of `salt`, which are as
      long; NaN for raised cosines;
    * p_salt, salt_information: `salt` of the evoked window; NaN for raised cosines, which have no sharp
      onset;
    * first_spike_latency_s, first_spike_jitter_s: median and median absolute deviation of the first spike's
      time in the evoked window, over the pulses that have one; NaN without a response, that is, with a
      censored_p_wilcoxon above 0.05; reliability is the fraction of pulses with a spike there;
    * cosine_fraction: `responsive_fraction` of a raised cosine; NaN for other waveforms;
    * bennett_*: mean and standard deviation over the gap bins; z as published, NaN where the deviation is 0;
      median and median absolute deviation of the time of the next spike after the onset artefact, however
      late; the responsive fraction with every bin tested by itself. ``bennett_code_*``: the same times with
      the censored time added twice and subtracted once, as in the published code;
    * swdb_*, tutorial_*: rates in those methods' uncensored windows; NaN for raised cosines.

    Times of the spikes are NaN also where no pulse has one. Those under a source's name are given of every
    unit, with a response or without.

    Raises
    ------
    ValueError
        If the arrays do not describe units, a pulse has no times, or the seed is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number of 0 or more, not {seed!r}.")
    table = sorted_pulses(pulses)
    trains = unit_trains(spike_times, offsets, n_spikes)
    if table.conditions.empty:
        return _as_table([], 0, table.conditions)
    plan = make_plan(table, parameters, int(seed))
    found = measure(plan, trains)
    columns = [_columns_of_condition(plan, found, row) for row in range(len(table.conditions))]
    return _as_table(columns, len(found.n_epoch_spikes), table.conditions)


def _columns_of_condition(plan: EvidencePlan, found: Measured, row: int) -> _Columns:
    """Return every column of one condition's rows, each (n_units,)."""
    here = plan.pulses.condition == row
    counts = found.counts[:, :, here]
    spikes = dict(zip(plan.names, counts.sum(axis=2, dtype=np.int64).T, strict=True))
    n_pulses = int(here.sum())
    seconds = {name: n_pulses * length for name, length in zip(plan.names, plan.lengths_s[row], strict=True)}
    rate = {name: _ratio(spikes[name], seconds[name]) for name in plan.names}
    n_artifact = spikes["onset_artifact"] + spikes["offset_artifact"]
    edges_s = seconds["onset_artifact"] + seconds["offset_artifact"]
    return {
        "n_pulses": n_pulses,
        "n_epoch_spikes": found.n_epoch_spikes,
        "n_evoked_spikes": spikes["evoked"],
        "n_baseline_spikes": spikes["baseline"],
        "n_artifact_spikes": n_artifact,
        "p_artifact": rate_excess_p_values(n_artifact, spikes["baseline"], edges_s, seconds["baseline"]),
        "baseline_rate_hz": rate["baseline"],
        "evoked_rate_hz": rate["evoked"],
        "fold": _fold(rate["evoked"], rate["baseline"]),
        "reliability": (counts[:, plan.names.index("evoked")] > 0).mean(axis=1),
        "p_salt": found.salt[:, row, 0],
        "salt_information": found.salt[:, row, 1],
        "cosine_fraction": found.cosine[:, row, 0],
        "bennett_cosine_fraction": found.cosine[:, row, 1],
        "p_wilcoxon": _paired_test(plan, counts, row),
        "censored_p_wilcoxon": found.excess[:, row],
        **_gap_columns(plan, found, rate["evoked"]),
        **_time_columns(found, here, found.excess[:, row] <= MAX_RESPONSE_P),
        **_source_columns(rate, is_cosine=bool(plan.is_cosine[row])),
    }


def _ratio(counts: Integers, seconds: float) -> Floats:
    """Divide counts by seconds; NaN for zero seconds, as when a pulse is shorter than its artefacts."""
    return counts / seconds if seconds > 0 else np.full(counts.shape, np.nan)


def _fold(evoked_hz: Floats, baseline_hz: Floats) -> Floats:
    return evoked_hz / (baseline_hz + 1)


def _paired_test(plan: EvidencePlan, counts: Integers, row: int) -> Floats:
    pulses, parameters = plan.pulses, plan.parameters
    here = pulses.condition == row
    before, tested = (plan.names.index(name) for name in ("paired", "tested"))
    light_end = np.maximum.accumulate(np.append(-np.inf, pulses.stop_s + parameters.salt_recovery_s))[:-1]
    begin = pulses.start_s[here] + parameters.paired_baseline_stop_s - plan.lengths_s[row, before]
    is_dark = begin >= light_end[here] - 1e-9
    return one_sided_signed_rank_p_values(counts[:, tested, is_dark] - counts[:, before, is_dark])


def _gap_columns(plan: EvidencePlan, found: Measured, evoked_hz: Floats) -> _Columns:
    bin_s, n_bins = plan.parameters.gap_bin_s, max(plan.gap_bins.windows.start_s.size, 2)
    mean, deviation = found.gap.T / bin_s
    published = np.where(deviation == 0, np.nan, deviation)
    # As published, a unit silent in the gaps has no z-score, and so could never be tagged.
    one_spike = np.sqrt((1 - 1 / n_bins) / n_bins) / bin_s
    return {
        "z": (evoked_hz - mean) / np.where(deviation == 0, one_spike, deviation),
        "bennett_z": (evoked_hz - mean) / published,
        "bennett_baseline_rate_hz": mean,
        "bennett_baseline_sd_hz": deviation,
    }


def _time_columns(found: Measured, here: Booleans, responds: Booleans) -> _Columns:
    columns: _Columns = {}
    # Without a response, the median of chance spikes is the middle of the window.
    first_s = np.where(responds[:, np.newaxis], found.first_s, np.nan)
    sources = {"first_spike": first_s, "bennett": found.next_s, "bennett_code": found.next_code_s}
    for name, times in sources.items():
        of_pulses = times[:, here]
        latency = row_medians(of_pulses)
        columns[f"{name}_latency_s"] = latency
        columns[f"{name}_jitter_s"] = row_medians(np.abs(of_pulses - latency[:, np.newaxis]))
    return columns


def _source_columns(rate: dict[str, Floats], *, is_cosine: bool) -> _Columns:
    columns: _Columns = {}
    for source in ("swdb", "tutorial"):
        baseline, evoked = rate[f"{source}_baseline"], rate[f"{source}_evoked"]
        values = {"baseline_rate_hz": baseline, "evoked_rate_hz": evoked, "fold": _fold(evoked, baseline)}
        for name, value in values.items():
            columns[f"{source}_{name}"] = np.full(value.shape, np.nan) if is_cosine else value
    return columns


def _as_table(columns: list[_Columns], n_units: int, conditions: pd.DataFrame) -> pd.DataFrame:
    """Combine the columns of all conditions into one table, sorted by unit."""
    names = ["waveform", "level", "level_rank", "level_name"]
    frames = [
        pd.DataFrame(
            {**of, "unit": np.arange(n_units), **{name: conditions[name].iloc[row] for name in names}}
        )
        for row, of in enumerate(columns)
    ]
    if not frames:
        frames = [pd.DataFrame(columns=list(CONDITION_EVIDENCE_COLUMNS))]
    table = pd.concat(frames).sort_values("unit", kind="stable", ignore_index=True)
    types = dict.fromkeys(CONDITION_EVIDENCE_COLUMNS, "float64")
    types |= dict.fromkeys(_INTEGERS, "int64") | dict.fromkeys(_TEXTS, "object")
    return table[list(CONDITION_EVIDENCE_COLUMNS)].astype(types)
