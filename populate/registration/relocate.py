"""Verifying the registered files, and updating their locations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vbn.nwb
from schemas import session
from schemas.files.open_file import size_of
from schemas.files.roots import Place, locate, resolve
from schemas.server.unpublished import ROOT
from vbn.errors import VbnError
from vbn.nwb import FileKind
from vbn.release.cache import content_hash
from vbn.web.client import is_url

COLUMNS = ("root", "relative_path", "size_bytes", "blake2b", "modified_ns")


@dataclass(frozen=True)
class Relocation:
    """A file that was found elsewhere, or could not be accepted."""

    old: str
    new: str
    error: str | None = None


def registered_files() -> Iterator[tuple[Any, str, dict[str, Any], dict[str, Any]]]:
    """Yield (table, prefix of its columns, key, row with the names of NwbFile) for every registered file."""
    for table, prefix in ((session.NwbFile(), ""), (session.LfpFile(), "lfp_")):
        for row in table.to_dicts(order_by="KEY"):
            key = {name: row[name] for name in table.primary_key}
            yield table, prefix, key, {name: row[prefix + name] for name in COLUMNS}


def verify(*, quick: bool = False) -> Iterator[dict[str, str]]:
    """Yield for each registered file whether it exists and is unchanged.

    Parameters
    ----------
    quick : compare only sizes; else hashes too, if one is known and the file is on this machine.
    """
    for _, _, _, row in registered_files():
        if row["root"] == ROOT:  # its session was adopted from a published folder, without its file
            continue
        result = {"file": f"{row['root']}:{row['relative_path']}", "status": "ok", "problem": ""}
        try:
            problem = _problem(resolve(row["root"], row["relative_path"]), row, quick=quick)
        except VbnError as error:
            problem = str(error)
        yield {**result, "status": "problem" if problem else "ok", "problem": problem}


def _problem(place: Place, row: dict[str, Any], *, quick: bool) -> str:
    size = size_of(place)
    if size != row["size_bytes"]:
        return f"it has {size} bytes, but had {row['size_bytes']} when it was registered."
    if quick or row["blake2b"] is None or is_url(place):
        return ""
    found = content_hash(Path(place))
    return (
        ""
        if found == row["blake2b"]
        else f"its content has changed (blake2b {found[:12]}..., was {row['blake2b'][:12]}...)."
    )


def relocate(paths: Iterable[Path], *, dry_run: bool = False) -> Iterator[Relocation]:
    """Search for registered files and update their locations; yield what changed or was not accepted.

    Raises
    ------
    VbnError
        If a path does not exist or a folder holds no NWB file.
    """
    known = {_identity(key): (table, prefix, key, row) for table, prefix, key, row in registered_files()}
    mapped = set(session.MappedFile.to_arrays("session_id").tolist())
    by_content = {
        row["blake2b"]: entry
        for entry in known.values()
        if (row := entry[3])["blake2b"] is not None and entry[2]["session_id"] in mapped
    }
    for path in vbn.nwb.find_nwb_files(paths):
        try:
            entry = by_content.get(_hash_if_of_size(path, by_content.values()))
            if entry is None:
                identity = vbn.nwb.identify(path)
                entry = known.get((identity.kind is FileKind.LFP, identity.identifier))
            root, relative_path = locate(path)
            if entry is None or (entry[3]["root"], entry[3]["relative_path"]) == (root, relative_path):
                continue
            table, prefix, key, row = entry
            old, new = f"{row['root']}:{row['relative_path']}", f"{root}:{relative_path}"
            if problem := _problem(path, row, quick=False):
                yield Relocation(old, new, f"{path}: {problem} It is not the registered file.")
                continue
            if not dry_run:
                values = {
                    "root": root,
                    "relative_path": relative_path,
                    "modified_ns": path.stat().st_mtime_ns,
                }
                table.update1({**key, **{prefix + name: value for name, value in values.items()}})
            yield Relocation(old, new)
        except VbnError as error:
            yield Relocation("", str(path), str(error))


def _hash_if_of_size(path: Path, entries: Iterable[Any]) -> str | None:
    """Return the hash of a file that has the size of a mapped one, which its names do not identify."""
    sizes = {entry[3]["size_bytes"] for entry in entries}
    return content_hash(path) if size_of(path) in sizes else None


def _identity(key: dict[str, Any]) -> tuple[bool, int]:
    is_lfp = "lfp_probe_id" in key
    return is_lfp, key["lfp_probe_id"] if is_lfp else key["session_id"]
