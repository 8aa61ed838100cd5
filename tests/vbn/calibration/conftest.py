"""Two whole sessions."""

from __future__ import annotations

import pytest

from vbn.calibration.events import SimulatedEvents, simulate_events


@pytest.fixture(scope="session")
def events() -> SimulatedEvents:
    return simulate_events(seed=3, index=0)


@pytest.fixture(scope="session")
def other_events() -> SimulatedEvents:
    return simulate_events(seed=3, index=1)
