"""Downloading files of the release, so that a file's name never refers to anything but that file.

A file is written as ``<name>.part`` and gets its name when the blake2b hash of the file on disk agrees with
the manifest. Parts survive the end of the program; the next call resumes them.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from vbn.errors import NotReadableError, SettingError, VbnError
from vbn.release.cache import Record, content_hash
from vbn.release.sources import open_local
from vbn.web.client import Patience, Version, is_url
from vbn.web.ranges import RangeReader
from vbn.whole_files import locked_part

PRESENT, DOWNLOADED, FAILED = "present", "downloaded", "failed"
DOWNLOADING, CHECKING = "downloading", "checking"
COPY_BYTES = 2**20
MARGIN_BYTES = 2**28
"""Space to leave free on the disk, so that other programs can still write there."""

REPORT_S = 0.1
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
    """

    url: str
    target: Path
    size_bytes: int
    blake2b: str

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
    """How far the download of a file is.

    Parameters
    ----------
    download : the file.
    status : ``downloading``, ``checking`` (its hash), and finally ``present`` (it was there before),
        ``downloaded`` or ``failed``.
    done_bytes : number of bytes that are on the disk, or are checked.
    error : why it failed, None if it did not.
    """

    download: Download
    status: str
    done_bytes: int
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
) -> list[Progress]:
    """Download files.

    Parameters
    ----------
    downloads : the files, each target once.
    workers : number of simultaneous downloads.
    progress : called now and then, and with the result of each file.
    patience : retries and timeouts of requests.
    cache_folder : folder of AllenSDK's record of downloads, None for no record.

    Returns
    -------
    list of Progress
        What became of each file, in order. A file that fails does not stop the others.

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
    _require_space(downloads)
    return _Downloader(progress, patience, Record(cache_folder)).run(downloads, workers)


def missing_bytes(downloads: Sequence[Download]) -> int:
    """Return the number of missing bytes, not counting parts and files of the right size."""
    return sum(job.size_bytes - job.bytes_there for job in downloads)


def _size_of(path: Path) -> int | None:
    """Return the size of a file, None if it does not exist."""
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else None
    return None


def _require_space(downloads: Sequence[Download]) -> None:
    """Raise SettingError unless the disk has enough space."""
    needed = missing_bytes(downloads)
    if not needed:
        return
    folder = next(parent for parent in downloads[0].target.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN_BYTES:
        raise SettingError(
            f"{folder}: {needed / 1e9:.2f} GB are to be downloaded, and only {free / 1e9:.2f} GB are free "
            f"(of which {MARGIN_BYTES / 1e9:.2f} GB must stay so). Choose fewer files, or another folder."
        )


@dataclass
class _Downloader:
    """Threads that download a list of files."""

    progress: Callable[[Progress], object] | None
    patience: Patience | None
    record: Record
    stop: threading.Event = field(default_factory=threading.Event)
    events: SimpleQueue[Progress | BaseException] = field(default_factory=SimpleQueue)
    reported: dict[Path, float] = field(default_factory=dict)

    def run(self, downloads: Sequence[Download], workers: int) -> list[Progress]:
        """Download the files; return what became of them, in their order."""
        waiting: SimpleQueue[Download | None] = SimpleQueue()
        for job in (*downloads, *[None] * workers):
            waiting.put(job)
        # Daemons, unlike those of an executor: a thread that waits for a server must not delay Ctrl-C.
        threads = [Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        results: dict[Path, Progress] = {}
        try:
            while len(results) < len(downloads):
                reached = self.events.get()
                if isinstance(reached, BaseException):
                    raise reached
                if self.progress:
                    self.progress(reached)
                if reached.status in (PRESENT, DOWNLOADED, FAILED):
                    results[reached.download.target] = reached
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(STOP_S / workers)
        return [results[job.target] for job in downloads]

    def _work(self, waiting: SimpleQueue[Download | None]) -> None:
        """Download one file after another until none is left."""
        try:
            for job in iter(waiting.get, None):
                self.events.put(self._get_or_fail(job))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.events.put(error)

    def _get_or_fail(self, job: Download) -> Progress:
        """Download a file; an error that concerns only this file becomes a result."""
        try:
            return Progress(job, self._get(job), job.size_bytes)
        except VbnError as error:
            return Progress(job, FAILED, job.bytes_there, error)
        except OSError as error:
            problem = f"the download cannot be written ({error.strerror or error})."
            advice = "Check the disk's space and the folder's permissions, then start again."
            unwritten = NotReadableError(error.filename or job.part, problem, advice)
            return Progress(job, FAILED, job.bytes_there, unwritten)

    def _get(self, job: Download) -> str:
        """Download a file; return whether it was present or downloaded."""
        self._sleep(0)
        if self._is_present(job):
            return PRESENT
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with locked_part(job.part) as file:
            if self._is_present(job):  # another process has just got it
                return PRESENT
            is_resumed = file.seek(0, os.SEEK_END) > 0
            for _ in range(2 + is_resumed):
                self._fill(job, file)
                found = content_hash(job.part, partial(self._report, job, CHECKING))
                if found == job.blake2b:
                    job.part.replace(job.target)
                    self.record.add(job.target, job.blake2b)
                    return DOWNLOADED
                file.truncate(0)
        hashes = f"blake2b {found[:12]}... instead of {job.blake2b[:12]}..."
        problem = f"what was downloaded is not what the manifest says ({hashes}), twice."
        raise NotReadableError(job.url, problem, "Try again later, or get it from another mirror.")

    def _is_present(self, job: Download) -> bool:
        """Return whether the file exists with the right content."""
        if _size_of(job.target) != job.size_bytes:
            return False
        if self.record.has(job.target, job.blake2b):
            return True
        is_right = content_hash(job.target, partial(self._report, job, CHECKING)) == job.blake2b
        if is_right:
            self.record.add(job.target, job.blake2b)
        return is_right

    def _fill(self, job: Download, file: BinaryIO) -> None:
        """Complete the part."""
        start = file.seek(0, os.SEEK_END)
        if start > job.size_bytes:
            start = file.truncate(0)

        def write(position: int, chunk: bytes) -> None:
            self._report(job, DOWNLOADING, position)
            file.write(chunk)

        if is_url(job.url):
            version = Version(job.size_bytes)
            reader = RangeReader(job.url, self.patience, version, allow_whole=True, sleep=self._sleep)
            reader.read(start, job.size_bytes, write)
        else:
            with open_local(job.url) as source:
                source.seek(start)
                while chunk := source.read(COPY_BYTES):
                    write(source.tell() - len(chunk), chunk)
        file.flush()
        os.fsync(file.fileno())

    def _sleep(self, seconds: float) -> None:
        """Wait, unless the thread is requested to end."""
        if self.stop.wait(seconds):
            raise _Stopped

    def _report(self, job: Download, status: str, done_bytes: int) -> None:
        """Report now and then; end the thread if that was requested."""
        self._sleep(0)
        now = time.monotonic()
        if now - self.reported.get(job.target, 0.0) >= REPORT_S:
            self.reported[job.target] = now
            self.events.put(Progress(job, status, done_bytes))
