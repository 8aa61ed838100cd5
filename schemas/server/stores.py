"""The array store as DataJoint uses it: opened when an array is first needed, its failures explained.

DataJoint opens the store whenever it decodes a row with an array. Here, a machine without the store can read
all rows; only reading an array raises an error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.server import frozen, published
from schemas.server.datajoint import dj, get_store_backend
from schemas.server.settings import NOT_CONFIGURED, STORE_NAME, Store, store_of_database
from schemas.server.unpublished import require_published
from vbn.errors import (
    AbsentArrayError,
    InvalidContentError,
    StoreError,
    UnpublishedArrayError,
    VbnError,
    shortened,
)

ABSENT = (FileNotFoundError, dj.errors.MissingExternalFile)

TRIES_OF_BOTOCORE, TRIES_OF_S3FS = 3, 2

CHECKED_FOR_S = 5.0
"""A session's arrays, some sixty, are written within seconds of one another."""


class _Check:
    """What is called before an array is written, and when it last found nothing."""

    call: Callable[[], None] | None = None
    passed_at_s = -CHECKED_FOR_S


def check_before_writing(check: Callable[[], None]) -> None:
    """Call ``check`` before arrays are written: also where ``Table.populate()`` does, without a worker."""
    _Check.call, _Check.passed_at_s = check, -CHECKED_FOR_S


class LazyStore:
    """A store of DataJoint's settings, which is opened when it is first used."""

    def __init__(self, name: str, config: Any) -> None:
        self._name, self._config = name, config

    @cached_property
    def _backend(self) -> Any:
        return opened_store(self._name, self._config)

    def get_buffer(self, path: str) -> bytes:
        """Return the content of a file."""
        self._full_path(path)
        with explaining_reads(self._backend, path):
            content: bytes = self._backend.get_buffer(path)
            return content

    def _full_path(self, path: str) -> str:
        """Return where a file is.

        Raises
        ------
        InvalidContentError
            If it is of a published folder, and a link leads out of the folder's arrays.
        UnpublishedArrayError
            If its row was adopted from a folder without it.
        """
        require_published(path)
        full = str(self._backend._full_path(path))
        if (folder := published.configured()) is not None and self._backend.protocol == "file":
            frozen.bring_array(folder.folder, path, opened_in_database)
            folder.bring(f"{published.ARRAYS}/{path}")
            arrays = Path(self._backend.spec["location"]).resolve()
            if not Path(full).resolve().is_relative_to(arrays):
                raise InvalidContentError(full, "It is a link to elsewhere.", published.REPAIR)
        return full

    def put_buffer(self, content: bytes, path: str) -> None:
        """Write a file.

        Raises
        ------
        WrongStoreError
            If this is not the store that the database's rows refer to.
        """
        if _Check.call is not None and time.monotonic() - _Check.passed_at_s >= CHECKED_FOR_S:
            _Check.call()
            _Check.passed_at_s = time.monotonic()
        self._backend.put_buffer(content, path)

    def __getattr__(self, name: str) -> Any:
        """Return what else the opened store has."""
        return getattr(self._backend, name)


def opened_store(name: str, config: Any = None) -> Any:
    """Return DataJoint's backend of a store.

    Raises
    ------
    StoreError
        If it is not configured, or not there.
    """
    try:
        backend = get_store_backend(name, config)
        if backend.protocol == "s3":
            _give_up_sooner(backend.fs)
        return backend
    except ABSENT as error:
        if name == STORE_NAME and (folder := published.configured()) is not None:
            raise AbsentArrayError(
                f"{folder.place} was published without its arrays (spike times, running ...), of which "
                "rows hold shape and type only. Ask for it with arrays: vbn publish --arrays, or vbn freeze "
                "export without --without-arrays"
            ) from error
        place = dj.config.stores[name]["location"]
        raise StoreError(f"The array store {place} does not exist. {is_mounted(Path(place))}") from error
    except ImportError as error:
        raise StoreError(
            f"The array store '{name}' needs another package ({error}): pip install 'vbn-datajoint[s3]'"
        ) from error
    except dj.DataJointError as error:
        raise StoreError(f"{error}. {NOT_CONFIGURED}") from error


def _give_up_sooner(bucket: Any) -> None:
    """Limit how long a bucket that says nothing is waited for: a minute and a half, where it was six or more.

    Two libraries try again, s3fs around botocore, each time after a silence of 15 s.
    """
    bucket.config_kwargs.setdefault("retries", {"total_max_attempts": TRIES_OF_BOTOCORE})
    bucket.retries = TRIES_OF_S3FS


@contextlib.contextmanager
def opened_in_database(path: str) -> Iterator[Any]:
    """Yield an open file of the database's store, while a published folder is read.

    Raises
    ------
    StoreError, SettingError
        If the store or the file is not there.
    """
    store = store_of_database()
    store.require_configured()
    name = f"{STORE_NAME}_of_database"
    dj.config.stores[name] = store.spec
    try:
        backend = opened_store(name)
        with explaining_reads(backend, path), backend.open(path) as file:
            yield file
    finally:
        del dj.config.stores[name]


def is_mounted(folder: Path) -> str:
    """Return advice about a store's folder that is not what it should be."""
    return f"Is its disk mounted on this machine at {folder}? Else correct DJ_STORES or datajoint.json."


def _is_of(folder: published.PublishedFolder, backend: Any) -> bool:
    """Return whether an opened store is the arrays of a published folder."""
    return bool(getattr(backend, "spec", {}).get("location") == folder.store_spec["location"])


@contextlib.contextmanager
def explaining_reads(backend: Any, path: str) -> Iterator[None]:
    """Turn what a store raises when a file is read into a StoreError.

    What a bucket raises depends on the library that reads it; of a folder, other errors are bugs.
    """
    require_published(path)
    store = Store(backend.spec, is_default=False) if hasattr(backend, "spec") else "bucket"
    try:
        if (folder := published.configured()) is not None and _is_of(folder, backend):
            folder.bring(f"{published.ARRAYS}/{path}")
        yield
    except VbnError:
        raise
    except ABSENT as error:
        if (folder := published.configured()) and _is_of(folder, backend):
            if f"{published.ARRAYS}/{path}" not in folder.checksums:
                raise UnpublishedArrayError(
                    f"{folder}, which has shape and type of the array {path} only: whoever made it did not "
                    "have the array, as the row was adopted (vbn adopt)."
                ) from error
            raise AbsentArrayError(
                f"{folder.place} lacks the array {path}, which a row refers to. {folder.repair}"
            ) from error
        raise AbsentArrayError(
            f"The array {path}, which a row refers to, cannot be read from the store {store}: it is not "
            "there. Check that it is the store that the rows were made with (vbn doctor); restore it from a "
            "backup, or recompute the row."
        ) from error
    except Exception as error:
        if backend.protocol == "file" and not isinstance(error, OSError):
            raise
        raise StoreError(
            f"The array {path}, which a row refers to, cannot be read from the store {store} "
            f"({type(error).__name__}: {shortened(str(error), 300)}). Check that the store is there and that "
            "you may read it (vbn doctor), then try again."
        ) from error
