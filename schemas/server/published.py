"""A published folder in place of a database: where it is, and whether its files are what was published.

``schemas.open(DIR or URL)`` or the setting ``VBN_PUBLISHED`` name it; `schemas.server.published_site` has
what differs for a URL. Its tables are loaded into the embedded server
(`schemas.deploy.published`), under a prefix that follows from its checksums, and are read by an account that
may do nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import vbn
from schemas.server import frozen
from vbn.errors import InvalidContentError, NotFoundError, SettingError, quoted
from vbn.web.client import is_url

VARIABLE = "VBN_PUBLISHED"
ACCOUNT = "vbn_published"
"""May read the tables of published folders, on the embedded server."""

LOADING = 3
"""How tables are loaded, and what the account may read of them: what was loaded otherwise is not used."""

CHECKSUMS, MANIFEST = "checksums.sha256", "manifest.json"
TABLES, ARRAYS, CHUNKS = "tables", "arrays", "chunks"
NOTES = f"{TABLES}/curation/"
LARGEST_FILE = 2**36
LARGEST_LIST = 256 * 2**20
"""(bytes) of the list of checksums: a million arrays are 150 MB."""

PIECE = 4 * 2**20
BOTH = (
    "A freeze and a published folder cannot both be read: leave out --freeze or --published (VBN_FREEZE, "
    "VBN_PUBLISHED)."
)
REPAIR = "Copy the folder again, or publish it again (vbn publish)."


Span = tuple[int, int]
"""First byte of a file, and the one after the last."""


@dataclass(frozen=True)
class ChunkHashes:
    """What was published of the parts of a Parquet file.

    Attributes
    ----------
    hashes : span of each column chunk, and of the footer -> SHA-256.
    footer : from the end of the last column chunk to the end of the file.
    """

    hashes: dict[Span, str]
    footer: Span

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.footer[1]


@dataclass(frozen=True)
class PublishedFolder:
    """A published folder whose list of files was read; the files themselves are checked when they are used.

    Attributes
    ----------
    folder : its absolute path.
    checksums : path below the folder -> SHA-256, in hexadecimal.
    digest : SHA-256 of the list.
    """

    folder: Path
    checksums: dict[str, str]
    digest: str

    @property
    def place(self) -> str:
        """Where it is, as messages say it."""
        return str(self.folder)

    @property
    def source(self) -> str:
        """What opens it again, here or in another process."""
        return str(self.folder)

    @property
    def prefix(self) -> str:
        """The prefix under which its tables are loaded; another version of the package loads them anew.

        A freeze has one of its own, so that dropping it takes nothing from readers of an exported folder.
        """
        own = "" if frozen.freeze_in(self.folder) is None else f" {self.folder.name}"
        what = f"{self.digest} {vbn.__version__} {LOADING}{own}"
        return f"pub_{hashlib.sha256(what.encode()).hexdigest()[:16]}_"

    def __str__(self) -> str:
        """Return what it is, in words."""
        name = frozen.freeze_in(self.folder)
        return f"{self.place} is a published folder" if name is None else f"'{name}' is a freeze"

    @property
    def way_back(self) -> str:
        """What to do to work on a database again."""
        if frozen.freeze_in(self.folder) is None:
            return (
                f"Leave out --published, or unset {VARIABLE}, to work on a database; vbn adopt "
                f"{self.place} enters these rows into one of your own."
            )
        return f"Leave out --freeze, or unset {frozen.VARIABLE}, to work on the database."

    @property
    def repair(self) -> str:
        """What to do about a file that is not as it was published."""
        is_other = frozen.freeze_in(self.folder) is None
        return REPAIR if is_other else f"Remove {self.folder}: the next use of the freeze brings it again."

    @property
    def store_spec(self) -> dict[str, object]:
        """DataJoint's settings of the store with its arrays."""
        return {"protocol": "file", "location": str(self.folder / ARRAYS)}

    @classmethod
    def read(cls, folder: Path | str) -> PublishedFolder:
        """Return a folder, of this machine or of a web server, with its list of files.

        Raises
        ------
        NotFoundError
            If there is no folder, or nothing was published into it.
        InvalidContentError
            If its list of files cannot be used.
        NotReadableError, SettingError
            If a web server does not send it, or its URL cannot be used.
        """
        if is_url(folder):
            from schemas.server.published_site import read_site  # which few need

            return read_site(str(folder))
        place = Path(folder).expanduser().absolute()
        if not place.is_dir():
            raise NotFoundError(f"There is no folder {place}. Name one that vbn publish has written.")
        path = place / CHECKSUMS
        try:
            content = read_regular(path, LARGEST_LIST)
        except OSError as error:
            raise NotFoundError(
                f"{place} has no {CHECKSUMS}: it was not written by vbn publish, or not to its end. In that "
                f"case, run again: vbn publish {folder}"
            ) from error
        return PublishedFolder(place, parsed_checksums(path, content), hashlib.sha256(content).hexdigest())

    def bring(self, name: str) -> None:
        """Have a file that is read past `checked`, such as an array, in its place: it always is."""

    def checked(self, name: str) -> Path:
        """Return the path of a file whose content is what was published.

        Raises
        ------
        InvalidContentError
            If it is not in the list, not there, a link, or another file by now.
        """
        path = self._path_of(name)
        if hash_of(path) != self.checksums[name]:
            raise self._changed(path)
        return path

    def _path_of(self, name: str) -> Path:
        path = self.folder / name
        if name not in self.checksums:
            raise InvalidContentError(path, f"It is not listed in {CHECKSUMS}.", self.repair)
        if not path.resolve().is_relative_to(self.folder.resolve()) or not path.is_file():
            raise self._unusable(path, "It is missing, or a link to elsewhere.")
        return path

    def _changed(self, path: Path) -> InvalidContentError:
        return self._unusable(path, f"It is not the file that {CHECKSUMS} lists: it was changed.")

    def _unusable(self, path: Path, problem: str) -> InvalidContentError:
        """Return what is wrong with a file, unless it is only that it was published anew meanwhile."""
        try:
            digest = hashlib.sha256(read_regular(self.folder / CHECKSUMS, LARGEST_LIST)).hexdigest()
        except FileNotFoundError:
            told = f"The folder has no {CHECKSUMS} any more: it is being published anew, or was removed."
            return InvalidContentError(path, told, "When that has ended, open it again.")
        except (OSError, InvalidContentError):
            return InvalidContentError(path, problem, self.repair)
        if digest != self.digest:
            return InvalidContentError(path, "It was published anew after it was opened.", "Open it again.")
        return InvalidContentError(path, problem, self.repair)

    def chunk_hashes(self, name: str) -> ChunkHashes | None:
        """Return the hashes of the parts of a table's file; None if it is small, or they were not published.

        Raises
        ------
        InvalidContentError
            If their list is none.
        """
        listed = chunk_list_of(name)
        return _parsed_hashes(self.checked(listed)) if listed in self.checksums else None

    def with_spans(self, name: str, known: ChunkHashes, spans: Collection[Span]) -> Path:
        """Return the path of a file in which some parts are as they were published, others perhaps not.

        Parameters
        ----------
        name : of the file.
        known : the hashes of its parts.
        spans : where the parts are.

        Raises
        ------
        InvalidContentError
            If it is missing, or if a part is not listed or another by now.
        """
        path = self._path_of(name)
        if path.stat().st_size != known.size_bytes:
            raise self._changed(path)
        with path.open("rb") as file:
            for span in spans:
                if span not in known.hashes:
                    problem = f"Its bytes {span[0]} to {span[1]} are not listed in {chunk_list_of(name)}."
                    raise InvalidContentError(path, problem, self.repair)
                if hash_of_span(file, span) != known.hashes[span]:
                    raise self._changed(path)
        return path


