"""The server's hashes of all tables when they were frozen, by which what has changed since is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from populate.output.publish.fingerprints import WHOLE
from schemas.server.frozen import FINGERPRINTS
from vbn.errors import InvalidContentError

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
    path = folder / FINGERPRINTS
    try:
        content = json.loads(path.read_bytes())
        return {
            file: {tuple(at) if at != WHOLE else WHOLE: each for at, each in hashes}
            for file, hashes in content.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        repair = f"Remove {folder}: the next use of the freeze brings it again."
        raise InvalidContentError(path, "It is not what vbn freeze has written.", repair) from error
