"""Entering files: Mouse, Session and NwbFile, in one transaction per file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import vbn
import vbn.nwb
from schemas import files, session
from schemas._datajoint import dj
from schemas.rows import plain
from vbn.errors import ConflictError, NotReadableError, VbnError

HASH_BLOCK_BYTES = 2**22

CATALOGUE_NAMES = (
    "experience_level",
    "session_number",
    "prior_exposures_to_image_set",
    "prior_exposures_to_omissions",
    "abnormal_histology",
    "abnormal_activity",
)


@dataclass
class Outcome:
    """What became of one file."""

    path: Path
    status: str  # registered, unchanged, updated, or failed
    message: str = ""
    session_id: int | None = None


@dataclass
class Catalogue:
    """What the release's ``ecephys_sessions.csv`` knows about sessions; empty without one."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Catalogue:
        """Read ``ecephys_sessions.csv`` in a folder or in its ``project_metadata``.

        Raises
        ------
        NotReadableError
            If there is no such file or it lacks the columns.
        """
        candidates = [folder / "ecephys_sessions.csv", folder / "project_metadata" / "ecephys_sessions.csv"]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise NotReadableError(
                folder,
                "there is no ecephys_sessions.csv.",
                "Give the folder project_metadata of the release.",
            )
        try:
            table = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise NotReadableError(path, f"it is no table: {error}.", "Download it again.") from error
        absent = [name for name in ("ecephys_session_id", *CATALOGUE_NAMES) if name not in table]
        if absent:
            raise NotReadableError(
                path, f"the columns {', '.join(absent)} are missing.", "Give a release of VBN."
            )
        return cls({int(row["ecephys_session_id"]): _catalogue_row(row) for row in table.to_dict("records")})

    def get(self, session_id: int) -> dict[str, Any]:
        """Return what is known about a session, an empty dictionary if nothing."""
        return self.rows.get(session_id, {})


def _catalogue_row(row: dict[Any, Any]) -> dict[str, Any]:
    known = {name: plain(row[name]) for name in CATALOGUE_NAMES}
    for name in ("session_number", "prior_exposures_to_image_set", "prior_exposures_to_omissions"):
        known[name] = None if known[name] is None else int(known[name])
    for name in ("abnormal_histology", "abnormal_activity"):  # lists as Python writes them: ['VISp', 'LP']
        known[name] = None if known[name] is None else _parse_list(str(known[name]))
    return known


def _parse_list(text: str) -> list[Any]:
    import ast

    value = ast.literal_eval(text) if text.startswith("[") else text
    return list(value) if isinstance(value, list) else [value]


def register(paths: Iterable[str | Path], catalogue: Catalogue | None = None) -> Iterator[Outcome]:
    """Enter files, or all NWB files below folders; yield what became of each.

    A file that fails is reported and the others go on. Files in folders that are no recordings
    (LFP, behaviour only) are passed over; named themselves, they are failures.

    Raises
    ------
    VbnError
        If a path does not exist or a folder holds no NWB file.
    """
    named = [Path(path) for path in paths]
    explicit = {path.absolute() for path in named if not path.is_dir()}
    for path in vbn.nwb.find_nwb_files(named):
        try:
            identity = vbn.nwb.identify(path)
            if identity.kind is not vbn.nwb.FileKind.RECORDING and path.absolute() not in explicit:
                yield Outcome(path, "skipped", f"{identity.kind} file", identity.identifier)
                continue
            vbn.nwb.require_recording(identity)
            yield _register_once(path, identity, catalogue or Catalogue())
        except VbnError as error:
            yield Outcome(path, "failed", str(error))


def _register_once(path: Path, identity: vbn.nwb.FileIdentity, catalogue: Catalogue) -> Outcome:
    """Enter a file, also while another process enters the same one."""
    try:
        return _register_file(path, identity, catalogue)
    except dj.errors.DuplicateError:
        return _register_file(path, identity, catalogue)


