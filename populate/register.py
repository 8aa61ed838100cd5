"""Entering files: Mouse, Session and NwbFile, in one transaction per file; LFP files beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vbn
import vbn.nwb
from populate.catalogue import Catalogue, note_catalogue
from schemas import session
from schemas._datajoint import dj
from schemas.issues import note_issues
from schemas.roots import Place, locate
from vbn.errors import ConflictError, NotFoundError, VbnError
from vbn.nwb import FileKind
from vbn.nwb.layout import find_unknown_parts
from vbn.nwb.recording import reading
from vbn.nwb.releases import find_release_issues
from vbn.release.cache import content_hash
from vbn.web import is_url


@dataclass
class Outcome:
    """What became of one file."""

    path: Place
    status: str  # registered, unchanged, updated, or failed
    message: str = ""
    session_id: int | None = None


def register(places: Iterable[Place], catalogue: Catalogue | None = None) -> Iterator[Outcome]:
    """Enter files, or all NWB files below folders, or URLs; yield what became of each.

    Recordings and behaviour-only sessions become sessions, LFP files are entered beside their
    recording. A file that fails is reported and the others go on.

    Raises
    ------
    VbnError
        If a path does not exist or a folder holds no NWB file.
    """
    named = list(places)
    found: list[Place] = [place for place in named if is_url(place)]
    paths = [Path(place) for place in named if not is_url(place)]
    found += vbn.nwb.find_nwb_files(paths) if paths else []
    lfp_files = []
    for place in found:
        try:
            identity = vbn.nwb.identify(place)
            if identity.kind is FileKind.LFP:
                lfp_files.append((place, identity))  # after the recordings that they belong to
            else:
                yield _register_once(place, identity, catalogue or Catalogue())
        except VbnError as error:
            yield Outcome(place, "failed", str(error))
    for place, identity in lfp_files:
        try:
            yield _register_lfp(place, identity)
        except VbnError as error:
            yield Outcome(place, "failed", str(error))


def _register_once(place: Place, identity: vbn.nwb.FileIdentity, catalogue: Catalogue) -> Outcome:
    """Enter a file, also while another process enters the same one."""
    try:
        return _register_file(place, identity, catalogue)
    except dj.errors.DuplicateError:
        return _register_file(place, identity, catalogue)


def _register_file(place: Place, identity: vbn.nwb.FileIdentity, catalogue: Catalogue) -> Outcome:
    extra = catalogue.known_of(identity.identifier)
    known = (session.NwbFile & {"session_id": identity.identifier}).to_dicts()
    if known:
        _require_same_content(place, identity, known[0])
        status = "updated" if _complete_session(identity.identifier, extra) else "unchanged"
        if extra:
            note_catalogue(known[0], catalogue)
        return Outcome(place, status, "", identity.identifier)
    with vbn.nwb.open_session(place) as file:
        metadata = vbn.nwb.read_session(file)
        with reading(file, "layout"):
            issues = find_unknown_parts(file) + find_release_issues(file)
    row = _file_row(place, identity)
    key = {"mouse_id": metadata.mouse_id, "session_id": metadata.session_id}
    with dj.conn().transaction:
        _enter_mouse(place, metadata)
        session.Session.insert1({**key, **_session_row(metadata), **extra})
        session.NwbFile.insert1({**key, **row})
        note_issues(key, "NwbFile", issues)
        note_catalogue(key, catalogue)
    return Outcome(place, "registered", "", identity.identifier)


def _register_lfp(place: Place, identity: vbn.nwb.FileIdentity) -> Outcome:
    with vbn.nwb.open_lfp(place) as file:
        lfp = vbn.nwb.read_lfp_probe(file)
    key = _session_of(place, lfp)
    known = (session.LfpFile & key & {"lfp_probe_id": lfp.probe_id}).to_dicts()
    if known:
        row = {name.removeprefix("lfp_"): value for name, value in known[0].items()}
        _require_same_content(place, identity, row)
        return Outcome(place, "unchanged", f"LFP of {lfp.probe_name}", key["session_id"])
    row = _file_row(place, identity, hashed=False)
    kept = ("root", "relative_path", "size_bytes", "blake2b", "modified_ns", "registered_at")
    session.LfpFile.insert1(
        {**key, "lfp_probe_id": lfp.probe_id, **{f"lfp_{name}": row[name] for name in kept}}
    )
    return Outcome(place, "registered", f"LFP of {lfp.probe_name}", key["session_id"])


def _session_of(place: Place, lfp: vbn.nwb.LfpMetadata) -> dict[str, Any]:
    """Return the key of the registered recording that an LFP file belongs to.

    The file names its behaviour session; where it does not, its folder names the recording, as in
    the release.
    """
    recordings = session.Session.proj("behavior_session_id") * session.NwbFile.proj("file_kind")
    found = []
    if lfp.behavior_session_id is not None:
        found = (
            recordings & {"behavior_session_id": lfp.behavior_session_id, "file_kind": "recording"}
        ).keys()
    folder = str(place).replace("\\", "/").rstrip("/").split("/")[-2:-1]
    if not found and folder and folder[0].isdigit():
        found = (recordings & {"session_id": int(folder[0]), "file_kind": "recording"}).keys()
    if not found:
        raise NotFoundError(
            f"{place}: the recording of this LFP file (probe {lfp.probe_id}) is not registered. Register its "
            "ecephys_session_<id>.nwb first."
        )
    return {name: found[0][name] for name in ("mouse_id", "session_id")}


def _require_same_content(path: Place, identity: vbn.nwb.FileIdentity, known: dict[str, Any]) -> None:
    if identity.size_bytes == known["size_bytes"] and _is_same(path, known):
        return
    raise ConflictError(
        f"{path}: session {identity.identifier} is registered from {known['root']}:{known['relative_path']} "
        f"with another content (blake2b {str(known['blake2b'])[:12]}..., {known['size_bytes']} bytes; "
        f"this has {identity.size_bytes}). "
        "If this file is the right one, delete the session first; else bring the registered file back."
    )


def _is_same(place: Place, known: dict[str, Any]) -> bool:
    """Tell whether a file of the registered size has the registered content.

    Without a hash (LFP files, URLs) size and time of the last change are all there is.
    """
    if is_url(place):
        return True
    if Path(place).stat().st_mtime_ns == known["modified_ns"]:
        return True
    return known["blake2b"] is not None and content_hash(Path(place)) == known["blake2b"]


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


def _enter_mouse(path: Place, metadata: vbn.nwb.SessionMetadata) -> None:
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
        "stage": stage(metadata.session_type),
        "date_of_acquisition": metadata.date_of_acquisition.astimezone(UTC).replace(tzinfo=None),
        "age_in_days": metadata.age_in_days,
        "equipment_name": metadata.equipment_name,
        "stimulus_frame_rate": metadata.stimulus_frame_rate,
        "project_code": metadata.project_code,
        "image_set": metadata.image_set,
    }


def stage(session_type: str) -> str | None:
    """Return the stage that a protocol's name begins with, None if it has no such form.

    Examples
    --------
    >>> stage("TRAINING_3_images_A_10uL_reward"), stage("EPHYS_1_images_G_3uL_reward")
    ('TRAINING_3', 'EPHYS_1')
    """
    found = re.match(r"[A-Z]+_\d+", session_type)
    return found.group() if found else None


def _file_row(place: Place, identity: vbn.nwb.FileIdentity, *, hashed: bool = True) -> dict[str, Any]:
    root, relative_path = locate(place)
    is_local = not is_url(place)
    return {
        "root": root,
        "relative_path": relative_path,
        "file_kind": str(identity.kind),
        "size_bytes": identity.size_bytes,
        "blake2b": content_hash(Path(place)) if is_local and hashed else None,
        "modified_ns": Path(place).stat().st_mtime_ns if is_local else None,
        "registered_at": datetime.now(UTC).replace(tzinfo=None),
        "package_version": vbn.__version__,
    }
