"""A stretch of a session and a grid of fields: each spike, flash and field is drawn where it belongs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from vbn.plots import FieldGrid, SessionExample, plot_example, plot_fields, source_data
from vbn.plots.field import Field

PLACES = np.arange(-40.0, 41.0, 10.0)


def make_example(n_units: int = 40, **changed) -> SessionExample:
    rng = np.random.default_rng(n_units)
    starts = 100 + 0.75 * np.arange(40)
    names = np.repeat(["im036_r", "im012_r", "im115_r", "im083_r"], 10).astype(object)
    names[13] = "omitted"
    structures = ["VISp", "LGd", None, "VISam"]
    groups = ["visual cortex", "thalamus", None, "visual cortex"]
    fields = {
        "session_id": 1064644573,
        "session_type": "EPHYS_1_images_G_3uL_reward",
        "start_s": 100.0,
        "stop_s": 130.0,
        "shown": names.tolist(),
        "shown_start_s": starts,
        "shown_stop_s": starts + 0.25,
        "is_change": np.isin(np.arange(40), [10, 20, 30]),
        "lick_time_s": np.array([108.0, 108.2]),
        "reward_time_s": np.array([108.1]),
        "running_time_s": np.arange(100, 130, 0.1),
        "running_speed_cm_s": rng.normal(20, 5, 300),
        "pupil_time_s": np.arange(100, 130, 0.1),
        "pupil_area_px2": np.full(300, 5000.0),
        "spike_time_s": [np.sort(rng.uniform(100, 130, rng.poisson(60))) for _ in range(n_units)],
        "unit_id": list(range(900, 900 + n_units)),
        "structure": [structures[at % 4] for at in range(n_units)],
        "structure_group": [groups[at % 4] for at in range(n_units)],
        "height_um": rng.permutation(n_units) * 20.0,
        "names": sorted(set(names) - {"omitted"}),
    }
    return SessionExample(**{**fields, **changed})


def make_grid(n_units: int) -> FieldGrid:
    rng = np.random.default_rng(n_units)
    fit = (0.0, 0.0, 9.0, 9.0)
    maps = [rng.poisson(2, (9, 9)).astype(float) for _ in range(n_units)]
    fields = [Field(each, PLACES, PLACES, at == 0, 0.0001, True, fit) for at, each in enumerate(maps)]
    ids, heights = list(range(1061854534, 1061854534 + n_units)), np.arange(n_units, 0, -1) * 10.0
    return FieldGrid(1064644573, "VISp", ids, heights, fields, n_units + 3, 1, "bennett_2025")


NOTHING = {
    "shown": [], "shown_start_s": np.empty(0), "shown_stop_s": np.empty(0), "is_change": np.empty(0, bool),
    "lick_time_s": np.empty(0), "reward_time_s": np.empty(0), "running_time_s": None,
    "running_speed_cm_s": None, "pupil_time_s": None, "pupil_area_px2": None, "names": [],
}  # fmt: skip
CASES = {
    "2 units": lambda: plot_example(make_example(2)),
    "40 units": lambda: plot_example(make_example(40)),
    "400 units": lambda: plot_example(make_example(400)),
    "nothing": lambda: plot_example(make_example(0, **NOTHING)),
    "2 fields": lambda: plot_fields(make_grid(2)),
    "60 fields": lambda: plot_fields(make_grid(60)),
}


@pytest.mark.parametrize("draw", CASES.values(), ids=CASES.keys())
def test_no_text_overlaps_another_or_leaves_the_figure(draw, colliding_texts):
    assert colliding_texts(draw()) == []


def test_units_are_sorted_by_structure_from_the_surface_down_and_keep_their_spikes():
    data = make_example(6, height_um=np.array([10.0, 20, 30, 40, 50, 60]))
    table = source_data(plot_example(data))
    spikes = table[table["series"].str.startswith("unit")]
    rows = spikes.groupby("series", sort=False)["low"].first()
    assert rows.index.tolist() == [f"unit {number}" for number in (903, 904, 900, 905, 901, 902)]
    assert rows.tolist() == pytest.approx(np.arange(6) + 0.05)
    for unit, times in zip(data.unit_id, data.spike_time_s, strict=True):
        np.testing.assert_allclose(spikes.loc[spikes["series"] == f"unit {unit}", "x"], times)


def test_flashes_stand_in_the_colour_of_their_image_and_changes_and_omissions_are_marked():
    data = make_example(2)
    figure = plot_example(data)
    table = source_data(figure)
    shown = table[(table["panel"] == 1) & (table["mark"] == "bar")]
    for name in set(data.shown):
        chosen = np.array(data.shown, dtype=object) == name
        drawn = shown[shown["series"] == name]
        np.testing.assert_allclose(drawn["low"], data.shown_start_s[chosen])
        np.testing.assert_allclose(drawn["high"], data.shown_stop_s[chosen])
    np.testing.assert_allclose(
        table.loc[table["series"] == "change", "x"], data.shown_start_s[data.is_change]
    )
    np.testing.assert_allclose(table.loc[table["series"] == "lick", "x"], data.lick_time_s)
    np.testing.assert_allclose(table.loc[table["series"] == "reward", "x"], data.reward_time_s)
    later = dataclasses.replace(data, start_s=112.0, stop_s=118.0)
    assert [text.get_text() for text in figure.axes[0].texts] == ["036", "012", "115", "083"]
    first, again = (plot_example(each).axes[0].containers[1][0].get_facecolor() for each in (data, later))
    assert first == again  # an image keeps its colour in every stretch


def test_it_is_drawn_into_axes_of_ones_own_without_titles():
    figure = Figure(figsize=(9, 9))
    axes = list(figure.subplots(6, 1))
    assert plot_example(make_example(3), axes=axes[1:]) is figure
    assert not figure.texts
    assert axes[2].lines
    assert not axes[0].lines
    with pytest.raises(ValueError, match="5 axes are needed"):
        plot_example(make_example(3), axes=axes)


def test_fields_stand_in_the_order_that_is_given_and_significant_ones_are_framed():
    data = make_grid(30)
    figure = plot_fields(data)
    assert len(figure.axes) == 30
    for axes, unit_id, field in zip(figure.axes, data.unit_id, data.fields, strict=True):
        assert axes.get_title().startswith(f"{unit_id}\n")
        np.testing.assert_array_equal(axes.images[0].get_array(), field.spikes_per_gabor)
    widths = [axes.spines["left"].get_linewidth() for axes in figure.axes]
    assert int(np.argmax(widths)) == 0
    assert widths[1] == min(widths)
    assert "3 more, with greater p, are not shown" in figure.texts[1].get_text().replace("\n", " ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_example(3, height_um=np.zeros(2)), "3 units and 40 presentations"),
        (lambda: make_example(3, is_change=np.zeros(2, bool)), "is_change"),
        (lambda: make_example(3, stop_s=100.0), "ends after it starts"),
        (lambda: make_grid(0), "at least one field"),
    ],
)
def test_data_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
