"""Parameters of the encoding models: kernels, penalty, folds; the published settings and ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

BIN_S, BINS_PER_FLASH = 0.025, 29
"""Bins of a flash: 29 of 25 ms from its start, 725 of 750.6 ms (visual_behavior_glm_NP)."""
IMAGES = "images"
DISCRETE = (IMAGES, "omissions", "hits", "misses", "changes", "licks", "lick_bouts")
CONTINUOUS = ("running", "pupil")
BLOCKS = ("active", "passive")
PENALTIES = ("session", "unit", "fixed")
SPACINGS = ("linear", "geometric")
CONDITIONS = ("all", "engaged", "disengaged")
_NON_NEGATIVE = ("drift_s", "min_events", "seed")


SMALLEST_LAMBDA = 1e-6
"""Of less, the solution is that of rounding errors."""


@dataclass(frozen=True)
class Kernel:
    """One kernel, for each image one if it is of images.

    Parameters
    ----------
    events : what it follows, one of `DISCRETE` or `CONTINUOUS`.
    n_weights : number of weights, one for each bin of lag.
    offset_s : first lag in seconds, a whole number of bins; negative lags are before the event.
    """

    events: str
    n_weights: int
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        known = (*DISCRETE, *CONTINUOUS)
        if self.events not in known:
            raise ValueError(f"A kernel follows one of {', '.join(known)}, not '{self.events}'.")
        if self.n_weights < 1 or not math.isfinite(self.offset_s):
            raise ValueError(
                f"The kernel '{self.events}' needs one weight or more and a finite offset, got "
                f"{self.n_weights} and {self.offset_s} s."
            )


def published_kernels(
    *, block: str = "active", licks: str = "lick_bouts", offset_s: float = -1.0
) -> tuple[Kernel, ...]:
    """Return the kernels of visual_behavior_glm_NP.

    Parameters
    ----------
    block : ``active``, or ``passive``, which has changes instead of hits, misses and licks.
    licks : ``licks`` (version 108) or ``lick_bouts`` (110).
    offset_s : of running, pupil and licks; the history of the code has -0.5, 1 and -1 s.
    """
    shown = (Kernel(IMAGES, 29), Kernel("omissions", 58))
    state = (Kernel("running", 80, offset_s), Kernel("pupil", 80, offset_s))
    if block == "passive":
        return (*shown, Kernel("changes", 58), *state)
    return (*shown, Kernel("hits", 58), Kernel("misses", 58), *state, Kernel(licks, 80, offset_s))


@dataclass(frozen=True)
class EncodingParameters:
    """What an encoding model of a session is made of.

    Parameters
    ----------
    unit_criteria : name of the filter (`schemas.selection.UnitCriteria`) whose units are fitted.
    block : ``active`` (the task) or ``passive`` (its replay).
    kernels : in order of the columns; each follows other events.
    flashes : ``all``, or only those while the mouse is ``engaged`` or ``disengaged``.
    engagement : definition of engagement, as of `vbn.analysis.task.engagement.ENGAGEMENT`.
    lick_gap_s : pause in seconds that separates bouts of licks.
    drift_s : distance in seconds of the knots of slow columns, which every model has, so that what drifts
        explains nothing; 0 for none, as published.
    penalty : ``session``, the mean of the best lambdas of the units; ``unit``, of each its own; ``fixed``,
        ``lambda_min``.
    lambda_min, lambda_max, n_lambdas : the grid of lambdas.
    spacing : ``linear``, evenly spaced, or ``geometric``, in even ratios.
    folds, blocks_per_fold : the time is cut into folds x blocks pieces, which are dealt to the folds.
    min_events : a discrete kernel with fewer events is left out.
    max_missing : a continuous kernel with a greater share of bins without a value is left out.
    threshold : least share of variance explained of a unit that counts as explained, and for scores.
    seed : of the folds, with the session's id.
    computed : whether ``vbn populate`` fits it.

    Raises
    ------
    ValueError
        If one of them makes no sense.

    Notes
    -----
    Bins are those of `BIN_S` and `BINS_PER_FLASH`.
    """

    unit_criteria: str = "bennett_2025"
    block: str = "active"
    kernels: tuple[Kernel, ...] = published_kernels()
    flashes: str = "all"
    engagement: str = "bennett_2025"
    lick_gap_s: float = 0.7
    drift_s: float = 0.0
    penalty: str = "session"
    lambda_min: float = 0.1
    lambda_max: float = 500.0
    n_lambdas: int = 40
    spacing: str = "linear"
    folds: int = 5
    blocks_per_fold: int = 10
    min_events: int = 5
    max_missing: float = 0.5
    threshold: float = 0.005
    seed: int = 0
    computed: bool = True

    def __post_init__(self) -> None:
        kernels = tuple(Kernel(**each) if isinstance(each, dict) else each for each in self.kernels)
        object.__setattr__(self, "kernels", kernels)
        choices = {"block": BLOCKS, "penalty": PENALTIES, "flashes": CONDITIONS, "spacing": SPACINGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not '{getattr(self, name)}'.")
        followed = [kernel.events for kernel in kernels]
        if twice := {name for name in followed if followed.count(name) > 1}:
            raise ValueError(f"Only one kernel can follow {', '.join(sorted(twice))}.")
        if not SMALLEST_LAMBDA <= self.lambda_min <= self.lambda_max < math.inf or self.n_lambdas < 1:
            raise ValueError(
                f"The grid of lambdas must begin at {SMALLEST_LAMBDA:g} or more (images, omissions and "
                f"intercept depend on each other) and ascend, got {self.n_lambdas} from {self.lambda_min} to "
                f"{self.lambda_max}."
            )
        if self.folds < 2 or self.blocks_per_fold < 1:
            raise ValueError(
                "There must be two folds or more of one block or more, got "
                f"{self.folds} of {self.blocks_per_fold}."
            )
        if bad := [name for name in _NON_NEGATIVE if not 0 <= getattr(self, name) < math.inf]:
            raise ValueError(f"{bad[0]} must be 0 or more, got {getattr(self, bad[0])}.")
        if not (self.lick_gap_s > 0 and 0 <= self.max_missing <= 1 and 0 <= self.threshold < 1):
            raise ValueError(
                "lick_gap_s must be positive, max_missing between 0 and 1 and threshold from 0 to below 1, "
                f"got {self.lick_gap_s}, {self.max_missing} and {self.threshold}."
            )


def _calibrated(block: str, *, computed: bool) -> EncodingParameters:
    """Return our set: slow columns against drift, and a penalty of each unit's own.

    Units that nothing drives ask for the greatest penalty. In a mean over units it shrinks the kernels of
    rare events (hits, omissions) to a fraction, and running and pupil, which go along with them, take their
    place.
    """
    return EncodingParameters(
        block=block,
        kernels=published_kernels(block=block),
        drift_s=300.0,
        penalty="unit",
        lambda_min=1.0,
        n_lambdas=8,
        spacing="geometric",
        computed=computed,
    )


def _published(version: str, block: str) -> EncodingParameters:
    licks = "lick_bouts" if version == "v110" else "licks"
    return EncodingParameters(
        block=block, kernels=published_kernels(block=block, licks=licks), computed=False
    )


ENCODING: dict[str, EncodingParameters] = {
    "calibrated_active": _calibrated("active", computed=True),
    "calibrated_passive": _calibrated("passive", computed=False),
    "allen_v110_active": _published("v110", "active"),
    "allen_v108_active": _published("v108", "active"),
    "allen_v110_passive": _published("v110", "passive"),
}
"""Parameter sets; the passive ones of both published versions are the same. The first is the default."""
DEFAULT = ENCODING["calibrated_active"]
