"""Downloading files of the release, so that a file's name never refers to anything but that file.

A file is written as ``<name>.part`` and gets its name when the blake2b hash of the file on disk agrees with
the manifest. Parts survive the end of the program; the next call resumes them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from vbn.errors import FileError, NotReadableError, SettingError, VbnError
from vbn.release.cache import Record, content_hash
from vbn.web.client import Patience, is_url
from vbn.web.ranges import RangeReader, Version

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be replaced by another process anyway
    fcntl = None  # type: ignore[assignment]

PRESENT, DOWNLOADED, FAILED = "present", "downloaded", "failed"
DOWNLOADING, CHECKING = "downloading", "checking"
COPY_BYTES = 2**20
MARGIN_BYTES = 2**28
"""Space to leave free on the disk, so that other programs can still write there."""

REPORT_S = 0.1
POLL_S = 0.2
STOP_S = 1.0


@dataclass(frozen=True)
class Download:
    """A file to download.

    Parameters
    ----------
    url : source: a URL, or the path of a file in a folder that holds the release.
    target : where to write it.
    size_bytes : its size.
    blake2b : hash of its content, in hexadecimal.
    kind, session_id, probe_name : description for display; as in `vbn.release.NamedFile`, or ``table``.
    """

    url: str
    target: Path
    size_bytes: int
    blake2b: str
    kind: str = ""
    session_id: int | None = None
    probe_name: str | None = None

    @property
    def part(self) -> Path:
        """Path of the incomplete file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def bytes_there(self) -> int:
        """Number of bytes present, in a file of the right size or in a part."""
        if _size_of(self.target) == self.size_bytes:
            return self.size_bytes
        part_bytes = _size_of(self.part) or 0
        return part_bytes if part_bytes <= self.size_bytes else 0


@dataclass(frozen=True)
class Progress:
    """Progress of one file: ``done_bytes`` of it are on the disk, or are checked.

    The status is ``downloading``, ``checking`` (its hash), and finally ``present`` (it was there before),
    ``downloaded`` or ``failed``.
    """

    download: Download
    status: str
    done_bytes: int


