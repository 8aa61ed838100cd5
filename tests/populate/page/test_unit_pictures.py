"""Waveforms and receptive field of a unit in the browser, whatever the file holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from schemas.figures.waveforms import NO_NUMBER, ChannelWaveforms
from vbn.plots.field import Field, map_field

pytest.importorskip("panel", reason="vbn serve needs Panel")


def made(**changed: Any) -> ChannelWaveforms:
    waveform = np.zeros((2, 82))
    waveform[0, 20] = -80
    values: dict[str, Any] = {
        "unit_id": 1,
        "channel": np.array([7, 8]),
        "peak": 0,
        "x_um": np.array([10.0, 40.0]),
        "y_um": np.array([60.0, 80.0]),
        "structure": ["VISp", None],
        "waveform_uv": waveform,
    }
    return ChannelWaveforms(**{**values, **changed})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("changed", "places"),
    [
        ({}, ["7, 60 µm", "8, 80 µm"]),
        ({"waveform_uv": np.zeros((2, 82))}, ["7, 60 µm", "8, 80 µm"]),
        ({"waveform_uv": np.full((2, 82), np.nan)}, ["7, 60 µm", "8, 80 µm"]),
        ({"channel": np.array([NO_NUMBER, 8])}, ["unknown place", "8, 80 µm"]),
        ({"y_um": np.array([np.nan, 80.0])}, ["unknown place", "8, 80 µm"]),
    ],
)
def test_each_trace_says_where_it_is(changed: dict[str, Any], places: list[str]) -> None:
    from populate.page.unit_pictures import waveform_picture

    lines = waveform_picture(made(**changed)).renderers[0].data_source.data
    assert lines["place"] == places
    assert len(lines["xs"]) == len(lines["ys"]) == 2
    assert np.isfinite(lines["xs"]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("spikes", [0.0, 0.5, np.nan])
def test_a_field_of_one_place_or_without_spikes_is_drawn(count: int, spikes: float) -> None:
    from populate.page.unit_pictures import field_picture

    places = np.arange(count) * 10.0
    field = Field(np.full((count, count), spikes), places, places, False, np.nan, False, None)
    squares = field_picture(field).renderers[0]
    assert squares.glyph.width == squares.glyph.height == 10
    assert squares.glyph.fill_color.transform.high == (spikes if spikes > 0 else 1)
    assert len(squares.data_source.data["spikes"]) == count**2
    extent = map_field(Figure().subplots(), field).get_extent()
    assert np.allclose(extent, [-5, count * 10 - 5] * 2)


@pytest.mark.parametrize(
    "stored", [np.zeros((0, 4), np.uint8), np.zeros((2, 3)), np.zeros(5, np.uint8), [["a"]], b"png", {"a": 1}]
)
def test_what_is_no_picture_of_gray_levels_is_none(stored: Any) -> None:
    from populate.page.content import as_png

    assert as_png(stored) is None
    png = as_png(np.zeros((2, 3), np.uint8))
    assert png is not None
    assert png.startswith(b"\x89PNG")
