"""Volumes of the Allen CCF: for every voxel a structure's id, or a depth.

A volume is read from a file of the user's: the Allen Institute's NRRD, or a NumPy array of the same values.
Its axes are anterior to posterior, dorsal to ventral, left to right, and begin at the anterior, superior and
left corner (CCFv3, 2017; Wang et al. 2020, Cell 181:936). Coordinates are micrometers from there.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vbn.anatomy.layers import layers
from vbn.errors import InvalidContentError, NotReadableError, shortened

SHAPES = {10.0: (1320, 800, 1140), 25.0: (528, 320, 456), 50.0: (264, 160, 228), 100.0: (132, 80, 114)}
"""Resolution (um) -> voxels of the volumes that the Allen Institute publishes."""
LONGEST_HEADER = 64 * 1024
MOST_VOXELS = 2 * 1320 * 800 * 1140
PIECE_BYTES = 1 << 22
MOST_COMPRESSED = 1032  # bytes from one of deflate's
LEAST_SYMMETRIC = 0.99
"""Share of voxels that must have the id of their mirror image; the published volumes have all."""
NRRD_TYPES = {
    "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "ushort": "u2", "unsigned short": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4",
    "float": "f4", "double": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """Values of a grid of cubes.

    Attributes
    ----------
    values : (AP, DV, LR), of structure ids or of floats.
    resolution_um : edge of a voxel.
    """

    values: np.ndarray
    resolution_um: float

    def at(self, coordinates_um: np.ndarray, outside: float = 0) -> np.ndarray:
        """Return the values of the voxels that hold the coordinates.

        Parameters
        ----------
        coordinates_um : (n, 3), in the order of the axes. Voxel k holds k to k + 1 times the resolution,
            without the latter.
        outside : value for coordinates that are missing or not within the volume.
        """
        finite = np.isfinite(coordinates_um).all(axis=1)
        index = np.full(coordinates_um.shape, -1, dtype=np.int64)
        index[finite] = np.clip(np.floor(coordinates_um[finite] / self.resolution_um), -1, MOST_VOXELS)
        inside = ((index >= 0) & (index < self.values.shape)).all(axis=1)
        found = np.full(len(index), outside, dtype=self.values.dtype)
        found[inside] = self.values[tuple(index[inside].T)]
        return found

    @property
    def midline_um(self) -> float:
        """Coordinate of the plane between the hemispheres."""
        return float(self.values.shape[2] * self.resolution_um / 2)


def read_volume(path: Path, resolution_um: float | None = None) -> Volume:
    """Read a volume.

    Parameters
    ----------
    path : ``.nrrd`` or ``.npy``; the latter is mapped into memory, not read.
    resolution_um : needed for an array that has not the shape of a published volume.

    Raises
    ------
    NotReadableError
        If there is no such file, or it ends early.
    InvalidContentError
        If it is no volume of numbers.
    """
    try:
        values = _read_npy(path) if path.suffix == ".npy" else _read_nrrd(path)
    except (OSError, EOFError, zlib.error) as error:
        raise NotReadableError(path, f"it cannot be read: {error}.", "Name a volume of the CCF.") from error
    if values.ndim != 3:
        raise InvalidContentError(path, f"it has {values.ndim} axes, and a volume has 3.", "")
    return Volume(values, resolution_um or resolution_of(path, values.shape))


def resolution_of(path: Path, shape: tuple[int, ...]) -> float:
    """Return the edge of a voxel (um) of a volume of the shape of a published one.

    Raises
    ------
    InvalidContentError
        If no published volume has this shape.
    """
    for resolution, known in SHAPES.items():
        if shape == known:
            return resolution
    published = ", ".join(f"{'x'.join(map(str, each))} at {um:g} um" for um, each in SHAPES.items())
    raise InvalidContentError(
        path,
        f"its {'x'.join(map(str, shape))} voxels are those of no published volume ({published}).",
        "If it is one of another resolution, say which.",
    )


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise InvalidContentError(path, f"it is no array of NumPy: {error}.", "") from error


def _read_nrrd(path: Path) -> np.ndarray:
    """Read an NRRD file with the data in it; the first axis is the fastest.

    The format is http://teem.sourceforge.net/nrrd/format.html.
    """
    with path.open("rb") as file:
        header = _nrrd_header(path, file)
        try:
            shape = tuple(int(size) for size in header["sizes"].split())
            kind = np.dtype(NRRD_TYPES[header["type"]])
            encoding = header["encoding"]
        except (KeyError, ValueError) as error:
            raise InvalidContentError(path, f"its header has no usable {error}.", "") from error
        if header.get("endian", "little") == "big":
            kind = kind.newbyteorder(">")
        _require_plausible(path, shape, kind, encoding)
        values = np.empty(math.prod(shape), kind)
        _fill(path, values, _decoded(path, file, encoding))
    return values.reshape(shape, order="F")


def _require_plausible(path: Path, shape: tuple[int, ...], kind: np.dtype[Any], encoding: str) -> None:
    """Refuse sizes that the file's own size does not justify, before anything is allocated."""
    if len(shape) != 3:
        raise InvalidContentError(path, f"it has {len(shape)} axes, and a volume has 3.", "")
    most_bytes = path.stat().st_size * (1 if encoding == "raw" else MOST_COMPRESSED)
    n_voxels = math.prod(shape)
    if min(shape) < 1 or n_voxels > MOST_VOXELS or n_voxels * kind.itemsize > most_bytes:
        words = "x".join(shortened(str(size), 20) for size in shape)
        raise InvalidContentError(path, f"its sizes are {words}, more than it can hold.", "Copy it again.")


