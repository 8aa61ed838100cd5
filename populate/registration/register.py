"""Registering files: Mouse, Session and NwbFile in one transaction per file, and LFP files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vbn
import vbn.nwb
from populate.registration.catalogue import Entered, catalogue_attributes, complete_session, note_catalogue
from populate.registration.rig import (
    Rig,
    enter_mapping,
    has_other_mapping,
    has_other_row,
    of_registered,
    require_one_session,
    require_own_mouse,
    require_own_session,
    require_same_values,
    withdrawn,
)
from populate.work.staleness import withdraw_novelty, withdraw_selections
from schemas import ecephys, session
from schemas.bases.issues import note_issues
from schemas.bases.unique_ids import require_own_ids
from schemas.files.open_file import hash_and_version
from schemas.files.roots import Place, locate, resolve
from schemas.files.store_identity import require_own_store
from schemas.rows.insert import plain, require_storable
from schemas.server.connection import active
from schemas.server.datajoint import dj
from schemas.server.unpublished import ROOT
from vbn.errors import (
    ConflictError,
    InvalidContentError,
    NotFoundError,
    NotReadableError,
    SettingError,
    VbnError,
    quoted,
)
from vbn.nwb import FileKind
from vbn.nwb.checks.layout import find_unknown_parts
from vbn.nwb.checks.releases import find_release_issues
from vbn.nwb.hdf5.identify import FileVersion, version_of
from vbn.nwb.hdf5.recording import reading
from vbn.nwb.issue import issue
from vbn.nwb.readers.session import find_metadata_issues
from vbn.release.cache import content_hash
from vbn.release.lab_table import OF_SESSIONS
from vbn.web.client import is_url

RELEASE = Rig()


@dataclass
class FileOutcome:
    """The result of registering one file."""

    path: Place
    status: str  # registered, unchanged, updated, or failed
    message: str = ""
    session_id: int | None = None


def register(
    places: Iterable[Place], entered: Entered | None = None, *, replace: bool = False, rig: Rig = RELEASE
) -> Iterator[FileOutcome]:
    """Register files, all NWB files below folders, or URLs; yield the outcome of each.

    Recordings and behavior-only sessions become sessions, LFP files are added to their recording. A file that
    fails is reported and the others go on. With ``replace``, a file with different content replaces the
    registered one, whose results become stale. Data from the release's tables come from the database, where
    they are entered before.

    Parameters
    ----------
    places : paths and URLs.
    entered : the result of entering the tables, if that was just done: sessions that failed there are not
        registered without the tables' data.
    replace : whether a file may replace one with different content.
    rig : how files of another rig are read, and the project that they belong to.

    Raises
    ------
    VbnError
        If a path does not exist or a folder holds no NWB file, or the array store is not the database's.
    """
    named = list(places)
    found: list[Place] = [place for place in named if is_url(place)]
    paths = [Path(place) for place in named if not is_url(place)]
    found += vbn.nwb.find_nwb_files(paths) if paths else []
    lfp_files = []
    ambiguous = rig.ambiguous(found)
    is_own_store = False
    for place in found:
        try:
            if place in ambiguous:
                raise ambiguous[place]
            identity = rig.identify(place)
        except VbnError as error:
            yield FileOutcome(place, "failed", str(error))
            continue
        if not is_own_store:
            require_own_store(active())
            is_own_store = True
        try:
            if identity.kind is FileKind.LFP:
                lfp_files.append((place, identity))  # after the recordings that they belong to
            else:
                yield _register_once(place, identity, entered or Entered(), replace, rig)
        except VbnError as error:
            yield FileOutcome(place, "failed", str(error))
    for place, identity in lfp_files:
        try:
            yield _register_lfp(place, identity, replace, rig)
        except VbnError as error:
            yield FileOutcome(place, "failed", str(error))


def _register_once(
    place: Place, identity: vbn.nwb.FileIdentity, entered: Entered, replace: bool, rig: Rig
) -> FileOutcome:
    """Register a file, even while another process registers the same one."""
    if identity.identifier in entered.failed:
        raise entered.failed[identity.identifier]
    try:
        outcome = _register_file(place, identity, replace, rig)
    except dj.errors.DuplicateError:
        outcome = _register_file(place, identity, replace, rig)
    if outcome.status == "unchanged" and outcome.session_id in entered.completed:
        outcome.status = "updated"
    return outcome


def _register_file(place: Place, identity: vbn.nwb.FileIdentity, replace: bool, rig: Rig) -> FileOutcome:
    known = (session.NwbFile & {"session_id": identity.identifier}).to_dicts()
    if known:
        if replace and not _has_content(place, identity, known[0], rig):
            return _replace_file(place, identity, known[0], rig)
        if not _has_content(place, identity, known[0], rig):
            raise _other_content(place, f"session {identity.identifier}", identity, known[0])
        if known[0]["root"] == ROOT:
            return _take_place(place, known[0])
        is_other = has_other_mapping(known[0], rig, place) or has_other_row(known[0], rig, place)
        if not is_other:
            return FileOutcome(place, _complete(known[0]), "", identity.identifier)
        return _read_anew(place, identity, known[0], rig, "updated")
    require_own_session(place, identity.identifier, rig.project)
    metadata, issues, row = _read_session(place, identity, rig)
    require_one_session(place, row, identity.identifier)
    require_own_mouse(place, metadata.mouse_id, rig.project, identity.identifier)
    key = {"mouse_id": metadata.mouse_id, "session_id": metadata.session_id}
    described = require_storable(
        session.Session(), {**key, **_session_row(metadata), **rig.session_row(place)}, place
    )
    of_release = catalogue_attributes(metadata.session_id) if rig.project == RELEASE.project else {}
    with dj.conn().transaction:
        kept = _enter_mouse(place, metadata)
        session.Session.insert1({**described, **of_release})
        session.NwbFile.insert1({**key, **row})
        enter_mapping(key, rig, place)
        note_issues(key, "NwbFile", issues)
        note_issues(key, "Mouse", kept)
        note_catalogue(key)
    return FileOutcome(place, "registered", "", identity.identifier)


def _take_place(place: Place, known: dict[str, Any]) -> FileOutcome:
    """Note where the file is of a session that was adopted without it; the session's rows stay."""
    root, relative_path = locate(place)
    modified_ns = None if is_url(place) else Path(place).stat().st_mtime_ns
    key = {"mouse_id": known["mouse_id"], "session_id": known["session_id"]}
    session.NwbFile.update1({**key, "root": root, "relative_path": relative_path, "modified_ns": modified_ns})
    (name,) = (session.AdoptedSession & key).to_arrays("adopted_from").tolist() or ["a published folder"]
    message = (
        f"its rows were adopted from {name}, and stay. To have arrays that were not published: vbn delete "
        f"--session {known['session_id']}, then register this file again and populate"
    )
    return FileOutcome(place, "updated", message, known["session_id"])


