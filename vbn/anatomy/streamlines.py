"""Distances from the pia along the streamlines of the Allen CCF.

A *streamline* leads from a voxel at the pia to the white matter, perpendicular to the layers; every voxel of
the isocortex is given to one of them. The Allen Institute publishes them at 10 um, for the left hemisphere,
in two files (https://ccf-streamlines.readthedocs.io; Wang et al. 2020, Cell 181:936):
``surface_paths_10_v3.h5`` has their voxels, ``closest_surface_voxel_lookup.h5`` says at which voxel of the
pia that of a site begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.anatomy.annotation import resolution_of
from vbn.anatomy.layers import DISTANCES
from vbn.errors import InvalidContentError, NotReadableError

PATHS, LINE_OF_VOXEL, SURFACE_OF_VOXEL = "paths", "volume lookup flat", "closest surface voxel"
NO_LINE = -1
MOST_VOXELS_OF_A_LINE = 10_000
MOST_CHUNK_BYTES = 2**28
BLOCK = 2**20
"""Rows of the table of closest voxels, of 62 million, that are read at once."""


@dataclass(frozen=True)
class Streamlines:
    """Streamlines of a volume; voxels are numbered with the last axis (left to right) fastest.

    Attributes
    ----------
    paths : (n_lines, longest) voxels of each line from the pia inwards, then zeros.
    line_of_voxel : (n_voxels,) index of the line that begins at a voxel, `NO_LINE` for the others.
    surface_of_voxel : (n, 2) voxels of the cortex, ascending, and the voxel where the line of each begins.
    shape : voxels of the volume, (AP, DV, LR).
    resolution_um : edge of a voxel.
    source, surface_source : the two files, for error messages.

    Notes
    -----
    The three are arrays, or data sets of open files, of which only what is needed is read.
    """

    paths: Any
    line_of_voxel: Any
    surface_of_voxel: Any
    shape: tuple[int, ...]
    resolution_um: float
    source: Path = Path(PATHS)
    surface_source: Path = Path(SURFACE_OF_VOXEL)

    def distances(self, coordinates_um: NDArray[np.float64]) -> pd.DataFrame:
        """Return how far sites are from the pia.

        Parameters
        ----------
        coordinates_um : (n, 3) of the CCF, in the order of the axes. Sites of the right hemisphere are
            looked up at their mirror images.

        Returns
        -------
        pandas.DataFrame
            (n,) rows of `DISTANCES`: the straight line to where the streamline begins, the distance along it,
            to its point nearest to the site, and its whole length. NaN where there is no streamline.

        Raises
        ------
        InvalidContentError
            If the numbers of voxels or lines are of none.

        Notes
        -----
        Lines go through the centres of their voxels, as in ``project_depths`` of ccf_streamlines: they
        begin half a voxel below the pia.
        """
        found = np.full((len(coordinates_um), len(DISTANCES)), np.nan)
        width_um = self.shape[2] * self.resolution_um
        folded = np.array(coordinates_um, dtype=np.float64)
        folded[:, 2] = np.minimum(folded[:, 2], width_um - folded[:, 2])
        line = self._line_of(folded)
        for number in np.unique(line[line != NO_LINE]):
            points = self._points_um(int(number))
            for site in np.flatnonzero(line == number):
                found[site] = _along(points, folded[site])
        return pd.DataFrame(found, columns=DISTANCES)

    def _line_of(self, coordinates_um: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (n,) the line of each site's voxel, `NO_LINE` where there is none."""
        line = np.full(len(coordinates_um), NO_LINE, dtype=np.int64)
        inside = (coordinates_um >= 0) & (coordinates_um < np.multiply(self.shape, self.resolution_um))
        at = np.flatnonzero(inside.all(axis=1))  # NaN is not inside
        index = np.floor(coordinates_um[at] / self.resolution_um).astype(np.int64)
        voxels, of_voxel = np.unique(np.ravel_multi_index(tuple(index.T), self.shape), return_inverse=True)
        surface = self._surface_of(voxels)[of_voxel]
        begins, of_surface = np.unique(surface[surface > 0], return_inverse=True)
        if begins.size:
            self._require_below(begins, math.prod(self.shape), "voxels")
            line[at[surface > 0]] = np.asarray(self.line_of_voxel[begins], dtype=np.int64)[of_surface]
        self._require_below(line, self.paths.shape[0], "lines")
        return line

    def _surface_of(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (n,) the voxel of the pia for each of these, ascending; 0 outside the cortex."""
        found = np.zeros(voxels.size, dtype=np.int64)
        firsts = np.asarray(self.surface_of_voxel[::BLOCK, 0], dtype=np.int64)
        block_of = np.searchsorted(firsts, voxels, side="right") - 1
        for block in np.unique(block_of[block_of >= 0]):
            rows = np.asarray(self.surface_of_voxel[block * BLOCK : (block + 1) * BLOCK], dtype=np.int64)
            if (np.diff(rows[:, 0]) < 0).any():
                raise InvalidContentError(self.surface_source, "its voxels do not ascend.", "Copy it again.")
            wanted = np.flatnonzero(block_of == block)
            row = np.searchsorted(rows[:, 0], voxels[wanted]).clip(max=len(rows) - 1)
            found[wanted] = np.where(rows[row, 0] == voxels[wanted], rows[row, 1], 0)
        return found

    def _points_um(self, line: int) -> NDArray[np.float64]:
        """Return (n_points, 3) the centres of a line's voxels."""
        path = np.asarray(self.paths[line], dtype=np.int64)
        self._require_below(path, math.prod(self.shape), "voxels")
        index = np.column_stack(np.unravel_index(path[path > 0], self.shape))
        return np.asarray((index + 0.5) * self.resolution_um)

    def _require_below(self, numbers: NDArray[np.int64], limit: int, of: str) -> None:
        if numbers.max(initial=NO_LINE) >= limit or numbers.min(initial=0) < NO_LINE:
            raise InvalidContentError(
                self.source, f"it refers to {of} that are not among its {limit}.", "Copy both files again."
            )


def _along(points: NDArray[np.float64], site: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the distances of one site (see `DISTANCES`), given (n_points, 3) of its line."""
    if not len(points):
        return (np.nan,) * 3
    steps = np.diff(points, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    passed = np.concatenate([[0.0], np.cumsum(lengths)])
    straight = float(np.linalg.norm(site - points[0]))
    if not passed[-1]:
        return straight, 0.0, 0.0
    squared = np.where(lengths > 0, lengths**2, 1.0)
    share = np.clip(((site - points[:-1]) * steps).sum(axis=1) / squared, 0.0, 1.0)
    nearest = np.linalg.norm(points[:-1] + share[:, np.newaxis] * steps - site, axis=1).argmin()
    return straight, float(passed[nearest] + share[nearest] * lengths[nearest]), float(passed[-1])


@contextmanager
def open_streamlines(paths: Path, surface: Path) -> Iterator[Streamlines]:
    """Open the two files of the streamlines, and close them when the block ends.

    Parameters
    ----------
    paths : ``surface_paths_10_v3.h5``.
    surface : ``closest_surface_voxel_lookup.h5``.

    Raises
    ------
    NotReadableError
        If one is no file of HDF5.
    InvalidContentError
        If one lacks what it should have, or they are not of a published volume.
    """
    with _opened(paths) as of_lines, _opened(surface) as of_voxels:
        lines, lookup, shape = _lines(paths, of_lines)
        closest = _surface_voxels(surface, of_voxels)
        yield Streamlines(lines, lookup, closest, shape, resolution_of(paths, shape), paths, surface)


def require_lines(path: Path) -> None:
    """Raise an error unless a file has streamlines; see `open_streamlines`."""
    with _opened(path) as file:
        _lines(path, file)


def require_surface_voxels(path: Path) -> None:
    """Raise an error unless a file says where streamlines begin; see `open_streamlines`."""
    with _opened(path) as file:
        _surface_voxels(path, file)


def _lines(path: Path, file: h5py.File) -> tuple[h5py.Dataset, h5py.Dataset, tuple[int, ...]]:
    """Return the lines, which of them begins at each voxel, and the shape of the volume."""
    lookup = _dataset(path, file, LINE_OF_VOXEL, 1)
    shape = tuple(int(size) for size in np.ravel(lookup.attrs.get("original shape", ())))
    resolution_of(path, shape)
    if lookup.shape[0] != math.prod(shape):
        voxels = "x".join(map(str, shape))
        raise InvalidContentError(path, f"it has {lookup.shape[0]} voxels, and its volume {voxels}.", "")
    lines = _dataset(path, file, PATHS, 2)
    if lines.shape[1] > MOST_VOXELS_OF_A_LINE:
        raise InvalidContentError(path, f"its lines have {lines.shape[1]} voxels.", "Copy it again.")
    return lines, lookup, shape


def _surface_voxels(path: Path, file: h5py.File) -> h5py.Dataset:
    closest = _dataset(path, file, SURFACE_OF_VOXEL, 2)
    if closest.shape[1] != 2:
        raise InvalidContentError(path, f"'{SURFACE_OF_VOXEL}' has {closest.shape[1]} columns, not 2.", "")
    return closest


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)  # an unfinished download is locked by ourselves
    except OSError as error:
        raise NotReadableError(path, f"it cannot be read: {error}.", "Name a file of streamlines.") from error


def _dataset(path: Path, file: h5py.File, name: str, n_axes: int) -> h5py.Dataset:
    """Return a data set of whole numbers whose values lie in this very file, in chunks that fit in memory."""
    link = file.get(name, getlink=True)
    found = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.ndim != n_axes or found.dtype.kind not in "iu":
        raise InvalidContentError(
            path,
            f"it has no whole numbers '{name}'.",
            "Name surface_paths_10_v3.h5 and closest_surface_voxel_lookup.h5, in this order.",
        )
    chunk_bytes = math.prod(found.chunks or (1,)) * found.dtype.itemsize
    if found.is_virtual or found.external or chunk_bytes > MOST_CHUNK_BYTES:
        raise InvalidContentError(path, f"the values of '{name}' are not plainly in it.", "Copy it again.")
    return found
