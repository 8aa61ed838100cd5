"""Fixtures of all tests, by topic; see `CONTRIBUTING.md`, Tests."""

pytest_plugins = [
    "tests.fixtures.lanes",
    "tests.fixtures.server",
    "tests.fixtures.pool",
    "tests.fixtures.corpora",
    "tests.fixtures.synthetic",
    "tests.fixtures.page",
    "tests.fixtures.damaged",
    "tests.fixtures.web_server",
    "tests.fixtures.bucket",
]