def _complete(key: dict[str, Any]) -> str:
    """Add the session's data from tables entered in the meantime; return the status of the file."""
    with dj.conn().transaction:
        is_new, _ = complete_session(key)
        if is_new:
            note_catalogue(key)
    return "updated" if is_new else "unchanged"


def _read_session(
    place: Place, identity: vbn.nwb.FileIdentity, rig: Rig
) -> tuple[vbn.nwb.SessionMetadata, list[vbn.nwb.Issue], dict[str, Any]]:
    """Read a session's metadata, the issues of its file's layout, and its row of NwbFile."""
    reading_of = rig.reading_of(place)
    with _hashing(place) as hashed, vbn.nwb.open_session(place, mapping=reading_of) as file:
        metadata = vbn.nwb.read_session(file)
        require_same_values(place, rig, metadata)
        require_own_ids(metadata.session_id, place, _ids(file))
        with reading(file, "layout"):
            issues = find_unknown_parts(file) + find_release_issues(file) + find_metadata_issues(file)
            issues += [issue("not_checked", "file", file.unchecked)] if file.unchecked else []
        row = _file_row(file, identity, *_as_stated(place, rig, *hashed()))
        return metadata, issues, row


def _ids(file: vbn.nwb.RecordingFile) -> dict[str, Any]:
    """Read a recording's ids; none if they are unreadable, which the import will report."""
    if file.identity.kind is not FileKind.RECORDING:
        return {}
    with contextlib.suppress(InvalidContentError, NotReadableError):
        return dict(vbn.nwb.read_ids(file))
    return {}


