"""All decoders of one session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.decoding.choice import ChoiceResult, choice_probabilities
from vbn.analysis.decoding.labels import LabelledFlashes, labelled_flashes
from vbn.analysis.decoding.parameters import DEFAULT, HIT, DecodingParameters
from vbn.analysis.decoding.populations import Decoded, decode_populations, label_counts, populations
from vbn.analysis.spikes.windows import count_in_windows


@dataclass(frozen=True)
class DecodingResult:
    """What is decoded in one session.

    Attributes
    ----------
    flashes : label -> its flashes, with the reason where nothing can be decoded.
    decoded : label -> populations; empty where there are none, or nothing can be decoded.
    choice : choice probabilities of all units.
    choice_flashes : hits and misses that they are of.
    """

    flashes: dict[str, LabelledFlashes]
    decoded: dict[str, list[Decoded]]
    choice: ChoiceResult
    choice_flashes: LabelledFlashes


def decode_session(
    spikes: tuple[ArrayLike, ArrayLike, ArrayLike],
    structures: ArrayLike,
    cell_classes: ArrayLike,
    behavior: pd.DataFrame,
    auto_rewarded: ArrayLike,
    parameters: DecodingParameters = DEFAULT,
    seed: int = 0,
) -> DecodingResult:
    """Decode all labels from all populations of a session.

    Parameters
    ----------
    spikes : of the units, see `vbn.analysis.spikes.trains`.
    structures, cell_classes : (n_units,) names, None where unknown.
    behavior : table from `vbn.analysis.task.flash_behavior.flash_behavior`.
    auto_rewarded : (n_trials,) whether a trial was auto-rewarded.
    parameters : what is decoded, and how.
    seed : of the session.
    """
    classes = cell_classes if parameters.of_cell_classes else None
    of = populations(structures, classes, min(parameters.n_units))
    flashes: dict[str, LabelledFlashes] = {}
    decoded: dict[str, list[Decoded]] = {}
    for label in parameters.labels:
        rng = np.random.default_rng([parameters.seed, seed, *label.label.encode()])
        chosen = labelled_flashes(behavior, auto_rewarded, label.label, parameters)
        chosen = chosen.at_most(parameters.most_flashes, rng)
        flashes[label.label], decoded[label.label] = chosen, []
        if of and not chosen.missing:
            counts = label_counts(spikes, chosen, label, parameters)
            decoded[label.label] = decode_populations(counts, chosen, of, label, parameters, seed)
    hits = labelled_flashes(behavior, auto_rewarded, HIT, parameters)
    responses = count_in_windows(*spikes, hits.start_s, (0.0, parameters.choice_stop_s))
    choice = choice_probabilities(
        responses, hits, parameters.n_choice_permutations, [parameters.seed, seed], parameters.min_flashes
    )
    return DecodingResult(flashes, decoded, choice, hits)
