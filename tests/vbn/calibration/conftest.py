"""Two whole sessions."""

from __future__ import annotations

import pytest

from tests.fixtures.simulated import simulated
from vbn.calibration.events import SimulatedEvents


@pytest.fixture(scope="session")
def events() -> SimulatedEvents:
    return simulated(3, 0)


@pytest.fixture(scope="session")
def other_events() -> SimulatedEvents:
    return simulated(3, 1)
