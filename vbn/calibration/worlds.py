"""The worlds: how units fire, and what is true of them.

Effects are named by what a unit answers to:

* flash: an image that repeats the one before; onset: an image that has changed;
* change: more, or less, to a changed image than to a repeated one;
* image: to some images more than to others;
* outcome: to a change differently in hits and misses, other things being equal;
* omission, light (full-field flashes), gabor, laser, running, pupil.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.task.licking import bout_onsets
from vbn.calibration.events import GRID_S, WHOLE_MINUTES, SimulatedEvents, since_last
from vbn.calibration.trains import (
    bursty_train,
    modulated_train,
    poisson_train,
    refractory_train,
    suppressed,
    with_responses,
)
from vbn.synthetic.spikes import even_delays, precise_delays, raised_cosine_delays, spread_delays

Draw = Callable[[np.random.Generator, SimulatedEvents], Floats]

CLAIMS = (
    "flash", "onset", "change", "image", "outcome", "omission", "light", "gabor", "laser",
    "running", "pupil",
)  # fmt: skip
ONSET_S, RESPONSE_S = 0.05, 0.2
"""Responses of the effect worlds begin 50 ms after an event and last 200 ms."""
_LOG_RATE_SD = 0.4
_WINDOW = even_delays(ONSET_S, RESPONSE_S)


@dataclass(frozen=True)
class World:
    """One way to fire.

    Parameters
    ----------
    about : what the units do, for the page.
    draw : draws the train of one unit, (n_spikes,) s, ascending.
    effects : what is true: each claim that holds, with the sign of the effect (0 where it has none).
    entangled : claims that are neither true nor false here, since what they name goes along with what drives
        the unit.
    minutes : length of the recordings.
    latency_s : when the responses begin, where they do so at once.
    """

    about: str
    draw: Draw
    effects: Mapping[str, int] = field(default_factory=dict)
    entangled: frozenset[str] = frozenset()
    minutes: float = WHOLE_MINUTES
    latency_s: float | None = None

    def holds(self, claim: str) -> bool | None:
        """Return whether a claim is true of this world's units; None if it is neither true nor false."""
        return None if claim in self.entangled else claim in self.effects


@dataclass(frozen=True)
class Images:
    """Flashes and omissions of a session, (n_images,) each."""

    start_s: Floats
    shown: Booleans
    change: Booleans
    omitted: Booleans
    name: np.ndarray
    engaged: Booleans

    @classmethod
    def of(cls, events: SimulatedEvents) -> Images:
        """Read them from the presentations."""
        table = events.images()
        start, omitted = table["start_time"].to_numpy(np.float64), table["omitted"].to_numpy() == 1
        return cls(
            start_s=start,
            shown=~omitted,
            change=table["is_change"].to_numpy() == 1,
            omitted=omitted,
            name=table["image_name"].to_numpy(str),
            engaged=events.engaged[(start / GRID_S).astype(np.int64)],
        )


def base_rate_hz(rng: np.random.Generator) -> float:
    """Draw a rate of 1 to 20 Hz, log-uniform."""
    return float(np.exp(rng.uniform(np.log(1), np.log(20))))


