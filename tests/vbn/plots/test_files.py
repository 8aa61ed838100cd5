from __future__ import annotations

import html

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

import vbn
from vbn.plots import save_figure
from vbn.plots.files import MADE_WITH
from vbn.plots.style import STYLE


@pytest.fixture
def figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().set_title("Äpfel (µm)")
    return figure


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")]
)
def test_the_suffix_chooses_the_format_and_the_folder_is_made(figure, tmp_path, suffix, magic):
    path = save_figure(figure, tmp_path / "new" / "folder" / f"figure{suffix}")
    assert path.read_bytes().startswith(magic)


def test_png_has_200_dots_per_inch(figure, tmp_path):
    header = save_figure(figure, tmp_path / "figure.png").read_bytes()[16:24]
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:])
    assert (width, height) == (400, 200)


def test_text_stays_text_in_svg(figure, tmp_path):
    assert "Äpfel (µm)" in save_figure(figure, tmp_path / "figure.svg").read_text(encoding="utf-8")


def test_names_with_dollars_are_no_formulas(tmp_path):
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2, 1))
        figure.subplots().set_title(r"$\x$")
    assert r"$\x$" in save_figure(figure, tmp_path / "figure.svg").read_text(encoding="utf-8")


def test_an_existing_file_is_replaced(figure, tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    save_figure(figure, str(path))
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["figure", "figure.jpeg"])
def test_other_suffixes_are_refused_and_nothing_is_made(figure, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.png, \.pdf, \.svg"):
        save_figure(figure, tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_file_says_what_it_was_made_with(figure, tmp_path, suffix):
    figure.suptitle("Unit 1 & 2")
    command = "vbn plot unit --unit 1 --style 'a & b'"
    content = save_figure(figure, tmp_path / f"figure{suffix}", made_by=command).read_bytes()
    if suffix == ".png":
        with Image.open(tmp_path / "figure.png") as picture:
            kept = {name: picture.info[name] for name in ("Title", "Software", "Description")}
        assert kept == {"Title": "Unit 1 & 2", "Software": MADE_WITH, "Description": command}
        return
    text = html.unescape(content.decode("latin-1" if suffix == ".pdf" else "utf-8"))
    for words in ("Unit 1 & 2", MADE_WITH, command):
        assert words in text
    assert vbn.__version__ in MADE_WITH
