"""Volumes of the Allen CCF on this machine, for tables that look channels up in them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from schemas.files.roots import locate, resolve
from schemas.server.settings import home_folder
from vbn.anatomy.annotation import Volume, read_volume, require_annotation
from vbn.anatomy.layers import Atlas
from vbn.errors import AbsentAtlasError, InvalidContentError
from vbn.release.cache import content_hash
from vbn.whole_files import whole_file


def describe_atlas(
    annotation: Path, depths: Path | None = None, *, resolution_um: float | None = None
) -> Atlas:
    """Check volumes and return how to name them in the database.

    Parameters
    ----------
    annotation : volume of structure ids.
    depths : volume of relative depths (``laplacian_10.nrrd``).
    resolution_um : of the annotation, if it has not the shape of a published one.

    Raises
    ------
    NotReadableError, InvalidContentError
        If one is no such volume.
    """
    volume = annotation_volume(annotation, resolution_um)
    atlas = Atlas(locate(annotation), content_hash(annotation), volume.resolution_um)
    if depths is None:
        return atlas
    ramp = depths_volume(depths, resolution_um)
    return Atlas(
        atlas.annotation,
        atlas.annotation_blake2b,
        atlas.resolution_um,
        locate(depths),
        content_hash(depths),
        ramp.resolution_um,
    )


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


def _mapped(place: tuple[str, str], blake2b: str, resolution_um: float | None) -> Volume:
    """Return a volume as a map of a plain copy in the user's data folder, which is made the first time."""
    copy = home_folder() / "atlas" / f"{blake2b}.npy"
    if not copy.exists():
        path = Path(resolve(*place))
        if not path.is_file():
            raise AbsentAtlasError(
                path,
                "the volume of the atlas is not on this machine.",
                "Mount it, or set its root: vbn roots",
            )
        if content_hash(path) != blake2b:
            raise AbsentAtlasError(
                path,
                "it is not the volume that the atlas was entered with.",
                "Restore that, or enter this one under another name.",
            )
        volume = read_volume(path, resolution_um)
        with whole_file(copy) as part:
            np.save(part, volume.values)
    return read_volume(copy, resolution_um)
