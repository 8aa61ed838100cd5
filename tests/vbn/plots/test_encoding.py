"""The figures of encoding models: what stands where, with two units and with thousands, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.vbn.plots.test_pictures_of_units import make_card
from vbn.plots import plot_unit
from vbn.plots.encoding import (
    COLUMN_LABELS,
    MOST_DOTS,
    NOTHING_LOST,
    EncodingPopulation,
    EncodingUnit,
    plot_encoding,
    plot_encoding_unit,
)

STRUCTURES = ("LGd", "VISp", "VISl", "VISrl", "VISal", "VISpm", "VISam", "CA1")
IMAGES = tuple(f"im{number:03}_r" for number in (5, 24, 34, 83, 87, 104, 111, 114))
CONDITIONS = {"repeats": 4021, "hits": 151, "misses": 110, "omissions": 180}


def make_population(n: int, order: tuple[str, ...] = STRUCTURES, **changed: Any) -> EncodingPopulation:
    """Units of groups in turn; the share that is lost without each kind of kernels is drawn."""
    rng = np.random.default_rng(n)
    explained = np.maximum(rng.exponential(0.02, n) - 0.008, 0)
    shares = rng.dirichlet(np.full(len(COLUMN_LABELS), 0.4), n).T
    fields: dict[str, Any] = {
        "groups": [order[unit % len(order)] for unit in range(n)], "order": list(order),
        "by": "structure_acronym", "unit_ids": list(range(1000, 1000 + n)),
        "is_explained": explained > 0.005, "variance_explained": explained,
        "change": {name: -explained * share for name, share in zip(COLUMN_LABELS, shares, strict=True)},
        "n_sessions": 3, "n_mice": 2, "parameters": "calibrated_active", "criteria": "bennett_2025",
        "block": "active",
    }  # fmt: skip
    return EncodingPopulation(**{**fields, **changed})


def kernel(rng: np.random.Generator, n: int, first_s: float = 0.0) -> np.ndarray:
    return np.vstack(
        [first_s + 0.025 * np.arange(n), 4 * np.convolve(rng.normal(size=n + 9), np.ones(10) / 3, "valid")]
    )


def make_unit(images: tuple[str, ...] = IMAGES, **changed: Any) -> EncodingUnit:
    rng = np.random.default_rng(1)
    kernels = {"intercept": kernel(rng, 1), "drift": kernel(rng, 13)}
    kernels |= {name: kernel(rng, 29) for name in images}
    kernels |= {name: kernel(rng, 58) for name in ("omissions", "hits", "misses")}
    kernels |= {name: kernel(rng, 80, -1.0) for name in ("lick_bouts", "running", "pupil")}
    groups = ("all_images", "task", "behavioral", "shared_images", "non_shared_images")
    names = [*(name for name in kernels if name not in ("intercept", "drift")), *groups]
    measured = {name: 5 + np.abs(kernel(rng, 58)[1]) for name in CONDITIONS}
    fields: dict[str, Any] = {
        "unit_id": 1061854534, "parameters": "calibrated_active", "variance_explained": 0.0312,
        "is_explained": True, "psth_correlation": 0.83, "kernels": kernels, "n_flashes": CONDITIONS,
        "change": dict(zip(names, -rng.exponential(0.004, len(names)), strict=True)),
        "measured_hz": measured,
        "predicted_hz": {name: values + rng.normal(0, 0.5, 58) for name, values in measured.items()},
    }  # fmt: skip
    return EncodingUnit(**{**fields, **changed})


def make_silent_unit() -> EncodingUnit:
    """A unit that never fires, of a session without images, events and licks, in a block of a few flashes."""
    nothing = {"repeats": np.zeros(58)}
    running = np.vstack([np.linspace(-1, 1, 80), np.zeros(80)])
    return make_unit(
        variance_explained=0.0, is_explained=False, psth_correlation=np.nan, change={"running": -0.0},
        kernels={"intercept": np.zeros((2, 1)), "running": running}, n_flashes={"repeats": 9},
        measured_hz=nothing, predicted_hz=nothing,
    )  # fmt: skip


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_encoding(make_population(2, ("VISp",))),
        lambda: plot_encoding(make_population(40, ("VISp", "VISl", "CA1"))),
        lambda: plot_encoding(make_population(400)),
        lambda: plot_encoding(make_population(4000, tuple(f"VIS{number}" for number in range(30)))),
        lambda: plot_encoding_unit(make_unit()),
        lambda: plot_encoding_unit(make_unit(IMAGES[:1])),
        lambda: plot_encoding_unit(make_silent_unit()),
        lambda: plot_unit(make_card(encoding=make_unit())),
        lambda: plot_unit(make_card(encoding=make_silent_unit())),
        lambda: plot_unit(make_card(encoding="does not pass bennett_2025")),
    ],
    ids=["2", "40", "400", "4000", "unit", "one image", "silent", "card", "silent card", "card without"],
)
def test_no_text_overlaps_another_or_leaves_the_figure(draw: Any, colliding_texts: Any) -> None:
    assert not colliding_texts(draw())


@pytest.mark.parametrize("n", [40, 4000])
def test_dots_are_the_units_over_their_group_and_bars_the_means_of_the_explained(n: int) -> None:
    data = make_population(n)
    figure = plot_encoding(data)
    groups = np.array(data.groups)
    values = [data.variance_explained, *(-data.change[name] for name in COLUMN_LABELS)]
    assert len(figure.axes) == len(values)
    for axes, expected in zip(figure.axes, values, strict=True):
        dots = {line.get_label(): line for line in axes.lines if line.get_marker() == "o"}
        drawn = {name: np.array(line.get_data()) for name, line in dots.items()}
        for name, is_explained in (("explained", data.is_explained), ("not explained", ~data.is_explained)):
            x, y = drawn[name]
            for number, group in enumerate(data.order):
                of_group = np.sort(expected[(groups == group) & is_explained])
                found = np.sort(y[np.rint(x) == number])
                assert np.isin(found, of_group).all()
                assert len(found) == len(of_group) if n <= MOST_DOTS else 0 < len(found) < len(of_group)
        bars = [
            line.get_data() for line in axes.lines if line.get_marker() != "o" and len(line.get_xdata()) == 2
        ]
        means = [y[0] for x, y in bars if len(x) == 2 and x[1] - x[0] < 1]
        of_groups = [expected[(groups == group) & data.is_explained] for group in data.order]
        assert means[: len(data.order)] == pytest.approx([each.mean() for each in of_groups if each.size])


def test_a_kind_of_kernels_that_no_model_has_is_left_out() -> None:
    data = make_population(40)
    gone = {**data.change, "pupil": np.full(40, np.nan)}
    labels = [axes.get_ylabel() for axes in plot_encoding(make_population(40, change=gone)).axes]
    assert labels == ["Explained", "Images", "Omissions", "Hits,\nmisses", "Running", "Licks"]


def test_notes_say_on_what_the_figure_rests() -> None:
    texts = plot_encoding(make_population(1, n_sessions=1, n_mice=1)).texts
    notes = " ".join(text.get_text() for text in texts).replace("\n", " ")
    for words in ("1 unit that pass", "1 session, 1 mouse", "calibrated_active", "bennett_2025"):
        assert words in notes


def test_dropouts_are_in_the_order_of_what_is_lost_and_kernels_and_rates_are_drawn_as_they_are() -> None:
    data = make_unit()
    bars, images, events, states, *rates = plot_encoding_unit(data).axes
    lengths = [patch.get_width() for patch in bars.patches]
    assert lengths == sorted((-change for change in data.change.values()), reverse=True)
    most = min(data.change, key=lambda name: data.change[name])
    assert bars.get_yticklabels()[0].get_text() == most.replace("_", " ")
    curves = {line.get_label(): line.get_data() for panel in (images, events, states) for line in panel.lines}
    for name, label in (("im083_r", "im083"), ("hits", "hits"), ("running", "running (per SD)")):
        lags, weights = data.kernels[name]
        np.testing.assert_allclose(curves[label], [lags + 0.0125, weights])
    assert [axes.get_title(loc="left") for axes in rates] == [
        "Repeated (4,021)", "Hits (151)", "Misses (110)", "Omissions (180)",
    ]  # fmt: skip
    for axes, name in zip(rates, CONDITIONS, strict=True):
        measured, predicted = axes.lines
        np.testing.assert_array_equal(measured.get_ydata(), data.measured_hz[name])
        np.testing.assert_array_equal(predicted.get_ydata(), data.predicted_hz[name])
        assert measured.get_xdata()[29] == pytest.approx(0.7625)  # the second flash


def test_the_legend_of_the_rates_is_above_every_curve() -> None:
    figure = plot_encoding_unit(make_unit())
    figure.canvas.draw()
    axes = figure.axes[4]
    box = axes.get_legend().get_window_extent()
    for line in axes.lines:
        drawn = axes.transData.transform(np.column_stack(line.get_data()))
        assert drawn[:, 1].max() < box.y0


@pytest.mark.parametrize("change", [{"running": -0.0, "pupil": 0.0}, {"running": 0.002}, {"hits": -1e-6}, {}])
def test_a_model_that_loses_nothing_says_so_in_place_of_an_empty_frame(change: dict[str, float]) -> None:
    """Most units of a short session: the model explains nothing, so that no bar can be seen."""
    data = make_unit(variance_explained=0.0, is_explained=False, change=change)
    for figure in (plot_unit(make_card(encoding=data)), plot_encoding_unit(data)):
        (panel,) = [axes for axes in figure.axes if NOTHING_LOST in [text.get_text() for text in axes.texts]]
        assert not panel.patches
        assert panel.get_xticks().size == 0
    seen = plot_encoding_unit(make_unit(change={"hits": -0.001}))
    assert not [axes for axes in seen.axes if NOTHING_LOST in [text.get_text() for text in axes.texts]]


def test_a_card_shows_the_five_greatest_losses_and_says_why_there_is_no_model() -> None:
    data = make_unit()
    figure = plot_unit(make_card(encoding=data))
    (panel,) = [axes for axes in figure.axes if "What drives it: 0.031" in axes.get_title(loc="left")]
    assert [patch.get_width() for patch in panel.patches] == sorted(-each for each in data.change.values())[
        :-6:-1
    ]
    without = plot_unit(make_card(encoding="does not pass bennett_2025"))
    (panel,) = [axes for axes in without.axes if axes.get_title(loc="left") == "What drives the unit"]
    assert "does not pass bennett_2025" in [text.get_text() for text in panel.texts]
