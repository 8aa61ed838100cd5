"""Data of the card of a unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, optotagging, psth, responses, stimulus
from schemas.figures.overview import session_blocks
from schemas.figures.require_entries import require_entries
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.units import all_units, criteria_condition
from schemas.reading.recordings import spike_times
from schemas.reading.session_frames import session_events
from schemas.rows.insert import key_of_session
from vbn.analysis.optotagging import DEFAULT_METHOD, laser_conditions
from vbn.analysis.optotagging.measure import condition_windows
from vbn.analysis.spikes.autocorrelogram import autocorrelogram
from vbn.analysis.spikes.binning import equal_bins, rates_in_bins
from vbn.analysis.spikes.psth import count_spikes
from vbn.analysis.spikes.psth import psth as mean_response
from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.task.events import (
    EVENT_CONDITIONS,
    EVENT_OUTCOMES,
    EventSelection,
    SessionEvents,
    find_events,
)
from vbn.errors import NotFoundError
from vbn.plots.aligned import AlignedUnit, EventRate, EventSpikes
from vbn.plots.unit import Field, SessionRate, UnitCard

Key = dict[str, Any]

FILTER = "bennett_2025"
LAG_BIN_S = 0.001
SHORTEST_BIN_S, SESSION_BINS = 10.0, 200
FLASH_S, FLASH_PERIOD_S = 0.25, 0.75
FLASH_STEPS = {
    **dict.fromkeys(("change", "pre_change", "flash", "sham_change"), (-2, -1, 0, 1, 2)),
    "omission": (-2, -1, 1, 2),
    **dict.fromkeys(("flash_on", "flash_off", "gabor"), (0,)),
}
"""Onsets of the flashes around each kind of event, in multiples of the flash period."""
METRICS = {
    "presence_ratio": "presence ratio",
    "isi_violations": "ISI violations",
    "amplitude_cutoff": "amplitude cutoff",
    "snr": "SNR",
}
EVENT_NAMES = {
    "change": "image change",
    "omission": "omitted flash",
    "pre_change": "flash before a change",
    "flash": "flash",
    "sham_change": "sham change",
    "flash_on": "white flash",
    "flash_off": "black flash",
    "gabor": "Gabor",
    "laser_pulse": "laser onset",
    "lick_bout": "lick bout",
    "reward": "reward",
}


def unit_card(unit_id: int, *, alignment: str = "change_active") -> UnitCard:
    """Return everything that the card of a unit shows.

    Parameters
    ----------
    unit_id : id of the unit.
    alignment : name of the alignment of the raster. For events in the task, the same events in the replay are
        included; for changes in the task, the raster is split by outcome.

    Raises
    ------
    NotFoundError
        If there is no such unit or alignment, or the stimuli of its session are not imported.

    Notes
    -----
    All rates are computed from the spikes, as in `psth.Psth`, so that the alignments need not be populated
    and the rates match the raster.
    """
    settings = psth.Alignment.get(alignment)
    key = unit_key(unit_id)
    session_key = key_of_session(key)
    require_entries(session_key, stimulus.Stimulus, stimulus.OptoStimulation)
    unit = (all_units() & key).fetch1()
    (train,) = spike_times(ecephys.Recording.Unit & key).values()
    warn_of_earlier_methods({responses.ReceptiveField: {}, responses.CellClass: {}}, session_key)
    events = session_events(session_key)
    omissions = psth.Alignment.get("omission_active")
    return UnitCard(
        unit_id=unit_id,
        description=_description(unit, key),
        responses=_aligned(train, events, settings),
        omissions=_aligned(train, events, omissions),
        laser=_laser(train, events),
        waveform_uv=_waveform(key),
        field=_field(key),
        autocorrelogram_hz=autocorrelogram(train, bin_s=LAG_BIN_S) if len(train) else "no spikes",
        autocorrelogram_bin_s=LAG_BIN_S,
        along_session=_along_session(train, session_key),
    )


def unit_key(unit_id: int) -> Key:
    """Return the primary key of a unit.

    Raises
    ------
    NotFoundError
        If there is no such unit, naming the nearest ids.
    """
    keys = (ecephys.Recording.Unit & {"unit_id": unit_id}).keys()
    if keys:
        return dict(keys[0])
    below, above = (
        (ecephys.Recording.Unit & f"unit_id {side} {int(unit_id)}").to_arrays(
            "unit_id", order_by=order, limit=2
        )
        for side, order in (("<", "unit_id DESC"), (">", "unit_id"))
    )
    near = ", ".join(map(str, sorted([*below, *above])))
    advice = f"The nearest are: {near}." if near else "There is none yet. Run: vbn populate"
    raise NotFoundError(f"There is no unit {unit_id}. {advice}")


def _description(unit: dict[str, Any], key: Key) -> list[str]:
    """Return the description of the unit, line by line."""
    structure = unit["structure_acronym"] or "no structure"
    if unit["structure_group"]:
        structure += f" ({unit['structure_group']})"
    depth = f"{unit['probe_name']}, {unit['probe_vertical_position']} µm above its tip"
    metrics = [f"{words} {_number(unit[name])}" for name, words in METRICS.items()]
    passes = "passes" if all_units() & key & criteria_condition(FILTER) else "does not pass"
    session = [f"session {unit['session_id']}", unit["session_type"]]
    lines = [
        [structure, depth, *_classes(key)],
        [f"{_number(unit['unit_firing_rate'])} Hz", *metrics],
        [f"quality {unit['quality'] or 'unknown'}, {passes} {FILTER}", *session],
        [f"mouse {unit['mouse_id']}", unit["genotype"], unit["experience_level"]],
    ]
    return [" · ".join(str(part) for part in line if part) for line in lines]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _classes(key: Key) -> list[str]:
    """Return the unit's cell class and optotagging label."""
    method = {"optotag_method": DEFAULT_METHOD, "optotag_params": optotagging.OptotagParams.default_name()}
    classes = (responses.CellClass.Unit & key & method).to_dicts()
    labels = (optotagging.OptotagLabel.Unit & key & method).to_dicts()
    if not classes or not labels:
        return ["cell class not computed"]
    label, reason = labels[0]["optotag_label"], labels[0]["optotag_reason"]
    why = f": {reason.replace('_', ' ')}" if reason else ""
    return [f"class {classes[0]['cell_class']}", f"{label}{why}"]