def _steady(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    return poisson_train(rng, base_rate_hz(rng), events.end_s)


def _bursty(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    return bursty_train(rng, base_rate_hz(rng), events.end_s)


def _refractory(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    return refractory_train(rng, base_rate_hz(rng), 0.02, events.end_s)


def _low_rate(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    return poisson_train(rng, 0.1, events.end_s)


def _fluctuating(time_constant_s: float) -> Draw:
    def draw(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
        factor = np.exp(_LOG_RATE_SD * events.slow_noise(rng, time_constant_s))
        return modulated_train(rng, base_rate_hz(rng), factor)

    return draw


def _drifting(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    slope = rng.choice([-1, 1]) * rng.uniform(0.3, 0.8)
    return modulated_train(rng, base_rate_hz(rng), 1 + slope * np.linspace(-1, 1, events.speed.size))


def _lost(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    train = _steady(rng, events)
    start = rng.uniform(0, events.end_s * 2 / 3)
    return train[(train < start) | (train > start + events.end_s / 3)]


def _lick_locked(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    licks = events.lick_times_s
    train = poisson_train(rng, rng.uniform(1, 6), events.end_s)
    return with_responses(rng, train, licks, np.full(licks.size, 2.0), precise_delays(0.0, 0.04))


def _before_licks(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    bouts = bout_onsets(events.lick_times_s)
    train = poisson_train(rng, rng.uniform(1, 6), events.end_s)
    return with_responses(
        rng, train, bouts, np.full(bouts.size, 6.0), lambda rng, n: -np.abs(rng.normal(0, 0.4, size=n))
    )


def _after_licks(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    bouts = bout_onsets(events.lick_times_s)
    train = poisson_train(rng, rng.uniform(1, 6), events.end_s)
    return with_responses(
        rng, train, bouts, np.full(bouts.size, 6.0), lambda rng, n: rng.exponential(1.5, size=n)
    )


def _reward_locked(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    rewards = events.reward_times_s
    return with_responses(
        rng, _steady(rng, events), rewards, np.full(rewards.size, 10.0), spread_delays(0.05, 2.5)
    )


def _state_locked(of: Callable[[SimulatedEvents], Floats]) -> Draw:
    def draw(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
        state = of(events)
        deviation = (state - state.mean()) / state.std()
        return modulated_train(rng, base_rate_hz(rng), np.exp(_LOG_RATE_SD * deviation))

    return draw


def _images_drive(hz: Callable[[np.random.Generator, Images], Floats]) -> Draw:
    """Return a draw that adds responses of so many Hz over 200 ms to each image."""

    def draw(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
        images = Images.of(events)
        return with_responses(
            rng, _steady(rng, events), images.start_s, RESPONSE_S * hz(rng, images), _WINDOW
        )

    return draw


def _engagement(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    images = Images.of(events)
    train = modulated_train(rng, base_rate_hz(rng), np.where(events.engaged, 1.5, 1.0))
    hz = np.where(images.engaged, 1.0, 0.25) * (8.0 * images.shown + 6.0 * images.change)
    return with_responses(rng, train, images.start_s, RESPONSE_S * hz, _WINDOW)


def _engaged_change_hz(_rng: np.random.Generator, images: Images) -> Floats:
    return np.asarray(8.0 * images.shown + np.where(images.engaged, 6.0, 1.0) * images.change)


def _image_hz(rng: np.random.Generator, images: Images) -> Floats:
    names = np.unique(images.name[images.shown])
    hz = dict(zip(names, rng.exponential(6.0, size=names.size), strict=True))
    return np.array([hz.get(name, 0.0) for name in images.name])


def _omission_tuned(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    images = Images.of(events)
    counts = np.where(images.omitted, 4.0 * 0.6, 0.0)
    return with_responses(rng, _steady(rng, events), images.start_s, counts, even_delays(0.1, 0.6))


def _flash_tail(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    images = Images.of(events)
    counts = np.where(images.shown, 4.0, 0.0)
    return with_responses(
        rng,
        poisson_train(rng, 3.0, events.end_s),
        images.start_s,
        counts,
        lambda rng, n: ONSET_S + rng.exponential(0.3, size=n),
    )


def _flash_dip(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    images = Images.of(events)
    train = poisson_train(rng, max(base_rate_hz(rng), 4.0), events.end_s)
    since, _ = since_last(train, images.start_s[images.shown] + ONSET_S)
    return train[rng.random(train.size) >= 0.9 * np.exp(-since / 0.3)]


def _suppressed(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    images = Images.of(events)
    depth = np.where(images.change, 0.6, np.where(images.shown, 0.2, 0.0))
    train = poisson_train(rng, max(base_rate_hz(rng), 4.0), events.end_s)
    return suppressed(rng, train, images.start_s, depth, (ONSET_S, ONSET_S + RESPONSE_S))


def _changes_drive(base_hz: float, add_hz: float) -> Draw:
    def draw(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
        images = Images.of(events)
        train = poisson_train(rng, base_hz, events.end_s)
        counts = np.where(images.change, RESPONSE_S * add_hz, 0.0)
        return with_responses(rng, train, images.start_s, counts, _WINDOW)

    return draw


def _full_field(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    table = events.presentations
    table = table[table["color"].notna()]
    times, hz = table["start_time"].to_numpy(np.float64), np.where(table["color"] == 1, 8.0, 4.0)
    return with_responses(rng, _steady(rng, events), times, RESPONSE_S * hz, _WINDOW)


def _gabor(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    table = events.presentations[events.presentations["position_x"].notna()]
    place = rng.uniform(-30, 30, size=2)
    squared = ((table[["position_x", "position_y"]].to_numpy(np.float64) - place) ** 2).sum(axis=1)
    counts = 15.0 * RESPONSE_S * np.exp(-squared / (2 * 10.0**2))
    times = table["start_time"].to_numpy(np.float64)
    return with_responses(rng, _steady(rng, events), times, counts, even_delays(0.04, RESPONSE_S))


def _laser(rng: np.random.Generator, events: SimulatedEvents) -> Floats:
    table = events.pulses
    start, cosine = (
        table["start_time"].to_numpy(np.float64),
        table["stimulus_name"].to_numpy() == "raised_cosine",
    )
    train = with_responses(
        rng, _steady(rng, events), start[cosine], np.full(cosine.sum(), 3.0), raised_cosine_delays(1.0)
    )
    return with_responses(
        rng, train, start[~cosine], np.full((~cosine).sum(), 0.2), precise_delays(0.004, 0.0008)
    )


_BEHAVIOR = frozenset({"running", "pupil"})
_ANSWERS = _BEHAVIOR | {"onset", "change", "outcome", "omission"}  # what the mouse answers by licks
_RISES = {"flash": 1, "onset": 1}

NULL_WORLDS: dict[str, World] = {
    "poisson": World("Poisson, 1 to 20 Hz", _steady),
    "bursty": World("bursts of two spikes on average, 5 ms apart", _bursty),
    "refractory": World("no interval below 20 ms", _refractory),
    "ou_5": World("log rate fluctuates (Ornstein-Uhlenbeck, SD .4) within 5 s", _fluctuating(5)),
    "ou_60": World("the same within 60 s", _fluctuating(60)),
    "ou_600": World("the same within 600 s", _fluctuating(600)),
    "drift": World("rate rises or falls linearly by 30 to 80 % around its mean", _drifting),
    "lost": World("the unit is lost for a third of the recording", _lost),
    "low_rate": World("Poisson, 0.1 Hz", _low_rate),
    "few_events": World("Poisson in a recording of 15 minutes (4 of task)", _steady, minutes=15.0),
    "lick_locked": World(
        "1 to 6 Hz, and two spikes more around each lick (SD 40 ms)", _lick_locked, entangled=_BEHAVIOR
    ),
    "before_licks": World(
        "1 to 6 Hz, and six spikes more before each bout of licks, ever more towards it (SD 400 ms)",
        _before_licks,
        entangled=_ANSWERS,
    ),
    "after_licks": World(
        "1 to 6 Hz, and six spikes more after each bout of licks begins, that fade with 1.5 s",
        _after_licks,
        entangled=_ANSWERS,
    ),
    "reward_locked": World("ten spikes more in 2.5 s after a reward", _reward_locked, entangled=_BEHAVIOR),
    "run_locked": World(
        "log rate follows running (SD .4)",
        _state_locked(lambda events: events.speed),
        {"running": 1},
        frozenset({"pupil"}),
    ),
    "pupil": World(
        "log rate follows the pupil (SD .4)",
        _state_locked(lambda events: events.pupil_area),
        {"pupil": 1},
        frozenset({"running"}),
    ),
}
EFFECT_WORLDS: dict[str, World] = {
    "engagement": World(
        "+8 Hz to images, +14 Hz to changes; while not engaged and in the replay a quarter of both, and "
        "two thirds of the rate",
        _engagement,
        {**_RISES, "change": 1},
    ),
    "engaged_change": World(
        "+8 Hz to images, to changes +6 Hz more, but +1 Hz while not engaged and in the replay",
        _images_drive(_engaged_change_hz),
        {**_RISES, "change": 1},
    ),
    "flash_tail": World(
        "3 Hz, and four spikes more after each image that fade with 300 ms", _flash_tail, _RISES
    ),
    "flash_dip": World(
        "fires 90 % less after each image, and recovers with 300 ms", _flash_dip, {"flash": -1, "onset": -1}
    ),
    "suppressed": World(
        "fires 60 % less to changes, 20 % less to repeats",
        _suppressed,
        {"flash": -1, "onset": -1, "change": -1},
    ),
    "image_tuned": World(
        "0 to +20 Hz by image (exponential, mean 6 Hz), no matter whether novel",
        _images_drive(_image_hz),
        {**_RISES, "image": 0},
    ),
    "change_tuned": World(
        "+4 Hz to changes only",
        _images_drive(lambda _rng, images: np.where(images.change, 4.0, 0.0)),
        {"onset": 1, "change": 1},
    ),
    "omission_tuned": World(
        "+4 Hz from 100 to 700 ms after omissions",
        _omission_tuned,
        {"omission": 1},
    ),
    "full_field": World("+8 Hz to white full-field flashes, +4 Hz to black ones", _full_field, {"light": 1}),
    "gabor_tuned": World("+15 Hz in a receptive field of 10 deg (SD)", _gabor, {"gabor": 0}),
    "laser": World(
        "three spikes more per cosine, .2 per pulse after 4 ms", _laser, {"laser": 1}, latency_s=0.004
    ),
    **{
        f"latency_{base}_{add}": World(
            f"{base} Hz, +{add} Hz from 50 to 250 ms after changes",
            _changes_drive(base, add),
            {"onset": 1, "change": 1},
            latency_s=ONSET_S,
        )
        for base in (1, 15)
        for add in (5, 50)
    },
}
WORLDS = {**NULL_WORLDS, **EFFECT_WORLDS}

MIXTURES: dict[str, tuple[str, ...]] = {
    "mixed_mild": ("poisson", "bursty", "refractory"),
    "mixed": (
        "poisson", "bursty", "refractory", "ou_60", "drift", "lick_locked", "reward_locked", "flash_tail",
    ),
}  # fmt: skip
"""Nulls among which the units of `MIXED_EFFECTS` are found; the two alternate, so that half are nulls."""
MIXED_EFFECTS = (
    "change_tuned", "image_tuned", "omission_tuned", "full_field", "run_locked", "pupil", "gabor_tuned",
    "laser",
)  # fmt: skip


def mixed(name: str, n_units: int) -> list[str]:
    """Return the world of each unit of a mixture."""
    nulls = MIXTURES[name]
    return [
        nulls[unit // 2 % len(nulls)] if unit % 2 == 0 else MIXED_EFFECTS[unit // 2 % len(MIXED_EFFECTS)]
        for unit in range(n_units)
    ]
