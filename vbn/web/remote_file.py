"""Reading a file on a web server in place, by requesting only the parts that are read.

A `RemoteFile` behaves like a file that is open for reading, so ``h5py.File(remote, "r")`` and pynwb accept
it. It reads *blocks*, of which the most recently used are kept. The rule of `vbn.web.ranges` holds: every
byte is from the version of the file in the first answer, and from the requested position; otherwise there is
an error. HTTP has no checksums of parts, so a byte that a proxy or the server's disk has changed is not
noticed here (https excludes the former): to be sure, compare a downloaded file's blake2b with the release's
manifest.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from vbn.errors import FileError, NotReadableError
from vbn.web.client import Patience
from vbn.web.ranges import RangeReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

BLOCK_BYTES = 2**18
"""HDF5 reads a few hundred bytes at a time when it traverses a file's structure."""

CACHE_BYTES = 2**26
LONGEST_READ_AHEAD_BYTES = 2**22
DIRECT_BYTES = 2**23
"""A read of this size bypasses the cache, which it would fill."""

PARALLEL = 8
"""Requests at once for parts that are far from each other."""


class RemoteFile(io.RawIOBase):
    """A file on a web server, open for reading; may be shared among threads.

    The end of a ``with`` statement raises the error of a failed read in it, even if a library in between has
    hidden it or turned it into another error.

    Parameters
    ----------
    url : ``https://``, ``http://``, or ``s3://bucket/key`` of a public bucket.
    patience : retries and timeouts.

    Attributes
    ----------
    size_bytes : size of the file.
    reader : makes the requests; has the file's version.
    error : the error that made reading fail permanently, None if there was none. Every later read raises it
        again, because a library in between (HDF5) may take a failure for a missing part.

    Raises
    ------
    NotReadableError
        The file is absent, forbidden or empty, the server does not answer or ignores ranges.
    ValueError
        The URL is invalid.

    Examples
    --------
    ::

        with RemoteFile("https://.../ecephys_session_1053941483.nwb") as remote:
            with h5py.File(remote, "r") as file:
                speed = file["processing/running/speed/data"][:]
    """

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        super().__init__()
        self.error: FileError | None = None
        self.reader = RangeReader(url, patience)
        self._lock = threading.RLock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position, self._next_block, self._read_ahead = 0, -1, 0
        self._fetch(0, 1)  # which also gets the file's version
        self.size_bytes = self.reader.read_version().size_bytes
        if not self.size_bytes:
            raise NotReadableError(url, "the file is empty.", "Check the URL.")

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it can be read from any position."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to the position of the next read, like `io.IOBase.seek`."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}
        if whence not in origins:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}.")
        position = origins[whence] + offset
        if position < 0:
            raise ValueError(f"the position {position} lies before the beginning of the file.")
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; it is filled partially only at the end of the file.

        Raises
        ------
        NotReadableError
            Reading failed permanently, now or earlier.
        """
        view = memoryview(buffer).cast("B")
        with self._lock:
            count = max(min(len(view), self.size_bytes - self._position), 0)
            read = self._read_directly if count >= DIRECT_BYTES else self._read_blocks
            self._guarded(lambda: read(view[:count]))
            self._position += count
        return count

    def read_at(self, offset: int, count: int) -> bytes:
        """Return the bytes from a position on, up to the end of the file."""
        with self._lock:
            self.seek(offset)
            return self.read(count)

    def read_parts(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return parts of the file that are far from each other, and request no byte beside them.

        Parameters
        ----------
        parts : start and length of each, within the file, in bytes.

        Raises
        ------
        NotReadableError
            Reading failed permanently, now or earlier.
        """
        with self._lock:
            return self._guarded(lambda: self._read_parts(parts))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        may_replace = error is None or isinstance(error, Exception)
        if self.error is not None and error is not self.error and may_replace:
            raise self.error from error

    def _guarded(self, read: Callable[[], T]) -> T:
        """Call a function that reads, unless the file is closed or reading has failed permanently."""
        if self.closed:
            raise ValueError("read of a closed file.")
        if self.error is not None:
            raise self.error
        try:
            return read()
        except FileError as error:
            self.error = error
            raise

    def _read_parts(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(lambda part: self.reader.read_bytes(part[0], sum(part)), parts))

    def _read_directly(self, view: memoryview) -> None:
        """Fill a large buffer without the cache."""
        first = self._position

        def take(start: int, chunk: bytes) -> None:
            view[start - first : start - first + len(chunk)] = chunk

        self.reader.read(first, first + len(view), take)

    def _read_blocks(self, view: memoryview) -> None:
        """Fill a buffer from blocks."""
        filled = 0
        last = (self._position + len(view) - 1) // BLOCK_BYTES
        while filled < len(view):
            index, offset = divmod(self._position + filled, BLOCK_BYTES)
            if index not in self._blocks:
                self._fetch(index, self._run_length(index, last))
            self._blocks.move_to_end(index)
            piece = self._blocks[index][offset : offset + len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    def _run_length(self, index: int, last: int) -> int:
        """Return how many blocks to fetch: those needed, and more the longer reads are sequential."""
        is_sequential = index == self._next_block
        longest_ahead = LONGEST_READ_AHEAD_BYTES // BLOCK_BYTES
        self._read_ahead = min(2 * self._read_ahead + 1, longest_ahead) if is_sequential else 0
        longest = max(min(DIRECT_BYTES, CACHE_BYTES // 2) // BLOCK_BYTES, 1)
        wanted = min(last - index + 1 + self._read_ahead, longest)
        return next((n for n in range(1, wanted) if index + n in self._blocks), wanted)

    def _fetch(self, index: int, count: int) -> None:
        """Fetch consecutive blocks, and discard the least recently used ones."""
        start = index * BLOCK_BYTES
        received = self.reader.read_bytes(start, start + count * BLOCK_BYTES)
        for number, offset in enumerate(range(0, len(received), BLOCK_BYTES)):
            self._blocks[index + number] = received[offset : offset + BLOCK_BYTES]
        self._next_block = index + count
        while len(self._blocks) > CACHE_BYTES // BLOCK_BYTES:
            self._blocks.popitem(last=False)
