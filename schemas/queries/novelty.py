"""Novelty over mice: a contrast of the sessions that `responses.MouseNovelty` has rows of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from schemas import responses, session
from schemas.queries.checks import knowing_arguments, require_choice
from schemas.queries.contrast import contrast_columns, contrast_of, unit_values
from schemas.queries.missing import IncompleteWarning
from schemas.queries.named_lists import in_lists
from schemas.queries.projects import Names, of_one_project
from schemas.queries.trajectories import of_trajectories
from schemas.queries.units import units
from schemas.queries.words import our_names
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.analysis.contrasts import Index
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.responses.novelty_response import KINDS
from vbn.errors import NotFoundError

INDICES: tuple[Index, ...] = ("difference", "bennett_2025")
BENNETT = {"estimate": "index", "low": "index_low", "high": "index_high", "p_value": "index_p_value"}


@knowing_arguments
def novelty(
    flashes: str | Sequence[str] = "change_nonshared_active",
    *,
    within: Sequence[str] = ("structure_acronym",),
    criteria: str = "bennett_2025",
    trajectory: str | Sequence[str] | None = None,
    project: Names = None,
    in_list: Names = None,
    not_in_list: Names = None,
    label: Names = None,
    without_label: Names = None,
    novelty_response_params: str | None = None,
    atlas: str | None = None,
    min_units: int = 6,
    n_resamples: int = 2000,
    seed: int = 0,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Contrast novel with familiar sessions over the mice that have both.

    Parameters
    ----------
    flashes : kind of flashes: ``change`` or ``repeat``, of ``nonshared`` images, which are novel in novel
        sessions, or of ``shared`` ones (holdovers), ``active`` or ``passive``, such as
        ``repeat_shared_active``; of several, the table begins with ``flashes``.
    within : attributes that divide the units, such as ``structure_acronym``, ``cortical_layer``,
        ``cell_class``, ``training_trajectory``.
    criteria : quality filter of the units, one of those for populations.
    trajectory : only mice of these training trajectories, such as ``GGH``.
    project : data sets of the mice, ``all`` to join them; required if they are of several.
    in_list, not_in_list, label, without_label : only these units, as in `units`. Mice are compared that have
        such units in both sessions.
    novelty_response_params : name of a row of `responses.NoveltyResponseParams`.
    atlas, min_units, n_resamples, seed, allow_mixed : see `contrast`.

    Returns
    -------
    pandas.DataFrame
        As of `contrast`, novel less familiar (Hz), and with the index of Bennett et al. 2025 over mice beside
        it: ``index``, ``index_low``, ``index_high``, ``index_p_value``.

    Raises
    ------
    NotFoundError
        If no mouse has a row in `responses.MouseNovelty`.

    Warns
    -----
    IncompleteWarning
        If mice that have both recordings have no row yet.
    """
    kinds = [flashes] if isinstance(flashes, str) else list(flashes)
    for kind in kinds:
        require_choice("kind of flashes", kind, KINDS)
    within = our_names("column", within, contrast_columns())
    params = novelty_response_params or responses.NoveltyResponseParams.default_name()
    responses.NoveltyResponseParams.get(params)
    key = {"unit_criteria": criteria, "novelty_response_params": params, "optotag_method": DEFAULT_METHOD}
    among = session.Session if trajectory is None else session.Session & of_trajectories(trajectory)
    pairs = [{"experience_level": level} for level in ("Familiar", "Novel")]
    among = of_one_project(in_lists(among & pairs, in_list), project, "Novelty")
    found = fetch_frame((responses.MouseNovelty & key & _mice_of(among, "Novel")).proj())
    _require_mice(found, among)
    numbers = sorted({*found["familiar_session_id"], *found["novel_session_id"]})
    sessions = session.Session.proj() & [{"session_id": int(number)} for number in numbers]
    columns = [f"novelty_{kind}" for kind in kinds]
    chosen = units(
        criteria=criteria, sessions=sessions, in_list=in_list, not_in_list=not_in_list, label=label,
        without_label=without_label,
    )  # fmt: skip
    frame = unit_values(
        chosen, [*columns, "experience_level", *within], atlas=atlas,
        parameters={"novelty_response_params": params}, allow_mixed=allow_mixed,
    )  # fmt: skip
    tables = []
    for kind, column in zip(kinds, columns, strict=True):
        difference, index = (
            contrast_of(
                frame, column, "experience_level", levels=("Familiar", "Novel"), within=within, pair="mouse",
                index=each, min_units=min_units, n_resamples=n_resamples, seed=seed,
            )
            for each in INDICES
        )  # fmt: skip
        tables.append(pd.concat([difference, index[list(BENNETT)].rename(columns=BENNETT)], axis=1))
        tables[-1].attrs = difference.attrs
        if not isinstance(flashes, str):
            tables[-1].insert(0, "flashes", kind)
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    table.attrs = tables[0].attrs | {"mice": sorted({each for of in tables for each in of.attrs["mice"]})}
    return table


def _mice_of(sessions: Any, level: str) -> list[dict[str, str]]:
    """Return the keys of the mice that have such a session; of no mouse if there is none."""
    mice = (dj.U("mouse_id") & (sessions & {"experience_level": level})).to_arrays("mouse_id")
    return [{"mouse_id": str(mouse)} for mouse in mice]


def _require_mice(found: pd.DataFrame, among: Any) -> None:
    """Refuse to contrast without mice, and warn of those that are not computed."""
    familiar, novel = ({row["mouse_id"] for row in _mice_of(among, level)} for level in ("Familiar", "Novel"))
    wanted = familiar & novel
    lacking = sorted(wanted - set(found["mouse_id"]))
    if found.empty and not wanted:
        raise NotFoundError(
            "No mouse has a recording with familiar and one with novel images. Which are novel is known from "
            "the release's tables: vbn catalogue FOLDER"
        )
    if found.empty:
        raise NotFoundError(
            f"MouseNovelty is not computed by this filter for any of {len(wanted)} mice. Run: vbn populate"
        )
    if lacking:
        warnings.warn(
            f"MouseNovelty is not computed for {len(lacking)} of {len(wanted)} mice with both recordings: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}. Run: vbn populate",
            IncompleteWarning,
            stacklevel=3,
        )
