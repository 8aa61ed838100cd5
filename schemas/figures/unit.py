"""Data of the card of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, encoding, optotagging, psth, responses, stimulus
from schemas.figures.aligned import RateView, aligned_unit
from schemas.figures.encoding import encoding_unit
from schemas.figures.overview import session_blocks
from schemas.figures.probes import channels_of
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import names_or_none
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.units import all_units, criteria_condition
from schemas.queries.written_notes import notes
from schemas.reading.recordings import spike_times
from schemas.reading.session_frames import session_events
from schemas.rows.insert import key_of_session
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.spikes.autocorrelogram import autocorrelogram
from vbn.analysis.spikes.binning import equal_bins, rates_in_bins
from vbn.analysis.task.events import SessionEvents
from vbn.anatomy.layers import LAYERS
from vbn.errors import NotFoundError, shortened
from vbn.plots.aligned import AlignedUnit
from vbn.plots.encoding import EncodingUnit
from vbn.plots.field import Field
from vbn.plots.unit import ImageRates, Place, SessionRate, UnitCard

Key = dict[str, Any]

FILTER = "bennett_2025"
NOTES_SHOWN = 2
LAG_BIN_S = 0.001
SHORTEST_BIN_S, SESSION_BINS = 10.0, 200
METRICS = {
    "presence_ratio": "presence ratio",
    "isi_violations": "ISI violations",
    "amplitude_cutoff": "amplitude cutoff",
    "snr": "SNR",
}


def unit_card(
    unit_id: int,
    *,
    alignment: str = "change_active",
    bin_s: float | None = None,
    smoothing_s: float | None = None,
    group_by: str | None = None,
) -> UnitCard:
    """Return everything that the card of a unit shows.

    Parameters
    ----------
    unit_id : id of the unit.
    alignment : name of the alignment of the raster. For events in the task, the same events in the replay are
        included; for changes in the task, the raster is split by outcome.
    bin_s, smoothing_s, group_by : of the rates around these events, see `schemas.figures.aligned.RateView`;
        bins and smoothing also of those around omissions.

    Raises
    ------
    NotFoundError
        If there is no such unit or alignment, or the stimuli of its session are not imported.
    SettingError
        If the events have no such groups, or bins or smoothing make no sense.

    Notes
    -----
    All rates are computed from the spikes, so that the alignments need not be populated; without smoothing
    and in the bins of the alignment they are those of `psth.Psth`, if its window begins with a bin. Those
    around laser pulses are not smoothed.
    """
    settings = psth.Alignment.get(alignment)
    view = RateView(bin_s, smoothing_s, group_by)
    key = unit_key(unit_id)
    session_key = key_of_session(key)
    require_entries(session_key, stimulus.Stimulus, stimulus.OptoStimulation)
    unit = (all_units() & key).fetch1()
    (train,) = spike_times(ecephys.Recording.Unit & key).values()
    computed = (responses.ReceptiveField, responses.CellClass, responses.ImageSelectivity)
    warn_of_earlier_methods({table: {} for table in computed}, session_key)
    events = session_events(session_key)
    omissions = psth.Alignment.get("omission_active")
    return UnitCard(
        unit_id=unit_id,
        description=_description(unit, key),
        responses=aligned_unit(train, events, settings, view),
        omissions=aligned_unit(train, events, omissions, RateView(bin_s, smoothing_s)),
        laser=_laser(train, events),
        waveform_uv=_waveform(key),
        field=unit_field(key),
        autocorrelogram_hz=autocorrelogram(train, bin_s=LAG_BIN_S) if len(train) else "no spikes",
        autocorrelogram_bin_s=LAG_BIN_S,
        along_session=_along_session(train, session_key),
        images=_images(key),
        place=_place(unit, key),
        encoding=_encoding(key),
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
    structure += _layer(unit)
    depth = f"{unit['probe_name']}, {unit['probe_vertical_position']} µm above its tip"
    metrics = [f"{words} {_number(unit[name])}" for name, words in METRICS.items()]
    passes = "passes" if all_units() & key & criteria_condition(FILTER) else "does not pass"
    session = [f"session {unit['session_id']}", unit["session_type"]]
    lines = [
        [structure, depth, *_classes(key)],
        [f"{_number(unit['unit_firing_rate'])} Hz", *metrics],
        [f"quality {unit['quality'] or 'unknown'}, {passes} {FILTER}", *session],
        [f"mouse {unit['mouse_id']}", unit["genotype"], unit["experience_level"]],
        _notes(key["unit_id"]),
    ]
    return [" · ".join(str(part) for part in line if part) for line in lines if line]


def _notes(unit_id: int) -> list[str]:
    """Return the labels that people gave the unit, and their latest notes, in words."""
    frame = notes(unit_id=unit_id)
    labels = sorted(set(frame["label"].dropna()))
    texts = frame.dropna(subset="note").head(NOTES_SHOWN)
    written = [f"{row.author}: {shortened(row.note)}" for row in texts.itertuples()]
    return [*([f"labelled {', '.join(labels)}"] if labels else []), *written]


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


def _laser(train: np.ndarray, events: SessionEvents) -> AlignedUnit | str:
    if events.pulses is None or events.pulses.empty:
        return "no laser table"
    plain = RateView(smoothing_s=0.0)  # the light acts within milliseconds
    return aligned_unit(train, events, psth.Alignment.get("laser_pulse_high"), plain)


def _waveform(key: Key) -> Any:
    waveform = (ecephys.Recording.Unit & key).fetch1("peak_waveform")
    return "no waveform in the file" if waveform is None else np.asarray(waveform, dtype=float)


def _layer(unit: dict[str, Any]) -> str:
    """Return the cortical layer of a unit in words, or nothing where no atlas tells, or several differ."""
    channel = {name: unit[name] for name in ("session_id", "probe_name")}
    of_channel = ecephys.ChannelLayer.Channel & channel & {"channel_id": unit["peak_channel_id"]}
    layers = set(of_channel.to_arrays("cortical_layer").tolist())
    return f", layer {layers.pop()}" if len(layers) == 1 and layers <= set(LAYERS) else ""


def _images(key: Key) -> ImageRates | str:
    """Return the unit's rates in the flashes of each image."""
    names = {"image_selectivity_params": responses.ImageSelectivityParams.default_name()}
    rows = (responses.ImageSelectivity.Unit & key & names).to_dicts()
    if not rows:
        return "not computed: vbn populate"
    (unit,) = rows
    images = (responses.ImageSelectivity & key_of_session(key) & names).fetch1("selectivity_image_names")
    if not images:
        return "no flashes to measure on"
    is_selective = unit["selectivity_is_selective"]
    return ImageRates(
        name=images,
        rate_hz=np.asarray(unit["selectivity_image_rates"], dtype=float),
        baseline_hz=_or_nan(unit["selectivity_baseline_rate"]),
        sparseness=_or_nan(unit["selectivity_lifetime_sparseness"]),
        is_selective=None if is_selective is None else bool(is_selective),
    )