@contextlib.contextmanager
def _hashing(place: Place) -> Iterator[Callable[[], tuple[str | None, FileVersion | None]]]:
    """Hash a file in parallel with the block; yield a function that waits for the hash.

    It returns the hash with the version of the file that was hashed; both are None for a URL.
    """
    if is_url(place):
        yield lambda: (None, None)
        return
    ended = threading.Event()

    def stop_after_block(_: int) -> None:
        if ended.is_set():
            raise CancelledError

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(hash_and_version, Path(place), stop_after_block).result
        finally:
            ended.set()


def _as_stated(
    place: Place, rig: Rig, blake2b: str | None, version: FileVersion | None
) -> tuple[str | None, FileVersion | None]:
    """Return the hash of a file, the stated one of a file on the web, and its version.

    Raises
    ------
    NotReadableError
        If it has another content than its manifest says.
    """
    stated = rig.hashes.get(str(place))
    if blake2b and stated and blake2b != stated:
        raise NotReadableError(
            place, "its content is not what the manifest says (blake2b).", "Copy it again, or name another."
        )
    return blake2b or stated, version


def _replace_file(
    place: Place, identity: vbn.nwb.FileIdentity, known: dict[str, Any], rig: Rig
) -> FileOutcome:
    """Replace the registered file by another; the imported rows stay, and are stale."""
    has_other_mapping(known, rig, place)
    outcome = _read_anew(place, identity, known, rig, "replaced")
    outcome.message = "; ".join(filter(None, ["import it again with: vbn recompute", outcome.message]))
    return outcome


def _read_anew(
    place: Place, identity: vbn.nwb.FileIdentity, known: dict[str, Any], rig: Rig, status: str
) -> FileOutcome:
    """Read a registered session anew, from another file or by another mapping."""
    rig = of_registered(known, rig)
    metadata, issues, row = _read_session(place, identity, rig)
    if metadata.mouse_id != known["mouse_id"]:
        raise ConflictError(
            f"{place}: session {identity.identifier} is of mouse {known['mouse_id']}, and this file of mouse "
            f"{quoted(metadata.mouse_id)}. It cannot replace the registered one."
        )
    key = {"mouse_id": known["mouse_id"], "session_id": known["session_id"]}
    if rig.project != (session.Session & key).fetch1("project"):
        require_own_session(place, identity.identifier, rig.project)
        require_own_mouse(place, metadata.mouse_id, rig.project, identity.identifier)
    values = {**withdrawn(known, rig, place), **_session_row(metadata), **rig.session_row(place)}
    of_release = catalogue_attributes(key["session_id"]) if rig.project == RELEASE.project else {}
    described = {**require_storable(session.Session(), {**key, **values}, place), **of_release}
    with dj.conn().transaction:
        kept = _enter_mouse(place, metadata)
        before = (session.Session & key).fetch1()
        session.Session.update1(described)
        n_withdrawn = _withdraw_results(key, before)
        session.NwbFile.update1({**key, **row})
        enter_mapping(key, rig, place)
        note_issues(key, "NwbFile", issues)
        note_issues(key, "Mouse", kept)
        note_catalogue(key)
    gone = f"{n_withdrawn} results of its former values are removed, and vbn populate makes them again"
    return FileOutcome(place, status, gone if n_withdrawn else "", identity.identifier)


def _withdraw_results(key: dict[str, Any], before: dict[str, Any]) -> int:
    """Delete what was chosen by values of a session that have changed; return the number of results."""
    now = (session.Session & key).fetch1()
    if all(now[name] == before[name] for name in OF_SESSIONS):
        return 0
    is_other_experience = now["experience_level"] != before["experience_level"]
    return withdraw_selections(key) + (withdraw_novelty(key) if is_other_experience else 0)


def _register_lfp(place: Place, identity: vbn.nwb.FileIdentity, replace: bool, rig: Rig) -> FileOutcome:
    with vbn.nwb.open_lfp(place) as file:
        return _enter_lfp(place, file, identity, replace, rig)


