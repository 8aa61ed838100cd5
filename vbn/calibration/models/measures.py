"""The functions that fill the tables of models, on the populations of a simulated session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vbn.analysis.decoding.parameters import DEFAULT as DECODING_DEFAULT
from vbn.analysis.decoding.session import DecodingResult, decode_session
from vbn.analysis.decoding.trials import TRIAL_DECODING, decode_trials, outcome_trials
from vbn.analysis.encoding.model import EncodingResult, encoding_model
from vbn.analysis.encoding.null import NullParameters, encoding_null
from vbn.analysis.encoding.parameters import ENCODING as ENCODING_SETS
from vbn.analysis.interactions.connectivity import DEFAULT as CONNECTIVITY_DEFAULT
from vbn.analysis.interactions.connectivity import functional_connectivity
from vbn.analysis.interactions.correlations import DEFAULT as CORRELATION_DEFAULT
from vbn.analysis.interactions.correlations import area_pairs, pair_correlations
from vbn.analysis.interactions.dimensionality import DEFAULT as DIMENSIONALITY_DEFAULT
from vbn.analysis.interactions.dimensionality import dimensionality
from vbn.analysis.responses.intrinsic_timescale import TIMESCALES, intrinsic_timescale
from vbn.analysis.responses.variability import DEFAULT as VARIABILITY_DEFAULT
from vbn.analysis.responses.variability import variability
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.strategy.model import BY_TIME, VISUAL, strategy_model
from vbn.analysis.strategy.parameters import STRATEGY as STRATEGY_SETS
from vbn.analysis.strategy.regressors import task_flashes
from vbn.calibration.models import columns as of_tables
from vbn.calibration.models import naive
from vbn.calibration.models.columns import KERNELS, ModelColumn
from vbn.calibration.models.mice import MICE, lick, mouse_weights
from vbn.calibration.models.session import POOL, UNITS, ModelSession
from vbn.calibration.models.worlds import DECAY_S, GAIN_HZ, GAIN_SD, POPULATIONS, TIMESCALE_S, only

Found = dict[tuple[str, str], Floats]
"""(column, world) -> values, one for each unit, population, pair or mouse; NaN where nothing was measured."""

CALIBRATED, PUBLISHED_SET = "calibrated_active", "allen_v110_active"
LEAST_LOSS, LEAST_NATS = 0.01, 3.0
_POPULATION = 20
_GLM_UNITS, _NULL_UNITS = 20, 10
TRIALS = replace(TRIAL_DECODING["logistic_visp"], structures=(), n_repeats=2, n_permutations=99)
"""The set of trials, but for its time: fewer repeats and label vectors, and all populations."""


@dataclass(frozen=True)
class ModelMeasure:
    """A function of the product with the columns that are put to the test.

    Parameters
    ----------
    table : name of the table that it fills, or of what is computed here only.
    function : takes the session and the worlds that are asked for.
    columns : of its result.
    worlds : that can break it, or have what it claims.
    n_units : units of each world and session; 0 where there are none.
    """

    table: str
    function: Callable[[ModelSession, Sequence[str]], Found]
    columns: tuple[ModelColumn, ...]
    worlds: tuple[str, ...]
    n_units: int = UNITS


# ---- encoding models


def _fit(session: ModelSession, worlds: Sequence[str], name: str) -> Found:
    found: Found = {}
    suffix = "" if name == CALIBRATED else f" ({name})"
    for recording, world_of, spikes in session.together(worlds, _GLM_UNITS):
        fitted = encoding_model(*spikes, recording.traces, ENCODING_SETS[name], session.index)
        flags = {f"glm_is_explained{suffix}": fitted.is_explained.astype(np.float64)}
        for word, (dropout, _) in KERNELS.items():
            flags[f"glm_{word}_change{suffix}"] = _is_lost(fitted, dropout)
        for world in dict.fromkeys(world_of.tolist()):
            found |= {(column, world): values[world_of == world] for column, values in flags.items()}
    return found


def _is_lost(fitted: EncodingResult, dropout: str) -> Floats:
    """Return (n_units,) whether more than the published criterion is lost; a unit must be explained."""
    change = fitted.measure(dropout, "change")
    lost = (fitted.is_explained & (change < -LEAST_LOSS)).astype(np.float64)
    return np.where(np.isnan(change), np.nan, lost)


def _encoding(session: ModelSession, worlds: Sequence[str]) -> Found:
    return _fit(session, worlds, CALIBRATED)


def _published_encoding(session: ModelSession, worlds: Sequence[str]) -> Found:
    return _fit(session, worlds, PUBLISHED_SET)


def _encoding_null(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    settings = ENCODING_SETS[CALIBRATED]
    names = [dropout for dropout, _ in KERNELS.values()]
    for recording, world_of, spikes in session.together(worlds, _NULL_UNITS):
        fitted = encoding_model(*spikes, recording.traces, settings, session.index)
        null = encoding_null(
            spikes, recording.traces, settings, fitted.unit_penalty, NullParameters(), session.index, names
        )
        for world in dict.fromkeys(world_of.tolist()):
            of = world_of == world
            found["glm_p_explained", world] = null.p_explained[of]
            for word, (dropout, _) in KERNELS.items():
                if dropout in null.dropout_names:
                    number = null.dropout_names.index(dropout)
                    found[f"glm_p_{word}", world] = null.p_change[of, number]
    return found


# ---- decoding


def _populations(world_of: np.ndarray) -> list[str]:
    """Return the name of the population of each unit: so many units of a world, one after the other."""
    number = np.arange(world_of.size) % UNITS // _POPULATION
    return [f"{world}/{each}" for world, each in zip(world_of.tolist(), number.tolist(), strict=True)]


def _decoding(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    for recording, world_of, spikes in session.together(worlds):
        is_auto = recording.events.trials["auto_rewarded"].to_numpy(bool)
        names = _populations(world_of)
        result = decode_session(
            spikes,
            names,
            np.full(len(names), None),
            recording.flashes,
            is_auto,
            DECODING_DEFAULT,
            session.index,
        )
        found |= _of_populations(result)
        for world in dict.fromkeys(world_of.tolist()):
            found["choice_p", world] = result.choice.p[world_of == world]
            found["choice_probability", world] = result.choice.probability[world_of == world] - 0.5
    return found


def _of_populations(result: DecodingResult) -> Found:
    lists: dict[tuple[str, str], list[float]] = {}
    for label, decoded in result.decoded.items():
        for each in decoded:
            world = each.structure.split("/")[0]
            chance = 1 / result.flashes[label].n_classes
            values = {
                "p": each.p,
                "latency": each.latency_s,
                "accuracy": each.accuracy - chance,
                "random_accuracy": each.random_accuracy - chance,
            }
            for name, value in values.items():
                lists.setdefault((f"decoding_{name} ({label})", world), []).append(value)
    return {key: np.array(values) for key, values in lists.items()}


def _trial_decoding(session: ModelSession, worlds: Sequence[str]) -> Found:
    lists: dict[tuple[str, str], list[float]] = {}
    for recording, world_of, spikes in session.together(worlds):
        trials = outcome_trials(recording.events.trials, TRIALS.min_trials)
        for each in decode_trials(spikes, _populations(world_of), trials, TRIALS, session.index):
            world = each.structure.split("/")[0]
            values = {"circular_p": each.circular_p, "free_p": each.p, "accuracy": each.accuracy - 0.5}
            for name, value in values.items():
                lists.setdefault((f"trial_{name}", world), []).append(value)
    return {key: np.array(values) for key, values in lists.items()}


# ---- units: variability, timescales

_ONE = dict.fromkeys(("ou_5", "poisson", "ou_60", "ou_600", "drift", "lost", "run_locked", "pupil"), 1.0)
_TRUE_VARIABILITY = {
    "fano_factor": {**_ONE, "image_tuned": 1.0, "bursty": 3.0},
    "fano_factor_local": {**_ONE, "image_tuned": 1.0, "bursty": 3.0},
    "baseline_fano_factor_local": {**_ONE, "image_tuned": 1.0, "bursty": 3.0},
    "isi_cv2": _ONE,
    "isi_lv": _ONE,
}
"""Column -> world -> its true value."""


def _variability(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    for world in worlds:
        flashes = session.of(world).flash_set(VARIABILITY_DEFAULT.flash_set)
        table = variability(*session.spikes(world), flashes)
        for column, of_world in _TRUE_VARIABILITY.items():
            if world in of_world:
                found[column, world] = table[column].to_numpy(np.float64) - of_world[world]
    return found


def _timescale(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    true = {("intrinsic", "timescale_100ms"): TIMESCALE_S, ("decay", "decay_60ms"): DECAY_S}
    for world in worlds:
        for name, settings in TIMESCALES.items():
            suffix = f" ({name})" if name == "siegle_2021" else ""
            table = intrinsic_timescale(
                *session.spikes(world), session.of(world).events.presentations, settings
            )
            for which in ("intrinsic", "decay"):
                is_valid = table[f"is_valid_{which}"].fillna(False).to_numpy(bool)
                found[f"timescale_is_valid_{which}{suffix}", world] = is_valid.astype(np.float64)
                if not suffix and (which, world) in true:
                    value = table[f"{which}_s"].to_numpy(np.float64) - true[which, world]
                    found[f"timescale_{which}", world] = np.where(is_valid, value, np.nan)
    return found


# ---- pairs and populations

_SHARED = GAIN_SD**2 * GAIN_HZ * 0.25
TRUE_NOISE = {"gain": _SHARED / (1 + _SHARED)}
"""World -> noise correlation of all pairs; 0 in the others: a gain of Poisson counts is in both of two."""
_N = DIMENSIONALITY_DEFAULT.n_units
TRUE_RATIO = {"gain": _N / (1 + (_N - 1) * TRUE_NOISE["gain"] ** 2)}


def _correlations(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    for world in worlds:
        flashes = session.of(world).flash_set(CORRELATION_DEFAULT.flash_set)
        pairs = pair_correlations(*session.spikes(world), flashes)
        one, probes = [world] * UNITS, [f"probe{unit}" for unit in range(UNITS)]
        areas = area_pairs(pairs, one, probes, np.zeros(UNITS))
        for column, name, true in (
            ("noise_correlation", "noise_mean", TRUE_NOISE.get(world, 0.0)),
            ("plain_noise_correlation", "plain_noise_mean", TRUE_NOISE.get(world, 0.0)),
            ("signal_correlation", "signal_mean", 0.0),
        ):
            if world == "ou_5" and column != "signal_correlation":
                continue  # what units share for seconds is in it, and not 0
            found[column, world] = areas[name].to_numpy(np.float64) - true
    return found


def _dimensionality(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    for world in worlds:
        flashes = session.of(world).flash_set(DIMENSIONALITY_DEFAULT.flash_set)
        spikes = session.spikes(world, POOL)
        table = dimensionality(*spikes, [world] * POOL, flashes, seed=session.index)
        true = TRUE_RATIO.get(world, float(_N))
        for column in ("participation_ratio", "plain_participation_ratio"):
            found[column, world] = table[column].to_numpy(np.float64) / true - 1
        found["signal_participation_ratio", world] = table["signal_participation_ratio"].to_numpy(np.float64)
    return found


def _connectivity(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    probes = [f"probe{unit}" for unit in range(UNITS)]
    for world in worlds:
        flashes = session.of(world).flash_set(CONNECTIVITY_DEFAULT.flash_set)
        result = functional_connectivity(
            *session.spikes(world), flashes, probes, np.zeros(UNITS), seed=session.index
        )
        number = np.flatnonzero(result.is_used)
        first, second = (number[each] for each in np.nonzero(result.is_tested))
        peaks = result.peaks
        lags = {
            (int(one), int(other)): float(lag)
            for one, other, lag in zip(peaks["first"], peaks["second"], peaks["lag_s"], strict=True)
        }
        has_peak = np.array([(int(i), int(j)) in lags for i, j in zip(first, second, strict=True)], float)
        planted = (first % 2 == 0) & (second == first + 1)
        if POPULATIONS[world].holds(("synapse",)):
            # Found is found with its direction; what is not planted is in a world of its own.
            right = np.array([lags.get((int(i), int(i) + 1), 0.0) > 0 for i in first[planted]], float)
            found["FunctionalConnectivity.Pair", world] = right
        else:
            found["FunctionalConnectivity.Pair", world] = has_peak
        surrogate = np.zeros(first.size)
        surrogate[: result.n_surrogate_peaks] = 1
        found["ccg_surrogate_fraction", world] = surrogate
        if world == "synapse":
            found["FunctionalConnectivity.Pair", "synapse (other pairs)"] = has_peak[~planted]
    return found


# ---- strategy


def _strategy(session: ModelSession, worlds: Sequence[str]) -> Found:
    found: Found = {}
    settings = STRATEGY_SETS["piet_2024"]
    recording = session.of("poisson")
    task = task_flashes(recording.flashes)
    for world in worlds:
        weights, rng = mouse_weights(session.seed, session.index, world, len(task))
        licks = lick(rng, task, weights)
        result = strategy_model(recording.flashes, licks, settings, session.index)
        for name in ("task0", "timing1D", "omissions", "omissions1"):
            lost = result.evidence_lost.get(name, np.nan)
            found[f"strategy_evidence_lost ({name})", world] = np.array([float(lost > LEAST_NATS)])
        found["strategy_label", world] = np.array([float(result.label in (VISUAL, BY_TIME))])
        found["visual_index", world] = np.array([result.visual_index])
        found["timing_index", world] = np.array([result.timing_index])
        if world == "mouse_walking" and result.walks is not None:
            kept = np.isin(task.index.to_numpy(), result.presentation_ids)
            true = np.column_stack([weights[name][kept] for name in result.names])
            # The bias of centred regressors holds their means.
            off = np.abs(result.walks.weights - true)[:, 1:]
            for column, sd in (
                ("strategy_weight_sd", result.weight_sd),
                ("strategy_conditional_sd", result.walks.weight_sd),
            ):
                found[column, world] = np.array([float((off > 2 * sd[:, 1:]).mean())])
    return found


_SLOW = ("poisson", "bursty", "refractory", "ou_5", "ou_60", "ou_600", "drift", "lost")
_LOCKED = ("lick_locked", "before_licks", "after_licks", "reward_locked", "run_locked", "pupil")
_TUNED = ("flash_tail", "suppressed", "image_tuned", "change_tuned", "omission_tuned", "latency_1_50")
_GLM = only((*_SLOW, "low_rate", "few_events", *_LOCKED, "engagement", *_TUNED, "hit_tuned"))
_SHIFTED = only((
    "poisson", "ou_60", "drift", "lost", "low_rate", "few_events", "lick_locked", "reward_locked",
    "run_locked",
    "pupil", "flash_tail", "image_tuned", "change_tuned", "omission_tuned",
))  # fmt: skip
_INDEPENDENT = (*_SLOW, "lick_locked", "reward_locked", "flash_tail", "image_tuned", "change_tuned")

MODEL_MEASURES = (
    ModelMeasure("EncodingModel", _encoding, of_tables.ENCODING, _GLM, _GLM_UNITS),
    ModelMeasure(
        "PublishedEncodingModel", _published_encoding, of_tables.PUBLISHED_ENCODING, _GLM, _GLM_UNITS
    ),
    ModelMeasure("EncodingNull", _encoding_null, of_tables.ENCODING_NULL, _SHIFTED, _NULL_UNITS),
    ModelMeasure("Decoding", _decoding, of_tables.DECODING, _GLM),
    ModelMeasure("TrialDecoding", _trial_decoding, of_tables.TRIAL_DECODING, _GLM),
    ModelMeasure(
        "ReplacedDecoding", naive.decoding, of_tables.NAIVE_DECODING,
        only((*_SLOW, "image_tuned", "hit_tuned")),
    ),
    ModelMeasure(
        "Variability", _variability, of_tables.VARIABILITY,
        only((*_SLOW, "run_locked", "pupil", "image_tuned")),
    ),
    ModelMeasure(
        "IntrinsicTimescale", _timescale, of_tables.TIMESCALE,
        only((*_SLOW, "low_rate", "run_locked", "pupil", "image_tuned", "full_field", "wander_50ms",
              "timescale_100ms", "decay_60ms")),
    ),
    ModelMeasure("Correlations", _correlations, of_tables.CORRELATIONS, only((*_INDEPENDENT, "gain"))),
    ModelMeasure(
        "Dimensionality", _dimensionality, of_tables.DIMENSIONALITY, only((*_INDEPENDENT, "gain")), POOL
    ),
    ModelMeasure(
        "FunctionalConnectivity", _connectivity, of_tables.CONNECTIVITY,
        only((*_SLOW, "lick_locked", "flash_tail", "flash_locked", "image_tuned", "wander_50ms", "gain",
              "synapse")),
    ),
    ModelMeasure(
        "ReplacedFunctionalConnectivity", naive.peaks_without_jitter, of_tables.NAIVE_CONNECTIVITY,
        only(("poisson", "ou_5", "flash_locked", "image_tuned", "gain")),
    ),
    ModelMeasure("StrategyModel", _strategy, of_tables.STRATEGY, tuple(MICE), 0),
)  # fmt: skip
