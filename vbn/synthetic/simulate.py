"""Simulation of one session; spikes are drawn only when the file is written, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from vbn.synthetic import behavior as behavior_tables
from vbn.synthetic import novelty
from vbn.synthetic.anatomy import probe_channels
from vbn.synthetic.behavior import Behavior
from vbn.synthetic.settings import SessionIdentity, SyntheticSettings, generator, session_identity
from vbn.synthetic.signals import SimulatedEye, SimulatedRunning, simulate_eye, simulate_running
from vbn.synthetic.spikes import Stimuli, baseline_scale, draw_spike_train
from vbn.synthetic.synapses import plant_synapses, with_synapse
from vbn.synthetic.task import IMAGES, Flashes, TrialPlan, draw_mouse, lay_flashes, plan_trials
from vbn.synthetic.timeline import (
    LASER_LEVELS,
    BlockSizes,
    Clock,
    block_frames,
    block_sizes,
    draw_clock,
    image_stimulus_name,
    laser_table,
    presentation_tables,
)
from vbn.synthetic.units import Unit, draw_units

# Streams of random numbers, so that a change in one part's draws does not affect the others.
_TASK, _CLOCK, _STIMULI, _BEHAVIOR, _SIGNALS, _ANATOMY, _UNITS, _SPIKES, _LASER, _SYNAPSES = range(10)
WAVEFORM_STREAM, AMPLITUDE_STREAM, METRIC_STREAM = 20, 21, 22
_LASER_AFTER_REPLAY_S = 3.0
_TAIL_S = 3.0
_PUPIL_DELAY_S = 0.3


@dataclass(frozen=True)
class SimulatedSession:
    """One simulated session; ``units`` are in file order, ``presentations`` by stimulus name."""

    settings: SyntheticSettings
    identity: SessionIdentity
    plans: list[TrialPlan]
    flashes: Flashes
    sizes: BlockSizes
    clock: Clock
    presentations: dict[str, pd.DataFrame]
    behavior: Behavior
    running: SimulatedRunning
    eye: SimulatedEye | None
    laser: pd.DataFrame
    channels: pd.DataFrame
    units: list[Unit]
    end_s: float

    @cached_property
    def stimuli(self) -> Stimuli:
        """The stimuli to which units respond."""
        images = self.identity.image_set
        return Stimuli(
            images=self.presentations[image_stimulus_name(images)],
            image_names=IMAGES[images],
            gabors=self.presentations["gabor_20_deg_250ms"],
            flashes=self.presentations["flash_250ms"],
            laser=self.laser,
            running_times_s=self.running.timestamps_s,
            running_cm_s=self.running.speed,
            end_s=self.end_s,
            lick_times_s=self.behavior.lick_times_s,
        )

    def spike_trains(self) -> Iterator[np.ndarray]:
        """Yield each unit's spike times, (n_spikes,) s, ascending; identical on every call."""
        for row in range(len(self.units)):
            train = self._train(row)
            if row in self.synapses:
                rng = generator(self.settings, self.identity.index, _SYNAPSES, row)
                train = with_synapse(rng, train, self._train(self.synapses[row]), self.end_s)
            yield train

    @cached_property
    def synapses(self) -> dict[int, int]:
        """Row of a unit -> row of the unit that makes it fire, where that was planted."""
        if not self.settings.synapses:
            return {}
        rng = generator(self.settings, self.identity.index, _SYNAPSES)
        return plant_synapses(rng, self.units, self.settings.synapses, self._scale)

    @cached_property
    def _scale(self) -> float:
        return baseline_scale(self.units, self.stimuli, self.settings.mean_rate_hz)

    def _train(self, row: int) -> np.ndarray:
        rng = generator(self.settings, self.identity.index, _SPIKES, row)
        unit = self.units[row]
        return draw_spike_train(rng, unit, self.stimuli, unit.baseline_hz * self._scale)