def _register_file(path: Path, identity: vbn.nwb.FileIdentity, catalogue: Catalogue) -> Outcome:
    extra = catalogue.get(identity.identifier)
    known = (session.NwbFile & {"session_id": identity.identifier}).to_dicts()
    if known:
        _require_same_content(path, identity, known[0])
        status = "updated" if _complete_session(identity.identifier, extra) else "unchanged"
        return Outcome(path, status, "", identity.identifier)
    with vbn.nwb.open_recording(path) as recording:
        metadata = vbn.nwb.read_session(recording)
    row = _file_row(path, identity)
    with dj.conn().transaction:
        _enter_mouse(path, metadata)
        mouse_and_session = {"mouse_id": metadata.mouse_id, "session_id": metadata.session_id}
        session.Session.insert1({**mouse_and_session, **_session_row(metadata), **extra})
        session.NwbFile.insert1({**mouse_and_session, **row})
    return Outcome(path, "registered", "", identity.identifier)


def _require_same_content(path: Path, identity: vbn.nwb.FileIdentity, known: dict[str, Any]) -> None:
    is_untouched = path.stat().st_mtime_ns == known["modified_ns"]
    if identity.size_bytes == known["size_bytes"] and (
        is_untouched or content_hash(path) == known["blake2b"]
    ):
        return
    raise ConflictError(
        f"{path}: session {identity.identifier} is registered from {known['root']}:{known['relative_path']} "
        f"with another content (blake2b {known['blake2b'][:12]}..., {known['size_bytes']} bytes; this has "
        f"{identity.size_bytes}). "
        "If this file is the right one, delete the session first; else bring the registered file back."
    )


def _complete_session(session_id: int, extra: dict[str, Any]) -> bool:
    """Enter what the catalogue knows and the row lacks; return whether the row changed."""
    known = (session.Session & {"session_id": session_id}).fetch1()
    missing = {name: value for name, value in extra.items() if value is not None and known[name] is None}
    different = [
        name for name, value in extra.items() if value is not None and known[name] not in (None, value)
    ]
    if different:
        raise ConflictError(
            f"Session {session_id}: the catalogue disagrees with the database in "
            + ", ".join(f"{name} ('{extra[name]}' against '{known[name]}')" for name in different)
            + ". Check that the catalogue is of the same release."
        )
    if missing:
        session.Session.update1({name: known[name] for name in session.Session.primary_key} | missing)
    return bool(missing)


def _enter_mouse(path: Path, metadata: vbn.nwb.SessionMetadata) -> None:
    row = {
        "mouse_id": metadata.mouse_id,
        "sex": metadata.sex,
        "genotype": metadata.genotype,
        "driver_line": list(metadata.driver_line),
        "reporter_line": metadata.reporter_line,
        "cre_line": metadata.cre_line,
    }
    known = (session.Mouse & {"mouse_id": metadata.mouse_id}).to_dicts()
    if not known:
        session.Mouse.insert1(row)
    elif known[0] != row:
        different = [name for name, value in row.items() if known[0][name] != value]
        raise ConflictError(
            f"{path}: mouse {metadata.mouse_id} is known with another "
            + ", ".join(f"{name} ('{known[0][name]}', here '{row[name]}')" for name in different)
            + ". Check which of the files is right."
        )


def _session_row(metadata: vbn.nwb.SessionMetadata) -> dict[str, Any]:
    return {
        "behavior_session_id": metadata.behavior_session_id,
        "session_type": metadata.session_type,
        "date_of_acquisition": metadata.date_of_acquisition.astimezone(UTC).replace(tzinfo=None),
        "age_in_days": metadata.age_in_days,
        "equipment_name": metadata.equipment_name,
        "stimulus_frame_rate": metadata.stimulus_frame_rate,
        "project_code": metadata.project_code,
        "image_set": metadata.image_set,
    }


def _file_row(path: Path, identity: vbn.nwb.FileIdentity) -> dict[str, Any]:
    root, relative_path = files.locate(path)
    return {
        "root": root,
        "relative_path": relative_path,
        "file_kind": str(identity.kind),
        "size_bytes": identity.size_bytes,
        "blake2b": content_hash(path),
        "modified_ns": path.stat().st_mtime_ns,
        "registered_at": datetime.now(UTC).replace(tzinfo=None),
        "package_version": vbn.__version__,
    }


def content_hash(path: Path) -> str:
    """Return the blake2b hash of a file, as the release's manifest has it (hexadecimal)."""
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