def _aligned(train: np.ndarray, events: SessionEvents, settings: psth.AlignmentSettings) -> AlignedUnit:
    """Return a unit around the events of an alignment; for those in the task, in the replay, too."""
    chosen, axis = settings.events, settings.axis
    kinds = {chosen.block or "all": chosen}
    if chosen.block == "active":
        kinds["passive"] = replace(chosen, block="passive")
    times = {name: find_events(events, each) for name, each in kinds.items()}
    return AlignedUnit(
        event_name=EVENT_NAMES[chosen.event],
        edges_s=axis.edges_s,
        rows=[
            _rows(name, train, onset_times, axis)
            for name, onset_times in _by_outcome(times, events, chosen).items()
        ],
        rates=[_rate(name, train, onset_times, axis) for name, onset_times in times.items()],
        spans=_spans(events, chosen),
    )


def _by_outcome(
    times: dict[str, np.ndarray], events: SessionEvents, chosen: EventSelection
) -> dict[str, np.ndarray]:
    """Return the events in the task split by the outcome of their trials, where outcomes apply."""
    outcomes = EVENT_OUTCOMES.get(chosen.event, ())
    if (
        chosen.block != "active"
        or chosen.outcome is not None
        or "outcome" not in EVENT_CONDITIONS[chosen.event]
    ):
        return times
    by_outcome = {
        name.removesuffix("_rewarded").replace("_", " "): find_events(events, replace(chosen, outcome=name))
        for name in outcomes
    }
    if not by_outcome:
        return times
    by_outcome["other"] = np.setdiff1d(times["active"], np.concatenate(list(by_outcome.values())))
    return by_outcome | {name: each for name, each in times.items() if name != "active"}


