"""Decoders and correlograms as one would compute them first: in the same worlds they say what is not true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vbn.analysis.decoding.labels import labelled_flashes
from vbn.analysis.decoding.parameters import DEFAULT, HIT, IMAGE
from vbn.analysis.decoding.populations import decode_populations, label_counts, populations
from vbn.analysis.interactions.connectivity import DEFAULT as CONNECTIVITY
from vbn.analysis.interactions.connectivity import N_BINS, correlograms, flash_trains
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.spikes.windows import count_in_windows
from vbn.analysis.statistics import kruskal_wallis_p_values
from vbn.calibration.models.session import UNITS, ModelSession

_POPULATION = 20
_PERMUTATIONS = 99


def decoding(session: ModelSession, worlds: Sequence[str]) -> dict[tuple[str, str], Floats]:
    """Deal flashes to folds at random and permute labels freely; and compare hits with misses as they are."""
    found: dict[tuple[str, str], Floats] = {}
    settings = replace(DEFAULT, n_permutations=_PERMUTATIONS)
    names = [f"of/{unit // _POPULATION}" for unit in range(UNITS)]
    for world in worlds:
        recording, spikes = session.of(world), session.spikes(world)
        is_auto = recording.events.trials["auto_rewarded"].to_numpy(bool)
        for label in settings.labels:
            if label.label not in (IMAGE, HIT):
                continue
            rng = np.random.default_rng([session.seed, session.index, *label.label.encode()])
            chosen = labelled_flashes(recording.flashes, is_auto, label.label, settings)
            if chosen.missing:
                continue
            chosen = chosen.at_most(settings.most_flashes, rng)
            each = np.arange(chosen.classes.size)
            # Each flash is a run and a piece of time of its own: dealt to folds and permuted freely, and
            # nothing slow is taken off.
            alone = replace(chosen, label=IMAGE, block=each, run=each)
            whole = replace(label, label=IMAGE, step_s=label.stop_s)
            counts = label_counts(spikes, chosen, whole, settings)
            of = populations(names, None, _POPULATION)
            decoded = decode_populations(counts, alone, of, whole, settings, session.index)
            found[f"p_of_random_folds ({label.label})", world] = np.array([one.p for one in decoded])
        hits = labelled_flashes(recording.flashes, is_auto, HIT, settings)
        if not hits.missing:
            responses = count_in_windows(*spikes, hits.start_s, (0.0, settings.choice_stop_s))
            found["p_of_rank_sum (hit)", world] = kruskal_wallis_p_values(responses, hits.classes == 1)
    return found


def peaks_without_jitter(session: ModelSession, worlds: Sequence[str]) -> dict[tuple[str, str], Floats]:
    """Take the coincidences of two units of constant rates for those of chance."""
    found: dict[tuple[str, str], Floats] = {}
    for world in worlds:
        flashes = session.of(world).flash_set(CONNECTIVITY.flash_set)
        trains = flash_trains(*session.spikes(world), flashes, CONNECTIVITY.min_flashes)
        first, second = np.triu_indices(UNITS, k=1)
        last = CONNECTIVITY.peak_lags[-1]
        counts = correlograms(trains, first, second, last)
        lags = np.abs(np.arange(-last, last + 1))
        pairs = (trains.sizes[first] * trains.sizes[second]).astype(np.float64)
        expected = pairs[:, np.newaxis] * (N_BINS - lags) / (N_BINS**2 * max(trains.n_flashes, 1))
        enough = expected.sum(axis=1) >= CONNECTIVITY.min_expected
        z = (counts - expected) / np.sqrt(np.maximum(expected, 1e-9))
        is_peak = (z.max(axis=1) > CONNECTIVITY.min_z).astype(np.float64)
        found["peaks_without_jitter", world] = is_peak[enough]
    return found
