"""Downloading volumes of the Allen CCF: a file gets its name when it was found to be such a volume."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from schemas.files.atlas import annotation_volume, depths_volume
from vbn.anatomy.annotation import SHAPES
from vbn.anatomy.streamlines import require_lines, require_surface_voxels
from vbn.errors import FileError, InvalidContentError, SettingError
from vbn.web.client import Version
from vbn.web.ranges import RangeReader
from vbn.whole_files import locked_part

ALLEN_CCF = "https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf"
ANNOTATION = "annotation/ccf_2017/annotation_{:g}.nrrd"
DEPTHS = "cortical_coordinates/ccf_2017/laplacian_10.nrrd"
STREAMLINES = "cortical_coordinates/ccf_2017/ccf_streamlines_assets/streamlines"
LINES, SURFACE = f"{STREAMLINES}/surface_paths_10_v3.h5", f"{STREAMLINES}/closest_surface_voxel_lookup.h5"
RESOLUTIONS_UM = tuple(SHAPES)


def fetch_annotation(folder: Path, resolution_um: float, source: str = ALLEN_CCF) -> Path:
    """Download the annotation of the CCFv3 of 2017, unless it is there.

    Parameters
    ----------
    folder : where to write it.
    resolution_um : edge of a voxel, one of `RESOLUTIONS_UM`.
    source : URL of the folder that holds the volumes.

    Raises
    ------
    NotReadableError
        The source lacks the file, or does not answer. What was received stays in a hidden file, and the same
        call goes on from there.
    SettingError
        The disk is full.
    InvalidContentError
        What it sends, or what is there already, is no such volume: by its shape, type, ids of layers, and the
        symmetry of its hemispheres. A download then leaves nothing behind.
    """
    return _fetch(source, ANNOTATION.format(resolution_um), folder, annotation_volume)


def fetch_depths(folder: Path, source: str = ALLEN_CCF) -> Path:
    """Download the relative depths of the cortex, unless they are there; see `fetch_annotation`."""
    return _fetch(source, DEPTHS, folder, depths_volume)


def fetch_streamlines(folder: Path, source: str = ALLEN_CCF) -> tuple[Path, Path]:
    """Download both files of the streamlines, unless they are there; see `fetch_annotation`."""
    return (
        _fetch(source, LINES, folder, require_lines),
        _fetch(source, SURFACE, folder, require_surface_voxels),
    )


def _fetch(source: str, relative_path: str, folder: Path, check: Callable[[Path], object]) -> Path:
    target, url = folder / Path(relative_path).name, f"{source.rstrip('/')}/{relative_path}"
    if target.exists():
        check(target)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    reader = RangeReader(url)
    with _room_for(folder):
        part = _part_of(target, reader.read_version())
        with locked_part(part) as file:
            if target.exists():  # another process has just got it
                return target
            if _complete(reader, file, target.name) and not _passes(check, part):
                file.truncate(0)  # it went on from something wrong
                _complete(reader, file, target.name)
            try:
                check(part)
            except FileError as error:
                file.truncate(0)  # an empty part is removed
                raise InvalidContentError(url, error.problem, "Name another source.") from error
            part.replace(target)
    return target


def _part_of(target: Path, version: Version) -> Path:
    """Return the path of the incomplete file, and remove those of other versions.

    The version is in the name, so that what is there is only ever continued from the same file.
    """
    described = repr(dataclasses.astuple(version)).encode()
    name = f".{target.stem}.{hashlib.blake2b(described, digest_size=8).hexdigest()}.part{target.suffix}"
    for other in target.parent.glob(f".{target.stem}.*.part{target.suffix}"):
        if other.name != name:
            other.unlink(missing_ok=True)
    return target.with_name(name)


def _passes(check: Callable[[Path], object], path: Path) -> bool:
    try:
        check(path)
    except FileError:
        return False
    return True


def _complete(reader: RangeReader, file: BinaryIO, name: str) -> bool:
    """Append what the part lacks; return whether something was there."""
    there, size_bytes = file.seek(0, os.SEEK_END), reader.read_version().size_bytes
    if there > size_bytes:
        there = file.truncate(0)
    with tqdm(total=size_bytes, initial=there, desc=name, unit="B", unit_scale=True, disable=None) as bar:
        reader.read(there, size_bytes, lambda _, chunk: bar.update(file.write(chunk)))
    file.flush()
    os.fsync(file.fileno())
    return there > 0


@contextlib.contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    """Tell a full disk in words.

    Raises
    ------
    SettingError
        The disk is full; what was downloaded stays, and is continued.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free_gb = shutil.disk_usage(folder).free / 1e9
        raise SettingError(
            f"No space is left in '{folder}' ({free_gb:.2f} GB are free). Make room, and run the same "
            "command again: what is there is not downloaded again. Or name another --folder."
        ) from error