def _rows(name: str, train: np.ndarray, times: np.ndarray, axis: Any) -> EventSpikes:
    return EventSpikes(name, *spikes_around(train, times, axis.start_s, axis.stop_s), len(times))


def _rate(name: str, train: np.ndarray, times: np.ndarray, axis: Any) -> EventRate:
    response = mean_response(count_spikes(train, [0], [len(train)], times, axis), axis)
    return EventRate(name, response.rate_hz[0], response.sem_hz[0], len(times))


def _laser(train: np.ndarray, events: SessionEvents) -> AlignedUnit | str:
    if events.pulses is None or events.pulses.empty:
        return "no laser table"
    return _aligned(train, events, psth.Alignment.get("laser_pulse_high"))


def _spans(events: SessionEvents, chosen: EventSelection) -> list[tuple[float, float, str]]:
    """Return the flashes, or the laser pulse, around events: start, stop and label."""
    if chosen.event != "laser_pulse":
        onsets = [step * FLASH_PERIOD_S for step in FLASH_STEPS.get(chosen.event, ())]
        return [(onset, onset + FLASH_S, "flash") for onset in onsets]
    if events.pulses is None or events.pulses.empty:
        return []
    kinds = laser_conditions(events.pulses)
    wanted = {"waveform": chosen.waveform, "level_name": chosen.level}
    for column, value in wanted.items():
        kinds = kinds if value is None else kinds[kinds[column] == value]
    return laser_spans(kinds["duration_s"].max()) if len(kinds) else []


def laser_spans(duration_s: float) -> list[tuple[float, float, str]]:
    """Return the light of a pulse, and the censored time at its edges, where artifacts may be."""
    windows = condition_windows(
        optotagging.OptotagParams.get(optotagging.OptotagParams.default_name()), duration_s
    )
    edges = [(*windows[name], "artefact") for name in ("onset_artifact", "offset_artifact")]
    return [(0.0, duration_s, "light"), *edges]


def _waveform(key: Key) -> Any:
    waveform = (ecephys.Recording.Unit & key).fetch1("peak_waveform")
    return "no waveform in the file" if waveform is None else np.asarray(waveform, dtype=float)


def _field(key: Key) -> Field | str:
    name = responses.ReceptiveFieldParams.default_name()
    query = responses.ReceptiveField & key_of_session(key) & {"receptive_field_params": name}
    masters = query.to_dicts()
    if not masters:
        return "not computed: vbn populate"
    row = (responses.ReceptiveField.Unit & key & {"receptive_field_params": name}).fetch1()
    positions = np.array(responses.ReceptiveFieldParams.get(name).positions_deg)
    if not masters[0]["n_rf_gabors"]:
        return "no Gabors were shown"
    fit = [row[f"rf_fit_{part}"] for part in ("x", "y", "width", "height")]
    return Field(
        spikes_per_gabor=row["rf_map"] / (masters[0]["n_rf_gabors"] / positions.size**2),
        x_deg=positions,
        y_deg=positions,
        is_significant=bool(row["rf_is_significant"]),
        p_value=np.nan if row["rf_p_value"] is None else row["rf_p_value"],
        p_is_upper_bound=bool(row["rf_p_is_upper_bound"]),
        fit=None if None in fit else (fit[0], fit[1], fit[2], fit[3]),
    )


def _along_session(train: np.ndarray, key: Key) -> SessionRate:
    blocks: pd.DataFrame = session_blocks(key)
    start_s, stop_s = float(blocks["start"].min()), float(blocks["stop"].max())
    edges = equal_bins(start_s, stop_s, max(SHORTEST_BIN_S, (stop_s - start_s) / SESSION_BINS))
    return SessionRate(
        edges_s=edges,
        rate_hz=rates_in_bins(train, [0], [len(train)], edges)[0],
        block_name=blocks["name"].tolist(),
        block_start_s=blocks["start"].to_numpy(float),
        block_stop_s=blocks["stop"].to_numpy(float),
    )