def _encoding(key: Key) -> EncodingUnit | str:
    """Return the unit's encoding model, or why there is none."""
    of_set = {"encoding_params": encoding.EncodingParams.default_name()}
    if not (encoding.EncodingModel & key_of_session(key) & of_set):
        return "not computed: vbn populate"
    try:
        return encoding_unit(key)
    except NotFoundError as error:  # not fitted, or nothing to fit
        return str(error)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _place(unit: dict[str, Any], key: Key) -> Place:
    """Return where the unit lies along its probe and in the Allen CCF."""
    channels = channels_of({**key_of_session(key), "probe_name": unit["probe_name"]})
    axes = ("anterior_posterior", "dorsal_ventral", "left_right")
    ccf = [unit[f"{axis}_ccf_coordinate"] for axis in axes]
    return Place(
        probe=unit["probe_name"],
        height_um=_or_nan(unit["probe_vertical_position"]),
        channel_height_um=channels["probe_vertical_position"].to_numpy(float),
        structure=names_or_none(channels["structure_acronym"]),
        structure_group=names_or_none(channels["structure_group"]),
        ccf_um=None if None in ccf or not any(ccf) else (ccf[0], ccf[1], ccf[2]),
    )


def unit_field(key: Key) -> Field | str:
    """Return the receptive field of a unit, or why there is none."""
    of_set = {"receptive_field_params": responses.ReceptiveFieldParams.default_name()}
    masters = (responses.ReceptiveField & key_of_session(key) & of_set).to_dicts()
    if not masters:
        return "not computed: vbn populate"
    if not masters[0]["n_rf_gabors"]:
        return "no Gabors were shown"
    return field_of_row((responses.ReceptiveField.Unit & key & of_set).fetch1(), masters[0]["n_rf_gabors"])


def field_of_row(row: Mapping[Any, Any], n_gabors: int) -> Field:
    """Return the receptive field of a row of `responses.ReceptiveField.Unit`.

    Parameters
    ----------
    row : the row.
    n_gabors : number of Gabors shown in the session.
    """
    positions = np.array(responses.ReceptiveFieldParams.get(row["receptive_field_params"]).positions_deg)
    fit = [row[f"rf_fit_{part}"] for part in ("x", "y", "width", "height")]
    p_value = _or_nan(row["rf_p_value"])
    return Field(
        spikes_per_gabor=row["rf_map"] / (n_gabors / positions.size**2),
        x_deg=positions,
        y_deg=positions,
        is_significant=row["rf_is_significant"] in (True, 1),
        p_value=p_value,
        p_is_upper_bound=np.isfinite(p_value) and bool(row["rf_p_is_upper_bound"]),
        fit=None if pd.isna(fit).any() else (fit[0], fit[1], fit[2], fit[3]),
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
