"""Information in the names of the release's files.

Names are only a hint, for selection and display: files are identified by their content (`vbn.nwb.identify`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

RECORDING = "recording"
LFP = "lfp"
BEHAVIOR_ONLY = "behavior_only"
SESSION = "session"
"""A recording or a behavior-only session: DANDI's names do not distinguish them."""

_RELEASE = (
    (RECORDING, re.compile(r"ecephys_session_(?P<session>\d+)\.nwb")),
    (BEHAVIOR_ONLY, re.compile(r"behavior_session_(?P<session>\d+)\.nwb")),
    (LFP, re.compile(r"probe_(?P<probe>\w+)_lfp\.nwb")),
)
_DANDI = re.compile(
    r"sub-(?P<mouse>[^_]+)(_ses-(?P<start>[^_]+))?(_probe-(?P<probe_id>\d+))?(_obj-[^_]+)?(_[a-z+]+)?\.nwb"
)


@dataclass(frozen=True)
class NamedFile:
    """Information from a file's name; None where the name does not state it.

    Parameters
    ----------
    archive : ``release`` (the S3 bucket and AllenSDK's cache) or ``dandi`` (DANDI:000713).
    kind : ``recording``, ``lfp``, ``behavior_only``, or ``session`` for either of the first and last.
    session_id : ``ecephys_session_id``, or ``behavior_session_id`` of behavior-only files.
    probe_name, probe_id : probe of an LFP file.
    mouse_id : mouse, in DANDI's names.
    start : start of the session in DANDI's name, without a time zone.
    """

    archive: str
    kind: str
    session_id: int | None = None
    probe_name: str | None = None
    probe_id: int | None = None
    mouse_id: str | None = None
    start: datetime | None = None


def parse_name(path: str | PurePath) -> NamedFile | None:
    """Parse the name of a file.

    Parameters
    ----------
    path : path or key; the name of its folder is the session id of an LFP file.

    Returns
    -------
    NamedFile or None
        None if the name follows neither archive.

    Examples
    --------
    >>> parse_name("behavior_ecephys_sessions/1053941483/probe_probeC_lfp.nwb").session_id
    1053941483
    >>> parse_name("sub-506940/sub-506940_ses-None_probe-1158270876_ecephys.nwb").probe_id
    1158270876
    """
    path = PurePath(path)
    for kind, pattern in _RELEASE:
        match = pattern.fullmatch(path.name)
        if match:
            found = match.groupdict()
            number = found.get("session") or path.parent.name
            session_id = int(number) if number.isascii() and number.isdigit() else None
            return NamedFile("release", kind, session_id, found.get("probe"))
    match = _DANDI.fullmatch(path.name)
    return _dandi_file(match) if match else None


def _dandi_file(match: re.Match[str]) -> NamedFile:
    probe_id = match["probe_id"]
    return NamedFile(
        "dandi",
        LFP if probe_id else SESSION,
        probe_id=int(probe_id) if probe_id else None,
        mouse_id=match["mouse"],
        start=_start(match["start"] or ""),
    )


def _start(text: str) -> datetime | None:
    """Parse a start time; LFP files of the archive have 'None' instead."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S")
    except ValueError:
        return None
