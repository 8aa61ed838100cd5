"""The table of a figure's numbers: what is drawn, where it is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from vbn.plots.bands import GUIDE
from vbn.plots.files import save_source_data
from vbn.plots.source_data import COLUMNS, name_rows, source_data


@pytest.fixture
def figure() -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.set(xlabel="Time\n(s)", ylabel="Rate (Hz)")
    axes.set_title("Rates", loc="left")
    return figure


def test_curves_bands_and_intervals_have_their_numbers(figure):
    (axes,) = figure.axes
    axes.plot([0, 1, 2], [5, 7, np.nan], label="hit")
    axes.fill_between([0, 1, 2], [4, 6, 3], [6, 8, 9], label="hit")
    axes.vlines([3, 4], 0, [1, 2], label="spikes")
    axes.hlines([8], [1], [2])
    axes.axhline(0)  # marks a place of the axes
    axes.axvspan(0, 1)
    axes.plot([0, 9], [0, 9], gid=GUIDE)
    table = source_data(figure)
    assert list(table.columns) == list(COLUMNS)
    assert set(table["panel"]) == {1}
    assert set(table["title"]) == {"Rates"}
    assert (set(table["x_label"]), set(table["y_label"])) == ({"Time (s)"}, {"Rate (Hz)"})
    line, band, interval = (table[table["mark"] == mark] for mark in ("line", "band", "interval"))
    np.testing.assert_array_equal(line[["x", "y"]], [[0, 5], [1, 7], [2, np.nan]])
    np.testing.assert_array_equal(band[["x", "low", "high"]], [[0, 4, 6], [1, 6, 8], [2, 3, 9]])
    np.testing.assert_array_equal(
        interval[["x", "y", "low", "high"]], [[3, np.nan, 0, 1], [4, np.nan, 0, 2], [np.nan, 8, 1, 2]]
    )
    assert interval["series"].tolist() == ["spikes", "spikes", ""]


def test_bands_with_steps_have_the_limits_of_each_side(figure):
    (axes,) = figure.axes
    axes.fill_between([0, 1, 2], [0.9, 4.9, 0.9], [1.1, 5.1, 1.1], step="mid")
    band = source_data(figure)[["x", "low", "high"]]
    expected = [
        [0, 0.9, 1.1],
        [0.5, 0.9, 1.1],
        [0.5, 4.9, 5.1],
        [1.5, 4.9, 5.1],
        [1.5, 0.9, 1.1],
        [2, 0.9, 1.1],
    ]
    np.testing.assert_allclose(band.drop_duplicates(), expected)


def test_a_named_level_is_a_number_and_an_unknown_interval_none(figure):
    (axes,) = figure.axes
    axes.axhline(3.5, label="baseline")
    axes.axvline(1, label="change")
    drawn = axes.errorbar([0, 1], [5, 6], yerr=[[np.nan, 1], [np.nan, 2]], fmt="none")
    for mark in drawn.get_children():
        name_rows(mark, ["VISl", "VISp"])
    table = source_data(figure)
    level, interval = (table[table["mark"] == mark] for mark in ("level", "interval"))
    assert level[["series", "y"]].to_numpy().tolist() == [["baseline", 3.5]]
    assert interval[["row", "low", "high"]].to_numpy().tolist() == [["VISp", 5, 8]]


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_cells_of_an_image_stand_where_they_are_seen(figure, origin):
    (axes,) = figure.axes
    values = np.array([[1.0, 2, 3], [4, 5, 6]])
    extent = (0, 3, 20, 0) if origin == "upper" else (0, 3, 0, 20)
    image = axes.imshow(values, origin=origin, extent=extent)
    name_rows(image, [951, 950])
    table = source_data(figure)
    assert table["value"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["x"].tolist() == [0.5, 1.5, 2.5] * 2
    assert table["y"].tolist() == [5] * 3 + [15] * 3
    assert table["row"].tolist() == ["951"] * 3 + ["950"] * 3


def test_bars_and_places_on_the_axis_have_their_names(figure):
    (axes,) = figure.axes
    axes.bar([0, 1], [3, 4], 0.5, label="units")
    axes.stairs([1, 2], [0, 10, 20])
    axes.plot([1.1], [7], "o")
    axes.set_xticks([0, 1], ["VISp", "LGd"])
    table = source_data(figure)
    bars = table[table["series"] == "units"]
    assert bars[["row", "y", "low", "high"]].to_numpy().tolist() == [
        ["VISp", 3, -0.25, 0.25],
        ["LGd", 4, 0.75, 1.25],
    ]
    steps = table[(table["mark"] == "bar") & (table["series"] == "")]
    assert steps[["y", "low", "high"]].to_numpy().tolist() == [[1, 0, 10], [2, 10, 20]]
    assert table.loc[table["mark"] == "line", "row"].tolist() == ["LGd"]
    axes.set_xticks([0, 1], ["0", "1"])
    assert source_data(figure)["row"].isna().all()


def test_the_file_holds_the_numbers_to_nine_digits(figure, tmp_path):
    figure.axes[0].plot([1 / 3], [2e9 / 3], label="a, b\nc")
    path = save_source_data(figure, tmp_path / "new" / "numbers.csv")
    table = pd.read_csv(path)
    assert table["x"].item() == pytest.approx(1 / 3, rel=1e-8)
    assert table["y"].item() == pytest.approx(2e9 / 3, rel=1e-8)
    assert table["series"].item() == "a, b\nc"
    assert list(pd.read_csv(save_source_data(Figure(), tmp_path / "empty.csv")).columns) == list(COLUMNS)