def _enter_lfp(
    place: Place, file: vbn.nwb.RecordingFile, identity: vbn.nwb.FileIdentity, replace: bool, rig: Rig
) -> FileOutcome:
    lfp = vbn.nwb.read_lfp_probe(file)
    key = _session_of(place, lfp)
    known = (session.LfpFile & key & {"lfp_probe_id": lfp.probe_id}).to_dicts()
    if known:
        registered = {name.removeprefix("lfp_"): value for name, value in known[0].items()}
        is_same = _has_content(place, identity, registered, rig) and (
            registered["blake2b"] is not None or _agrees_with_import(key, lfp)
        )
        if not is_same and not replace:
            what = f"the LFP of probe {lfp.probe_id} ({lfp.probe_name} of session {key['session_id']})"
            raise _other_content(place, what, identity, registered)
        if is_same:
            return FileOutcome(place, "unchanged", f"LFP of {lfp.probe_name}", key["session_id"])
    _require_probe(place, key, lfp)
    hashed = (None, None) if is_url(place) else hash_and_version(Path(place))
    row = _file_row(file, identity, *_as_stated(place, rig, *hashed))
    kept = ("root", "relative_path", "size_bytes", "blake2b", "modified_ns", "registered_at")
    entry = {**key, "lfp_probe_id": lfp.probe_id, **{f"lfp_{name}": row[name] for name in kept}}
    if known:
        session.LfpFile.update1(entry)
    else:
        session.LfpFile.insert1(entry)
    status = "replaced" if known else "registered"
    return FileOutcome(place, status, f"LFP of {lfp.probe_name}", key["session_id"])


def _agrees_with_import(key: dict[str, Any], lfp: vbn.nwb.LfpMetadata) -> bool:
    """Return whether an LFP file agrees with the imported data, for files registered without a hash.

    Earlier versions stored no hash of LFP files. If nothing is imported yet, nothing can disagree.
    """
    probe = ecephys.Recording.Probe & key & {"probe_id": lfp.probe_id}
    imported = (ecephys.Lfp & probe.proj()).to_dicts()
    return not imported or (
        imported[0]["n_lfp_samples"] == lfp.n_samples
        and imported[0]["lfp_channel_ids"].tolist() == list(lfp.channel_ids)
        and imported[0]["lfp_start_time"] == plain(lfp.start_s)
        and imported[0]["lfp_stop_time"] == plain(lfp.stop_s)
    )


def _require_probe(place: Place, key: dict[str, Any], lfp: vbn.nwb.LfpMetadata) -> None:
    """Refuse the LFP of a probe that the recording does not have, if its probes are imported."""
    known = (ecephys.Recording.Probe & key).to_arrays("probe_id").tolist()
    if known and lfp.probe_id not in known:
        raise ConflictError(
            f"{place}: session {key['session_id']} has no probe {lfp.probe_id}; its probes are "
            f"{', '.join(map(str, known))}. Check which recording the LFP file belongs to."
        )


