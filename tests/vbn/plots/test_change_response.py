from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vbn.analysis import TimeAxis
from vbn.plots import ChangeResponse, plot_change_groups, plot_change_response

TIME_S = TimeAxis(-1.0, 1.5, 0.01).centers_s


def make_response(n_units: int = 30, **changed) -> ChangeResponse:
    rng = np.random.default_rng(n_units)
    n_bins = TIME_S.size
    fields = {
        "time_s": TIME_S,
        "rate_hz": rng.gamma(1.0, 5.0, (n_units, n_bins)),
        "depth_um": rng.permutation(n_units) * 20.0 + 100,
        "structure": "VISp",
        "session_id": 1064644573,
        "n_events": 296,
        "running_speed_cm_s": 20 + rng.normal(size=n_bins),
        "lick_rate_hz": rng.gamma(1.0, 1.0, n_bins),
        "pupil_x": 300 + rng.normal(size=n_bins),
        "pupil_area": 15000 + rng.normal(size=n_bins),
        "running_speed_sem": np.ones(n_bins),
        "lick_rate_sem": np.full(n_bins, 0.2),
        "pupil_x_sem": np.full(n_bins, 0.1),
        "pupil_area_sem": np.full(n_bins, 50.0),
    }
    return ChangeResponse(**{**fields, **changed})


def image_of(figure: Figure):
    return figure.axes[0].images[0]


def visible_texts(figure: Figure) -> list[Text]:
    """All texts that are drawn: titles, labels, tick labels inside the axes' limits."""
    outside = labels_outside(figure)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text for text in texts if text not in outside]


def labels_outside(figure: Figure) -> set[Text]:
    """Tick labels of ticks outside the limits, or switched off by a shared axis, exist but are not drawn."""
    found = set()
    for axes in [*figure.axes, *figure.axes[0].child_axes]:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    found |= {tick.label1, tick.label2}
    return found


CASES = {
    "one unit": {"n_units": 1},
    "two units": {"n_units": 2},
    "many units": {"n_units": 400},
    "no pupil": {"pupil_x": None, "pupil_area": None},
    "nothing but rates": {
        "running_speed_cm_s": None,
        "lick_rate_hz": None,
        "pupil_x": None,
        "pupil_area": None,
    },
    "large numbers": {
        "session_id": 1_234_567_890_123,
        "pupil_area": np.linspace(1e5, 9e5, 250),
        "running_speed_cm_s": np.linspace(-3, 120, 250),
    },
    "silent": {"rate_hz": np.zeros((30, 250)), "lick_rate_hz": np.zeros(250)},
}


@pytest.fixture(scope="module", params=[*CASES.values()], ids=[*CASES])
def drawn(request) -> Figure:
    """The figure of a case, drawn once. For reading only."""
    figure = plot_change_response(make_response(**request.param))
    FigureCanvasAgg(figure).draw()
    return figure


def test_five_panels_share_one_time_axis_of_the_whole_window():
    figure = plot_change_response(make_response())
    panels = figure.axes[:5]
    assert len(figure.axes) == 6, "five panels and the pupil's right-hand axis"
    for axes in panels[1:]:
        assert panels[0].get_shared_x_axes().joined(panels[0], axes)
    for axes in figure.axes:
        np.testing.assert_allclose(axes.get_xlim(), (-1.0, 1.5))


def test_panels_stand_in_one_column(drawn):
    boxes = [axes.get_position() for axes in drawn.axes[:5]]
    assert np.ptp([box.x0 for box in boxes]) == pytest.approx(0, abs=1e-6)
    assert np.ptp([box.x1 for box in boxes]) == pytest.approx(0, abs=1e-6)
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_every_quantity_is_labelled_with_its_unit():
    figure = plot_change_response(make_response())
    top, mean_rate, running, licks, pupil, area = figure.axes
    assert "µm" in top.get_ylabel()
    assert "(Hz)" in mean_rate.get_ylabel()
    assert "(cm/s)" in running.get_ylabel()
    assert "(1/s)" in licks.get_ylabel()
    assert "(px)" in pupil.get_ylabel()
    assert "(px²)" in area.get_ylabel()
    assert pupil.get_xlabel() == "Time from image change (s)"
    assert top.child_axes[0].get_ylabel() == "Firing rate (Hz)"


def test_colours_span_the_percentiles():
    data = make_response(200)
    limits = image_of(plot_change_response(data)).get_clim()
    np.testing.assert_allclose(limits, np.percentile(data.rate_hz, [0.1, 99.9]))


def test_rates_that_are_all_equal_still_have_a_colour_range():
    assert image_of(plot_change_response(make_response(rate_hz=np.zeros((30, 250))))).get_clim() == (0, 1)


def test_the_most_superficial_unit_is_on_top_and_unknown_depths_at_the_bottom():
    """Depths 100, 300, NaN, 200: rows 1, 3, 0, 2. The image's first row is its top one."""
    data = make_response(4, depth_um=np.array([100.0, 300.0, np.nan, 200.0]))
    figure = plot_change_response(data)
    np.testing.assert_array_equal(image_of(figure).get_array(), data.rate_hz[[1, 3, 0, 2]])
    assert (
        figure.axes[0].yaxis_inverted() or image_of(figure).get_extent()[3] < image_of(figure).get_extent()[2]
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["300", "200", "100", "?"]


def test_units_of_equal_depth_keep_their_order():
    data = make_response(3, depth_um=np.full(3, 50.0))
    np.testing.assert_array_equal(image_of(plot_change_response(data)).get_array(), data.rate_hz)


def test_each_panel_has_a_dashed_line_at_the_event(drawn):
    for axes in drawn.axes[:5]:
        lines = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [list(line.get_xdata()) for line in lines] == [[0, 0]]


def test_curves_show_the_data_and_their_errors():
    data = make_response()
    _, mean_rate, running, licks, pupil, area = plot_change_response(data).axes
    np.testing.assert_allclose(mean_rate.lines[0].get_ydata(), data.rate_hz.mean(axis=0))
    for axes, expected in (
        (running, data.running_speed_cm_s),
        (licks, data.lick_rate_hz),
        (pupil, data.pupil_x),
        (area, data.pupil_area),
    ):
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), data.time_s)
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), expected)
    band = mean_rate.collections[0].get_paths()[0].get_extents()
    sem = data.rate_hz.std(axis=0, ddof=1) / np.sqrt(30)
    assert band.y1 == pytest.approx((data.rate_hz.mean(axis=0) + sem).max())


