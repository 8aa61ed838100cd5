"""Distances along lines whose lengths are known by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fixtures.streamlines import vertical_lines, written
from tests.vbn.anatomy.test_layers import UM, made_ids, sites
from vbn.anatomy import streamlines
from vbn.anatomy.annotation import SHAPES, Volume
from vbn.anatomy.layers import DISTANCES, site_layers
from vbn.anatomy.streamlines import PATHS, SURFACE_OF_VOXEL, Streamlines, open_streamlines
from vbn.errors import InvalidContentError, NotReadableError

SHAPE = (8, 10, 6)


def distances(lines: Streamlines, *rows: tuple[float, float, float]) -> np.ndarray:
    return lines.distances(np.array(rows, dtype=float).reshape(-1, 3)).to_numpy()


def oblique_line() -> Streamlines:
    """One line from voxel (1, 1, 1) to (4, 4, 1), of three steps of the square root of two."""
    voxels = [np.ravel_multi_index((step, step, 1), SHAPE) for step in range(1, 5)]
    of_voxel = np.full(np.prod(SHAPE), -1)
    of_voxel[voxels[0]] = 0
    table = np.column_stack([voxels, [voxels[0]] * 4])
    return Streamlines(np.array([[*voxels, 0, 0]]), of_voxel, table, SHAPE, UM)


def test_distances_along_an_oblique_line_are_those_by_hand() -> None:
    step = UM * np.sqrt(2)
    centres = [((k + 0.5) * UM, (k + 0.5) * UM, 1.5 * UM) for k in range(1, 5)]
    found = distances(oblique_line(), *centres)
    np.testing.assert_allclose(found[:, 0], step * np.arange(4), atol=1e-9)
    np.testing.assert_allclose(found[:, 1], step * np.arange(4), atol=1e-9)
    np.testing.assert_allclose(found[:, 2], 3 * step)
    # beside the line by a and b: the straight line is longer than the way along it
    (beside,) = distances(oblique_line(), (3.5 * UM + 10, 3.5 * UM - 10, 1.5 * UM + 5))
    np.testing.assert_allclose(
        beside, [np.hypot(2 * step, np.sqrt(10**2 + 10**2 + 5**2)), 2 * step, 3 * step]
    )
    before, after = distances(oblique_line(), (26, 26, 30), (124, 124, 30))
    assert before[1] == 0  # above the first centre
    assert after[1] == pytest.approx(3 * step)  # below the last


def test_the_distance_is_that_of_the_nearest_of_very_many_points() -> None:
    """Also where that is a corner, which no perpendicular of a step next to it meets."""
    rng = np.random.default_rng(2)
    at = np.cumsum(
        np.column_stack([rng.integers(-1, 2, 20), np.ones(20, int), rng.integers(-1, 2, 20)]), axis=0
    )
    shape = (60, 40, 120)
    voxels = np.ravel_multi_index(tuple(np.add(at, [30, 5, 30]).T), shape)
    of_voxel = np.full(np.prod(shape), -1)
    of_voxel[voxels[0]] = 0
    table = np.column_stack([np.arange(np.prod(shape)), np.full(np.prod(shape), voxels[0])])
    line = Streamlines(voxels[np.newaxis], of_voxel, table, shape, UM)
    corners = np.add(at, [30.5, 5.5, 30.5]) * UM
    share = np.linspace(0, 1, 2001)[:, np.newaxis]
    points = np.concatenate([a + share * (b - a) for a, b in itertools.pairwise(corners)])
    passed = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    rows = corners[rng.integers(20, size=100)] + rng.uniform(-40, 40, (100, 3))
    nearest = np.linalg.norm(points - rows[:, np.newaxis], axis=2).argmin(axis=1)
    found = distances(line, *rows)
    np.testing.assert_allclose(found[:, 1], passed[nearest], atol=0.05)
    np.testing.assert_allclose(found[:, 0], np.linalg.norm(rows - corners[0], axis=1))


def test_hemispheres_are_mirror_images_and_elsewhere_is_nothing() -> None:
    lines = vertical_lines(SHAPE, UM)
    left, right = distances(lines, (100, 130, 40), (100, 130, 6 * UM - 40))
    np.testing.assert_array_equal(left, right)
    assert left[1:].tolist() == [130 - 12.5, 9 * UM]
    outside = (np.nan, 60, 70), (-0.1, 60, 70), (200, 60, 70), (0, 1e300, 0), (10, 10, -1), (10, 10, 151)
    assert np.isnan(distances(lines, *outside)).all()
    assert np.isnan(distances(oblique_line(), (10, 10, 10), (100, 60, 60))).all()  # no voxel of the cortex
    assert distances(lines).shape == (0, 3)


def test_a_table_of_many_blocks_is_searched_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = vertical_lines(SHAPE, UM)
    rows = np.random.default_rng(0).uniform(0, np.multiply(SHAPE, UM), (50, 3))
    whole = distances(lines, *rows)
    assert np.isfinite(whole).all(axis=1).sum() > 40
    monkeypatch.setattr(streamlines, "BLOCK", 7)
    np.testing.assert_array_equal(distances(lines, *rows), whole)


def test_sites_in_a_layer_have_distances_and_others_none() -> None:
    rows = [(100.0, (row + 0.5) * UM, left) for left in (60.0, 90.0) for row in range(10)]
    lines = vertical_lines(SHAPE, UM)
    found = site_layers(sites(*rows), Volume(made_ids(), UM), streamlines=lines)
    has_layer = ~found["cortical_layer"].isin([None, "none"])
    assert has_layer.sum() == 12
    assert found.loc[has_layer, "streamline_distance_um"].tolist() == [UM * row for row in range(1, 7)] * 2
    assert found.loc[~has_layer, list(DISTANCES)].isna().all(axis=None)
    without = site_layers(sites(*rows), Volume(made_ids(), UM))
    assert without[list(DISTANCES)].isna().all(axis=None)
    assert without.drop(columns=list(DISTANCES)).equals(found.drop(columns=list(DISTANCES)))


def test_a_site_that_takes_another_ones_layer_has_neither_its_depth_nor_the_pias() -> None:
    """Outside the isocortex the volume of depths is 0, which would be at the pia."""
    frame = sites((50, 160, 70), (50, 180, 70))
    frame["probe_vertical_position"] = [400.0, 380.0]
    ramp = np.zeros(SHAPE, np.float32)
    ramp[:, 1:7] = ((np.arange(6) + 0.5) / 6)[None, :, None]
    found = site_layers(
        frame, Volume(made_ids(), UM), Volume(ramp, UM), streamlines=vertical_lines(SHAPE, UM)
    )
    assert found["cortical_layer"].tolist() == ["6b", "6b"]
    assert found["layer_is_snapped"].tolist() == [False, True]
    assert found["cortical_depth"].isna().tolist() == [False, True]
    assert found["streamline_distance_um"].isna().tolist() == [False, True]
    ramp[:, 6] = 0  # the two volumes end at different voxels
    ramp[:, 1] = 0  # the pia itself
    edges = sites((50, 30, 70), (50, 160, 70))
    assert site_layers(edges, Volume(made_ids(), UM), Volume(ramp, UM))["cortical_depth"].isna().tolist() == [
        False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"paths": np.full((1, 6), 480)}, "voxels that are not among its 480"),
        ({"paths": np.empty((0, 6), int)}, "lines that are not among its 0"),
        ({"line_of_voxel": np.full(480, 3)}, "lines that are not among its 1"),
        ({"line_of_voxel": np.full(480, -2)}, "lines that are not"),
        ({"surface_of_voxel": np.array([[67, 480]])}, "voxels that are not among its 480"),
        ({"surface_of_voxel": np.array([[67, 67], [9, 67]])}, "do not ascend"),
    ],
)
def test_numbers_of_nothing_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidContentError, match=problem):
        distances(replace(oblique_line(), **change), (30, 30, 30))


def test_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    lines = vertical_lines(SHAPES[100.0], 100.0)
    rows = np.random.default_rng(1).uniform(0, np.multiply(SHAPES[100.0], 100.0), (30, 3))
    with open_streamlines(*written(tmp_path, lines)) as found:
        assert (found.resolution_um, found.shape) == (100.0, SHAPES[100.0])
        np.testing.assert_array_equal(distances(found, *rows), distances(lines, *rows))


def test_files_that_are_no_streamlines_are_refused(tmp_path: Path) -> None:
    paths, surface = written(tmp_path / "whole", vertical_lines(SHAPES[100.0], 100.0))

    def refused(problem: str, kind: type[Exception] = InvalidContentError, *, swapped: bool = False) -> None:
        files = (surface, paths) if swapped else (paths, surface)
        with pytest.raises(kind, match=problem), open_streamlines(*files):
            pass

    refused("no whole numbers 'volume lookup flat'", swapped=True)
    with h5py.File(surface, "r+") as file:
        file[SURFACE_OF_VOXEL].parent.move(SURFACE_OF_VOXEL, "other")
        file[SURFACE_OF_VOXEL] = h5py.ExternalLink("other.h5", "other")
    refused("no whole numbers 'closest surface voxel'")
    with h5py.File(surface, "r+") as file:
        del file[SURFACE_OF_VOXEL]
        file[SURFACE_OF_VOXEL] = np.zeros((4, 3), int)
    refused("has 3 columns, not 2")
    with h5py.File(paths, "r+") as file:
        del file[PATHS]
        file[PATHS] = np.zeros((3, 20_000), np.uint8)
    refused("its lines have 20000 voxels")
    with h5py.File(paths, "r+") as file:
        file["volume lookup flat"].attrs["original shape"] = SHAPE
    refused("no published volume")
    paths.write_text("of somebody else")
    refused("cannot be read", NotReadableError)
