"""Registering the public release where it is: its tables are fetched, its recordings stay on the web."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from schemas.server.settings import home_folder
from vbn.release import BUCKET_URL, Release, Selection
from vbn.release.release import TABLES

NEWEST = "newest"


def of_release(
    version: str, source: str | None = None, sessions: Sequence[int] = (), lfp: bool = False
) -> tuple[Path, dict[str, str]]:
    """Return the folder with the tables of a release, and the places of its files with their hashes.

    Parameters
    ----------
    version : such as ``0.5.0``, or ``newest``.
    source : a mirror, as `vbn.release.Release` takes it; by default the Allen Institute's bucket.
    sessions : only these sessions; by default all recordings.
    lfp : whether to include LFP files.

    Raises
    ------
    NotFoundError
        If there is no such version, or a session is not in it.
    NotReadableError
        If the source does not answer, or a table is not what the manifest says.
    """
    place = source or BUCKET_URL
    of_source = hashlib.blake2b(
        place.encode(), digest_size=8
    ).hexdigest()  # mirrors may contradict each other
    folder = home_folder() / "release" / of_source
    release = Release(place, folder, version=None if version == NEWEST else version)
    files = release.locations(Selection(sessions=tuple(sessions)), lfp=lfp)
    for name in TABLES:
        if name in release.manifest.metadata_files:
            release.table_path(name)
    return release.cache.data_folder, files
