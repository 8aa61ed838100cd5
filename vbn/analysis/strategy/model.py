"""The strategy model of a session: weights, what is lost without each, and the indices drawn from that."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.strategy.parameters import StrategyParameters
from vbn.analysis.strategy.random_walk import Walks, fit_walks, left_out_probability, sd_of_unknown_sigma
from vbn.analysis.strategy.regressors import (
    BIAS,
    OMISSION,
    POST_OMISSION,
    TASK,
    TIMING,
    Regressors,
    flash_licking,
    regressors,
    task_flashes,
)
from vbn.analysis.strategy.with_psytrack import psytrack_walks

IDENTIFIED_SD = 2.0
"""A weight whose standard deviation is above this at all flashes is not identified."""
MIN_SHARE = 0.05
"""Share of the flashes that must be engaged, or disengaged, for a mean of them."""
VISUAL, BY_TIME, NONE = "visual", "timing", "none"


@dataclass(frozen=True)
class StrategyResult:
    """The strategy model of a session.

    Attributes
    ----------
    n_flashes, n_bouts : flashes and omissions of the task, and those in which a bout begins.
    missing : why there is no model; None if there is one.
    missing_regressors : regressor that is left out -> why.
    names : of the regressors, (n_regressors,) columns of the arrays.
    presentation_ids, start_times, licked : (n_kept,) index of the flashes that were fitted, their starts (s),
        and whether a bout begins in them.
    walks : the weights; None without a model.
    weight_sd : (n_kept, n_regressors) standard deviation of the weights, sigmas being unknown (1).
    probability : (n_kept,) of a bout, by the weights.
    evidence_lost : regressor -> log evidence of the model less that of the model without it (nats).
    auc : area under the ROC curve of the probability, NaN without a model.
    auc_cv, log_likelihood_cv : of flashes that were left out: the area, and the mean log likelihood per flash
        (nats); NaN without folds. log_likelihood_null : of the share of flashes with a bout.
    weight_index : mean over the task of the weight of task0 less that of timing1D, NaN without both.
    state_means : ``engaged`` and ``disengaged`` -> (n_regressors,) mean weights, NaN of few flashes.
    engaged_share : share of the task's flashes that are engaged, NaN without flashes.
    """

    n_flashes: int
    n_bouts: int
    missing: str | None
    engaged_share: float = np.nan
    missing_regressors: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    presentation_ids: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    start_times: Floats = field(default_factory=lambda: np.empty(0))
    licked: Booleans = field(default_factory=lambda: np.empty(0, np.bool_))
    walks: Walks | None = None
    weight_sd: Floats = field(default_factory=lambda: np.empty((0, 0)))
    probability: Floats = field(default_factory=lambda: np.empty(0))
    evidence_lost: dict[str, float] = field(default_factory=dict)
    auc: float = np.nan
    auc_cv: float = np.nan
    log_likelihood_cv: float = np.nan
    log_likelihood_null: float = np.nan
    weight_index: float = np.nan
    state_means: dict[str, Floats] = field(default_factory=dict)
    min_index: float = 0.0

    def index(self, name: str) -> float:
        """Return the share of the log evidence that is lost without a regressor (%).

        That is -100 (1 - evidence without it / evidence), as the published indices are; NaN without it.
        """
        if self.walks is None or name not in self.evidence_lost:
            return np.nan
        return -100.0 * self.evidence_lost[name] / self.walks.log_evidence

    @property
    def visual_index(self) -> float:
        """What is lost without the changes (%)."""
        return self.index(TASK)

    @property
    def timing_index(self) -> float:
        """What is lost without the time since the last bout (%)."""
        return self.index(TIMING)

    @property
    def omission_index(self) -> float:
        """What is lost without the omissions (%)."""
        return self.index(OMISSION)

    @property
    def post_omission_index(self) -> float:
        """What is lost without the flashes after omissions (%)."""
        return self.index(POST_OMISSION)

    @property
    def strategy_index(self) -> float:
        """Visual less timing index (%)."""
        return self.visual_index - self.timing_index

    @property
    def label(self) -> str | None:
        """``visual`` or ``timing``, whichever index is greater; ``none`` if both are small."""
        if np.isnan(self.strategy_index):
            return None
        if max(self.visual_index, self.timing_index) < self.min_index:
            return NONE
        return VISUAL if self.strategy_index > 0 else BY_TIME

    @property
    def is_identified(self) -> Booleans:
        """(n_regressors,) whether the weight is known to `IDENTIFIED_SD` at some flash."""
        return np.asarray(self.weight_sd.min(axis=0) <= IDENTIFIED_SD)


def strategy_model(
    flashes: pd.DataFrame, lick_times: ArrayLike, settings: StrategyParameters, seed: int = 0
) -> StrategyResult:
    """Fit the strategy model of a session (Piet et al. 2024).

    Parameters
    ----------
    flashes : one row per flash and omission in order of time, with the columns of
        `vbn.analysis.task.flash_behavior.flash_behavior` and presentation ids as index.
    lick_times : (n_licks,) seconds, in any order.
    settings : the parameters.
    seed : of the session, for the folds.

    Raises
    ------
    AbsentExtraError
        If the solver is psytrack, and that is not installed.
    """
    task = task_flashes(flashes)
    licking = flash_licking(task["start_time"], lick_times, settings.lick_gap_s)
    rows = regressors(task, licking, settings.timing_midpoint, settings.timing_slope)
    engaged = task[f"engaged_{settings.engagement}"].to_numpy(np.bool_)
    n_bouts = int(licking["bout_start"].sum())
    share = float(engaged.mean()) if engaged.size else np.nan
    if why := _why_not(rows, len(task), n_bouts, settings):
        return StrategyResult(len(task), n_bouts, why, share, rows.missing)
    walks = _fitted(rows.x, rows.y, settings)
    left_out = _left_out(rows, walks, settings, seed)
    probability = _probability(rows.x, walks.weights)
    return StrategyResult(
        n_flashes=len(task),
        n_bouts=n_bouts,
        missing=None,
        engaged_share=share,
        missing_regressors=rows.missing,
        names=rows.names,
        presentation_ids=task.index.to_numpy(np.int64)[rows.kept],
        start_times=task["start_time"].to_numpy(np.float64)[rows.kept],
        licked=rows.y,
        walks=walks,
        weight_sd=sd_of_unknown_sigma(rows.x, rows.y, walks, settings.sigma_initial),
        probability=probability,
        evidence_lost=_evidence_lost(rows, walks, settings),
        auc=area_under_curve(rows.y, probability),
        auc_cv=area_under_curve(rows.y, left_out),
        log_likelihood_cv=_mean_log_likelihood(rows.y, left_out),
        log_likelihood_null=_mean_log_likelihood(rows.y, np.full(rows.y.size, rows.y.mean())),
        weight_index=_weight_index(rows, walks),
        state_means=_state_means(rows, walks, engaged),
        min_index=settings.min_index,
    )


def _why_not(rows: Regressors, n_flashes: int, n_bouts: int, settings: StrategyParameters) -> str | None:
    """Return why there is nothing to fit; None if there is."""
    n_quiet = int((~rows.y).sum())
    if not n_flashes:
        return "no flashes of the task"
    if n_bouts < settings.min_bouts:
        return f"{n_bouts} bouts of licks, fewer than {settings.min_bouts}"
    if n_quiet < settings.min_bouts:
        return f"{n_quiet} flashes without licks, fewer than {settings.min_bouts}"
    return rows.missing.get(TASK)


def _fitted(x: Floats, y: Booleans, settings: StrategyParameters) -> Walks:
    fit = psytrack_walks if settings.solver == "psytrack" else fit_walks
    return fit(x, y, settings.prior)


def _evidence_lost(rows: Regressors, walks: Walks, settings: StrategyParameters) -> dict[str, float]:
    """Fit without each regressor but the bias."""
    others = [name for name in rows.names if name != BIAS]
    without = {name: _fitted(rows.without(name), rows.y, settings) for name in others}
    return {name: walks.log_evidence - fit.log_evidence for name, fit in without.items()}


def _left_out(rows: Regressors, walks: Walks, settings: StrategyParameters, seed: int) -> Floats:
    """Return the probability of a bout by the others, with the sigmas of all; NaN without folds."""
    if not settings.n_folds:
        return np.full(rows.y.size, np.nan)
    order = np.random.default_rng([settings.seed, seed]).permutation(rows.y.size)
    return left_out_probability(rows.x, rows.y, walks.sigma, order % settings.n_folds, settings.sigma_initial)


def _probability(x: Floats, weights: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * (x * weights).sum(axis=1))))


def _mean_log_likelihood(y: Booleans, probability: Floats) -> float:
    tiny = np.finfo(np.float64).tiny
    return float(np.log(np.maximum(np.where(y, probability, 1 - probability), tiny)).mean())


def area_under_curve(answers: Booleans, scores: Floats) -> float:
    """Return the area under the ROC curve; NaN without both answers, or with a score that is NaN.

    Examples
    --------
    >>> area_under_curve(np.array([True, False, True]), np.array([0.9, 0.2, 0.2]))
    0.75
    """
    n_yes = int(answers.sum())
    if not 0 < n_yes < answers.size or np.isnan(scores).any():
        return float("nan")
    _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[group]  # ties have the mean of their ranks
    excess = rank[answers].sum() - n_yes * (n_yes + 1) / 2
    return float(excess / (n_yes * (answers.size - n_yes)))


def _held(rows: Regressors, weights: Floats) -> Floats:
    """Return (n_flashes, n_columns) the weights at all flashes: in bouts, those of the flash before."""
    last = np.maximum(np.cumsum(rows.kept) - 1, 0)
    return np.asarray(weights[last])


def _weight_index(rows: Regressors, walks: Walks) -> float:
    if TASK not in rows.names or TIMING not in rows.names:
        return np.nan
    held = _held(rows, walks.weights)
    return float((held[:, rows.names.index(TASK)] - held[:, rows.names.index(TIMING)]).mean())


def _state_means(rows: Regressors, walks: Walks, engaged: Booleans) -> dict[str, Floats]:
    """Average the weights over the engaged and the disengaged flashes."""
    held = _held(rows, walks.weights)
    unknown = np.full(held.shape[1], np.nan)
    return {
        name: held[chosen].mean(axis=0) if chosen.mean() > MIN_SHARE else unknown
        for name, chosen in (("engaged", engaged), ("disengaged", ~engaged))
    }
