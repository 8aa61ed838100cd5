"""Parameters of the decoders: labels, windows, folds, draws of units; the published settings and ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vbn.analysis.decoding.classifiers import DISCRIMINANT, PREDICTIONS, SVM

IMAGE, CHANGE, LICK_MATCHED, HIT, OMISSION = LABELS = (
    "image", "change", "lick_matched_change", "hit", "omission",
)  # fmt: skip
ANY = "none"
_POSITIVE = ("strength", "block_s", "choice_stop_s", "n_choice_permutations")
_NON_NEGATIVE = ("bin_s", "baseline_s", "most_draws", "n_permutations", "most_flashes", "seed")


def _divides(part: float, whole: float) -> bool:
    return abs(whole / part - round(whole / part)) < 1e-6


@dataclass(frozen=True)
class DecodedLabel:
    """A label, and the windows from whose counts it is decoded.

    Parameters
    ----------
    label : one of `LABELS` (`vbn.analysis.decoding.labels`).
    stop_s : end of the longest window after the start of the flash; all begin with the flash.
    step_s : each window is longer than the one before by this, a part of `stop_s`.
    """

    label: str
    stop_s: float
    step_s: float

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ValueError(f"A label is one of {', '.join(LABELS)}, not '{self.label}'.")
        if not (0 < self.step_s <= self.stop_s < math.inf) or not _divides(self.step_s, self.stop_s):
            raise ValueError(
                f"Windows of '{self.label}' need a stop_s above 0 and a step_s that divides it, got "
                f"{self.stop_s} and {self.step_s} s."
            )

    @property
    def n_steps(self) -> int:
        """Number of windows."""
        return round(self.stop_s / self.step_s)


@dataclass(frozen=True)
class DecodingParameters:
    """How labels of flashes are decoded from the counts of structures.

    Parameters
    ----------
    unit_criteria : name of the filter (`schemas.selection.UnitCriteria`) whose units are taken.
    labels : what is decoded.
    engagement : definition by which the mouse must be engaged (`vbn.analysis.task.engagement`), or ``none``.
    classifier : ``discriminant``, linear discriminants of equal priors, or ``svm``, scikit-learn's LinearSVC.
    strength : the discriminant's shrinkage, or C of the other.
    is_scaled : whether features are divided by their standard deviation.
    bin_s : width of the bins that are the features of a unit; 0 for one count of the whole window.
    baseline_s : length of the window before the flash whose count, scaled, is subtracted; 0 for none.
    block_s : length in seconds of the pieces of time that folds are made of, and within which labels are
        permuted; what is shorter than a run of an image keeps it together.
    folds : number of folds.
    n_units : numbers of units that are drawn; structures and cell classes with fewer are left out.
    most_draws : greatest number of draws; 0 for as many as take each unit with a probability of .99.
    n_permutations : label vectors of the null; 0 for none.
    min_flashes : least number of flashes of a class.
    most_flashes : so many flashes are drawn of a class that has more; 0 for all.
    of_cell_classes : whether cell classes are decoded as well as all units of a structure.
    choice_stop_s : end of the window of choice probabilities, which begins with the flash.
    n_choice_permutations : label vectors of their null.
    seed : of all random steps, with a number made of the entry's key.
    computed : whether ``vbn populate`` computes it.

    Raises
    ------
    ValueError
        If one of them makes no sense.
    """

    unit_criteria: str = "bennett_2025"
    labels: tuple[DecodedLabel, ...] = (
        DecodedLabel(IMAGE, 0.25, 0.05),
        DecodedLabel(CHANGE, 0.15, 0.015),
        DecodedLabel(LICK_MATCHED, 0.15, 0.015),
        DecodedLabel(HIT, 0.15, 0.015),
        DecodedLabel(OMISSION, 0.75, 0.075),
    )
    engagement: str = "bennett_2025"
    classifier: str = DISCRIMINANT
    strength: float = 0.1
    is_scaled: bool = True
    bin_s: float = 0.0
    baseline_s: float = 0.0
    block_s: float = 72.0
    folds: int = 5
    n_units: tuple[int, ...] = (20,)
    most_draws: int = 10
    n_permutations: int = 199
    min_flashes: int = 20
    most_flashes: int = 120
    of_cell_classes: bool = True
    choice_stop_s: float = 0.15
    n_choice_permutations: int = 1999
    seed: int = 0
    computed: bool = True

    def __post_init__(self) -> None:
        labels = tuple(DecodedLabel(**each) if isinstance(each, Mapping) else each for each in self.labels)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "n_units", tuple(self.n_units))
        names = [each.label for each in labels]
        if not names or len({*names}) < len(names):
            raise ValueError(f"There must be labels, each of them once, got {names}.")
        if self.classifier not in PREDICTIONS:
            raise ValueError(f"A classifier is one of {', '.join(PREDICTIONS)}, not '{self.classifier}'.")
        if self.folds < 2 or self.min_flashes < self.folds:
            raise ValueError(
                "There must be two folds or more, and in each class at least as many flashes as folds, got "
                f"{self.folds} folds and {self.min_flashes} flashes."
            )
        if 0 < self.most_flashes < self.min_flashes:
            raise ValueError(
                f"most_flashes must be 0 or at least min_flashes ({self.min_flashes}), got "
                f"{self.most_flashes}."
            )
        if not self.n_units or min(self.n_units) < 1 or len({*self.n_units}) < len(self.n_units):
            raise ValueError(f"n_units must be numbers of 1 or more, each once, got {self.n_units}.")
        if bad := [name for name in _POSITIVE if not 0 < getattr(self, name) < math.inf]:
            raise ValueError(f"{bad[0]} must be above 0, got {getattr(self, bad[0])}.")
        if bad := [name for name in _NON_NEGATIVE if not 0 <= getattr(self, name) < math.inf]:
            raise ValueError(f"{bad[0]} must be 0 or more, got {getattr(self, bad[0])}.")
        if self.bin_s and not all(_divides(self.bin_s, each.step_s) for each in labels):
            raise ValueError(f"bin_s must divide the step_s of all labels, got {self.bin_s}.")


DECODING: Mapping[str, DecodingParameters] = MappingProxyType(
    {
        "calibrated": DecodingParameters(),
        "bennett_2025": DecodingParameters(
            labels=(
                DecodedLabel(IMAGE, 0.25, 0.05),
                DecodedLabel(CHANGE, 0.15, 0.05),
                DecodedLabel(LICK_MATCHED, 0.15, 0.05),
                DecodedLabel(HIT, 0.15, 0.05),
                DecodedLabel(OMISSION, 0.75, 0.15),
            ),
            engagement="siegle_2021",
            classifier=SVM,
            strength=1.0,
            is_scaled=False,
            bin_s=0.01,
            baseline_s=0.1,
            n_units=(5, 10, 20, 40, 80),
            most_draws=0,
            n_permutations=0,
            most_flashes=0,
            computed=False,
        ),
    }
)
"""Parameter sets. The first is the default, whose numbers hold under drift (docs/decoding.md)."""
DEFAULT = DECODING["calibrated"]
