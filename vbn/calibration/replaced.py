"""Statistics that were replaced, computed here only: in the same worlds, the page shows what was wrong."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from vbn.analysis.responses.change_response import ChangeResponseParameters, change_response
from vbn.analysis.responses.flash_selection import is_repeated_image
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.spikes.windows import count_in_windows, mean_in_windows
from vbn.analysis.statistics import benjamini_hochberg, exact_signed_rank_p_values, kruskal_wallis_p_values
from vbn.analysis.task.presentations import is_omission
from vbn.calibration.columns import FLAG, INDEX, MEASURES, ClaimingColumn, Measure, P, Spikes
from vbn.calibration.events import SimulatedEvents

_FLASH_S = (0.0, 0.25)
_ALL_CHANGES = ChangeResponseParameters(engaged="none", lick_margin_s=None)
_RUNNING_CM_S = 1.0


def _changes(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    """Take all changes, near licks, too, hits and misses whether the mouse is engaged, and all units."""
    table = change_response(*spikes, events.presentations, events.trials, _ALL_CHANGES)
    base = table["baseline_rate_active_hz"]
    c, p = table["change_rate_active_hz"] - base, table["pre_change_rate_active_hz"] - base
    return pd.DataFrame(
        {
            "p_modulation_of_all_changes": table["p_modulation_active"],
            "change_modulation_over_sum": np.clip((c - p) / (c + p), -1, 1),
            "hit_less_miss_of_all_changes": table["change_modulation_hit"] - table["change_modulation_miss"],
        }
    )


def _images(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    """Take flashes for independent, and images that differ for an effect of novelty."""
    table = events.presentations[is_repeated_image(events.presentations)]
    count = partial(count_in_windows, *spikes, table["start_time"].to_numpy(np.float64))
    evoked = count(_FLASH_S)
    image = np.unique(table["image_name"].to_numpy(str), return_inverse=True)[1]
    p = kruskal_wallis_p_values(evoked, image)
    is_novel = table["is_image_novel"].astype("boolean").fillna(False).to_numpy(np.int64)
    return pd.DataFrame(
        {
            "p_selectivity_over_flashes": p,
            "is_selective_over_flashes": benjamini_hochberg(p) <= 0.05,
            "p_novelty_over_flashes": kruskal_wallis_p_values(evoked, is_novel),
        }
    )


def _omissions(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    """Compare both halves of the time to the next flash with the 350 ms before, the tail of a flash."""
    times = events.presentations["start_time"].to_numpy(np.float64)[is_omission(events.presentations)]
    count = partial(count_in_windows, *spikes, times)
    before = count((-0.35, 0.0))
    early, late = (
        exact_signed_rank_p_values(count(window) - before) for window in ((0.05, 0.4), (0.4, 0.75))
    )
    p = np.minimum(1.0, 2 * np.minimum(early, late))
    return pd.DataFrame(
        {"p_against_before": p, "is_responsive_against_before": benjamini_hochberg(p) <= 0.05}
    )


def _rank_sum(
    spikes: Spikes, events: SimulatedEvents, trace: tuple[Floats, Floats], least: float | None
) -> pd.DataFrame:
    """Take flashes in two states for independent; the high one begins at ``least``, or the median."""
    table = events.presentations[is_repeated_image(events.presentations)]
    starts = table["start_time"].to_numpy(np.float64)
    state = mean_in_windows(*trace, starts, _FLASH_S)
    known = np.isfinite(state)
    is_high = state >= (np.median(state[known]) if least is None else least)
    counts = count_in_windows(*spikes, starts[known], _FLASH_S)
    return pd.DataFrame({"p_rank_sum": kruskal_wallis_p_values(counts, is_high[known])})


def _running(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    return _rank_sum(spikes, events, (events.grid_s, events.speed), _RUNNING_CM_S)


def _pupil(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    seen = ~events.blink
    return _rank_sum(spikes, events, (events.grid_s[seen], events.pupil_area[seen]), None)


REPLACED = (
    Measure(
        "ReplacedChangeResponse",
        _changes,
        (
            ClaimingColumn("p_modulation_of_all_changes", P, "change"),
            ClaimingColumn("change_modulation_over_sum", INDEX, "change"),
            ClaimingColumn("hit_less_miss_of_all_changes", INDEX, "outcome"),
        ),
    ),
    Measure(
        "ReplacedOmissionResponse",
        _omissions,
        (
            ClaimingColumn("p_against_before", P, "omission"),
            ClaimingColumn("is_responsive_against_before", FLAG, "omission"),
        ),
    ),
    Measure(
        "ReplacedImageSelectivity",
        _images,
        (
            ClaimingColumn("p_selectivity_over_flashes", P, "image"),
            ClaimingColumn("is_selective_over_flashes", FLAG, "image"),
            ClaimingColumn("p_novelty_over_flashes", P, "novelty"),
        ),
    ),
    Measure("ReplacedRunningModulation", _running, (ClaimingColumn("p_rank_sum", P, "running"),)),
    Measure("ReplacedPupilModulation", _pupil, (ClaimingColumn("p_rank_sum", P, "pupil"),)),
)
"""Of no table: earlier method versions of those that they are named after."""

EVERY_MEASURE = (*MEASURES, *REPLACED)
