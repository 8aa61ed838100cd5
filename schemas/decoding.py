"""Decoding: what can be read from the counts of populations, and choice probabilities of units."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from schemas import (  # noqa: F401 - definitions refer to them
    behavior,
    ecephys,
    optotagging,
    responses,
    selection,
    stimulus,
)
from schemas.bases.parameter_table import ParameterTable, SetsOnRequest, definition_of
from schemas.bases.provenance import Computation, provenance_lines, seed_of
from schemas.reading.recordings import located_frame
from schemas.reading.session_frames import flashes_frame, trials_frame
from schemas.rows.insert import insert_rows, plain, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.decoding.parameters import ANY, DECODING, LABELS, DecodingParameters
from vbn.analysis.decoding.populations import ALL_CLASSES, Decoded
from vbn.analysis.decoding.session import DecodingResult, decode_session
from vbn.analysis.decoding.trials import (
    TRIAL_DECODING,
    OutcomeTrials,
    TrialDecoded,
    TrialDecodingParameters,
    decode_trials,
    outcome_trials,
)
from vbn.analysis.optotagging import CELL_CLASSES, DEFAULT_METHOD, UNLABELLED
from vbn.analysis.task.engagement import require_engagement
from vbn.errors import SettingError
from vbn.nearest import nearest

schema = Schema()

Key = dict[str, Any]

CLASSES = (ALL_CLASSES, *(name for name in CELL_CLASSES if name != UNLABELLED))


def _default_labels() -> Key:
    """Return the sets of parameters of the labels that cell classes are of."""
    return {
        "optotag_method": DEFAULT_METHOD,
        "optotag_params": optotagging.OptotagParams.default_name(),
    }


def _enum(names: tuple[str, ...]) -> str:
    return f"enum({', '.join(map(repr, names))})"


@schema
class DecodingParams(SetsOnRequest):
    """One choice of labels, windows, classifier, folds and null of the decoders.

    ``calibrated``: folds of whole pieces of time, and a null. ``bennett_2025``: the published classifier and
    features; with ``computed`` false it is there to be added under a name of your own (docs/decoding.md).
    """

    settings = DecodingParameters
    defaults = DECODING
    definition = definition_of(
        "decoding", "the decoders", "vbn.analysis.decoding.parameters.DecodingParameters"
    )

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a set whose filter and definition of engagement exist."""
        content = cls.content_of(row)
        selection.UnitCriteria.get(content["unit_criteria"])
        require_engagement(content["engagement"], ANY)
        super()._insert_checked(row)


