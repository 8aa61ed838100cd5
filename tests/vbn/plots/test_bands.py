from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from vbn.anatomy import structures
from vbn.plots.bands import Band, draw_bands, spread, structure_bands
from vbn.plots.structure_colours import (
    GROUP_COLOURS,
    UNGROUPED_COLOUR,
    group_rank,
    lighter,
    structure_colours,
)

LABELS = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 8)), min_size=1, max_size=12).map(sorted)


@given(LABELS)
def test_spread_labels_keep_their_order_and_do_not_overlap(labels):
    centres, sizes = np.array(labels).T
    placed = spread(centres, sizes, 0, 100)
    assert (np.diff(placed) >= (sizes[1:] + sizes[:-1]) / 2 - 1e-9).all()
    if sizes.sum() <= 100:
        assert placed[0] - sizes[0] / 2 >= -1e-9
        assert placed[-1] + sizes[-1] / 2 <= 100 + 1e-9


def test_labels_with_room_stay_where_they_are():
    np.testing.assert_allclose(spread([10, 20, 90], [5, 5, 5], 0, 100), [10, 20, 90])


def test_two_labels_of_one_place_move_apart_by_half_each():
    np.testing.assert_allclose(spread([50, 50], [4, 8], 0, 100), [47, 53])


def test_labels_that_do_not_fit_are_laid_out_about_the_middle():
    np.testing.assert_allclose(spread([1, 2, 3], [10, 10, 10], 0, 20), [0, 10, 20])


def test_no_labels_need_no_place():
    assert spread([], [], 0, 1).size == 0


def test_centres_must_ascend():
    with pytest.raises(ValueError, match="must ascend"):
        spread([2, 1], [1, 1], 0, 10)


def test_neighbours_of_one_structure_are_one_band():
    names = ["LP", "LP", "CA1", None, None, "LP"]
    groups = ["thalamus", "thalamus", "hippocampus", None, None, "thalamus"]
    bands = structure_bands([0, 10, 20, 30, 40, 50, 60], names, groups)
    assert [(band.low, band.high, band.label) for band in bands] == [
        (0, 20, "LP"), (20, 30, "CA1"), (30, 50, "not located"), (50, 60, "LP"),
    ]  # fmt: skip
    assert bands[2].colour == UNGROUPED_COLOUR.lower()


def test_neighbours_of_one_group_are_told_apart_by_lightness():
    dark, light, again = structure_colours(["thalamus"] * 3)
    assert dark == again == GROUP_COLOURS["thalamus"].lower()
    assert light == lighter(dark)
    assert structure_colours(["thalamus", None, "thalamus"])[2] == dark


def test_every_group_with_grey_matter_has_a_colour():
    groups = set(structures()["group"])
    assert set(GROUP_COLOURS) <= groups
    assert groups - set(GROUP_COLOURS) == {"fiber tracts", "ventricles", "unassigned"}
    assert group_rank("visual cortex") == 0
    assert group_rank(None) == group_rank("fiber tracts") == len(GROUP_COLOURS)


def test_where_labels_do_not_all_fit_those_of_the_widest_bands_are_drawn():
    axes = Figure(figsize=(2, 1)).subplots()
    axes.set_ylim(0, 100)
    bands = [Band(at, at + 0.5, f"small {at}", "#000000") for at in range(20)]
    draw_bands(axes, [*bands, Band(20, 100, "wide", "#000000")])
    labels = [text.get_text() for text in axes.texts]
    assert "wide" in labels
    assert 2 < len(labels) < 10
    assert len(axes.patches) == 21
