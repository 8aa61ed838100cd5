"""Volumes of the Allen CCF on this machine, for tables that look channels up in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from schemas.files.roots import locate, resolve
from schemas.server.settings import home_folder
from vbn.anatomy.annotation import Volume, read_volume, require_annotation
from vbn.anatomy.layers import Atlas
from vbn.anatomy.planes import BrainPlane, brain_plane
from vbn.anatomy.streamlines import Streamlines, open_streamlines
from vbn.errors import AbsentAtlasError, InvalidContentError, NotReadableError
from vbn.release.cache import content_hash
from vbn.whole_files import whole_file

COARSE_UM = 20.0
"""Volumes of larger voxels are unpacked whenever they are needed."""


def describe_atlas(
    annotation: Path,
    depths: Path | None = None,
    streamlines: tuple[Path, Path] | None = None,
    *,
    resolution_um: float | None = None,
) -> Atlas:
    """Check volumes and return how to name them in the database.

    Parameters
    ----------
    annotation : volume of structure ids.
    depths : volume of relative depths (``laplacian_10.nrrd``).
    streamlines : their files, as `vbn.anatomy.streamlines.open_streamlines` takes them.
    resolution_um : of the annotation, if it has not the shape of a published one.

    Raises
    ------
    NotReadableError, InvalidContentError
        If one is no such volume.
    """
    volume = annotation_volume(annotation, resolution_um)
    atlas = Atlas(locate(annotation), content_hash(annotation), volume.resolution_um)
    if depths is not None:
        atlas = replace(
            atlas,
            depths=locate(depths),
            depths_blake2b=content_hash(depths),
            depths_resolution_um=depths_volume(depths, resolution_um).resolution_um,
        )
    if streamlines is not None:
        with open_streamlines(*streamlines):
            lines, surface = streamlines
        atlas = replace(
            atlas,
            streamlines=locate(lines),
            streamlines_blake2b=content_hash(lines),
            surface=locate(surface),
            surface_blake2b=content_hash(surface),
        )
    return atlas


def annotation_volume(path: Path, resolution_um: float | None = None) -> Volume:
    """Read a volume of structure ids of both hemispheres; see `describe_atlas`."""
    volume = read_volume(path, resolution_um)
    require_annotation(path, volume)
    return volume


def depths_volume(path: Path, resolution_um: float | None = None) -> Volume:
    """Read a volume of relative depths; see `describe_atlas`."""
    volume = read_volume(path, resolution_um)
    if volume.values.dtype.kind != "f":
        raise InvalidContentError(path, f"its values are {volume.values.dtype}, and depths are floats.")
    return volume


@lru_cache(maxsize=1)
def atlas_volumes(atlas: Atlas) -> tuple[Volume, Volume | None]:
    """Return annotation and depths, as maps of files; the last atlas is kept open.

    Raises
    ------
    HostError
        If a file is not on this machine, or is another one.
    """
    annotation = _mapped(atlas.annotation, atlas.annotation_blake2b, atlas.resolution_um)
    if atlas.depths is None or atlas.depths_blake2b is None:
        return annotation, None
    return annotation, _mapped(atlas.depths, atlas.depths_blake2b, atlas.depths_resolution_um)


@lru_cache(maxsize=64)
def brain_planes(atlas: Atlas, at_um: tuple[float, float, float]) -> tuple[BrainPlane, BrainPlane]:
    """Return the coronal and the sagittal plane of an atlas through a place.

    Parameters
    ----------
    atlas : the atlas, of which the annotation is read.
    at_um : coordinates of the place.

    Raises
    ------
    HostError
        If the annotation is not on this machine, or is another one.
    NotReadableError
        If it would first have to be unpacked into gigabytes, which is not done for a figure.
    """
    if atlas.resolution_um < COARSE_UM and not _plain_copy(atlas.annotation_blake2b).exists():
        raise NotReadableError(
            Path(resolve(*atlas.annotation)),
            f"the annotation of {atlas.resolution_um:g} µm is not unpacked on this machine.",
            "Layers do that (vbn populate ChannelLayer); or add an annotation of 25 µm.",
        )
    volume = _mapped(atlas.annotation, atlas.annotation_blake2b, atlas.resolution_um)
    coronal, sagittal = (brain_plane(volume, axis, at_um[axis]) for axis in (0, 2))
    return coronal, sagittal


@contextmanager
def atlas_streamlines(atlas: Atlas) -> Iterator[Streamlines | None]:
    """Open the files of an atlas's streamlines; None if it has none.

    Raises
    ------
    HostError
        If a file is not on this machine, or is another one.
    """
    if not (atlas.streamlines and atlas.streamlines_blake2b and atlas.surface and atlas.surface_blake2b):
        yield None
        return
    lines = _checked(atlas.streamlines, atlas.streamlines_blake2b)
    with open_streamlines(lines, _checked(atlas.surface, atlas.surface_blake2b)) as found:
        yield found


def _checked(place: tuple[str, str], blake2b: str) -> Path:
    """Return the path of a file of the atlas, which is read through once to see that it is the one."""
    path = Path(resolve(*place))
    if not path.is_file():
        raise AbsentAtlasError(
            path,
            "the volume of the atlas is not on this machine.",
            "Mount it, or set its root: vbn roots",
        )
    found = path.stat()
    if _hash_of(path, found.st_ino, found.st_size, found.st_mtime_ns) != blake2b:
        raise AbsentAtlasError(
            path,
            "it is not the volume that the atlas was entered with.",
            "Restore that, or enter this one under another name.",
        )
    return path


@lru_cache(maxsize=8)
def _hash_of(path: Path, *_version: int) -> str:
    return content_hash(path)


def _mapped(place: tuple[str, str], blake2b: str, resolution_um: float | None) -> Volume:
    """Return a volume as a map of a plain copy in the user's data folder, which is made the first time."""
    copy = _plain_copy(blake2b)
    if not copy.exists():
        volume = read_volume(_checked(place, blake2b), resolution_um)
        with whole_file(copy) as part:
            np.save(part, volume.values)
    return read_volume(copy, resolution_um)


def _plain_copy(blake2b: str) -> Path:
    return home_folder() / "atlas" / f"{blake2b}.npy"
