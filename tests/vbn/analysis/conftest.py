"""Sessions of the test corpus, as AllenSDK reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class Expected:
    """The ``expected`` folder of one session."""

    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def content(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{name}.json").read_text())

    def spikes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Unit ids, spike times, offsets, numbers of spikes."""
        with np.load(self.folder / "spikes.npz") as arrays:
            ends = arrays["index"].astype(np.int64)
            offsets = np.concatenate(([0], ends[:-1]))
            return arrays["unit_ids"], arrays["spike_times"], offsets, ends - offsets


def _sessions(corpus: Path, kind: str) -> list[Expected]:
    found = [Expected(folder / "expected") for folder in sorted((corpus / kind).iterdir())]
    assert found, f"no sessions in {corpus / kind}"
    return found


@pytest.fixture(scope="session")
def recordings(corpus: Path) -> list[Expected]:
    return _sessions(corpus, "behavior_ecephys_sessions")


@pytest.fixture(scope="session")
def behaviour_only(corpus: Path) -> list[Expected]:
    return _sessions(corpus, "behavior_only_sessions")
