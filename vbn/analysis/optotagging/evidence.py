"""How each unit answers each kind of light: one row per unit and condition.

Rates, tests and times over the pulses of a condition, of what `vbn.analysis.optotagging.measure` found; for
all units at once.
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
    """Measure how each unit answers the pulses of each waveform and level.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets, n_spikes : (n_units,) index of each unit's first spike, and their number.
    pulses : all pulses of the session in any order; see `laser_conditions`.
    parameters : the windows.
    seed : of the bins drawn from the gaps, 0 or more. They depend on pulses, parameters and seed, not on the
        units: a session's units may come in parts.

    Returns
    -------
    One row per unit and condition (unit by unit, in the order of `laser_conditions`); without pulses no
    rows. ``unit`` is the unit's place in the input. Rates are Hz, times s after the onset. The evoked window
    lies ``censor_s`` inside the pulse.

    * n_epoch_spikes: the unit's spikes from a second before the first pulse to a second after the last;
    * n_evoked_spikes, n_baseline_spikes: in the evoked windows, in the baseline windows; n_artifact_spikes:
      within ``censor_s`` of the edges; p_artifact: that these are no denser than in the baseline (exact);
    * baseline_rate_hz, evoked_rate_hz; fold: evoked / (baseline + 1 Hz);
    * z: (evoked rate - mean rate of the bins from the gaps) / their standard deviation, which is taken
      as that of one spike in all bins where they hold none; NaN without gaps;
    * p_wilcoxon: signed-rank test over pulses, evoked against a window of the same length before the
      pulse, one-sided; censored_p_wilcoxon: evoked rate against the rate in the baseline window;
    * p_salt, salt_information: `salt` of the evoked window; NaN for raised cosines, which begin
      slowly;
    * first_spike_latency_s, first_spike_jitter_s: median and median absolute deviation of the first spike
      in the evoked window, over the pulses that have one (their share is reliability);
    * cosine_fraction: `responsive_fraction` of a raised cosine; NaN for other waveforms;
    * bennett_*: mean and standard deviation over the bins from the gaps; z as published, NaN where the
      deviation is 0; median latency and its median absolute deviation of the next spike after the onset's
      artefact, however late; the fraction with every bin tested alone. ``bennett_code_*``: the times with
      the censored time added twice and counted from its first end, as their code does;
    * swdb_*, tutorial_*: in their windows, as they are; NaN for raised cosines.

    Where a unit has no spike to measure a time on, it is NaN.

    Raises
    ------
    ValueError
        Arrays that do not describe units, pulses without times, a negative seed.
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
    """Every column of one condition's rows, each (n_units,)."""
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
        **_paired_tests(plan, counts, row),
        **_gap_columns(plan, found, rate["evoked"]),
        **_time_columns(found, here),
        **_source_columns(rate, is_cosine=bool(plan.is_cosine[row])),
    }


def _ratio(counts: Integers, seconds: float) -> Floats:
    """Divide counts by seconds; NaN in no time, as when a pulse is too short to have a clean window."""
    return counts / seconds if seconds > 0 else np.full(counts.shape, np.nan)


def _fold(evoked_hz: Floats, baseline_hz: Floats) -> Floats:
    return evoked_hz / (baseline_hz + 1)


def _paired_tests(plan: EvidencePlan, counts: Integers, row: int) -> _Columns:
    def rates(name: str) -> Floats:
        place = plan.names.index(name)
        length = float(plan.lengths_s[row, place])
        return counts[:, place] / length if length > 0 else np.zeros(counts[:, place].shape)

    evoked = rates("evoked")
    return {
        "p_wilcoxon": one_sided_signed_rank_p_values(evoked - rates("paired")),
        "censored_p_wilcoxon": one_sided_signed_rank_p_values(evoked - rates("baseline")),
    }


def _gap_columns(plan: EvidencePlan, found: Measured, evoked_hz: Floats) -> _Columns:
    bin_s, n_bins = plan.parameters.gap_bin_s, max(plan.gap_bins.windows.start_s.size, 2)
    mean, deviation = found.gap.T / bin_s
    published = np.where(deviation == 0, np.nan, deviation)
    # A unit that is silent in the gaps has no z-score as published, and so could never be tagged.
    one_spike = np.sqrt((1 - 1 / n_bins) / n_bins) / bin_s
    return {
        "z": (evoked_hz - mean) / np.where(deviation == 0, one_spike, deviation),
        "bennett_z": (evoked_hz - mean) / published,
        "bennett_baseline_rate_hz": mean,
        "bennett_baseline_sd_hz": deviation,
    }


def _time_columns(found: Measured, here: Booleans) -> _Columns:
    columns: _Columns = {}
    sources = {"first_spike": found.first_s, "bennett": found.next_s, "bennett_code": found.next_code_s}
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
    """Put the conditions' columns together, unit by unit."""
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
