"""Worlds of populations: those of units, and some in which units have something in common.

Claims beyond those of `vbn.calibration.worlds`:

* driven: anything that an encoding model has kernels for makes the unit fire;
* image_kernel, omission_kernel, task_kernel, licks: that kernel, and no other, follows what drives it;
* after_hits: more or fewer spikes within half a second of changes that the mouse answers to;
* timescale: the rate fluctuates within tens to hundreds of milliseconds; decay: full-field flashes drive it;
* synapse: a spike of one unit makes another fire within milliseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vbn.analysis.spikes.trains import Floats
from vbn.calibration.events import WHOLE_MINUTES, SimulatedEvents
from vbn.calibration.trains import poisson_train, with_responses
from vbn.calibration.worlds import WORLDS, Images, base_rate_hz
from vbn.synthetic.signals import slow_noise
from vbn.synthetic.spikes import even_delays, sorted_by_runs

DrawPopulation = Callable[[np.random.Generator, SimulatedEvents, int], list[Floats]]

WANDER_S, WANDER_SD = 0.05, 0.4
TIMESCALE_S, DECAY_S = 0.1, 0.06
GAIN_SD, GAIN_HZ = 0.4, 10.0
SYNAPSE_S, SYNAPSE_SHARE = 0.003, 0.05
_FINE_S = 0.005
_POPULATION = 60


@dataclass(frozen=True)
class PopulationWorld:
    """One way in which the units of a population fire.

    Parameters
    ----------
    about : what they do, for the page.
    draw : draws the trains of so many units, each (n_spikes,) s, ascending.
    effects, entangled : claims that hold, and that are neither true nor false.
    minutes : length of the recordings.
    """

    about: str
    draw: DrawPopulation
    effects: frozenset[str] = field(default_factory=frozenset)
    entangled: frozenset[str] = field(default_factory=frozenset)
    minutes: float = WHOLE_MINUTES

    def holds(self, claims: Iterable[str]) -> bool | None:
        """Return whether one of the claims is true; None if one is neither true nor false, and none true."""
        chosen = {*claims}
        return True if chosen & self.effects else None if chosen & self.entangled else False


def _one_by_one(name: str) -> DrawPopulation:
    def draw(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
        return [WORLDS[name].draw(of, events) for of in rng.spawn(n)]

    return draw


def _in_bins(rng: np.random.Generator, rate_hz: float, factor: Floats) -> Floats:
    """Draw a Poisson train of a rate that is known every `_FINE_S`."""
    counts = rng.poisson(rate_hz * _FINE_S * factor)
    starts = np.repeat(np.arange(factor.size), counts)
    return sorted_by_runs((starts + rng.random(starts.size)) * _FINE_S)


def _n_fine(events: SimulatedEvents) -> int:
    return int(events.end_s / _FINE_S)


def _wandering(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    factor = np.exp(WANDER_SD * slow_noise(rng, _n_fine(events), WANDER_S / _FINE_S))
    return [_in_bins(rng, rng.uniform(4, 15), factor) for _ in range(n)]


def _fluctuating(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    trains = []
    for _ in range(n):
        factor = 1 + 0.5 * slow_noise(rng, _n_fine(events), TIMESCALE_S / _FINE_S)
        trains.append(_in_bins(rng, rng.uniform(10, 25), factor.clip(0)))
    return trains


def _gained(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    """All units have one gain, which is another for each flash and the gray after it."""
    starts = np.sort(events.images()["start_time"].to_numpy(np.float64))
    edges = np.concatenate([[0.0], starts, [events.end_s]])
    gain = 1 + GAIN_SD * rng.choice([-1.0, 1.0], size=edges.size - 1)
    trains = []
    for _ in range(n):
        piece = np.repeat(np.arange(gain.size), rng.poisson(GAIN_HZ * gain * np.diff(edges)))
        times = edges[piece] + rng.random(piece.size) * np.diff(edges)[piece]
        trains.append(sorted_by_runs(times))
    return trains


def _synapses(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    """Every other unit fires once more after some spikes of the one before."""
    trains: list[Floats] = []
    for unit in range(n):
        train = poisson_train(rng, rng.uniform(5, 15), events.end_s)
        if unit % 2:
            first = trains[-1]
            caused = first[rng.random(first.size) < SYNAPSE_SHARE]
            delays = SYNAPSE_S + 0.0003 * rng.normal(size=caused.size)
            train = sorted_by_runs(np.concatenate([train, caused + delays]))
        trains.append(train[train < events.end_s])
    return trains


def _decaying(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    table = events.presentations
    times = table.loc[table["color"].notna(), "start_time"].to_numpy(np.float64)
    counts = np.full(times.size, 4.0)
    return [
        with_responses(
            rng,
            poisson_train(rng, base_rate_hz(rng), events.end_s),
            times,
            counts,
            lambda rng, n: 0.04 + rng.exponential(DECAY_S, size=n),
        )
        for _ in range(n)
    ]


def _flash_locked(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    images = Images.of(events)
    counts, window = np.where(images.shown, 1.0, 0.0), even_delays(0.04, 0.02)
    return [
        with_responses(
            rng, poisson_train(rng, base_rate_hz(rng), events.end_s), images.start_s, counts, window
        )
        for _ in range(n)
    ]


def answered(events: SimulatedEvents) -> np.ndarray:
    """Return which images are changes that the mouse answers to."""
    start = Images.of(events).start_s
    since = np.searchsorted(events.lick_times_s, start + 0.15)
    first = np.append(events.lick_times_s, np.inf)[since]
    return np.asarray(Images.of(events).change & (first - start <= 0.75))


def _hit_tuned(rng: np.random.Generator, events: SimulatedEvents, n: int) -> list[Floats]:
    images, hit = Images.of(events), answered(events)
    counts = 0.1 * np.where(hit, 20.0, np.where(images.change, 6.0, 0.0))
    window = even_delays(0.05, 0.1)
    return [
        with_responses(
            rng, poisson_train(rng, base_rate_hz(rng), events.end_s), images.start_s, counts, window
        )
        for _ in range(n)
    ]


# World -> further claims that hold, and that are neither true nor false.
_LICKS = frozenset({"image_kernel", "omission_kernel", "task_kernel"})
_BEYOND: Mapping[str, tuple[set[str], set[str] | frozenset[str]]] = {
    "lick_locked": ({"driven", "licks", "after_hits"}, set()),
    "before_licks": ({"driven", "licks", "after_hits"}, _LICKS),
    "after_licks": ({"driven", "licks", "after_hits"}, _LICKS),
    "reward_locked": ({"driven", "task_kernel", "after_hits"}, {"licks"}),
    "run_locked": ({"driven"}, {"after_hits"}),
    "pupil": ({"driven"}, {"after_hits"}),
    "engagement": ({"driven", "image_kernel", "task_kernel"}, {"running", "pupil", "after_hits"}),
    "flash_tail": ({"driven", "image_kernel"}, set()),
    "suppressed": ({"driven", "image_kernel", "task_kernel"}, set()),
    "image_tuned": ({"driven", "image_kernel"}, set()),
    "change_tuned": ({"driven", "task_kernel"}, {"image_kernel"}),
    "omission_tuned": ({"driven", "omission_kernel"}, set()),
    "latency_1_50": ({"driven", "task_kernel"}, {"image_kernel"}),
    "bursty": (set(), {"timescale"}),
    "full_field": (set(), {"decay"}),
}
_UNITS = (
    "poisson", "bursty", "refractory", "ou_5", "ou_60", "ou_600", "drift", "lost", "low_rate", "few_events",
    "lick_locked", "before_licks", "after_licks", "reward_locked", "run_locked", "pupil", "engagement",
    "flash_tail", "suppressed", "image_tuned", "change_tuned", "omission_tuned", "latency_1_50", "full_field",
)  # fmt: skip


def _of_units(name: str) -> PopulationWorld:
    world = WORLDS[name]
    true, neither = _BEYOND.get(name, (set(), set()))
    return PopulationWorld(
        world.about,
        _one_by_one(name),
        frozenset(world.effects) | true,
        world.entangled | neither,
        world.minutes,
    )


POPULATIONS: dict[str, PopulationWorld] = {
    **{name: _of_units(name) for name in _UNITS},
    "wander_50ms": PopulationWorld(
        f"log rates of all units fluctuate together (SD {WANDER_SD}) within {1000 * WANDER_S:.0f} ms",
        _wandering,
        frozenset({"timescale"}),
    ),
    "gain": PopulationWorld(
        f"{GAIN_HZ:.0f} Hz, all units times 1.4 or 0.6, drawn anew for each flash and the gray after it",
        _gained,
        entangled=frozenset({"timescale"}),
    ),
    "synapse": PopulationWorld(
        f"5 to 15 Hz; of each two units, one fires once more {1000 * SYNAPSE_S:.0f} ms after "
        f"{SYNAPSE_SHARE:.0%} of the spikes of the other",
        _synapses,
        frozenset({"synapse"}),
    ),
    "flash_locked": PopulationWorld(
        "one spike more within 40 to 60 ms after each image", _flash_locked, frozenset({"flash", "onset"})
    ),
    "timescale_100ms": PopulationWorld(
        f"10 to 25 Hz, of each unit by itself (SD half of it) within {1000 * TIMESCALE_S:.0f} ms",
        _fluctuating,
        frozenset({"timescale"}),
    ),
    "decay_60ms": PopulationWorld(
        f"four spikes more after each full-field flash, that fade with {1000 * DECAY_S:.0f} ms from 40 ms on",
        _decaying,
        frozenset({"decay", "light"}),
    ),
    "hit_tuned": PopulationWorld(
        "+20 Hz from 50 to 150 ms after changes that the mouse answers, +6 Hz after the others",
        _hit_tuned,
        frozenset({"onset", "change", "outcome", "driven", "task_kernel"}),
        frozenset({"image_kernel", "licks"}),
    ),
}


def population_trains(seed: int, name: str, n: int, events: SimulatedEvents) -> list[Floats]:
    """Draw the trains of ``n`` units of a world, the same whichever other worlds there are."""
    rng = np.random.default_rng([seed, events.index, _POPULATION, zlib.crc32(name.encode())])
    return POPULATIONS[name].draw(rng, events, n)


def only(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the worlds, in their order."""
    return tuple(name for name in POPULATIONS if name in {*names})
