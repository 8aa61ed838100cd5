"""Simulated sessions without spikes: stimuli, trials, licks, rewards, running, pupil, laser.

The tables are those of `vbn.synthetic`. What makes real sessions harder is added: mice stop working some
time before the end, find some images easier than others, lick to some more than to others even when they have
not changed, run and stand in slow alternation with a trend, and run less in the replay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.synthetic.behavior import first_frame, record_behavior
from vbn.synthetic.settings import SyntheticSettings, generator
from vbn.synthetic.signals import bump, slow_noise
from vbn.synthetic.task import (
    FLASH_PERIOD_FRAMES,
    FLASHES_AFTER_CHANGE,
    FRAME_PERIOD_S,
    IMAGES,
    SimulatedMouse,
    TrialPlan,
    change_licks,
    draw_mouse,
    lay_flashes,
    lick_bout,
    plan_trials,
)
from vbn.synthetic.timeline import (
    LASER_LEVELS,
    block_frames,
    block_sizes,
    draw_clock,
    laser_table,
    presentation_tables,
)

WHOLE_MINUTES = 160.0
GRID_S = 0.1
_IMAGE_SET = "H"  # with novel images
_TASK, _CLOCK, _STIMULI, _BEHAVIOR, _SIGNALS, _LASER, _SHARED = range(30, 37)
_DISENGAGED = SimulatedMouse(hit=0.12, false_alarm=0.02, abort=0.06)
_ENGAGED_SHARE = (0.55, 0.8)
_IMAGE_HIT_SD = 0.15


@dataclass(frozen=True)
class SimulatedEvents:
    """What happens in one session; times are seconds on the session clock.

    Parameters
    ----------
    settings, index : what the session was drawn from.
    presentations : all stimuli, one row each, with AllenSDK's columns.
    trials : as in a file.
    lick_times_s, reward_times_s : ascending.
    speed, pupil_area : (n_grid,) cm/s and pixels squared, every `GRID_S` from 0 on.
    blink : (n_grid,) True where the pupil is not seen.
    engaged : (n_grid,) True while the mouse works.
    pulses : laser pulses.
    """

    settings: SyntheticSettings
    index: int
    presentations: pd.DataFrame
    trials: pd.DataFrame
    lick_times_s: Floats
    reward_times_s: Floats
    speed: Floats
    pupil_area: Floats
    blink: Booleans
    engaged: Booleans
    pulses: pd.DataFrame

    @cached_property
    def behavior(self) -> pd.DataFrame:
        """What the mouse did around each flash, see `flash_behavior`; the same in all worlds."""
        return flash_behavior(self.presentations, self.trials, self.lick_times_s)

    @property
    def grid_s(self) -> Floats:
        """Times of the grid, (n_grid,) s."""
        return np.arange(self.speed.size, dtype=np.float64) * GRID_S

    @property
    def end_s(self) -> float:
        """End of the recording."""
        return GRID_S * self.speed.size

    def images(self) -> pd.DataFrame:
        """Return flashes and omissions of task and replay, in order of time."""
        return self.presentations[self.presentations["image_name"].notna()]

    def slow_noise(self, rng: np.random.Generator, time_constant_s: float) -> Floats:
        """Draw a slow fluctuation on the grid, half of whose variance all units of the session share.

        Parameters
        ----------
        rng : of the unit.
        time_constant_s : of the Ornstein-Uhlenbeck process.

        Returns
        -------
        (n_grid,) of unit variance.
        """
        shared = generator(self.settings, self.index, _SHARED, round(1000 * time_constant_s))
        common, own = (slow_noise(of, self.speed.size, time_constant_s / GRID_S) for of in (shared, rng))
        mixed: Floats = np.sqrt(0.5) * (common + own)
        return mixed


def simulate_events(seed: int, index: int, minutes: float = WHOLE_MINUTES) -> SimulatedEvents:
    """Simulate everything of session ``index`` but its spikes.

    Parameters
    ----------
    seed : whole number of 0 or more.
    index : 0, 1, ...; sessions are independent of each other.
    minutes : length of the recording; 160 gives 60 minutes of task and as many of replay.
    """
    settings = SyntheticSettings(seed=seed, minutes=minutes)
    sizes = block_sizes(settings)
    plans, n_engaged = _plan(generator(settings, index, _TASK), sizes.active_flashes)
    flashes = lay_flashes(generator(settings, index, _TASK, 1), plans)
    blocks = block_frames(len(flashes), sizes)
    clock = draw_clock(generator(settings, index, _CLOCK), blocks.n_frames)
    tables = presentation_tables(
        generator(settings, index, _STIMULI), flashes, sizes, clock, _IMAGE_SET, novel=True
    )
    behavior = record_behavior(generator(settings, index, _BEHAVIOR), plans, clock, _IMAGE_SET, 0.003)
    pulses = laser_table(
        generator(settings, index, _LASER), sizes.laser_repeats, clock.on_screen[-1] + 3.0, LASER_LEVELS[0]
    )
    rewards = behavior.rewards["timestamps"].to_numpy(np.float64)
    changes = behavior.trials.loc[behavior.trials["is_change"], "change_time_no_display_delay"]
    grid = np.arange(0.0, float(pulses["stop_time"].max()) + 3.0, GRID_S)
    rng = generator(settings, index, _SIGNALS)
    speed = _speed(rng, grid, rewards, float(clock.on_screen[blocks.starts[5]]))
    presentations = pd.concat(list(tables.values()), ignore_index=True).sort_values(
        "start_time", ignore_index=True
    )
    return SimulatedEvents(
        settings=settings,
        index=index,
        presentations=presentations,
        trials=behavior.trials,
        lick_times_s=np.sort(behavior.lick_times_s),
        reward_times_s=np.sort(rewards),
        speed=speed,
        pupil_area=_pupil_area(rng, grid, speed, changes.to_numpy(np.float64)),
        blink=np.asarray(rng.random(grid.size) < 0.02),
        engaged=grid < clock.on_screen[first_frame(n_engaged)],
        pulses=pulses,
    )


def _plan(rng: np.random.Generator, n_flashes: int) -> tuple[list[TrialPlan], int]:
    """Plan an engaged and then a disengaged part; return all trials, and the flashes of the first part."""
    mouse = draw_mouse(rng, novel=True)
    n_images = len(IMAGES[_IMAGE_SET])
    easier, tempting = rng.normal(0, _IMAGE_HIT_SD, size=n_images), 0.9 * rng.beta(0.5, 1.0, size=n_images)
    n_wanted = int(n_flashes * rng.uniform(*_ENGAGED_SHARE))
    engaged = plan_trials(rng, mouse, n_wanted, n_auto=3, catch_every=8)
    last = engaged[-1]
    later = plan_trials(rng, _DISENGAGED, n_flashes - last.next_flash, n_auto=0, catch_every=8)
    turn = last.change_image - later[0].initial_image
    moved = [
        replace(
            plan,
            start_flash=plan.start_flash + last.next_flash,
            change_flash=None if plan.change_flash is None else plan.change_flash + last.next_flash,
            initial_image=(plan.initial_image + turn) % n_images,
            change_image=(plan.change_image + turn) % n_images,
        )
        for plan in later
    ]
    played = [_played(rng, plan, mouse.hit + easier, tempting) for plan in engaged]
    return played + moved, last.next_flash


def _played(rng: np.random.Generator, plan: TrialPlan, hit: Floats, tempting: Floats) -> TrialPlan:
    """Return a trial whose outcome, and licking long after the change, depends on the image."""
    if plan.kind not in ("hit", "miss"):
        return plan
    kind = "hit" if rng.random() < np.clip(hit[plan.change_image], 0.05, 0.98) else "miss"
    licks = change_licks(rng, kind)
    for flash in range(2, FLASHES_AFTER_CHANGE):  # before the next trial, so that a lick aborts none
        if rng.random() < tempting[plan.change_image]:
            first_s = FRAME_PERIOD_S * FLASH_PERIOD_FRAMES * flash + float(rng.uniform(0.15, 0.5))
            licks += lick_bout(rng, first_s, int(rng.integers(3, 9)))
    return replace(plan, kind=kind, licks_s=tuple(sorted(licks)))


def _speed(rng: np.random.Generator, grid_s: Floats, rewards_s: Floats, replay_start_s: float) -> Floats:
    n = grid_s.size
    drive = 18 + 10 * slow_noise(rng, n, 12 / GRID_S) + 8 * slow_noise(rng, n, 150 / GRID_S)
    drive += rng.uniform(-10, 10) * np.linspace(-1, 1, n)
    drinking = np.clip(bump(grid_s, rewards_s, 0.35, 0.9), 0, 1)
    calm = np.where(grid_s < replay_start_s, 1.0, 0.65)
    return np.asarray(np.clip(drive, 0, None) * (1 - 0.88 * drinking) * calm)


def _pupil_area(rng: np.random.Generator, grid_s: Floats, speed: Floats, changes_s: Floats) -> Floats:
    n = grid_s.size
    radius = 38 + 2.2 * slow_noise(rng, n, 20 / GRID_S) + 1.5 * slow_noise(rng, n, 200 / GRID_S)
    radius += 0.06 * (speed - 18) + rng.uniform(-2, 2) * np.linspace(-1, 1, n)
    radius += 3 * np.clip(bump(grid_s, changes_s + 0.3, 0.7, 1.6), 0, 1.5)
    return np.asarray(np.pi * np.clip(radius, 15, 60) ** 2)


def since_last(times_s: Floats, events_s: Floats) -> tuple[Floats, Integers]:
    """Return the time since the last event, and its index; infinite and -1 before the first.

    Parameters
    ----------
    times_s : (n_times,) s.
    events_s : (n_events,) s, ascending.
    """
    row = np.searchsorted(events_s, times_s, side="right") - 1
    since = np.where(row < 0, np.inf, times_s - events_s[np.maximum(row, 0)])
    return since, row.astype(np.int64)