@dataclass(frozen=True)
class Result:
    """The result for one file.

    Parameters
    ----------
    download : the file.
    status : ``present``, ``downloaded`` or ``failed``.
    received_bytes : number of bytes received, including unused ones.
    error : why it failed, None if it did not.
    """

    download: Download
    status: str
    received_bytes: int = 0
    error: VbnError | None = None


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The thread was requested to end."""


def download(
    downloads: Sequence[Download],
    *,
    workers: int = 4,
    progress: Callable[[Progress], object] | None = None,
    patience: Patience | None = None,
    cache_folder: Path | None = None,
    check_again: bool = False,
    margin_bytes: int = MARGIN_BYTES,
) -> list[Result]:
    """Download files.

    Parameters
    ----------
    downloads : the files, each target once.
    workers : number of simultaneous downloads.
    progress : called now and then, by one thread at a time, but not the caller's.
    patience : retries and timeouts of requests.
    cache_folder : folder of AllenSDK's record of downloads, None for no record.
    check_again : whether to compute the hash of existing files even if the record has it.
    margin_bytes : space that must stay free on the disk.

    Returns
    -------
    list of Result
        One for each file, in order. A file that fails does not stop the others.

    Raises
    ------
    SettingError
        The disk has not enough space for the missing files; nothing was downloaded.
    ValueError
        Two files have the same target, or there is no worker.
    KeyboardInterrupt
        On Ctrl-C; the parts stay.

    Notes
    -----
    A file counts as present if it has the right size, and the record has its hash or its computed hash
    agrees; any other content is replaced once its replacement is complete. A download with a wrong hash is
    deleted and repeated once from the beginning; one that resumed an old part may be repeated once more,
    because that part may have been wrong.
    """
    if len({job.target for job in downloads}) != len(downloads):
        raise ValueError("two downloads have the same target.")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}.")
    _require_space(downloads, margin_bytes)
    record = Record(cache_folder) if cache_folder else None
    recorded = record.read() if record and not check_again else {}
    return _Downloader(progress, patience or Patience(), record, recorded).run(downloads, workers)


def missing_bytes(downloads: Sequence[Download]) -> int:
    """Return the number of missing bytes, not counting parts and files of the right size."""
    return sum(job.size_bytes - job.bytes_there for job in downloads)


def _size_of(path: Path) -> int | None:
    """Return the size of a file, None if it does not exist."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _require_space(downloads: Sequence[Download], margin_bytes: int) -> None:
    """Raise SettingError unless the disk has enough space."""
    needed = missing_bytes(downloads)
    if not needed:
        return
    folder = next(parent for parent in downloads[0].target.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + margin_bytes:
        raise SettingError(
            f"{folder}: {needed / 1e9:.2f} GB are to be downloaded, and only {free / 1e9:.2f} GB are free "
            f"(of which {margin_bytes / 1e9:.2f} GB must stay so). Choose fewer files, or another folder."
        )


@dataclass
class _Downloader:
    """Threads that download a list of files; ``recorded`` are the hashes of files that need no check."""

    progress: Callable[[Progress], object] | None
    patience: Patience
    record: Record | None
    recorded: Mapping[str, str]
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    reported: dict[Path, float] = field(default_factory=dict)

    def run(self, downloads: Sequence[Download], workers: int) -> list[Result]:
        """Download the files; return the results in their order."""
        waiting: queue.SimpleQueue[tuple[Download, Future[Result]]] = queue.SimpleQueue()
        results: list[Future[Result]] = [Future() for _ in downloads]
        for pair in zip(downloads, results, strict=True):
            waiting.put(pair)
        # Daemons, because a thread that waits for a server must not delay the end of the program.
        threads = [
            threading.Thread(target=self._work, args=(waiting,), daemon=True)
            for _ in range(min(workers, len(downloads)))
        ]
        for thread in threads:
            thread.start()
        try:
            pending = set(results)
            while pending:  # with a timeout, as Ctrl-C interrupts nothing else on Windows
                ended, pending = wait(pending, POLL_S, FIRST_COMPLETED)
                for result in ended:
                    result.result()
        finally:
            self.stop.set()
            deadline = time.monotonic() + STOP_S
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0))
        return [result.result() for result in results]

    def _work(self, waiting: queue.SimpleQueue[tuple[Download, Future[Result]]]) -> None:
        """Download one file after another until none is left."""
        with contextlib.suppress(queue.Empty):
            while not self.stop.is_set():
                job, result = waiting.get_nowait()
                try:
                    result.set_result(self._get_or_fail(job))
                except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                    result.set_exception(error)

    def _get_or_fail(self, job: Download) -> Result:
        """Download a file; an error that concerns only this file becomes a result."""
        with closing(self._open_source(job.url)) as source:
            try:
                result = Result(job, self._get(job, source), source.bytes_received)
            except VbnError as error:
                result = Result(job, FAILED, source.bytes_received, error)
            except OSError as error:
                failure = NotReadableError(
                    error.filename or job.part,
                    f"the download cannot be written ({error.strerror or error}).",
                    "Check the disk's space and the folder's permissions, then start again.",
                )
                result = Result(job, FAILED, source.bytes_received, failure)
        self._report(job, result.status, job.size_bytes if result.error is None else job.bytes_there)
        return result

    def _get(self, job: Download, source: RangeReader | _LocalFile) -> str:
        """Download a file; return whether it was present or downloaded."""
        if self._is_present(job):
            return PRESENT
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with locked_part(job.part) as file:
            if self._is_present(job):  # another process has just got it
                return PRESENT
            size_bytes = source.read_version().size_bytes
            if size_bytes != job.size_bytes:
                raise NotReadableError(
                    job.url,
                    f"the file has {size_bytes} bytes, not {job.size_bytes} as before.",
                    "Start again.",
                )
            fresh_tries = 0
            while fresh_tries < 2:
                resumed = self._fill(job, source, file)
                found = content_hash(job.part, partial(self._report_some, job, CHECKING))
                if found == job.blake2b:
                    job.part.replace(job.target)
                    self._record_hash(job)
                    return DOWNLOADED
                file.truncate(0)
                fresh_tries += not resumed
        raise NotReadableError(
            job.url,
            f"what was downloaded is not what the manifest says (blake2b {found[:12]}... instead of "
            f"{job.blake2b[:12]}...), twice.",
            "Try again later, or get it from another mirror.",
        )

    def _is_present(self, job: Download) -> bool:
        """Return whether the file exists with the right content."""
        if _size_of(job.target) != job.size_bytes:
            return False
        if self.recorded.get(str(job.target.resolve())) == job.blake2b:
            return True
        if content_hash(job.target, partial(self._report_some, job, CHECKING)) != job.blake2b:
            return False
        self._record_hash(job)
        return True

    def _record_hash(self, job: Download) -> None:
        if self.record:
            self.record.add(job.target, job.blake2b)

    def _fill(self, job: Download, source: RangeReader | _LocalFile, file: BinaryIO) -> bool:
        """Complete the part; return whether an old one was resumed."""
        start = file.seek(0, os.SEEK_END)
        if start > job.size_bytes:
            file.truncate(0)
            start = file.seek(0)

        def write(chunk: bytes) -> None:
            self._report_some(job, DOWNLOADING, file.tell())
            file.write(chunk)

        try:
            if start < job.size_bytes:
                source.read(start, job.size_bytes, write)
        finally:
            file.flush()
        os.fsync(file.fileno())
        return start > 0

    def _open_source(self, url: str) -> RangeReader | _LocalFile:
        if is_url(url):
            return RangeReader(url, self.patience, allow_whole=True, sleep=self._sleep)
        return _LocalFile(Path(url))

    def _sleep(self, seconds: float) -> None:
        """Wait, unless the thread is requested to end."""
        if self.stop.wait(seconds):
            raise _Stopped

    def _report_some(self, job: Download, status: str, done_bytes: int) -> None:
        """Report now and then; end the thread if that was requested."""
        if self.stop.is_set():
            raise _Stopped
        now = time.monotonic()
        if now - self.reported.get(job.target, 0.0) >= REPORT_S:
            self.reported[job.target] = now
            self._report(job, status, done_bytes)

    def _report(self, job: Download, status: str, done_bytes: int) -> None:
        if self.progress:
            with self.lock:
                self.progress(Progress(job, status, done_bytes))


