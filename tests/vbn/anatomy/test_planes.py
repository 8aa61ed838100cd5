"""Planes of a volume of the atlas."""

from __future__ import annotations

import numpy as np
import pytest

from vbn.anatomy.annotation import Volume
from vbn.anatomy.planes import brain_plane

VISP1, OTHER = 593, 1089


def made(shape: tuple[int, int, int], resolution_um: float) -> Volume:
    """A box of a brain whose upper half is cortex, another one in each plane."""
    values = np.zeros(shape, np.uint32)
    values[2:-2, 1:-1, 3:-3] = OTHER
    values[2:-2, 1 : shape[1] // 2, 3:-3] = VISP1
    return Volume(values, resolution_um)


@pytest.mark.parametrize(("axis", "across"), [(0, 2), (2, 0)])
def test_a_plane_holds_what_the_volume_does_there(axis: int, across: int) -> None:
    volume = made((10, 8, 12), 100.0)
    plane = brain_plane(volume, axis, 555.0)
    assert (plane.at_um, plane.step_um) == (550.0, 100.0)
    assert plane.brain.shape == (volume.values.shape[across], 8)
    edge = {2: 3, 0: 2}[across]
    assert plane.brain.any(axis=1).tolist() == [
        edge <= cell < volume.values.shape[across] - edge for cell in range(volume.values.shape[across])
    ]
    assert plane.isocortex.any(axis=0).tolist() == [False, True, True, True, False, False, False, False]


def test_fine_volumes_are_thinned_out_and_a_place_outside_takes_the_last_plane() -> None:
    plane = brain_plane(made((40, 20, 30), 10.0), 0, 1e9)
    assert (plane.at_um, plane.step_um, plane.brain.shape) == (395.0, 50.0, (6, 4))
    assert not plane.brain.any()
    assert brain_plane(made((40, 20, 30), 10.0), 2, -5.0).at_um == 5.0
