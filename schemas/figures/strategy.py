"""Data of the figure of a session's strategy."""

from __future__ import annotations

import numpy as np

from schemas import performance, strategy
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import session_key
from schemas.queries.strategy import strategy_weights
from schemas.reading.session_frames import licks_frame, presentations_frame, rewards_frame
from schemas.rows.fetch import fetch_frame
from vbn.analysis.task.licking import bout_onsets
from vbn.plots.strategy import SessionStrategy

INDICES = ("visual_index", "timing_index", "omission_index", "post_omission_index")


def session_strategy(session_id: int, strategy_params: str | None = None) -> SessionStrategy:
    """Return the strategy model of a session.

    Parameters
    ----------
    session_id : id of the session.
    strategy_params : name of a row of `strategy.StrategyParams`; by default the first of the package.

    Raises
    ------
    NotFoundError
        If there is no such session or set, the session is not imported and computed, or has no model.
    """
    name = strategy_params or strategy.StrategyParams.default_name()
    settings = strategy.StrategyParams.get(name)
    key = session_key(session_id)
    engaged_key = {**key, "engagement_params": settings.engagement}
    table = strategy_weights(session_id, name)
    require_entries(engaged_key, performance.Engagement)
    row = (strategy.StrategyModel & key & {"strategy_params": name}).fetch1()
    epochs = fetch_frame(performance.Engagement.Epoch & engaged_key & "epoch_is_engaged")
    shown = presentations_frame(key)
    block = shown.loc[shown["active"].fillna(False).astype(bool), "start_time"]
    licks = licks_frame(key)["timestamps"].to_numpy(float)
    names = row["strategy_regressors"]
    return SessionStrategy(
        session_id=session_id,
        parameters=name,
        engagement=settings.engagement,
        label=row["strategy_label"] or "unknown",
        start_time_s=table["start_time"].to_numpy(float),
        weights={each: table[f"weight_{each}"].to_numpy(float) for each in names},
        weight_sd={each: table[f"sd_{each}"].to_numpy(float) for each in names},
        lick_probability=table["lick_probability"].to_numpy(float),
        bout_time_s=bout_onsets(licks, settings.lick_gap_s),
        reward_time_s=np.sort(rewards_frame(key)["timestamps"].to_numpy(float)),
        engaged_epochs_s=epochs[["epoch_start_time", "epoch_stop_time"]].to_numpy(float),
        limits_s=(float(block.min()), float(block.max()) + 1.0),
        indices={each: np.nan if row[each] is None else float(row[each]) for each in INDICES},
        auc_cv=np.nan if row["strategy_auc_cv"] is None else float(row["strategy_auc_cv"]),
    )
