"""Fixtures of all tests, by topic; see `CONTRIBUTING.md`, Tests."""

import os

# Several workers on few cores: threads of linear algebra that wait for each other would keep all cores busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = [
    "tests.fixtures.lanes",
    "tests.fixtures.server",
    "tests.fixtures.pool",
    "tests.fixtures.corpora",
    "tests.fixtures.synthetic",
    "tests.fixtures.simulated",
    "tests.fixtures.page",
    "tests.fixtures.damaged",
    "tests.fixtures.web_server",
    "tests.fixtures.bucket",
]
