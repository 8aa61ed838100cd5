"""The loops of `vbn.analysis.spikes.kernels`, compiled by numba where that is installed (extra ``fast``).

numba is imported when there are first so many spikes to count that it pays, compiles once for each user, and
keeps the result in the user's cache folder. Where it cannot be used NumPy counts, and finds the same. The
kernels run in the thread that calls them: numba makes none.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import stat
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import platformdirs

from vbn.analysis.spikes import kernels

Kernel = Callable[..., Any]

FIRST_PAYS_FROM = 20_000_000
"""Spikes from which on the first use is worth the time of importing numba and reading what is compiled."""
OFF = "0"
"""What ``VBN_FAST`` is where numba is not to be used."""
ADVICE = f"Install it anew (pip install --upgrade --force-reinstall numba), or set VBN_FAST={OFF}."

_lock = threading.Lock()
_found: dict[str, Kernel] | None = None  # empty where there are none
_is_off = False


def loops(n_spikes: int) -> Mapping[str, Kernel]:
    """Return the compiled loops of `vbn.analysis.spikes.kernels` by name; none where NumPy is to count.

    Parameters
    ----------
    n_spikes : to be counted; few are not worth the import of numba.
    """
    global _found
    if _is_off or (_found is None and n_spikes < FIRST_PAYS_FROM):
        return {}
    with _lock:
        if _found is None:
            _found = _load()
    return _found


@contextlib.contextmanager
def without() -> Iterator[None]:
    """Let NumPy count meanwhile, in all threads."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def state() -> tuple[str, bool]:
    """Say in words what counts spikes, and whether that is as it should be; this imports numba."""
    if importlib.util.find_spec("numba") is None:
        return "spikes are counted by NumPy; the extra 'fast' (numba) is not installed", True
    if _is_unwanted():
        return f"spikes are counted by NumPy: VBN_FAST is {OFF}", True
    try:
        import numba
    except Exception as error:  # noqa: BLE001 - a broken installation fails in many ways
        return f"spikes are counted by NumPy: numba fails ({type(error).__name__}: {error})", False
    folder = _cache_folder(getattr(numba.config, "CACHE_DIR", ""))
    kept = (
        f"kept in {folder.parent}"
        if folder
        else "compiled in each process, for want of a folder of one's own"
    )
    return f"spikes are counted by numba {numba.__version__}, {kept}", True


def _is_unwanted() -> bool:
    return os.environ.get("VBN_FAST") == OFF


def _is_wanted() -> bool:
    return not _is_unwanted() and importlib.util.find_spec("numba") is not None


def _load() -> dict[str, Kernel]:
    """Return the kernels, ready to be called; none, with a warning, where numba is installed but fails."""
    if not _is_wanted():
        return {}
    try:
        import numba

        # Without compiling the kernels would be loops in Python.
        return {} if getattr(numba.config, "DISABLE_JIT", False) else _compile_once(numba)
    except Exception as error:  # noqa: BLE001 - a broken installation fails in many ways, and NumPy can count
        warnings.warn(
            "numba is installed, but cannot be used, so spikes are counted by NumPy: the same numbers, more "
            f"slowly. {ADVICE} {type(error).__name__}: {error}",
            stacklevel=4,
        )
        return {}


def _compile_once(numba: Any) -> dict[str, Kernel]:
    """Return the kernels, read from the cache or compiled and kept there; where there is none, compiled."""
    for _ in range(2):
        folder = _cache_folder(getattr(numba.config, "CACHE_DIR", ""))
        if folder is None:
            break
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return _compile(numba, cache=True)
        except Exception:  # noqa: BLE001 - damaged, or its disk is full: made anew, then without
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            numba.config.CACHE_DIR = before
    return _compile(numba, cache=False)


def _compile(numba: Any, *, cache: bool) -> dict[str, Kernel]:
    return {
        name: numba.njit([signature], cache=cache, nogil=True, error_model="numpy")(getattr(kernels, name))
        for name, signature in kernels.SIGNATURES.items()
    }


def _cache_folder(configured: str) -> Path | None:
    """Return the folder for what is compiled of this version of the kernels; None if there cannot be one.

    What lies there is executed, so only this user may write there. It is never next to the code, nor in a
    folder of somebody else (as root with another user's home).

    Parameters
    ----------
    configured : numba's own setting (``NUMBA_CACHE_DIR``), empty if there is none.
    """
    base = Path(configured) if configured else platformdirs.user_cache_path("vbn", appauthor=False)
    try:
        folder = base / "kernels" / blake2b(Path(kernels.__file__).read_bytes(), digest_size=8).hexdigest()
        if not base.is_absolute() or not _may_be_made(base):
            return None
        base.mkdir(parents=True, exist_ok=True)
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
            if not _is_ours(each):
                return None
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


def _may_be_made(folder: Path) -> bool:
    """Return whether a folder, or its first parent that exists, is this user's or everybody's."""
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path)).stat()
    is_ours = not hasattr(os, "geteuid") or existing.st_uid == os.geteuid()
    return is_ours or bool(existing.st_mode & stat.S_ISVTX)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder, which is not a link, belongs to this user, and nobody else may write to it."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)
