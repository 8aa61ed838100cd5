"""What is put to the test: columns of the tables, what they claim, and the functions that compute them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.analysis.optotagging import laser_evidence_by_condition
from vbn.analysis.responses.change_response import change_response
from vbn.analysis.responses.first_spike import first_spike_latency
from vbn.analysis.responses.full_field_response import full_field_response
from vbn.analysis.responses.image_selectivity import DEFAULT as IMAGE_DEFAULT
from vbn.analysis.responses.image_selectivity import image_selectivity
from vbn.analysis.responses.omission_response import omission_response
from vbn.analysis.responses.published_response import DEFAULT as PUBLISHED_DEFAULT
from vbn.analysis.responses.published_response import published_response
from vbn.analysis.responses.receptive_field import receptive_field
from vbn.analysis.responses.reliability import DEFAULT as RELIABILITY_DEFAULT
from vbn.analysis.responses.reliability import reliability
from vbn.analysis.responses.running_modulation import pupil_modulation, running_modulation
from vbn.analysis.spikes.trains import Floats, Integers
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.calibration.events import SimulatedEvents

P, Q, FLAG, INDEX, SIZE, SIGN, LATENCY = KINDS = ("p", "q", "flag", "index", "size", "sign", "latency")
Spikes = tuple[Floats, Integers, Integers]
Function = Callable[[Spikes, SimulatedEvents, int], pd.DataFrame]


@dataclass(frozen=True)
class ClaimingColumn:
    """A column, and the claim that it makes (see `vbn.calibration.worlds`).

    Parameters
    ----------
    name : in the results of the function.
    kind : ``p``, ``q``, ``flag``, ``index`` (0 without the effect, else of its sign), ``sign`` (missing
        without the effect, else its sign), ``size`` (0 without the effect, whatever its sign) or
        ``latency``.
    claim : what is true where p or q is small, the flag set, the index not 0, or a sign or latency given.
    tested_by : of an index, the p-value of its effect: where it is above .05, a wrong sign is chance.
    response : of an index, the claims without any of which it should be missing, since it compares responses.
    """

    name: str
    kind: str
    claim: str
    tested_by: str | None = None
    response: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Claims one of which must hold for there to be a value at all."""
        return (self.claim,) if self.kind in (SIGN, LATENCY) else self.response


@dataclass(frozen=True)
class Measure:
    """A function of the product with the columns that are put to the test.

    Parameters
    ----------
    table : name of the table that it fills.
    function : takes the spikes (`vbn.analysis.spikes.trains`), the events and a seed; one row per unit.
    columns : of its result.
    """

    table: str
    function: Function
    columns: tuple[ClaimingColumn, ...]


def _columns(claim: str, **names: str) -> tuple[ClaimingColumn, ...]:
    """Return columns of one claim; the keywords are kinds, their values names with spaces between."""
    return tuple(ClaimingColumn(name, kind, claim) for kind, text in names.items() for name in text.split())


