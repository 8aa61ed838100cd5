"""Fonts, sizes and style sheets: they change all texts alike, within the context only."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from vbn.errors import SettingError
from vbn.plots.panels import given_or_new, set_titles
from vbn.plots.style import chosen_style, drawing_style, points


def drawn() -> Figure:
    with drawing_style():
        figure, (axes,) = given_or_new(None, None, (4, 3), (1,))
        axes.set_xlabel("Time (s)")
        axes.text(0.5, 0.5, "note", fontsize=points(8))
        set_titles(figure, "Title", ["line"])
    return figure


def sizes(figure: Figure) -> dict[str, float]:
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return {text.get_text(): float(text.get_fontsize()) for text in texts if text.get_text()}


def test_all_texts_keep_their_ratio_to_the_size_of_the_font():
    usual = sizes(drawn())
    assert (usual["Time (s)"], usual["note"], usual["Title"]) == (10, 8, 12)
    with chosen_style(font_size=15):
        larger = sizes(drawn())
    assert larger == pytest.approx({text: 1.5 * size for text, size in usual.items()})
    assert sizes(drawn()) == usual


def test_a_style_sheet_lies_over_the_style_and_a_size_over_the_sheet(tmp_path):
    sheet = tmp_path / "talk.mplstyle"
    sheet.write_text("axes.spines.top: True\naxes.labelsize: 20\nfont.family: serif\n", encoding="utf-8")
    with chosen_style(sheet=sheet):
        (axes,) = drawn().axes
        assert axes.spines["top"].get_visible()
        assert axes.xaxis.label.get_fontsize() == 20
        assert axes.xaxis.label.get_family() == ["serif"]
    with chosen_style(sheet=sheet, font_size=8, font="monospace"):
        (axes,) = drawn().axes
        assert axes.xaxis.label.get_fontsize() == 8
        assert axes.xaxis.label.get_family() == ["monospace"]
    assert not mpl.rcParams["axes.spines.top"] or drawn().axes[0].spines["top"].get_visible() is False


def test_what_is_no_style_sheet_is_named_with_what_there_is(tmp_path):
    with (
        pytest.raises(SettingError, match=r"There is no style sheet 'ggplt'.*Near to it: ggplot"),
        chosen_style(sheet="ggplt"),
    ):
        pass
    for content in (b"\x89PNG\r\n\xff\xfe", b"", b"axes.labelsize: no size\n"):
        file = tmp_path / "wrong"
        file.write_bytes(content)
        with pytest.raises(SettingError, match="is not a style sheet"), chosen_style(sheet=file):
            pass


def test_axes_that_are_given_are_drawn_into():
    figure = Figure()
    mine = list(figure.subplots(3, 1))
    assert given_or_new(None, mine, (1, 1), (1, 1, 1)) == (figure, mine)
    with pytest.raises(ValueError, match="2 axes are needed, from top to bottom, got 3"):
        given_or_new(None, mine, (1, 1), (1, 1))
    with pytest.raises(ValueError, match="not both"):
        given_or_new(figure, mine, (1, 1), (1, 1, 1))