def read_regular(path: Path, longest: int) -> bytes:
    """Return the content of a file that may be anything: a device has no end, and a pipe waits forever.

    Raises
    ------
    InvalidContentError
        If it is no regular file, such as a link, or longer.
    OSError
        If it cannot be opened.
    """
    if path.is_symlink():
        raise InvalidContentError(path, "It is a link, which vbn publish does not make.", REPAIR)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidContentError(path, "It is no regular file.", REPAIR)
        content = file.read(longest + 1)
    if len(content) > longest:
        raise InvalidContentError(path, f"It has more than {longest} bytes, far too many.", REPAIR)
    return content


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def chunk_list_of(name: str) -> str:
    """Return the path of the list with the hashes of a table's parts.

    Examples
    --------
    >>> chunk_list_of("tables/psth/Psth.Unit.parquet")
    'chunks/psth/Psth.Unit.txt'
    """
    return f"{CHUNKS}/{'/'.join(PurePosixPath(name).parts[1:]).removesuffix('.parquet')}.txt"


def _parsed_hashes(path: Path) -> ChunkHashes:
    found: dict[Span, str] = {}
    for line in path.read_bytes().splitlines():
        parts = re.fullmatch(rb"([0-9a-f]{64}) (\d{1,15}) (\d{1,15})", line)
        if parts is None or not int(parts[2]) < int(parts[3]) <= LARGEST_FILE:
            raise InvalidContentError(path, "It is no list of the hashes of column chunks.", REPAIR)
        found[int(parts[2]), int(parts[3])] = parts[1].decode()
    if not found:
        raise InvalidContentError(path, "It is empty.", REPAIR)
    return ChunkHashes(found, max(found, key=lambda span: span[1]))


