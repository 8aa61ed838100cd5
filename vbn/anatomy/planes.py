"""Coronal and sagittal planes of a volume of the Allen CCF: where brain and isocortex are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vbn.anatomy.annotation import Volume
from vbn.anatomy.layers import layers

STEP_UM = 50.0
"""Edge of a cell, or that of a voxel if it is larger: finer outlines look the same in a figure."""


@dataclass(frozen=True)
class BrainPlane:
    """Where brain and isocortex are in a plane of the CCF.

    Attributes
    ----------
    at_um : coordinate of the plane on the axis that it is perpendicular to: the middle of its voxels.
    step_um : edge of a cell.
    brain, isocortex : (n_across, n_down) whether a cell lies within; dorsal to ventral down, across left to
        right in a coronal plane, anterior to posterior in a sagittal one.
    """

    at_um: float
    step_um: float
    brain: NDArray[np.bool_]
    isocortex: NDArray[np.bool_]


def brain_plane(volume: Volume, axis: int, at_um: float) -> BrainPlane:
    """Return where brain and isocortex are in a plane.

    Parameters
    ----------
    volume : structure ids.
    axis : what the plane is perpendicular to: 0 for a coronal plane, 2 for a sagittal one.
    at_um : coordinate on this axis; beyond the volume, its last plane is taken.
    """
    index = int(np.clip(np.floor(at_um / volume.resolution_um), 0, volume.values.shape[axis] - 1))
    every = max(1, round(STEP_UM / volume.resolution_um))
    cells = (slice(None, None, every),) * 2
    values = np.asarray(volume.values[index, *cells].T if axis == 0 else volume.values[*cells, index])
    isocortex = np.isin(values, layers()["structure_id"].to_numpy())
    at, step = (index + 0.5) * volume.resolution_um, every * volume.resolution_um
    return BrainPlane(at, step, values > 0, isocortex)
