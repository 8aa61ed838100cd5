"""Sessions of the test corpus, as AllenSDK reads them."""

from __future__ import annotations

import json
import os
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


def _sessions(kind: str) -> list[Expected]:
    root = os.environ.get("VBN_CORPUS")
    if not root:
        pytest.skip("VBN_CORPUS names no folder of test sessions")
    found = [Expected(folder / "expected") for folder in sorted((Path(root) / kind).iterdir())]
    assert found, f"no sessions in {root}/{kind}"
    return found


@pytest.fixture(scope="session")
def recordings() -> list[Expected]:
    return _sessions("behavior_ecephys_sessions")


@pytest.fixture(scope="session")
def behaviour_only() -> list[Expected]:
    return _sessions("behavior_only_sessions")
