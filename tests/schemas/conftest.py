"""What AllenSDK reads from the corpus, and comparing tables with it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

RELATIVE_TOLERANCE = 1e-9
# What AllenSDK gives for a missing integer, and for missing text.
MISSING = (-99, "", "N/A")


FOLDERS = {
    "recording_folder": "behavior_ecephys_sessions/*/expected",
    "session_folder": "behavior*_sessions/*/expected",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of ``recorded`` once for each recording of the corpus, of ``watched`` for each session."""
    for name, pattern in FOLDERS.items():
        if name in metafunc.fixturenames:
            folders = sorted(Path(os.environ.get("VBN_CORPUS", "")).glob(pattern))
            folders = folders if os.environ.get("VBN_CORPUS") else []
            metafunc.parametrize(
                name, folders or [None], ids=[path.parent.name for path in folders] or ["none"]
            )


@dataclass(frozen=True)
class Expected:
    """AllenSDK's reading of one recording, and what was put into it."""

    folder: Path

    @property
    def session_id(self) -> int:
        return int(self.folder.parent.name)

    @property
    def key(self) -> dict[str, int]:
        return {"session_id": self.session_id}

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "expected.json").read_text())

    @cached_property
    def truth(self) -> dict[str, Any]:
        return json.loads((self.folder / "ground_truth.json").read_text())

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    @cached_property
    def spike_times(self) -> dict[int, np.ndarray]:
        """Unit id -> spike times; ``index`` holds each unit's end."""
        with np.load(self.folder / "spikes.npz") as stored:
            pieces = np.split(stored["spike_times"], stored["index"][:-1])
            return dict(zip(stored["unit_ids"].tolist(), pieces, strict=True))

    @property
    def is_cre(self) -> bool:
        return self.summary["metadata"]["cre_line"] is not None

    @cached_property
    def injected(self) -> dict[int, dict[str, Any]]:
        """Unit id -> what was put into the unit."""
        return {unit["unit_id"]: unit for unit in self.truth["units"]}

    def with_role(self, *roles: str) -> set[int]:
        """Return the ids of the units with one of the roles; there must be some."""
        found = {unit_id for unit_id, unit in self.injected.items() if unit["role"] in roles}
        assert found, roles
        return found

    def change_times(self, active: bool) -> np.ndarray:
        flashes = self.table("stimulus_presentations")
        return flashes.loc[
            flashes["is_change"].fillna(False) & (flashes["active"] == active), "start_time"
        ].to_numpy()


@pytest.fixture
def recorded(recording_folder: Path | None, corpus: Path, populated_corpus: Any) -> Expected:
    """One recording of the corpus; the table classes are bound to the database that holds it."""
    assert recording_folder is not None, f"{corpus} holds no recordings with an expected reading"
    populated_corpus.connect()
    return Expected(recording_folder)


@pytest.fixture
def watched(session_folder: Path | None, corpus: Path, populated_corpus: Any) -> Expected:
    """One session of the corpus, with or without a recording of the brain; bound as for `recorded`."""
    assert session_folder is not None, f"{corpus} holds no sessions with an expected reading"
    populated_corpus.connect()
    return Expected(session_folder)


@pytest.fixture(scope="session")
def corpus_truth(corpus: Path) -> dict[int, str]:
    """Unit id -> role, of all recordings of the corpus."""
    truths = [
        json.loads(path.read_text())
        for path in corpus.glob(f"{FOLDERS['recording_folder']}/ground_truth.json")
    ]
    return {unit["unit_id"]: unit["role"] for truth in truths for unit in truth["units"]}


@pytest.fixture
def synthetic_database(populated_synthetic: Any) -> Iterator[Any]:
    """The synthetic sessions' database, with the table classes bound to it."""
    populated_synthetic.connect()
    return populated_synthetic


@pytest.fixture(scope="session")
def assert_rows_equal() -> Callable[..., None]:
    """Compare rows with a data frame: ``assert_rows_equal(rows, frame, {column: attribute})``."""
    return _assert_rows_equal


def _assert_rows_equal(
    rows: Sequence[Mapping[str, Any]], frame: pd.DataFrame, names: Mapping[str, str]
) -> None:
    """Exact for numbers without fraction, text and flags; missing values are None on both sides."""
    assert len(rows) == len(frame)
    for column, attribute in names.items():
        expected = [_expected_value(value) for value in frame[column].astype(object)]
        different = [
            (position, row[attribute], value)
            for position, (row, value) in enumerate(zip(rows, expected, strict=True))
            if not _is_same(row[attribute], value)
        ]
        assert not different, (
            f"{attribute}: {len(different)} differ, (row, stored, expected): {different[:5]}"
        )


def _expected_value(value: Any) -> Any:
    if (
        value is None
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
        or value in MISSING
    ):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _is_same(stored: Any, expected: Any) -> bool:
    if stored is None or expected is None:
        return stored is expected
    if isinstance(expected, bool):  # MySQL has numbers for flags
        return stored in (0, 1) and bool(stored) == expected
    if isinstance(expected, float):
        return math.isclose(stored, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=0)
    return type(stored) is type(expected) and stored == expected
