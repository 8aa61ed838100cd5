"""One simulated session for the tables of models: what happens in it, and the populations of each world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.analysis.encoding.design import SessionTraces
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.calibration.columns import Spikes, as_spikes
from vbn.calibration.events import SimulatedEvents, simulate_events
from vbn.calibration.models.worlds import POPULATIONS, population_trains

UNITS = 40
"""Units of each world and session: two populations of 20, 780 pairs."""
POOL = 60
"""Units that dimensions are of: 30 of them fire enough."""


@dataclass(frozen=True)
class SimulatedRecording:
    """What happens in a session of one length."""

    events: SimulatedEvents

    @property
    def flashes(self) -> pd.DataFrame:
        """Flashes and what the mouse does; see `flash_behavior`."""
        return self.events.behavior

    def flash_set(self, name: str) -> pd.DataFrame:
        """Return the flashes of a set."""
        return self.flashes[select_flashes(self.flashes, FLASH_SETS[name])]

    @property
    def traces(self) -> SessionTraces:
        """What encoding models are made of."""
        events = self.events
        eye = events.grid_s, events.pupil_area, events.blink
        return SessionTraces(self.flashes, events.lick_times_s, (events.grid_s, events.speed), eye)


class ModelSession:
    """A simulated session.

    Parameters
    ----------
    seed, index : of the session.
    """

    def __init__(self, seed: int, index: int) -> None:
        self.seed, self.index = seed, index
        self._recordings: dict[float, SimulatedRecording] = {}
        self._trains: dict[str, list[Floats]] = {}

    def of(self, world: str) -> SimulatedRecording:
        """Return what happens in the recordings of a world."""
        minutes = POPULATIONS[world].minutes
        if minutes not in self._recordings:
            self._recordings[minutes] = SimulatedRecording(simulate_events(self.seed, self.index, minutes))
        return self._recordings[minutes]

    def trains(self, world: str, n: int = UNITS) -> list[Floats]:
        """Return the trains of the first units of a world."""
        if len(self._trains.get(world, ())) < n:
            # The first units are the same, whatever their number.
            self._trains[world] = population_trains(self.seed, world, max(n, UNITS), self.of(world).events)
        return self._trains[world][:n]

    def spikes(self, world: str, n: int = UNITS) -> Spikes:
        """Return them as the analyses take them."""
        return as_spikes(self.trains(world, n))

    def together(
        self, worlds: Sequence[str], n: int = UNITS
    ) -> Iterator[tuple[SimulatedRecording, np.ndarray, Spikes]]:
        """Yield each recording with the worlds of its units, and their spikes."""
        for minutes in dict.fromkeys(POPULATIONS[world].minutes for world in worlds):
            chosen = [world for world in worlds if POPULATIONS[world].minutes == minutes]
            trains = [train for world in chosen for train in self.trains(world, n)]
            yield self.of(chosen[0]), np.repeat(chosen, n), as_spikes(trains)