def _change(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    table = change_response(*spikes, events.presentations, events.trials)
    contrast = table["change_modulation_hit"] - table["change_modulation_miss"]
    return table.assign(change_modulation_hit_less_miss=contrast)


def _first_spike(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    return first_spike_latency(*spikes, events.presentations, events.trials)


def _omission(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    return omission_response(*spikes, events.presentations, events.lick_times_s)


def _images(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    behavior = events.behavior
    chosen = select_flashes(behavior, FLASH_SETS[IMAGE_DEFAULT.flash_set])
    return image_selectivity(*spikes, behavior[chosen])[0]


def _reliability(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
    behavior = events.behavior
    chosen = select_flashes(behavior, FLASH_SETS[RELIABILITY_DEFAULT.flash_set])
    return reliability(*spikes, behavior[chosen], seed=seed)


def _full_field(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    return full_field_response(*spikes, events.presentations)


def _running(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    return running_modulation(*spikes, events.presentations, (events.grid_s, events.speed))


def _pupil(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    pupil = events.grid_s, events.pupil_area, events.blink
    return pupil_modulation(*spikes, events.presentations, pupil)


def _field(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
    return receptive_field(*spikes, events.presentations, seed)[0]


def _published(spikes: Spikes, events: SimulatedEvents, _seed: int) -> pd.DataFrame:
    behavior = events.behavior
    chosen = {
        kind: select_flashes(behavior, FLASH_SETS[name])
        for kind, name in PUBLISHED_DEFAULT.flash_sets.items()
    }
    return published_response(*spikes, behavior, events.trials, chosen)[0]


def _laser(spikes: Spikes, events: SimulatedEvents, seed: int) -> pd.DataFrame:
    """Return the evidence at the highest level, the columns of each waveform under its name."""
    table = laser_evidence_by_condition(*spikes, events.pulses, seed=seed)
    high = table[table["level_name"] == "high"]
    return pd.concat(
        [
            rows.set_index("unit").add_prefix(f"{'cosine' if waveform == 'raised_cosine' else 'pulse'}_")
            for waveform, rows in high.groupby("waveform")
        ],
        axis=1,
    )


_STATE = {
    "p": "p_shift_active p_shift_passive allensdk_p_value",
    "q": "q_shift_active q_shift_passive",
    "index": "spearman_r_active spearman_r_passive allensdk_modulation_index",
}

_IMAGES = ("flash", "onset")

# Changes that an index is of -> those over which the modulation is tested.
OF_CHANGES = {"active": "active", "passive": "passive", "hit": "active", "miss": "active"}

MEASURES = (
    Measure(
        "ChangeResponse",
        _change,
        (
            *_columns(
                "onset",
                p="p_response p_response_active p_response_passive",
                q="q_response q_response_active q_response_passive",
                flag="is_responsive siegle_2021_responsive",
                sign="response_sign_active response_sign_passive response_sign_hit response_sign_miss",
                latency="latency_s siegle_2021_first_spike_latency_s",
            ),
            *_columns(
                "change",
                p="p_modulation p_modulation_active p_modulation_passive",
                q="q_modulation q_modulation_active q_modulation_passive",
                flag="is_change_modulated",
            ),
            *(
                ClaimingColumn(f"{index}_{of}", INDEX, "change", f"p_modulation_{tested}", response)
                for index, response in (("change_modulation", _IMAGES), ("siegle_2021_modulation", ()))
                for of, tested in OF_CHANGES.items()
            ),
            ClaimingColumn("change_modulation_hit_less_miss", INDEX, "outcome", response=_IMAGES),
        ),
    ),
    Measure(
        "FirstSpikeLatency",
        _first_spike,
        _columns(
            "onset",
            p="p_response",
            q="q_response",
            latency="siegle_2021_response_latency_s siegle_2021_latency_s",
        ),
    ),
    Measure(
        "OmissionResponse",
        _omission,
        _columns(
            "omission",
            p="p_value p_value_active p_value_passive",
            q="q_value",
            flag="is_responsive",
            index="sign response_index_active response_index_passive",
        ),
    ),
    Measure(
        "ImageSelectivity",
        _images,
        (
            *_columns("flash", p="p_response", q="q_response", flag="is_responsive"),
            *_columns("image", p="p_selectivity", q="q_selectivity", flag="is_selective"),
            ClaimingColumn("lifetime_sparseness", INDEX, "image", response=("flash",)),
            ClaimingColumn("novel_shared_index", INDEX, "image", response=("flash",)),
        ),
    ),
    Measure(
        "Reliability",
        _reliability,
        _columns("flash", size="split_half explainable_share stability_halves"),
    ),
    Measure(
        "FullFieldResponse",
        _full_field,
        _columns(
            "light",
            p="p_white p_black p_color",
            q="q_white q_black q_color",
            flag="is_responsive",
            index="on_off_index",
        ),
    ),
    Measure("RunningModulation", _running, _columns("running", **_STATE)),
    Measure("PupilModulation", _pupil, _columns("pupil", **_STATE)),
    Measure("ReceptiveField", _field, _columns("gabor", p="p_value", q="q_value", flag="is_significant")),
    Measure(
        "PublishedResponse",
        _published,
        (
            *_columns("flash", flag="responds_to_image"),
            *_columns(
                "omission",
                p="omission_p_value",
                q="omission_p_corrected",
                flag="omission_is_significant",
            ),
            *_columns("onset", p="change_p_value", q="change_p_corrected", flag="change_is_significant"),
            *_columns("change", index="change_index_active change_index_passive"),
        ),
    ),
    Measure(
        "Optotagging",
        _laser,
        _columns(
            "laser",
            p="cosine_p_wilcoxon pulse_p_wilcoxon pulse_censored_p_wilcoxon pulse_p_salt",
            latency="pulse_first_spike_latency_s",
        ),
    ),
)

LEFT_OUT = {
    "ChangeResponse.latency_low_s": "limit of the interval of `latency_s`, which is tested",
    "ChangeResponse.latency_high_s": "limit of the interval of `latency_s`, which is tested",
    "FirstSpikeLatency.poisson_latency_s": "of no response, for comparison",
    "FirstSpikeLatency.siegle_2021_response_latency_low_s": "limit of a latency that is tested",
    "FirstSpikeLatency.siegle_2021_response_latency_high_s": "limit of a latency that is tested",
    "OmissionResponse.flash_index": "compares two responses: not 0 with either",
    "FullFieldResponse.on_off_ratio": "1 means nothing: `on_off_index` is the same, and tested",
    "Reliability.spearman_brown": "of `split_half`, which is tested, where that is above 0",
    "PublishedResponse.image_p": "one for each image: `responds_to_image` is of all, and tested",
    "PublishedResponse.state_index": "of task and replay, which differ in licks, running and pupil",
    "ReceptiveField.p_is_upper_bound": "says how to read a p-value, nothing of the unit",
    "ReceptiveField.is_inverted": "of fields that are tested already",
    "ReceptiveField.is_on_screen": "of fields that are tested already",
}
"""Columns (their beginnings) that look as if they were to be tested, and why they are not."""


def as_spikes(trains: list[Floats]) -> Spikes:
    """Return trains as the three arrays that the analyses take."""
    n_spikes = np.array([train.size for train in trains], dtype=np.int64)
    return np.concatenate([np.empty(0), *trains]), np.cumsum(n_spikes) - n_spikes, n_spikes
