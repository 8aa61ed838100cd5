"""Parameters of strategy models."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vbn.analysis.strategy.random_walk import WalkPrior
from vbn.analysis.task.engagement import ENGAGEMENT
from vbn.analysis.task.licking import LICK_GAPS_S

SOLVERS = ("banded", "psytrack")
COMPUTED_FOR = ("recordings", "training", "all", "nothing")


@dataclass(frozen=True)
class StrategyParameters:
    """How the strategy model of a session is made.

    Parameters
    ----------
    lick_gap_s : pause in seconds that separates bouts of licks.
    timing_midpoint, timing_slope : the timing regressor rises from -1 to 0 as -1 + 1 / (1 + (n / midpoint) **
        slope), n being the flashes since the last bout ended.
    sigma_start, sigma_initial : standard deviations of the steps of the weights, from which the search
        begins, and of the first weights (1).
    solver : ``banded`` (ours) or ``psytrack`` (the extra ``strategy``), which find the same weights.
    min_bouts : a session with fewer bouts, or with fewer flashes without one, has no model.
    n_folds : parts into which the flashes are dealt at random, each predicted without it; 0 for none.
    engagement : definition of engagement, as of `vbn.analysis.task.engagement.ENGAGEMENT`, by which weights
        are averaged.
    min_index : the least visual or timing index of a mouse with a strategy (%).
    seed : of the folds, with a number made of the entry's key.
    computed_for : the sessions that ``vbn populate`` fits: ``recordings``, ``training``, ``all`` or
        ``nothing``.

    Raises
    ------
    ValueError
        If one of them makes no sense.
    """

    lick_gap_s: float = LICK_GAPS_S["piet_2023"]
    timing_midpoint: float = 4.0
    timing_slope: float = -5.0
    sigma_start: float = 2.0**-4
    sigma_initial: float = 2.0**4
    solver: str = "banded"
    min_bouts: int = 10
    n_folds: int = 10
    engagement: str = "piet_2024"
    min_index: float = 7.5
    seed: int = 0
    computed_for: str = "recordings"

    def __post_init__(self) -> None:
        choices = {"solver": SOLVERS, "engagement": tuple(ENGAGEMENT), "computed_for": COMPUTED_FOR}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not '{getattr(self, name)}'.")
        if not (0 < self.lick_gap_s < math.inf and 0 < self.timing_midpoint < math.inf):
            raise ValueError(
                "lick_gap_s and timing_midpoint must be positive, got "
                f"{self.lick_gap_s} and {self.timing_midpoint}."
            )
        if not -math.inf < self.timing_slope < 0:
            raise ValueError(f"timing_slope must be below 0, got {self.timing_slope}.")
        if self.min_bouts < 1 or self.n_folds < 0 or self.n_folds == 1:
            raise ValueError(
                "min_bouts must be 1 or more, and n_folds 0 or 2 or more, got "
                f"{self.min_bouts} and {self.n_folds}."
            )
        if not 0 <= self.min_index <= 100:
            raise ValueError(f"min_index must be from 0 to 100 %, got {self.min_index}.")
        WalkPrior(self.sigma_start, self.sigma_initial)

    @property
    def prior(self) -> WalkPrior:
        """Where the weights begin."""
        return WalkPrior(self.sigma_start, self.sigma_initial)


STRATEGY = {
    "piet_2024": StrategyParameters(),
    "piet_2024_psytrack": StrategyParameters(solver="psytrack", computed_for="nothing"),
}
"""Parameter sets. The first is the default."""
