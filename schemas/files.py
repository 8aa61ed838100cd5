"""From a session's row to its open NWB file.

A file is found by the name of a root and a path below it, so that machines with other mounts
agree. Roots are named in ``VBN_ROOTS`` (JSON: name -> folder); the root ``local`` is the file
system of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vbn.errors import InvalidContentError, NotReadableError, SettingError
from vbn.nwb import RecordingFile, open_recording

LOCAL_ROOT = "local"


def roots() -> dict[str, Path]:
    """Return the known roots: name -> folder."""
    text = os.environ.get("VBN_ROOTS", "{}")
    try:
        named = {str(name): Path(folder) for name, folder in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise SettingError(
            f'VBN_ROOTS must be JSON such as \'{{"data": "/mnt/vbn"}}\', not: {text}'
        ) from error
    return {**named, LOCAL_ROOT: Path("/")}


def locate(path: Path) -> tuple[str, str]:
    """Return root name and relative path of a file: the innermost root that holds it."""
    absolute = path.absolute()
    holding = [(name, folder) for name, folder in roots().items() if absolute.is_relative_to(folder)]
    name, folder = max(holding, key=lambda root: len(root[1].parts))
    return name, absolute.relative_to(folder).as_posix()


def resolve(root: str, relative_path: str) -> Path:
    """Return the path on this machine of a file below a root."""
    known = roots()
    if root not in known:
        raise SettingError(
            f"The root '{root}' is not known on this machine (for {relative_path}). "
            f'Name its folder in VBN_ROOTS, for example VBN_ROOTS=\'{{"{root}": "/mnt/vbn"}}\'.'
        )
    return known[root] / relative_path


class _OpenFile:
    """The file that this process has open: the imports of one session share it."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.recording: RecordingFile | None = None
        self.stack = contextlib.ExitStack()

    def get(self, path: Path) -> RecordingFile:
        if self.path != path or self.recording is None:
            self.close()
            self.recording = self.stack.enter_context(open_recording(path))
            self.path = path
        return self.recording

    def close(self) -> None:
        self.stack.close()
        self.path = self.recording = None


_open_file = _OpenFile()


def registered_recording(source: dict[str, Any]) -> RecordingFile:
    """Return the open recording of a row of NwbFile; it stays open until another is asked for.

    Parameters
    ----------
    source
        ``root``, ``relative_path`` and ``size_bytes`` of the row.

    Raises
    ------
    NotReadableError, InvalidContentError
        If the file is not there, or not the registered one any more.
    """
    path = resolve(source["root"], source["relative_path"])
    try:
        size = path.stat().st_size
    except OSError as error:
        raise NotReadableError(
            path, f"{error.strerror}.", "It was registered from there: bring it back, or set VBN_ROOTS."
        ) from error
    if size != source["size_bytes"]:
        raise InvalidContentError(
            path,
            f"it has {size} bytes, but had {source['size_bytes']} when it was registered.",
            "Bring the registered file back.",
        )
    return _open_file.get(path)


def close_file() -> None:
    """Close the file that this process holds open, if any."""
    _open_file.close()


@contextlib.contextmanager
def closing_file() -> Iterator[None]:
    """Close the open file on leaving the block, whatever happens in it."""
    try:
        yield
    finally:
        close_file()
