"""Data of the figure of a mouse's training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from schemas import behavior, performance, session
from schemas.queries.methods import warn_of_earlier_methods
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError
from vbn.nearest import nearest
from vbn.plots.training import TrainingHistory

COLUMNS = ["session_id", "date_of_acquisition", "session_type", "image_set", "experience_level", "file_kind"]
STATISTICS = (
    "pooled_dprime",
    "engaged_dprime",
    "pooled_hit_rate",
    "pooled_false_alarm_rate",
    "pooled_trial_count",
)


def training_sessions(mouse_id: str) -> pd.DataFrame:
    """Return all sessions of a mouse, registered or only in the release's tables, with its performance.

    Returns
    -------
    One row per session, by date: ``session_id``, ``date_of_acquisition``, ``session_type``, ``image_set``,
    ``experience_level``, ``file_kind``, ``is_registered``, ``n_rewards``, and the statistics of
    `performance.TaskStatistics` that are in `STATISTICS`; missing where they are unknown. ``genotype`` is
    there if the release's tables list a session that is not registered.

    Raises
    ------
    NotFoundError
        If the mouse is unknown.
    """
    registered = fetch_frame(session.sessions_of_mouse(mouse_id))[COLUMNS].assign(is_registered=True)
    listed = _listed_sessions(mouse_id)
    others = listed[~listed["session_id"].isin(registered["session_id"])]
    frames = [frame for frame in (others, registered) if len(frame)]
    if not frames:
        raise NotFoundError(f"Mouse '{mouse_id}' is unknown.{nearest(mouse_id, _known_mice())}")
    rows = pd.concat(frames, ignore_index=True)
    rows = rows.sort_values("date_of_acquisition", ignore_index=True)
    return rows.merge(_performance(mouse_id), on="session_id", how="left", validate="one_to_one")


def training_history(mouse_id: str) -> TrainingHistory:
    """Return `training_sessions` as the data of the figure.

    Raises
    ------
    NotFoundError
        If the mouse is unknown.
    """
    rows = training_sessions(mouse_id)
    known = (session.Mouse & {"mouse_id": mouse_id}).to_arrays("genotype").tolist()
    return TrainingHistory(
        mouse_id=mouse_id,
        genotype=str(known[0] if known else rows["genotype"].iloc[0]),
        date=rows["date_of_acquisition"].dt.to_pydatetime().tolist(),
        stage=[session.stage(name) or name for name in rows["session_type"]],
        images=[_images(*pair) for pair in zip(rows["session_type"], rows["image_set"], strict=True)],
        experience=[None if pd.isna(level) else level for level in rows["experience_level"]],
        is_recording=rows["file_kind"].to_numpy() == "recording",
        is_registered=rows["is_registered"].to_numpy(bool),
        dprime=rows["pooled_dprime"].to_numpy(float),
        engaged_dprime=rows["engaged_dprime"].to_numpy(float),
        hit_rate=rows["pooled_hit_rate"].to_numpy(float),
        false_alarm_rate=rows["pooled_false_alarm_rate"].to_numpy(float),
        n_trials=rows["pooled_trial_count"].to_numpy(float),
        n_rewards=rows["n_rewards"].to_numpy(float),
    )


def _listed_sessions(mouse_id: str) -> pd.DataFrame:
    """Return a mouse's sessions in the release's tables, with its genotype there."""
    entries = (session.CatalogueSession & {"catalogue_mouse_id": mouse_id}).to_dicts()
    rows: list[dict[str, Any]] = [
        {
            **entry["catalogue_row"],
            "session_id": entry["catalogue_session_id"],
            "file_kind": entry["catalogue_kind"],
        }
        for entry in entries
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "genotype"]).assign(is_registered=False)
    dates = pd.to_datetime(frame["date_of_acquisition"], utc=True, format="ISO8601").dt.tz_localize(None)
    return frame.assign(date_of_acquisition=dates)


def _performance(mouse_id: str) -> pd.DataFrame:
    key = {
        "mouse_id": mouse_id,
        "task_statistics_params": performance.TaskStatisticsParams.default_name(),
    }
    pooled = fetch_frame((performance.TaskStatistics & key).proj(*STATISTICS))[["session_id", *STATISTICS]]
    warn_of_earlier_methods({performance.TaskStatistics: key})
    rewards = fetch_frame((behavior.ChangeDetection & {"mouse_id": mouse_id}).proj("n_rewards"))
    return rewards[["session_id", "n_rewards"]].merge(pooled, on="session_id", how="outer")


def _images(session_type: str, image_set: Any) -> str | None:
    if isinstance(image_set, str) and image_set:
        return image_set
    return "gratings" if "gratings" in session_type else None


def _known_mice() -> list[str]:
    names = [session.Mouse.to_arrays("mouse_id"), session.CatalogueSession.to_arrays("catalogue_mouse_id")]
    return [str(name) for each in names for name in each]