@contextmanager
def locked_part(part: Path) -> Iterator[BinaryIO]:
    """Open the part for appending, and keep other processes from writing it.

    Raises
    ------
    FileError
        Another process is downloading the file.
    """
    with part.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FileError(
                    part, "another process is downloading this file.", "Wait until it is done."
                ) from error
            except OSError:  # a file system without locks: the hash is what counts
                pass
        try:
            yield file
        finally:
            file.flush()
            if not _size_of(part):
                part.unlink(missing_ok=True)


class _LocalFile:
    """A file in a folder that holds the release, with the interface of `RangeReader`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.bytes_received = 0

    def close(self) -> None:
        pass

    def read_version(self) -> Version:
        return Version(local_size(self._path))

    def read(self, start: int, stop: int, write: Callable[[bytes], object]) -> None:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise NotReadableError(
                self._path, f"it cannot be read ({error.strerror}).", "Check the folder."
            ) from error
        with file:
            file.seek(start)
            while start < stop and (chunk := file.read(min(COPY_BYTES, stop - start))):
                self.bytes_received += len(chunk)
                start += len(chunk)
                write(chunk)


def local_size(path: Path) -> int:
    """Return the size of a file in a folder that holds the release.

    Raises
    ------
    NotReadableError
        It cannot be read.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise NotReadableError(
            path, f"it cannot be read ({error.strerror}).", "Check that the folder holds all of the release."
        ) from error
