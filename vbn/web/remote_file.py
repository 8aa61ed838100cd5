"""Reading a file on a web server in place, by requesting only the parts that are read.

A `RemoteFile` behaves like a file that is open for reading, so ``h5py.File(remote, "r")`` and pynwb accept
it. It reads *blocks*, of which the most recently used are kept. The rule of `vbn.web.ranges` holds: every
byte is from the version of the file in the first answer, and from the requested position; otherwise there is
an error. HTTP has no checksums of parts, so a byte that a proxy or the server's disk has changed is not
noticed here (https excludes the former): to be sure, compare a downloaded file's blake2b with the release's
manifest.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from vbn.errors import FileError, NotReadableError
from vbn.web.client import Patience
from vbn.web.ranges import RangeReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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
    block_bytes : smallest number of bytes to request.
    cache_bytes : largest number of bytes to keep in memory.
    patience : retries and timeouts.

    Attributes
    ----------
    size_bytes : size of the file.
    reader : makes the requests; has the file's version, and the number of bytes received.
    error : the error that made reading fail permanently, None if there was none. Every later read raises it
        again, because a library in between (HDF5) may take a failure for a missing part.

    Raises
    ------
    NotReadableError
        The file is absent, forbidden or empty, the server does not answer or ignores ranges.
    ValueError
        The URL is invalid, or a size is not positive.

    Examples
    --------
    ::

        with RemoteFile("https://.../ecephys_session_1053941483.nwb") as remote:
            with h5py.File(remote, "r") as file:
                speed = file["processing/running/speed/data"][:]
    """

    def __init__(
        self,
        url: str,
        *,
        block_bytes: int = BLOCK_BYTES,
        cache_bytes: int = CACHE_BYTES,
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        if block_bytes < 1 or cache_bytes < block_bytes:
            raise ValueError(
                f"block_bytes ({block_bytes}) must be positive and at most cache_bytes ({cache_bytes})."
            )
        self.error: FileError | None = None
        self._lock = threading.RLock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.reader, self._patience = RangeReader(url, patience), patience
        self._block_bytes = block_bytes
        self._cache_blocks = cache_bytes // block_bytes
        self._longest_run = max(min(DIRECT_BYTES // block_bytes, self._cache_blocks // 2), 1)
        self._position = 0
        self._next_block = -1
        self._read_ahead = 0
        try:
            self._fetch(0, 1)  # which also gets the file's version
            self.size_bytes = self.reader.read_version().size_bytes
            if not self.size_bytes:
                raise NotReadableError(url, "the file is empty.", "Check the URL.")
        except BaseException:
            self.close()
            raise

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
        if origins[whence] + offset < 0:
            raise ValueError(
                f"the position {origins[whence] + offset} lies before the beginning of the file."
            )
        self._position = origins[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; it is filled partially only at the end of the file.

        Raises
        ------
        NotReadableError
            Reading failed permanently, now or earlier.
        """
        view = memoryview(buffer).cast("B")
        with self._lock:
            if self.closed:
                raise ValueError("read of a closed file.")
            count = max(min(len(view), self.size_bytes - self._position), 0)
            if self.error is not None:
                raise self.error
            try:
                (self._read_directly if count >= DIRECT_BYTES else self._read_blocks)(view[:count])
            except FileError as error:
                self.error = error
                raise
            self._position += count
        return count

    def read_at(self, offset: int, count: int) -> bytes:
        """Return the bytes from a position on, up to the end of the file."""
        with self._lock:
            self.seek(offset)
            return self.read(count)

    def read_parts(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return parts of the file that are far from each other, and no byte beside them is requested.

        Parameters
        ----------
        parts : start and length of each, within the file, in bytes.

        Raises
        ------
        NotReadableError
            Reading failed permanently, now or earlier.
        """
        with self._lock:
            if self.error is not None:
                raise self.error
            is_over = threading.Event()
            shares = [range(number, len(parts), PARALLEL) for number in range(min(PARALLEL, len(parts)))]
            found: dict[int, bytes] = {}

            def fetch(share: range) -> None:
                with contextlib.closing(RangeReader(self.reader.url, self._patience)) as reader:
                    reader.version = self.reader.version
                    for number in share:
                        start, length = parts[number]
                        received = bytearray()
                        if length and not is_over.is_set():
                            reader.read(start, start + length, received.extend)
                        found[number] = bytes(received)

            with ThreadPoolExecutor(max(len(shares), 1)) as pool:
                try:
                    list(pool.map(fetch, shares))
                except FileError as error:
                    self.error = error
                    raise
                finally:
                    is_over.set()
        return [found[number] for number in range(len(parts))]

    def close(self) -> None:
        """Close the connections and discard the blocks."""
        if not self.closed and hasattr(self, "reader"):  # not if the arguments were invalid
            with self._lock:
                self.reader.close()
                self._blocks.clear()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        may_replace = error is None or isinstance(error, Exception)
        if self.error is not None and error is not self.error and may_replace:
            raise self.error from error

    def _read_directly(self, view: memoryview) -> None:
        """Fill a large buffer without the cache."""
        rest = view

        def take(chunk: bytes) -> None:
            nonlocal rest
            rest[: len(chunk)] = chunk
            rest = rest[len(chunk) :]

        self.reader.read(self._position, self._position + len(view), take)

    def _read_blocks(self, view: memoryview) -> None:
        """Fill a buffer from blocks."""
        filled = 0
        last = (self._position + len(view) - 1) // self._block_bytes
        while filled < len(view):
            index, offset = divmod(self._position + filled, self._block_bytes)
            if index not in self._blocks:
                self._fetch(index, self._run_length(index, last))
            self._blocks.move_to_end(index)
            piece = self._blocks[index][offset : offset + len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    def _run_length(self, index: int, last: int) -> int:
        """Return how many blocks to fetch: those needed, and more the longer reads are sequential."""
        longest_ahead = LONGEST_READ_AHEAD_BYTES // self._block_bytes
        is_sequential = index == self._next_block
        self._read_ahead = min(2 * self._read_ahead + 1, longest_ahead) if is_sequential else 0
        wanted = min(last - index + 1 + self._read_ahead, self._longest_run)
        return next((n for n in range(1, wanted) if index + n in self._blocks), wanted)

    def _fetch(self, index: int, count: int) -> None:
        """Fetch consecutive blocks, and discard the least recently used ones."""
        received = bytearray()
        start = index * self._block_bytes
        self.reader.read(start, start + count * self._block_bytes, received.extend)
        for number, offset in enumerate(range(0, len(received), self._block_bytes)):
            self._blocks[index + number] = bytes(received[offset : offset + self._block_bytes])
        self._next_block = index + count
        while len(self._blocks) > self._cache_blocks:
            self._blocks.popitem(last=False)