@schema
class Decoding(Computation):
    """What can be decoded from the units of one session that pass the set's filter."""

    method_version = 2  # no latency where p is above .05
    of_some_units = True
    definition = f"""
    # Decoding from the units of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> DecodingParams
    ---
    -> selection.UnitSelection
    -> responses.CellClass
    n_decoding_units : int32  # units that pass the filter
    n_decoding_populations : int32  # structures and their cell classes with enough units
    n_choice_hits : int32  # hits that choice probabilities are of
    n_choice_misses : int32  # misses
    n_choice_pairs : int32  # pairs of a hit and a miss of one piece of time
    {provenance_lines("decoding")}
    """

    class Label(dj.Part):
        """The flashes of one label."""

        definition = f"""
        # Flashes of one label
        -> master
        decoding_label : {_enum(LABELS)}  # what is decoded
        ---
        n_decoding_flashes : int32  # flashes of all classes
        n_decoding_blocks : int32  # pieces of time that they lie in, of which folds are made
        decoding_classes : json  # names of the classes, in the order of the confusions
        decoding_class_flashes : json  # class: its flashes
        decoding_chance=null : float64  # (1) accuracy without any knowledge, NULL if nothing is decoded
        decoding_missing=null : varchar(1000)  # why nothing is decoded, else NULL
        """

    class Population(dj.Part):
        """The decoding of one label from so many units of one structure, or of a cell class of it."""

        definition = f"""
        # Decoding of one label from one population
        -> Decoding.Label
        -> ecephys.Structure
        decoding_cell_class : {_enum(CLASSES)}  # units of this class
        decoding_n_units : int32  # units of each draw
        ---
        n_decoding_available : int32  # units that there are
        n_decoding_draws : int32  # draws of units
        decoding_accuracy : float64  # (1) balanced accuracy of the longest window, mean over draws
        decoding_accuracy_sd=null : float64  # (1) standard deviation over draws, which share units
        decoding_random_accuracy : float64  # (1) the same with flashes dealt to folds at random, as published
        decoding_random_excess : float64  # (1) by how much that is greater
        decoding_null_mean=null : float64  # (1) accuracy by permuted labels, NULL without a null
        decoding_null_sd=null : float64  # (1) its standard deviation
        decoding_p=null : float64  # (1) (1 + permutations with as much) / (1 + permutations)
        decoding_latency=null : float64  # (s) window from which on accuracy is above its null
        decoding_window_stops : <blob>  # (s) float64, ends of the windows after the start of the flash
        decoding_course : <blob>  # (1) float64, accuracy of each window
        decoding_null_course=null : <blob>  # (1) float64, quantile .95 of the null of each window
        decoding_confusion : <blob>  # (1) float64, share of a class (row) taken for each, as decoding_classes
        """

    class Unit(dj.Part):
        """Whether one unit fires more to hits than to misses, while the mouse is engaged."""

        definition = """
        # Choice probability of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        choice_probability=null : float64  # (1) share of pairs with more spikes at the hit, less the images'
        choice_p=null : float64  # (1) two-sided, of hits and misses permuted within pieces of time
        choice_q=null : float64  # (1) the same, Benjamini-Hochberg over the units of the session
        """

    @property
    def key_source(self) -> Any:
        """Recordings with a selection by the filter of the set, and cell classes."""
        sets = [
            dj.AndList(
                [{"decoding_params": name}, selection.UnitSelection & {"unit_criteria": each.unit_criteria}]
            )
            for name, each in DecodingParams.computed().items()
        ]
        return super().key_source & sets & (responses.CellClass & _default_labels())

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters, and the cell classes."""
        of_classes = (responses.CellClass & key & _default_labels()).fetch1("KEY")
        classes = (responses.CellClass.Unit & of_classes).to_arrays("unit_id", "cell_class")
        labels: dict[int, str] = dict(zip(*(each.tolist() for each in classes), strict=True))
        return self.provenance(key), DecodingParams.get(key), labels, of_classes

    def make_compute(
        self, key: Key, made_with: Key, settings: DecodingParameters, labels: dict[int, str], of_classes: Key
    ) -> tuple[Any, ...]:
        """Decode from the units that pass."""
        units, spikes = selection.selected_spikes(key, settings.unit_criteria)
        places = located_frame(key).set_index("unit_id")["structure_acronym"]
        names = units["unit_id"].map(places), units["unit_id"].map(labels).where(lambda of: of != UNLABELLED)
        is_auto = trials_frame(key)["auto_rewarded"].to_numpy(np.bool_)
        result = decode_session(spikes, *names, flashes_frame(key), is_auto, settings, seed_of(key))
        more = {"unit_criteria": settings.unit_criteria, **of_classes}
        return {**made_with, **more}, units, result

    def make_insert(self, key: Key, made_with: Key, units: pd.DataFrame, result: DecodingResult) -> None:
        """Insert the labels, the populations, and the units."""
        populations = pd.DataFrame(
            [_population_row(label, each) for label, of in result.decoded.items() for each in of],
            columns=["decoding_label", *_population_names()],
        )
        self.insert1({**key, **made_with, **_session_row(units, populations, result)})
        labels = pd.DataFrame(_label_rows(result))
        insert_rows(self.Label(), rows_from_frame(labels, self.Label(), key))
        insert_rows(self.Population(), rows_from_frame(populations, self.Population(), key))
        choice = {name: getattr(result.choice, name) for name in ("probability", "p", "q")}
        rows = units[["probe_name", "unit_id"]].assign(
            **{f"choice_{name}": of for name, of in choice.items()}
        )
        insert_rows(self.Unit(), rows_from_frame(rows, self.Unit(), key))


@schema
class TrialDecodingParams(ParameterTable):
    """One choice of structures, window, folds and null of the decoders of hits and misses, trial by trial.

    ``logistic_visp``: as single sessions are decoded elsewhere (docs/decoding.md).
    """

    settings = TrialDecodingParameters
    defaults = TRIAL_DECODING
    definition = definition_of(
        "trial_decoding",
        "the decoders of hits and misses, trial by trial",
        "vbn.analysis.decoding.trials.TrialDecodingParameters",
    )

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a set whose filter and structures exist."""
        content = cls.content_of(row)
        known = ecephys.Structure().to_arrays("structure_acronym").tolist()
        if unknown := [name for name in content["structures"] if name not in known]:
            raise SettingError(f"There is no structure '{unknown[0]}'.{nearest(unknown[0], known)}")
        selection.UnitCriteria.get(content["unit_criteria"])
        super()._insert_checked(row)