def simulate_session(settings: SyntheticSettings, index: int) -> SimulatedSession:
    """Simulate session number ``index`` (0 to ``settings.sessions - 1``)."""
    identity = session_identity(settings, index)
    novel = identity.is_novel
    sizes = block_sizes(settings)
    plans, flashes = _play(settings, index, sizes, novel=novel)
    blocks = block_frames(len(flashes), sizes)
    clock = draw_clock(generator(settings, index, _CLOCK), blocks.n_frames)
    tables = presentation_tables(
        generator(settings, index, _STIMULI), flashes, sizes, clock, identity.image_set, novel=novel
    )
    behavior = behavior_tables.record_behavior(
        generator(settings, index, _BEHAVIOR), plans, clock, identity.image_set, identity.reward_volume_ml
    )
    laser_start_s = float(clock.on_screen[-1]) + _LASER_AFTER_REPLAY_S
    laser = laser_table(
        generator(settings, index, _LASER), sizes.laser_repeats, laser_start_s, LASER_LEVELS[(index // 2) % 2]
    )
    end_s = (float(laser["stop_time"].iloc[-1]) if len(laser) else laser_start_s) + _TAIL_S
    running, eye = _signals(settings, index, clock, behavior, float(clock.on_screen[blocks.starts[5]]), end_s)
    channels, units = _probes(settings, identity)
    return SimulatedSession(
        settings,
        identity,
        plans,
        flashes,
        sizes,
        clock,
        tables,
        behavior,
        running,
        eye,
        laser,
        channels,
        units,
        end_s,
    )


def _play(
    settings: SyntheticSettings, index: int, sizes: BlockSizes, *, novel: bool
) -> tuple[list[TrialPlan], Flashes]:
    """Plan trials and flashes: three free rewards and one catch trial in eight; short sessions differ."""
    rng = generator(settings, index, _TASK)
    mouse = draw_mouse(rng, novel=novel)
    n_auto = int(np.clip(round(settings.minutes / 8), 1, 3))
    catch_every = 8 if settings.minutes >= 30 else 4
    plans = plan_trials(rng, mouse, sizes.active_flashes, n_auto=n_auto, catch_every=catch_every)
    return plans, lay_flashes(rng, plans)


def _signals(
    settings: SyntheticSettings,
    index: int,
    clock: Clock,
    behavior: Behavior,
    replay_start_s: float,
    end_s: float,
) -> tuple[SimulatedRunning, SimulatedEye | None]:
    rng = generator(settings, index, _SIGNALS)
    trials = behavior.trials
    rewards_s = behavior.rewards["timestamps"].to_numpy(dtype=np.float64)
    running = simulate_running(rng, clock.undelayed, rewards_s, replay_start_s)
    changes = trials.loc[trials["is_change"], "change_time_no_display_delay"].to_numpy(dtype=np.float64)
    eye = simulate_eye(rng, end_s, changes + _PUPIL_DELAY_S, running) if settings.eye_tracking else None
    return running, eye


def _probes(settings: SyntheticSettings, identity: SessionIdentity) -> tuple[pd.DataFrame, list[Unit]]:
    tables, units = [], []
    is_of_novelty = settings.novelty_hz is not None
    for probe in range(settings.probes):
        rng = generator(settings, identity.index, _ANATOMY, probe)
        table = probe_channels(rng, identity, probe)
        drawn = draw_units(
            generator(settings, identity.index, _UNITS, probe),
            table,
            identity.unit_ids(probe, settings.units_per_probe),
            probe,
            has_channelrhodopsin=identity.has_channelrhodopsin,
            is_of_novelty=is_of_novelty,
        )
        if is_of_novelty:
            table, layer = novelty.placed(rng, table)
            drawn = novelty.tuned(settings, identity, drawn, layer)
        units += drawn
        tables.append(table)
    return pd.concat(tables, ignore_index=True), units
