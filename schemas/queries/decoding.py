"""Decoding of labels and of trials from populations: one row for each, or one for each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from schemas import decoding, ecephys
from schemas.queries.checks import knowing_arguments, of_sessions, require_choice, require_structures
from schemas.queries.methods import require_present_methods, warn_of_earlier_methods
from schemas.queries.missing import warn_of_missing
from schemas.rows.fetch import fetch_frame
from vbn.analysis.decoding.parameters import LABELS
from vbn.analysis.decoding.populations import ALL_CLASSES
from vbn.errors import NotFoundError

COURSE = {
    "window_stop": "decoding_window_stops",
    "accuracy": "decoding_course",
    "null_accuracy": "decoding_null_course",
}
ARRAYS = (*COURSE.values(), "decoding_confusion")
TRIAL_ARRAYS = ("trial_null_accuracies", "trial_null_aucs", "trial_circular_accuracies")


@knowing_arguments
def decoding_table(
    structures: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    cell_class: str | None = ALL_CLASSES,
    n_units: int | None = None,
    sessions: Any = True,
    decoding_params: str | None = None,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return how well labels are decoded from populations: one row per session, label and population.

    Parameters
    ----------
    structures : acronyms; None for all.
    labels : ``image``, ``change``, ``lick_matched_change``, ``hit`` or ``omission``; None for all.
    cell_class : ``all``, for all units of a structure, or a cell class; None for all of these.
    n_units : number of units of a draw; None for all numbers of the set.
    sessions : a session's id or several, a key, or a query with the session's key; True for all.
    decoding_params : name of a row of `decoding.DecodingParams`; by default the first of the package.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    The attributes of `decoding.Decoding.Population` that are numbers, with ``structure_group``,
    ``decoding_chance`` and ``n_decoding_flashes``. Sessions, not draws of units, are independent.

    Raises
    ------
    NotFoundError
        If there is no such parameter set or structure, or nothing is decoded.
    SettingError
        If there is no such label or cell class.
    ConflictError
        If some results were computed by an earlier method.

    Warns
    -----
    IncompleteWarning
        If some recordings are not decoded yet.
    """
    query = _populations(structures, labels, cell_class, n_units, sessions, decoding_params, allow_mixed)
    return fetch_frame(query.proj(*[name for name in query.heading.names if name not in ARRAYS]))


