"""One row per flash: what was shown, and what the mouse did around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import performance, session, stimulus
from schemas.queries.checks import knowing_arguments, of_sessions
from schemas.queries.missing import not_computed
from schemas.queries.results import OF_SESSION
from schemas.queries.trajectories import TRAJECTORY, images
from schemas.reading.session_frames import flashes_frame
from schemas.rows.fetch import fetch_frame
from vbn.analysis.task.engagement import ENGAGEMENT
from vbn.analysis.task.flash_sets import select_flashes
from vbn.errors import NotFoundError

SESSION_KEY = ["mouse_id", "session_id"]
OF_PRESENTATION = {
    "presentation_start_time": "start_time",
    "presentation_end_time": "end_time",
    "image_name": "image_name",
    "is_image_novel": "is_image_novel",
    "is_sham_change": "is_sham_change",
    "block": "stimulus_block",
    "trial_id": "trial_id",
}


@knowing_arguments
def flash_table(
    sessions: Any = True, *, flash_set: str | None = None, lick_bout_params: str = "bennett_2025"
) -> pd.DataFrame:
    """Return one row per flash and omission with the behavior around it, its session and mouse.

    Parameters
    ----------
    sessions : one or more session ids, a key, or a query as returned by `sessions`; all by default.
    flash_set : name of a row of `performance.FlashSets`; only its flashes are returned.
    lick_bout_params : name of a row of `performance.LickBoutParams`, the definition of a lick bout.

    Returns
    -------
    One row per flash, by session and in order of time: mouse_id, session_id, presentation_id; start_time,
    end_time (s), image_name, image_membership (see `images`), is_image_novel, is_sham_change,
    stimulus_block, trial_id; the columns of
    `vbn.analysis.task.flash_behavior.flash_behavior`, with ``replay`` a presentation_id
    (``engaged_piet_2024``, which is not stored, only if the flash set is by it); and those of the session and
    mouse.

    Raises
    ------
    NotFoundError
        If there are no such sessions, sets or definitions, or `performance.FlashBehavior` is not computed for
        one of the sessions.
    """
    chosen = None if flash_set is None else performance.FlashSets.get(flash_set)
    performance.LickBoutParams.get(lick_bout_params)
    mice = session.Session.proj(*OF_SESSION, **TRAJECTORY) * session.Mouse.proj("genotype", "cre_line", "sex")
    described = fetch_frame(of_sessions(mice & stimulus.Stimulus.proj(), sessions), nullable_integers=True)
    if described.empty:
        raise NotFoundError("There are no flashes of such sessions. See: vbn sessions, vbn status.")
    key = {"lick_bout_params": lick_bout_params}
    stored = of_sessions(performance.FlashBehavior & key, sessions)
    memberships = fetch_frame(images()).set_index("image_name")["image_membership"]
    frames = []
    for values in described[SESSION_KEY].itertuples(index=False):
        row = dict(zip(SESSION_KEY, values, strict=True))
        arrays = (stored & row).to_dicts()
        if not arrays:
            raise NotFoundError(not_computed(performance.FlashBehavior, key, [row["session_id"]]))
        flashes = _flashes(row, arrays[0])
        if chosen is not None:
            flashes = _with_engagement(flashes, row, chosen.engaged)
            flashes = flashes[select_flashes(flashes, chosen)]
        frames.append(flashes.reset_index().assign(**row))
    table = pd.concat(frames, ignore_index=True)
    position = table.columns.tolist().index("image_name") + 1
    table.insert(position, "image_membership", table["image_name"].map(memberships))
    table = table[[*SESSION_KEY, *(name for name in table if name not in SESSION_KEY)]]
    return table.merge(described, on=SESSION_KEY, how="left", validate="many_to_one")


def _with_engagement(flashes: pd.DataFrame, key: dict[str, Any], definition: str) -> pd.DataFrame:
    """Return flashes with the column of a definition of engagement, which may not be stored (piet_2024)."""
    name = f"engaged_{definition}"
    if definition not in ENGAGEMENT or name in flashes:
        return flashes
    return flashes.join(flashes_frame(key)[name])


def _flashes(key: dict[str, Any], arrays: dict[str, Any]) -> pd.DataFrame:
    """Return the flashes of one session, with their presentation_id as index."""
    query = stimulus.Stimulus.Presentation & key
    shown = fetch_frame(query.proj(*OF_PRESENTATION), nullable_integers=True)
    shown = shown.set_index("presentation_id").rename(columns=OF_PRESENTATION)
    columns = {name: values for name, values in arrays.items() if isinstance(values, np.ndarray)}
    table = pd.DataFrame(columns).rename(columns=lambda name: name.removeprefix("flash_"))
    shown = shown[list(OF_PRESENTATION.values())].astype({"is_image_novel": "boolean"})
    return shown.join(table.set_index("presentation_id"), how="right")
