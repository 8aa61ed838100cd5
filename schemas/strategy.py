"""Strategies: by what the mouse of each session licks, flash by flash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, session, stimulus  # noqa: F401 - definitions refer to them
from schemas.bases.parameter_table import SetsOnRequest, definition_of
from schemas.bases.provenance import Computation, provenance_lines, seed_of
from schemas.reading.session_frames import flashes_frame, licks_frame
from schemas.rows.insert import insert_rows, plain, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.strategy.model import StrategyResult, strategy_model
from vbn.analysis.strategy.parameters import STRATEGY, StrategyParameters
from vbn.analysis.strategy.random_walk import Walks

schema = Schema()

Key = dict[str, Any]

FILE_KINDS = {"recordings": ("recording",), "training": ("behavior_only",), "nothing": ()}
"""Sessions that a set is computed for -> their kinds of files; ``all`` is not restricted."""
INDICES = ("visual_index", "timing_index", "omission_index", "post_omission_index", "strategy_index")


@schema
class StrategyParams(SetsOnRequest):
    """One set of parameters of the strategy models.

    ``piet_2024``: regressors, prior and dropouts as published, computed for recordings.
    ``piet_2024_psytrack``: the same by the package psytrack, computed for nothing. Other sessions and solvers
    are sets under a name of your own, with another ``computed_for`` (docs/strategy.md).
    """

    settings = StrategyParameters
    defaults = STRATEGY
    definition = definition_of(
        "strategy", "the strategy models", "vbn.analysis.strategy.parameters.StrategyParameters"
    )

    @classmethod
    def is_computed(cls, settings: StrategyParameters) -> bool:
        """Return whether ``vbn populate`` fits a set to some sessions."""
        return settings.computed_for != "nothing"


@schema
class StrategyModel(Computation):
    """What drives the licks of one session: weights, flash by flash, and what is lost without each."""

    definition = f"""
    # Strategy model of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> stimulus.Stimulus
    -> StrategyParams
    ---
    n_strategy_flashes : int32  # flashes and omissions of the task
    n_strategy_bouts : int32  # of which a bout of licks begins in
    n_strategy_rows : int32  # of which were fitted (no bout goes on in them), length of the arrays
    strategy_missing=null : varchar(255)  # why there is no model, NULL if there is one
    strategy_missing_regressors : json  # regressor left out: why
    strategy_regressors : json  # names of the regressors, first axis of the weights
    strategy_engaged_share=null : float64  # (1) share of the flashes that are engaged by the set's definition
    strategy_log_evidence=null : float64  # (nats) of the answers, in Laplace's approximation
    strategy_auc=null : float64  # (1) area under the ROC curve of the probability of a bout, same flashes
    strategy_auc_cv=null : float64  # (1) the same of flashes that were left out
    strategy_log_likelihood_cv=null : float64  # (nats) mean per flash that was left out
    strategy_log_likelihood_null=null : float64  # (nats) mean per flash by the share with a bout alone
    visual_index=null : float64  # (percent) log evidence lost without the changes
    timing_index=null : float64  # (percent) log evidence lost without the time since the last bout
    omission_index=null : float64  # (percent) log evidence lost without the omissions
    post_omission_index=null : float64  # (percent) log evidence lost without the flashes after omissions
    strategy_index=null : float64  # (percent) visual less timing index
    strategy_weight_index=null : float64  # (1) mean weight of the changes less that of time
    strategy_is_visual=null : bool  # whether the visual index is the greater one
    strategy_label=null : varchar(16)  # visual, timing, or none if both indices are small
    strategy_presentation_id=null : <blob>  # (index) int32, presentation_id of the flashes that were fitted
    strategy_weights=null : <npy@vbn>  # (1) float32, regressors by flashes, most probable weights
    strategy_weight_sd=null : <npy@vbn>  # (1) float32, regressors by flashes, standard deviation
    strategy_conditional_sd=null : <npy@vbn>  # (1) float32, the same if the sigmas were known, as published
    strategy_lick_probability=null : <npy@vbn>  # (1) float32, of a bout in each flash, by the weights
    {provenance_lines("strategy_model")}
    """

    class Regressor(dj.Part):
        """What one regressor of the strategy model of one session adds."""

        definition = """
        # One regressor of the strategy model of one session
        -> master
        strategy_regressor : varchar(16)  # bias, omissions, omissions1 (after one), task0, timing1D
        ---
        strategy_sigma : float64  # (1) standard deviation of the weight's steps from flash to flash
        strategy_evidence_lost=null : float64  # (nats) log evidence lost without it, NULL of the bias
        strategy_dropout=null : float64  # (percent) the same, of the log evidence of the model
        strategy_weight_mean : float64  # (1) mean weight over the flashes that were fitted
        strategy_weight_engaged=null : float64  # (1) mean over engaged flashes, NULL if they are few
        strategy_weight_disengaged=null : float64  # (1) mean over the others, NULL if they are few
        strategy_weight_sd_mean : float64  # (1) mean standard deviation of the weight
        strategy_is_identified : bool  # whether that is ever 2 or less
        """

    @property
    def key_source(self) -> Any:
        """Sessions of the kind that a set is computed for."""
        wanted = [
            dj.AndList([{"strategy_params": name}, _sessions_for(settings.computed_for)])
            for name, settings in StrategyParams.computed().items()
        ]
        return super().key_source & wanted

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), StrategyParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: StrategyParameters) -> tuple[Any, ...]:
        """Fit the model to the flashes of the task."""
        flashes = flashes_frame(key, settings.lick_gap_s)
        licks = licks_frame(key)["timestamps"].to_numpy(float)
        return made_with, strategy_model(flashes, licks, settings, seed_of(key))

    def make_insert(self, key: Key, made_with: Key, result: StrategyResult) -> None:
        """Insert the session's row, and the regressors."""
        self.insert1({**key, **made_with, **_session_row(result)})
        if result.walks is not None:
            frame = _regressor_rows(result, result.walks)
            insert_rows(self.Regressor(), rows_from_frame(frame, self.Regressor(), key))


