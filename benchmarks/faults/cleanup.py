"""Removing a database of the test harness."""

from __future__ import annotations

from benchmarks.faults.content import Environment, script

DROP = """
import schemas
from schemas.bases.registry import modules
from schemas.server.connection import open_database
database = open_database()
query = database.connection.query
for module in reversed(modules()):
    name = database.prefix + module.__name__.split(".")[-1]
    if database.backend == "mysql":
        query(f"DROP DATABASE IF EXISTS `{name}`")
    else:
        query(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
print("null")
"""


def drop(environment: Environment) -> None:
    """Drop all schemas with the environment's prefix."""
    script(environment, DROP)
