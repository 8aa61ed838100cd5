"""Strategy models: one row per session or per regressor, and the weights of a session."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from schemas import session, stimulus, strategy
from schemas.bases.provenance import METHOD, PACKAGE, PARAMETERS, SOURCE
from schemas.files.array_store import mapped
from schemas.queries.checks import knowing_arguments, of_sessions
from schemas.queries.located_units import session_key
from schemas.queries.methods import require_present_methods
from schemas.queries.missing import not_computed
from schemas.queries.results import OF_SESSION
from schemas.queries.trajectories import TRAJECTORY
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError

SESSION_KEY = ["mouse_id", "session_id"]
ARRAYS = {
    "strategy_presentation_id", "strategy_weights", "strategy_weight_sd", "strategy_conditional_sd",
    "strategy_lick_probability",
}  # fmt: skip
MADE_WITH = {
    f"{strategy.StrategyModel.provenance_prefix()}_{name}" for name in (PACKAGE, METHOD, PARAMETERS, SOURCE)
}


@knowing_arguments
def strategy_table(
    sessions: Any = True,
    strategy_params: str | None = None,
    *,
    regressors: bool = False,
    missing: Literal["error", "drop"] = "error",
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return the strategy models of sessions: indices, label, evidence; or one row for each regressor.

    Parameters
    ----------
    sessions : one or more session ids, a key, or a query as returned by `sessions`; all by default.
    strategy_params : name of a row of `strategy.StrategyParams`; by default the first of the package.
    regressors : one row per session and regressor, with its sigma, dropout and mean weights.
    missing : ``drop`` to omit sessions that are not computed yet, instead of raising an error.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    By session: its key, the attributes of `strategy.StrategyModel` but for the arrays, or those of
    `strategy.StrategyModel.Regressor`, and those of session and mouse. A session without a model (too few
    licks) has a row that says why (``strategy_missing``), but no regressors.

    Raises
    ------
    NotFoundError
        If there is no such set, or no session of the kind that it is computed for; or some of them are not
        computed and `missing` is ``error``.
    ConflictError
        If some results were computed by an earlier method.
    """
    name = strategy_params or strategy.StrategyParams.default_name()
    of_set = {"strategy_params": name}
    computed_for = strategy.StrategyParams.get(name).computed_for
    rows = of_sessions(strategy.StrategyModel & of_set, sessions)
    wanted = of_sessions(strategy.StrategyModel().key_source & of_set, sessions)
    left = (wanted - rows.proj()).to_arrays("session_id").tolist()
    if left and missing == "error":
        raise NotFoundError(not_computed(strategy.StrategyModel, of_set, left))
    if not rows:
        raise NotFoundError(
            f"None of these sessions has a strategy model: '{name}' is computed for {computed_for}. For "
            f"other sessions: vbn params add StrategyParams NAME --like {name} --set computed_for=all, and "
            "vbn populate."
        )
    require_present_methods({strategy.StrategyModel: of_set}, rows.proj(), allow_mixed=allow_mixed)
    found = strategy.StrategyModel.Regressor & rows.proj() if regressors else rows
    kept = [each for each in found.heading.names if each not in {*ARRAYS, *MADE_WITH}]
    table = fetch_frame(found.proj(*kept), nullable_integers=True)[kept]
    mice = session.Session.proj(*OF_SESSION, **TRAJECTORY) * session.Mouse.proj("genotype", "cre_line", "sex")
    described = fetch_frame(of_sessions(mice, sessions), nullable_integers=True)
    return table.merge(described, on=SESSION_KEY, how="left", validate="many_to_one")


def strategy_weights(session_id: int, strategy_params: str | None = None) -> pd.DataFrame:
    """Return the weights of the strategy model of a session, flash by flash.

    Parameters
    ----------
    session_id : id of the session.
    strategy_params : as for `strategy_table`.

    Returns
    -------
    One row per flash that was fitted, in order of time: ``presentation_id``, ``start_time`` (s),
    ``lick_probability`` (of a bout), and for each regressor ``weight_NAME`` and ``sd_NAME``.

    Raises
    ------
    NotFoundError
        If there is no such session, its model is not computed, or there is none.
    """
    name = strategy_params or strategy.StrategyParams.default_name()
    strategy.StrategyParams.get(name)
    key, of_set = session_key(session_id), {"strategy_params": name}
    rows = (strategy.StrategyModel & key & of_set).to_dicts()
    if not rows:
        raise NotFoundError(not_computed(strategy.StrategyModel, of_set, [session_id]))
    require_present_methods({strategy.StrategyModel: of_set}, key, allow_mixed=True)
    (row,) = rows
    if row["strategy_missing"]:
        raise NotFoundError(f"Session {session_id} has no strategy model: {row['strategy_missing']}.")
    shown = fetch_frame((stimulus.Stimulus.Presentation & key).proj("presentation_start_time"))
    starts = shown.set_index("presentation_id")["presentation_start_time"]
    ids = row["strategy_presentation_id"]
    columns: dict[str, Any] = {
        "presentation_id": ids,
        "start_time": starts.loc[ids].to_numpy(np.float64),
        "lick_probability": np.array(mapped(row["strategy_lick_probability"]), dtype=np.float64),
    }
    for kind, attribute in (("weight", "strategy_weights"), ("sd", "strategy_weight_sd")):
        values = np.array(mapped(row[attribute]), dtype=np.float64)
        columns |= {f"{kind}_{name}": of for name, of in zip(row["strategy_regressors"], values, strict=True)}
    return pd.DataFrame(columns)