def _sessions_for(computed_for: str) -> Any:
    """Return the sessions that a set is for."""
    if computed_for == "all":
        return session.Session.proj()
    return session.NwbFile.proj("file_kind") & [{"file_kind": kind} for kind in FILE_KINDS[computed_for]]


def _session_row(result: StrategyResult) -> Key:
    """Return the attributes of a session's row."""
    row = {
        "n_strategy_flashes": result.n_flashes,
        "n_strategy_bouts": result.n_bouts,
        "n_strategy_rows": len(result.licked),
        "strategy_missing": result.missing,
        "strategy_missing_regressors": result.missing_regressors,
        "strategy_regressors": result.names,
        "strategy_engaged_share": plain(result.engaged_share),
        "strategy_auc": plain(result.auc),
        "strategy_auc_cv": plain(result.auc_cv),
        "strategy_log_likelihood_cv": plain(result.log_likelihood_cv),
        "strategy_log_likelihood_null": plain(result.log_likelihood_null),
        "strategy_weight_index": plain(result.weight_index),
        "strategy_label": result.label,
        **{name: plain(getattr(result, name)) for name in INDICES},
    }
    if result.walks is None:
        return row
    known = not np.isnan(result.strategy_index)
    return {
        **row,
        "strategy_log_evidence": result.walks.log_evidence,
        "strategy_is_visual": result.strategy_index > 0 if known else None,
        "strategy_presentation_id": result.presentation_ids.astype(np.int32),
        "strategy_weights": np.ascontiguousarray(result.walks.weights.T, dtype=np.float32),
        "strategy_weight_sd": np.ascontiguousarray(result.weight_sd.T, dtype=np.float32),
        "strategy_conditional_sd": np.ascontiguousarray(result.walks.weight_sd.T, dtype=np.float32),
        "strategy_lick_probability": result.probability.astype(np.float32),
    }


def _regressor_rows(result: StrategyResult, walks: Walks) -> pd.DataFrame:
    """Return the attributes of the regressors' rows."""
    columns = {
        "strategy_regressor": result.names,
        "strategy_sigma": walks.sigma,
        "strategy_evidence_lost": [result.evidence_lost.get(name, np.nan) for name in result.names],
        "strategy_dropout": [result.index(name) for name in result.names],
        "strategy_weight_mean": walks.weights.mean(axis=0),
        **{f"strategy_weight_{state}": means for state, means in result.state_means.items()},
        "strategy_weight_sd_mean": result.weight_sd.mean(axis=0),
        "strategy_is_identified": result.is_identified,
    }
    return pd.DataFrame(columns)
