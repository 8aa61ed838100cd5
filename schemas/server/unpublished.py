"""Arrays and files that a published folder does not have, of rows that were adopted from it (`vbn adopt`).

Such rows say shape and type of an array, and a place in the store in which there never is a file. The place
names the folder, so that whoever asks for the array is told.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from vbn.errors import UnpublishedArrayError, UnpublishedFileError

SECTION = "_unpublished"
"""Where arrays that were not published would be in the store, beside DataJoint's own sections."""

ROOT = "(published)"
"""Stands for the root of a file of an adopted session; no root can be named so."""

LONGEST_FOLDER = 100


def unpublished_place(folder: str, path: str) -> str:
    """Return the place in the store of an array that was not published.

    Parameters
    ----------
    folder : name of the published folder.
    path : where the array would be in it.

    Examples
    --------
    >>> unpublished_place("release tables", "behavior/Running/session_id=1/speed.npy")
    '_unpublished/release%20tables/behavior/Running/session_id=1/speed.npy'
    """
    return f"{SECTION}/{quote(folder[:LONGEST_FOLDER], safe='')}/{path}"


def is_unpublished(path: str) -> bool:
    """Return whether a row refers to an array that was not published with it."""
    return path.startswith(f"{SECTION}/")


def require_published(path: str) -> None:
    """Raise UnpublishedArrayError if an array was not published with its row."""
    if not is_unpublished(path):
        return
    _, folder, module, table, *key, name = path.split("/")
    row = ", ".join(map(unquote, key))
    raise UnpublishedArrayError(
        f"The array {name.removesuffix('.npy')} of {module}.{table} ({row}) was not published in "
        f"{unquote(folder)}, from which its session was adopted. To have it, delete the session (vbn "
        "delete), register its NWB file and populate; or ask for a folder that was published with --arrays."
    )


def require_file_here(root: str, relative_path: str) -> None:
    """Raise UnpublishedFileError if a session was adopted without its file."""
    if root == ROOT:
        raise UnpublishedFileError(
            f"{relative_path} is not here: its session was adopted from a published folder, which has no NWB "
            "files. If you have the file, name its place: vbn relocate FILE"
        )
