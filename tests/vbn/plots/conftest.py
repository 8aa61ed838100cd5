"""What the tests of figures share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture(scope="session")
def colliding_texts() -> Callable[[Figure], list[str]]:
    """A function that names the texts of a figure that overlap another one or leave the figure."""
    return _colliding_texts


def _colliding_texts(figure: Figure) -> list[str]:
    FigureCanvasAgg(figure).draw()
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in _drawn_texts(figure)]
    found = [
        f"{name!r} overlaps {other_name!r}"
        for at, (name, box) in enumerate(boxes)
        for other_name, other in boxes[at + 1 :]
        if box.overlaps(other)
    ]
    width, height = figure.bbox.size
    inside = [min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height for _, box in boxes]
    return found + [
        f"{name!r} leaves the figure" for (name, _), fits in zip(boxes, inside, strict=True) if not fits
    ]


def _drawn_texts(figure: Figure) -> list[Text]:
    """All texts but the labels of ticks outside the limits or switched off."""
    hidden = set()
    for axes in _every_axes(figure.axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                hidden.add(tick.label2)
                if not axes.axison or not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden.add(tick.label1)
    texts = [artist for artist in figure.findobj(Text) if isinstance(artist, Text) and artist.get_visible()]
    return [text for text in texts if text.get_text().strip() and text not in hidden]


def _every_axes(axes: list[Axes]) -> list[Axes]:
    return [*axes, *(inner for each in axes for inner in _every_axes(each.child_axes))]
