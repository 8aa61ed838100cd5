"""Tests of a corpus's recordings, of its sessions, and of each corpus as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.database import Database
from tests.fixtures.server import Server
from tests.schemas.corpus.reading import Expected

CORPORA = {"VBN_CORPUS": "populated_corpus", "VBN_CORPUS_HARD": "populated_corpus_hard"}
FOLDERS = {
    "recording_folder": "behavior_ecephys_sessions/*/expected",
    "session_folder": "behavior*_sessions/*/expected",
}
NO_CORPUS = f"neither {' nor '.join(CORPORA)} names a folder with such sessions"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "roles(*names): runs on the recordings with units of these roles, by their ground truth"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of ``recorded`` for each recording of the corpora, of ``watched`` for each session.

    Those of ``collected`` run for each corpus.
    """
    for name, pattern in FOLDERS.items():
        if name in metafunc.fixturenames:
            mark = metafunc.definition.get_closest_marker("roles")
            folders = [path for variable in CORPORA for path in _folders(variable, pattern)]
            folders = [path for path in folders if mark is None or _roles_in(path) >= set(mark.args)]
            metafunc.parametrize(
                name, folders or [None], ids=[path.parent.name for path in folders] or ["none"]
            )
    if "corpus_variable" in metafunc.fixturenames:
        metafunc.parametrize("corpus_variable", CORPORA)


def _folders(variable: str, pattern: str) -> list[Path]:
    """List what AllenSDK reads of the sessions of a corpus; nothing where the variable is not set."""
    corpus = os.environ.get(variable)
    found = sorted(Path(corpus).glob(pattern)) if corpus else []
    if corpus and not found:
        raise pytest.UsageError(f"{variable} names {corpus}, which holds no {pattern}")
    return found


def _roles_in(folder: Path) -> set[str]:
    truth = json.loads((folder / "ground_truth.json").read_text())
    return {unit["role"] for unit in truth["units"]}


@dataclass(frozen=True)
class Collected:
    """A corpus and the database that holds it."""

    folder: Path
    database: Database


# The server is asked for by name, so that these tests carry the mark `database`.
@pytest.fixture
def recorded(recording_folder: Path | None, server: Server, request: pytest.FixtureRequest) -> Expected:
    """One recording of a corpus; the table classes are bound to the database that holds it."""
    return _bound(recording_folder, request)


@pytest.fixture
def watched(session_folder: Path | None, server: Server, request: pytest.FixtureRequest) -> Expected:
    """One session of a corpus, with or without a recording of the brain; bound as for `recorded`."""
    return _bound(session_folder, request)


def _bound(folder: Path | None, request: pytest.FixtureRequest) -> Expected:
    if folder is None:
        pytest.skip(NO_CORPUS)
    variable = next(name for name in CORPORA if folder in _folders(name, FOLDERS["session_folder"]))
    request.getfixturevalue(CORPORA[variable]).connect()
    return Expected(folder)


@pytest.fixture
def collected(corpus_variable: str, server: Server, request: pytest.FixtureRequest) -> Collected:
    """One corpus as a whole, bound as for `recorded`."""
    database = request.getfixturevalue(CORPORA[corpus_variable])
    database.connect()
    return Collected(Path(os.environ[corpus_variable]), database)


@pytest.fixture(scope="session")
def corpus_truth(corpus: Path) -> dict[int, str]:
    """Unit id -> role, of all recordings of the first corpus."""
    truths = [
        json.loads(path.read_text())
        for path in corpus.glob(f"{FOLDERS['recording_folder']}/ground_truth.json")
    ]
    return {unit["unit_id"]: unit["role"] for truth in truths for unit in truth["units"]}