@knowing_arguments
def decoding_courses(
    structures: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    cell_class: str | None = ALL_CLASSES,
    n_units: int | None = None,
    sessions: Any = True,
    decoding_params: str | None = None,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return how well labels are decoded from windows that end later and later.

    Parameters
    ----------
    structures, labels, cell_class, n_units, sessions, decoding_params, allow_mixed : as for `decoding_table`.

    Returns
    -------
    One row per session, label, population and window: their keys, ``window_stop`` (s after the start of the
    flash), ``accuracy`` and ``null_accuracy`` (quantile .95 of the null; NaN without one).

    Raises
    ------
    NotFoundError, SettingError, ConflictError
        As `decoding_table`.
    """
    query = _populations(structures, labels, cell_class, n_units, sessions, decoding_params, allow_mixed)
    part = decoding.Decoding.Population
    frame = fetch_frame(query.proj("structure_group", "decoding_chance", *COURSE.values()))
    keys = [*part.primary_key, "structure_group", "decoding_chance"]
    lengths = frame["decoding_course"].map(len)
    found = frame.loc[frame.index.repeat(lengths), keys].reset_index(drop=True)
    for name, attribute in COURSE.items():
        pairs = zip(frame[attribute], lengths, strict=True)
        found[name] = np.concatenate([np.full(n, np.nan) if of is None else of for of, n in pairs])
    return found


@knowing_arguments
def trial_decoding_table(
    structures: Sequence[str] | None = None,
    *,
    sessions: Any = True,
    trial_decoding_params: str | None = None,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return how well hits are told from misses, trial by trial: one row per session and structure.

    Parameters
    ----------
    structures : acronyms; None for all that the set decodes.
    sessions : a session's id or several, a key, or a query with the session's key; True for all.
    trial_decoding_params : name of a row of `decoding.TrialDecodingParams`; by default the package's.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    The attributes of `decoding.TrialDecoding.Population` that are numbers, with ``structure_group``,
    ``n_trial_hits`` and ``n_trial_misses``.

    Raises
    ------
    NotFoundError
        If there is no such parameter set or structure, or nothing is decoded.
    ConflictError
        If some results were computed by an earlier method.

    Warns
    -----
    IncompleteWarning
        If some recordings are not decoded yet.
    """
    key = {"trial_decoding_params": trial_decoding_params or decoding.TrialDecodingParams.default_name()}
    decoding.TrialDecodingParams.get(key)
    recordings = _decoded_recordings(decoding.TrialDecoding, key, sessions, allow_mixed)
    found = _in_structures(decoding.TrialDecoding.Population & key & recordings, structures)
    if not found:
        raise NotFoundError(_why_no_trials(decoding.TrialDecoding & key & recordings))
    trials = decoding.TrialDecoding.proj("n_trial_hits", "n_trial_misses")
    query = found * ecephys.Structure.proj("structure_group") * trials
    return fetch_frame(query.proj(*[name for name in query.heading.names if name not in TRIAL_ARRAYS]))


def _why_no_trials(of_sets: Any) -> str:
    """Say why nothing is decoded, with one of the reasons that the sessions have."""
    reasons = [row["trial_decoding_missing"] for row in of_sets.proj("trial_decoding_missing").to_dicts()]
    named = next((f" Of one of the sessions: {why}." for why in reasons if why), "")
    return (
        "Nothing is decoded of what is asked for: no structure has as many units that pass the set's filter, "
        "there are too few hits or misses, or it is not computed, which it is by: vbn populate --tables "
        f"TrialDecoding.{named}"
    )


def _populations(
    structures: Sequence[str] | None,
    labels: Sequence[str] | None,
    cell_class: str | None,
    n_units: int | None,
    sessions: Any,
    decoding_params: str | None,
    allow_mixed: bool,
) -> Any:
    """Return the rows that are asked for, with the structure's group and the label's chance."""
    key = {"decoding_params": decoding_params or decoding.DecodingParams.default_name()}
    decoding.DecodingParams.get(key)
    recordings = _decoded_recordings(decoding.Decoding, key, sessions, allow_mixed)
    found = _in_structures(decoding.Decoding.Population & key & recordings, structures)
    for attribute, names, known in (
        ("decoding_label", labels, list(LABELS)),
        ("decoding_cell_class", cell_class if cell_class is None else [cell_class], list(decoding.CLASSES)),
    ):
        if names is not None:
            for name in names:
                require_choice(attribute.removeprefix("decoding_"), name, known)
            found &= [{attribute: name} for name in names]
    if n_units is not None:
        found &= {"decoding_n_units": n_units}
    if not found:
        raise NotFoundError(_why_nothing(decoding.Decoding.Label & key & recordings))
    labels_of = decoding.Decoding.Label.proj("decoding_chance", "n_decoding_flashes")
    return found * ecephys.Structure.proj("structure_group") * labels_of


def _decoded_recordings(table: Any, key: dict[str, str], sessions: Any, allow_mixed: bool) -> Any:
    """Return the recordings that are asked for; say which lack results, or have those of earlier methods."""
    recordings = of_sessions(ecephys.Recording.proj(), sessions)
    warn_of_missing(table, key, recordings, "They are left out.")
    check = warn_of_earlier_methods if allow_mixed else require_present_methods
    check({table: key}, recordings)
    return recordings


def _in_structures(populations: Any, structures: Sequence[str] | None) -> Any:
    """Return the populations of structures, which must exist; None for all."""
    require_structures(structures or ())
    if structures is None:
        return populations
    return populations & [{"structure_acronym": name} for name in structures]


def _why_nothing(labels: Any) -> str:
    """Say why nothing is decoded, with the reasons that the labels have."""
    reasons = {
        row["decoding_label"]: row["decoding_missing"] for row in labels.proj("decoding_missing").to_dicts()
    }
    named = [f"{label} has {why}" for label, why in sorted(reasons.items()) if why]
    shown = f" Of one of the sessions: {'; '.join(named)}." if named else ""
    return (
        "Nothing is decoded of what is asked for: no structure has as many units that pass the set's filter, "
        f"or there are too few flashes, or it is not computed (vbn status).{shown}"
    )