def test_one_unit_has_no_error_band():
    assert not plot_change_response(make_response(1)).axes[1].collections


def test_what_is_missing_is_said():
    names = ("running_speed_cm_s", "lick_rate_hz", "pupil_x", "pupil_area")
    figure = plot_change_response(make_response(**dict.fromkeys(names)))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts[2:] == [["no running"], ["no licks recorded"], ["no eye tracking"]]
    nan = np.full(250, np.nan)
    figure = plot_change_response(make_response(pupil_x=nan, pupil_area=nan))
    assert [text.get_text() for text in figure.axes[4].texts] == ["no eye tracking"]


def test_no_text_overlaps_another_or_leaves_the_figure(drawn):
    boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(drawn)]
    assert len(boxes) > 15
    for number, (name, box) in enumerate(boxes):
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= drawn.bbox.x1, name
        assert box.y1 <= drawn.bbox.y1, name
        for other_name, other in boxes[number + 1 :]:
            assert not box.overlaps(other), f"{name!r} overlaps {other_name!r}"


def test_titles_are_made_from_the_data_or_given():
    figure = plot_change_response(make_response(1, n_events=1))
    assert figure.get_suptitle() == "VISp: response to image change"
    assert figure.axes[0].get_title() == "session 1064644573, 1 unit, 1 event (grey: flashes)"
    figure = plot_change_response(
        make_response(title="Mine", subtitle="", event_name="omission", flash_onsets_s=())
    )
    assert figure.get_suptitle() == "Mine"
    assert figure.axes[0].get_title() == ""
    assert figure.axes[4].get_xlabel() == "Time from omission (s)"
    assert not figure.axes[2].patches, "no flashes shaded"


def test_flashes_are_shaded_inside_the_window_only():
    spans = plot_change_response(make_response()).axes[1].patches
    starts = sorted(span.get_x() for span in spans)
    np.testing.assert_allclose(starts, [-0.75, 0.0, 0.75])


def test_draws_into_a_given_figure_and_leaves_the_global_state_alone():
    before = dict(mpl.rcParams)
    figure = Figure(figsize=(5, 8))
    assert plot_change_response(make_response(), figure) is figure
    assert dict(mpl.rcParams) == before
    assert tuple(figure.get_size_inches()) == (5, 8)


def test_pyplot_is_not_imported():
    code = "import sys, vbn.plots; raise SystemExit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"n_units": 0}, "No units to draw in VISp of session 1064644573"),
        ({"n_events": 0}, "there were 0 events"),
        ({"rate_hz": np.full((30, 250), np.nan)}, "No firing rates to draw"),
        ({"depth_um": np.zeros(3)}, r"got \(30, 250\) and \(3,\)"),
        ({"pupil_x": np.zeros(3), "lick_rate_sem": np.zeros(2)}, "250 bins; not so: lick_rate_sem, pupil_x"),
        ({"time_s": np.zeros(3)}, "not so: time_s"),
    ],
)
def test_refuses_what_cannot_be_drawn(changed, match):
    with pytest.raises(ValueError, match=match):
        make_response(**changed)


def test_units_without_rates_are_left_out_of_the_mean():
    data = make_response(3)
    rates = data.rate_hz.copy()
    rates[1] = np.nan
    figure = plot_change_response(dataclasses.replace(data, rate_hz=rates))
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), rates[[0, 2]].mean(axis=0))


@pytest.mark.parametrize("order", [("hit", "miss"), ("miss", "hit")])
def test_groups_are_drawn_whole_on_one_scale(order: tuple[str, str]) -> None:
    """Neither the first nor the last group sets the scale of the others: a miss has no licks."""
    quiet = {name: np.zeros(TIME_S.size) for name in ("lick_rate_hz", "lick_rate_sem", "running_speed_cm_s")}
    groups = {
        "hit": make_response(2, rate_hz=np.full((2, TIME_S.size), 90.0)),
        "miss": make_response(2, rate_hz=np.full((2, TIME_S.size), 4.0), n_events=2, **quiet),
    }
    figure = plot_change_groups({name: groups[name] for name in order})
    FigureCanvasAgg(figure).draw()
    for row in range(1, 5):
        panels = figure.axes[2 * row : 2 * row + 2]
        assert panels[0].get_ylim() == panels[1].get_ylim()
        low, high = panels[0].get_ylim()
        for line in [line for axes in panels for line in axes.lines if len(line.get_ydata()) == TIME_S.size]:
            drawn = np.asarray(line.get_ydata(), float)
            assert low <= drawn.min() <= drawn.max() <= high, row
        assert (low == 0) == (row in (1, 3))


def test_groups_without_any_lick_have_an_axis_all_the_same() -> None:
    silent = make_response(2, lick_rate_hz=np.zeros(TIME_S.size), lick_rate_sem=None)
    figure = plot_change_groups({"miss": silent, "correct reject": silent})
    assert figure.axes[6].get_ylim() == (0, 1)
