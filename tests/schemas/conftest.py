"""What several tests of the tables share."""

from __future__ import annotations

import pytest

from tests.fixtures.database import Database


@pytest.fixture
def synthetic_database(populated_synthetic: Database) -> Database:
    """The synthetic sessions' database, with the table classes bound to it."""
    populated_synthetic.connect()
    return populated_synthetic