@schema
class TrialDecoding(Computation):
    """How hits are told from misses in one session, trial by trial; computed only if requested by name."""

    is_optional = True
    of_some_units = True
    definition = f"""
    # Decoding of hits and misses of one session, trial by trial
    -> ecephys.Recording
    -> behavior.ChangeDetection
    -> TrialDecodingParams
    ---
    -> selection.UnitSelection
    n_trial_hits : int32  # hits, without auto-rewarded trials
    n_trial_misses : int32  # misses
    trial_decoding_missing=null : varchar(1000)  # why nothing is decoded, else NULL
    {provenance_lines("trial_decoding")}
    """

    class Population(dj.Part):
        """The decoding of hits and misses from the units of one structure."""

        definition = """
        # Decoding of hits and misses from one structure
        -> master
        -> ecephys.Structure
        ---
        n_trial_units : int32  # units of the structure that pass the filter, all of which are taken
        trial_accuracy : float64  # (1) balanced accuracy of trials left out, mean over splits
        trial_accuracy_sd : float64  # (1) its standard deviation over splits, which share trials
        trial_auc : float64  # (1) area under the curve of trials left out, mean over splits
        trial_auc_sd : float64  # (1) its standard deviation over splits
        trial_null_mean=null : float64  # (1) accuracy by outcomes permuted freely, NULL without a null
        trial_null_sd=null : float64  # (1) its standard deviation
        trial_free_p=null : float64  # (1) (1 + permutations with as much) / (1 + their number)
        trial_circular_p=null : float64  # (1) the same of outcomes shifted along the trials
        n_trial_shifts : int32  # different shifts
        trial_null_accuracies=null : <blob>  # (1) float64, accuracy by each permutation
        trial_null_aucs=null : <blob>  # (1) float64, area under the curve by each permutation
        trial_circular_accuracies=null : <blob>  # (1) float64, accuracy by each shift
        """

    @property
    def key_source(self) -> Any:
        """Recordings with a selection by the filter of the set."""
        contents = TrialDecodingParams.contents_by_name()
        sets = [
            dj.AndList(
                [
                    {"trial_decoding_params": name},
                    selection.UnitSelection & {"unit_criteria": content["unit_criteria"]},
                ]
            )
            for name, content in contents.items()
        ]
        return super().key_source & sets

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), TrialDecodingParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: TrialDecodingParameters) -> tuple[Any, ...]:
        """Decode from the units that pass."""
        units, spikes = selection.selected_spikes(key, settings.unit_criteria)
        places = located_frame(key).set_index("unit_id")["structure_acronym"]
        trials = outcome_trials(trials_frame(key), settings.min_trials)
        found = decode_trials(spikes, units["unit_id"].map(places), trials, settings, seed_of(key))
        return {**made_with, "unit_criteria": settings.unit_criteria}, trials, found

    def make_insert(self, key: Key, made_with: Key, trials: OutcomeTrials, found: list[TrialDecoded]) -> None:
        """Insert the session and its populations."""
        n_hits = int(trials.is_hit.sum())
        of_trials = {"n_trial_hits": n_hits, "n_trial_misses": trials.is_hit.size - n_hits}
        no_units = "" if found else "no structure of the set has as many units that pass its filter"
        missing = {"trial_decoding_missing": trials.missing or no_units or None}
        self.insert1({**key, **made_with, **of_trials, **missing})
        insert_rows(self.Population(), [{**key, **_trial_row(each)} for each in found])