def hash_of_span(file: Any, span: Span) -> str:
    """Return the SHA-256 of a part of an open file, in hexadecimal."""
    return hashlib.sha256(os.pread(file.fileno(), span[1] - span[0], span[0])).hexdigest()


def parsed_checksums(path: Path | str, content: bytes) -> dict[str, str]:
    """Return the paths and checksums of a list as ``sha256sum`` writes it."""
    found: dict[str, str] = {}
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidContentError(path, "It is not a list of checksums.", REPAIR) from error
    for number, line in enumerate(lines, 1):
        parts = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if parts is None or not is_plain_path(parts[2]):
            raise InvalidContentError(
                path, f"Line {number} is not a checksum and a path in the folder: {quoted(line)}.", REPAIR
            )
        found[parts[2]] = parts[1]
    return found


def is_plain_path(name: str) -> bool:
    """Return whether a relative path stays below its folder.

    Examples
    --------
    >>> is_plain_path("tables/a.parquet"), is_plain_path("../a"), is_plain_path("/a"), is_plain_path("a\\\\b")
    (True, False, False, False)
    """
    steps = PurePosixPath(name).parts
    return (
        bool(steps) and not name.startswith("/") and ".." not in steps and not re.search(r"[\\\0-\x1f]", name)
    )


def is_array_file(name: str) -> bool:
    """Return whether a path in a published folder is that of an array, not of the list of them.

    Examples
    --------
    >>> is_array_file("arrays/behavior/Running/speed.npy"), is_array_file("arrays/manifest.csv")
    (True, False)
    """
    return name.startswith(f"{ARRAYS}/") and name.endswith(".npy")


_opened: PublishedFolder | None = None
_is_loading = False


def configured() -> PublishedFolder | None:
    """Return the published folder that is used in place of a database; None if a database is.

    Raises
    ------
    NotFoundError, InvalidContentError
        If the folder cannot be used.
    """
    if _opened is not None:
        return _opened
    name = os.environ.get(VARIABLE)
    return _read_once(name, str(Path.cwd())) if name else None


@lru_cache(maxsize=4)
def _read_once(name: str, _working_folder: str) -> PublishedFolder:
    return PublishedFolder.read(name)


def use(folder: Path | str | None) -> None:
    """Use a published folder, here and in processes that are started from here; None: a database again."""
    global _opened
    if folder is None:
        if _opened is not None:
            os.environ.pop(VARIABLE, None)
        _opened = None
        return
    _opened = PublishedFolder.read(folder)
    os.environ[VARIABLE] = _opened.source


def require_freeze(name: str) -> None:
    """Raise SettingError if the environment names a published folder, too, which is not that of a freeze."""
    folder = configured()
    if _opened is None and folder is not None and frozen.freeze_in(folder.folder) != name:
        raise SettingError(BOTH)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let the block create and fill the tables of the published folder, as the owner of the server."""
    global _is_loading
    _is_loading = True
    try:
        yield
    finally:
        _is_loading = False


def is_loading() -> bool:
    """Return whether the tables of the published folder are being created."""
    return _is_loading


def require_notes() -> None:
    """Raise SettingError if a folder is read that was published without notes and lists of people."""
    published = configured()
    if published is not None and not any(name.startswith(NOTES) for name in published.checksums):
        raise SettingError(
            f"{published.place} was published without notes and lists of people. Ask for it with them "
            f"(vbn publish --include curation). {published.way_back}"
        )


def require_database(action: str) -> None:
    """Raise SettingError if a published folder is used, where only a database will do."""
    if name := frozen.wanted():
        raise SettingError(
            f"'{name}' is a freeze, which can only be read: there is no way to {action}. Leave out --freeze, "
            f"or unset {frozen.VARIABLE}, to work on the database."
        )
    if (published := configured()) is not None and not _is_loading:
        raise SettingError(
            f"{published}, which can only be read: there is no way to {action}. {published.way_back}"
        )
