"""Downloading volumes of the Allen CCF: a file gets its name when it was found to be such a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from schemas.files.atlas import annotation_volume, depths_volume
from vbn.anatomy.annotation import SHAPES
from vbn.errors import FileError, InvalidContentError
from vbn.web.remote_file import RemoteFile
from vbn.whole_files import whole_file

ALLEN_CCF = "https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf"
ANNOTATION = "annotation/ccf_2017/annotation_{:g}.nrrd"
DEPTHS = "cortical_coordinates/ccf_2017/laplacian_10.nrrd"
RESOLUTIONS_UM = tuple(SHAPES)
PIECE_BYTES = 2**20


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
        The source lacks the file, or does not answer.
    InvalidContentError
        What it sends, or what is there already, is no such volume: by its shape, type, ids of layers, and the
        symmetry of its hemispheres. A download then leaves nothing behind.
    """
    return _fetch(source, ANNOTATION.format(resolution_um), folder, annotation_volume)


def fetch_depths(folder: Path, source: str = ALLEN_CCF) -> Path:
    """Download the relative depths of the cortex, unless they are there; see `fetch_annotation`."""
    return _fetch(source, DEPTHS, folder, depths_volume)


def _fetch(source: str, relative_path: str, folder: Path, check: Callable[[Path], object]) -> Path:
    target, url = folder / Path(relative_path).name, f"{source.rstrip('/')}/{relative_path}"
    if target.exists():
        check(target)
        return target
    with whole_file(target) as part:
        _download(url, part, target.name)
        try:
            check(part)
        except FileError as error:
            raise InvalidContentError(url, error.problem, "Name another source.") from error
    return target


def _download(url: str, path: Path, name: str) -> None:
    with (
        RemoteFile(url, block_bytes=PIECE_BYTES) as remote,
        path.open("wb") as file,
        tqdm(total=remote.size_bytes, desc=name, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while piece := remote.read(PIECE_BYTES):
            file.write(piece)
            bar.update(len(piece))