def _trial_row(found: TrialDecoded) -> Key:
    """Return the attributes of a population's row."""
    free, circular = found.null_accuracies, found.circular_accuracies
    return {
        "structure_acronym": found.structure,
        "n_trial_units": found.n_units,
        "trial_accuracy": found.accuracy,
        "trial_accuracy_sd": found.accuracy_sd,
        "trial_auc": found.auc,
        "trial_auc_sd": found.auc_sd,
        "trial_null_mean": plain(free.mean()) if free.size else None,
        "trial_null_sd": plain(free.std(ddof=1)) if free.size > 1 else None,
        "trial_free_p": plain(found.p),
        "trial_circular_p": plain(found.circular_p),
        "n_trial_shifts": circular.size,
        "trial_null_accuracies": free if free.size else None,
        "trial_null_aucs": found.null_aucs if free.size else None,
        "trial_circular_accuracies": circular if circular.size else None,
    }


def _session_row(units: pd.DataFrame, populations: pd.DataFrame, result: DecodingResult) -> Key:
    """Return the attributes of a session's row."""
    names = ["structure_acronym", "decoding_cell_class"]
    n_misses, n_hits = np.bincount(result.choice_flashes.classes, minlength=2).tolist()
    return {
        "n_decoding_units": len(units),
        "n_decoding_populations": len(populations[names].drop_duplicates()),
        "n_choice_hits": n_hits,
        "n_choice_misses": n_misses,
        "n_choice_pairs": result.choice.n_pairs,
    }


def _label_rows(result: DecodingResult) -> list[Key]:
    """Return the attributes of the labels' rows."""
    return [
        {
            "decoding_label": name,
            "n_decoding_flashes": flashes.classes.size,
            "n_decoding_blocks": np.unique(flashes.block).size,
            "decoding_classes": list(flashes.class_names),
            "decoding_class_flashes": flashes.class_sizes(),
            "decoding_chance": None if flashes.missing else 1 / flashes.n_classes,
            "decoding_missing": flashes.missing[:1000] or None,
        }
        for name, flashes in result.flashes.items()
    ]


_ATTRIBUTES = {
    "structure": "structure_acronym",
    "n_available": "n_decoding_available",
    "n_draws": "n_decoding_draws",
    "latency_s": "decoding_latency",
    "stops_s": "decoding_window_stops",
}
"""Field of `Decoded` -> attribute, where it is not the field's name after ``decoding_``."""


def _population_names() -> list[str]:
    names = [_ATTRIBUTES.get(each.name, f"decoding_{each.name}") for each in fields(Decoded)]
    return [*names, "decoding_random_excess"]


def _population_row(label: str, found: Decoded) -> list[Any]:
    """Return the attributes of a population's row, in the order of their names."""
    values = [getattr(found, each.name) for each in fields(Decoded)]
    kept = [value if isinstance(value, np.ndarray | str) else plain(value) for value in values]
    if np.isnan(found.null_course).all():
        kept[[each.name for each in fields(Decoded)].index("null_course")] = None
    return [label, *kept, found.random_accuracy - found.accuracy]
