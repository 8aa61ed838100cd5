"""The server's hashes of all tables when they were frozen, by which what has changed since is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from populate.output.publish.fingerprints import WHOLE
from schemas.server import frozen

FINGERPRINTS = f"{frozen.OURS}/fingerprints.json"

Hashes = dict[Any, str]
"""Session, by mouse and id, -> hash of its rows."""


def fingerprints_text(found: Mapping[str, Hashes]) -> str:
    """Return the fingerprints of tables as a freeze keeps them: file -> session -> hash."""
    return json.dumps(
        {file: [[_key(at), each] for at, each in hashes.items()] for file, hashes in found.items()}
    )


def _key(session: Any) -> Any:
    return list(session) if session != WHOLE else WHOLE


def read_fingerprints(folder: Path) -> dict[str, Hashes]:
    """Return the fingerprints of a freeze from its folder on this machine."""
    content = json.loads((folder / FINGERPRINTS).read_bytes())
    return {
        file: {tuple(at) if at != WHOLE else WHOLE: each for at, each in hashes}
        for file, hashes in content.items()
    }