def _nrrd_header(path: Path, file: BinaryIO) -> dict[str, str]:
    lines = [file.readline(LONGEST_HEADER)]
    if not lines[0].startswith(b"NRRD"):
        raise InvalidContentError(path, "it is neither NRRD nor an array of NumPy (.npy).", "")
    while lines[-1].strip():
        lines.append(file.readline(LONGEST_HEADER - sum(map(len, lines))))
    fields = (line.decode("latin-1").partition(":") for line in lines if not line.startswith(b"#"))
    header = {name.strip(): value.strip() for name, colon, value in fields if colon}
    if "data file" in header or "datafile" in header:
        raise InvalidContentError(path, "its values are in another file.", "Name a file that holds them.")
    return header


def _decoded(path: Path, file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Yield the bytes of the values in pieces, none of them much larger than a piece of the file."""
    if encoding not in ("raw", "gzip", "gz"):
        raise InvalidContentError(path, f"its encoding is '{encoding}'.", "Use gzip or raw.")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while piece := file.read(PIECE_BYTES):
        if encoding == "raw":
            yield piece
            continue
        while piece and not unpack.eof:
            yield unpack.decompress(piece, PIECE_BYTES)
            piece = unpack.unconsumed_tail


def _fill(path: Path, values: np.ndarray, pieces: Iterator[bytes]) -> None:
    """Write the bytes into an array, which they must fill."""
    target, at = values.view(np.uint8), 0
    for piece in pieces:
        if at + len(piece) > target.size:
            raise InvalidContentError(path, "it holds more values than its sizes say.", "")
        target[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    if at < target.size:
        raise NotReadableError(path, f"it ends after {at} of {target.size} bytes.", "Copy it again.")


def require_annotation(path: Path, annotation: Volume) -> None:
    """Refuse a volume that is not one of structure ids, of both hemispheres.

    Raises
    ------
    InvalidContentError
        If its values are no whole numbers, hold no layer of the isocortex, or differ between the hemispheres.
    """
    ids = annotation.values
    if ids.dtype.kind not in "iu":
        raise InvalidContentError(path, f"its values are {ids.dtype}, and ids are whole numbers.", "")
    planes = ids[:: max(1, len(ids) // 64)]
    if not np.isin(planes, list(layers()["structure_id"])).any():
        raise InvalidContentError(
            path,
            "it holds no layer of the isocortex.",
            "Name the annotation of the CCFv3, such as annotation_25.nrrd.",
        )
    share = float((planes == planes[:, :, ::-1]).mean())
    if share < LEAST_SYMMETRIC:
        raise InvalidContentError(
            path,
            f"its hemispheres agree in {share:.0%} of the voxels, and are mirror images in the CCFv3.",
            "Its axes may be in another order: anterior to posterior, dorsal to ventral, left to right.",
        )
