"""The local data folder: embedded server, default store, log."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home_folder() -> Path:
    """Return the folder of the embedded server and the default store, which may not exist yet."""
    configured = os.environ.get("VBN_HOME")
    if configured:
        return Path(configured).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # PostgreSQL must not run as root, and its user cannot enter root's home.
        return Path("/var/lib/vbn")
    return platformdirs.user_data_path("vbn", appauthor=False)