def _session_of(place: Place, lfp: vbn.nwb.LfpMetadata) -> dict[str, Any]:
    """Return the key of the registered recording that an LFP file belongs to.

    The file names its behavior session; if not, its folder names the recording, as in the release.
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


def _other_content(
    path: Place, what: str, identity: vbn.nwb.FileIdentity, known: dict[str, Any]
) -> ConflictError:
    """Return the error for a file with different content than the registered one."""
    kept = f"blake2b {known['blake2b'][:12]}..., " if known["blake2b"] else ""
    project = (session.Session & {"session_id": known["session_id"]}).fetch1("project")
    return ConflictError(
        f"{path}: {what} is registered from {known['root']}:{known['relative_path']} (project {project}) "
        f"with different content ({kept}{known['size_bytes']} bytes; this has {identity.size_bytes}). "
        "If this file is the right one, register it with --replace; else restore the registered file."
    )


def _has_content(
    place: Place, identity: vbn.nwb.FileIdentity, known: dict[str, Any], rig: Rig = RELEASE
) -> bool:
    stated = rig.hashes.get(str(place))
    if stated and known["blake2b"] and stated != known["blake2b"]:
        return False
    return bool(identity.size_bytes == known["size_bytes"] and _is_same(place, known))


def _is_same(place: Place, known: dict[str, Any]) -> bool:
    """Return whether a file of the registered size has the registered content.

    For a URL only the size is known. Without a hash, as for LFP files that an earlier version registered, the
    file is compared with the registered one, if that still exists and is another.
    """
    if is_url(place) or Path(place).stat().st_mtime_ns == known["modified_ns"]:
        return True
    expected = known["blake2b"] or _hash_of_registered(Path(place), known)
    return expected is None or content_hash(Path(place)) == expected


def _hash_of_registered(place: Path, known: dict[str, Any]) -> str | None:
    """Hash the registered file; None if it is missing, has changed, or is the one at `place`."""
    with contextlib.suppress(SettingError, OSError):  # its root is unknown on this machine, or it is missing
        registered = resolve(known["root"], known["relative_path"])
        if not is_url(registered) and not place.samefile(registered):
            is_unchanged = Path(registered).stat().st_mtime_ns == known["modified_ns"]
            return content_hash(Path(registered)) if is_unchanged else None
    return None


def _enter_mouse(path: Place, metadata: vbn.nwb.SessionMetadata) -> list[vbn.nwb.Issue]:
    """Enter the mouse of a file, or add the values that the database lacks.

    Returns
    -------
    An issue for known values that the file does not state; they stay.

    Raises
    ------
    ConflictError
        If the file contradicts what is known.
    """
    row = {
        "mouse_id": metadata.mouse_id,
        "sex": metadata.sex,
        "genotype": metadata.genotype,
        "driver_line": list(metadata.driver_line),
        "reporter_line": metadata.reporter_line,
        "cre_line": metadata.cre_line,
    }
    require_storable(session.Mouse(), row, path)
    known = (session.Mouse & {"mouse_id": metadata.mouse_id}).to_dicts()
    if not known:
        session.Mouse.insert1(row)
        return []
    different = {name: (known[0][name], value) for name, value in row.items() if known[0][name] != value}
    # An empty list of lines, and a missing sex or genotype, state nothing.
    contradicted = [name for name, (there, here) in different.items() if there and here]
    if contradicted:
        raise ConflictError(
            f"{path}: mouse {metadata.mouse_id} is known with another "
            + ", ".join(
                f"{name} ({quoted(str(known[0][name]))}, here {quoted(str(row[name]))})"
                for name in contradicted
            )
            + ". Check which of the files is right."
        )
    stated = {name: here for name, (_, here) in different.items() if here}
    if stated:
        session.Mouse.update1({"mouse_id": metadata.mouse_id, **stated})
    kept = [f"{name} {quoted(str(there))}" for name, (there, here) in different.items() if not here]
    return [issue("incomplete_mouse", "mouse", f"known is {', '.join(kept)}")] if kept else []


def _session_row(metadata: vbn.nwb.SessionMetadata) -> dict[str, Any]:
    return {
        "behavior_session_id": metadata.behavior_session_id,
        "session_type": metadata.session_type,
        "stage": session.stage(metadata.session_type),
        "date_of_acquisition": metadata.date_of_acquisition.astimezone(UTC).replace(tzinfo=None),
        "age_in_days": metadata.age_in_days,
        "equipment_name": metadata.equipment_name,
        "stimulus_frame_rate": metadata.stimulus_frame_rate,
        "project_code": metadata.project_code,
        "image_set": metadata.image_set,
    }


def _file_row(
    file: vbn.nwb.RecordingFile,
    identity: vbn.nwb.FileIdentity,
    blake2b: str | None,
    hashed: FileVersion | None,
) -> dict[str, Any]:
    """Return the row of NwbFile for an open file.

    Raises
    ------
    NotReadableError
        If the file that was read is not the one that was hashed or identified: somebody is writing it.
    """
    if file.identity != identity or (hashed and hashed != version_of(file.file)):
        raise NotReadableError(
            identity.path,
            "the file was changed or replaced while it was read.",
            "Register it when nobody writes it any more.",
        )
    root, relative_path = locate(identity.path)
    return {
        "root": root,
        "relative_path": relative_path,
        "file_kind": str(identity.kind),
        "size_bytes": identity.size_bytes,
        "blake2b": blake2b,
        "modified_ns": hashed.modified_ns if hashed else None,
        "registered_at": datetime.now(UTC).replace(tzinfo=None),
        "package_version": vbn.__version__,
        "registered_by": dj.conn().conn_info["user"],
    }
