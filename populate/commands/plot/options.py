"""Options that all figures share, and how their files are written."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from populate.commands.completion import completing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_PER_CM = 1 / 2.54
LARGEST_INCHES = 100.0
NO_ROOM = "axes sizes collapsed to zero"
"""What Matplotlib warns of where texts leave no room for panels."""


class FigureFile(click.Path):
    """The file of a figure; its suffix is checked before anything is fetched."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path if its suffix is one of the formats."""
        path = Path(super().convert(value, param, ctx))  # type: ignore[arg-type]
        if path.suffix.lower() not in (".png", ".pdf", ".svg"):
            self.fail(f"'{path}' must end in .png, .pdf or .svg.", param, ctx)
        return path


class FigureSize(click.ParamType[tuple[float, float]]):
    """Width and height of a figure, in inches or centimetres."""

    name = "WIDTHxHEIGHT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return width and height in inches."""
        text = str(value).strip().lower()
        scale = INCHES_PER_CM if text.endswith("cm") else 1.0
        try:
            width, height = (scale * float(part) for part in text.removesuffix("cm").split("x"))
        except ValueError:
            self.fail(f"'{value}' is no size. In inches: 7x5; in centimetres: 18x12cm.", param, ctx)
        if not (0 < width <= LARGEST_INCHES and 0 < height <= LARGEST_INCHES):
            self.fail(
                f"Sides of a figure lie between 0 and {LARGEST_INCHES:g} inches, got '{value}'.", param, ctx
            )
        return width, height


class Milliseconds(click.ParamType[float]):
    """A time that is given in milliseconds and received in seconds.

    Parameters
    ----------
    least_ms : the least that is accepted.
    """

    name = "MS"
    most_ms = 10_000.0

    def __init__(self, least_ms: float) -> None:
        self.least_ms = least_ms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        limits = click.FloatRange(self.least_ms, self.most_ms)
        number = float(limits.convert(str(value).removesuffix("ms"), param, ctx))  # type: ignore[arg-type]
        if number != number:  # NaN lies within all limits
            self.fail(f"'{value}' is not a number of milliseconds.", param, ctx)
        return number / 1000


@dataclass(frozen=True)
class Picture:
    """The files of a figure, and what it looks like.

    Attributes
    ----------
    out : the file of the figure.
    data : the file of its numbers, None for none.
    size : width and height in inches; None for those of the figure.
    font, font_size, sheet : see `vbn.plots.style.chosen_style`.
    """

    out: Path
    data: Path | None
    size: tuple[float, float] | None
    font: str | None
    font_size: float | None
    sheet: str | None

    def write(self, plot: Callable[..., Figure], data: Any) -> None:
        """Draw a figure of ``vbn.plots`` and write its files.

        Parameters
        ----------
        plot : function of the data and an empty figure or None.
        data : what to draw.
        """
        from matplotlib.figure import Figure

        from vbn.plots.files import save_figure, save_source_data
        from vbn.plots.style import chosen_style

        with chosen_style(font=self.font, font_size=self.font_size, sheet=self.sheet):
            figure = plot(data, Figure(figsize=self.size) if self.size else None)
            with warnings.catch_warnings(record=True) as caught:
                warnings.filterwarnings("always", f".*{NO_ROOM}")
                save_figure(figure, self.out, made_by=_command(click.get_current_context()))
        for each in caught:
            if NO_ROOM not in str(each.message):
                warnings.warn(each.message, stacklevel=2)
        if any(NO_ROOM in str(each.message) for each in caught):
            advice = "Take a greater --size or a smaller --font-size."
            click.echo(f"vbn: The figure is too small for its texts. {advice}", err=True)
        if self.data:
            save_source_data(figure, self.data)

    def __str__(self) -> str:
        """Return the names of the files."""
        return f"{self.out}, {self.data}" if self.data else str(self.out)


OPTIONS = (
    click.option("--out", type=FigureFile(), required=True, help="File to write: .png, .pdf or .svg."),
    click.option(
        "--data",
        type=click.Path(dir_okay=False, path_type=Path),
        help="CSV file for the numbers that are drawn.",
    ),
    click.option("--size", type=FigureSize(), help="Size in inches, such as 7x5, or 18x12cm."),
    click.option("--font", help="Family of the font, such as Arial."),
    click.option(
        "--font-size",
        type=click.FloatRange(min=1, max=100),
        help="Size of the axes' labels in points; other texts keep their ratio to it.  [default: 10]",
    ),
    click.option("--style", "sheet", help="Style sheet of Matplotlib, by its name or file."),
)
FILES = ("out", "data")
GROUP_BY = click.option(
    "--group-by",
    metavar="GROUPING",
    help="Divide the events by block, outcome, image, novelty or engagement.",
    shell_complete=completing(("block", "outcome", "image", "novelty", "engagement")),
)


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Picture`, which it receives as ``picture``."""

    def with_picture(**options: Any) -> None:
        chosen = {name: options.pop(name) for name in Picture.__dataclass_fields__}
        command(picture=Picture(**chosen), **options)

    with_picture.__doc__ = command.__doc__
    with_picture.__click_params__ = getattr(command, "__click_params__", [])
    decorated: Callable[..., None] = with_picture
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated


def _command(context: click.Context) -> str:
    """Return the command that was typed, without the names of its files, which may be private."""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in FILES or context.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(parameter.type, Milliseconds):
            value = f"{1000 * value:g}"
        if name == "size":
            value = "x".join(f"{side:.4g}" for side in value)
        flag = parameter.opts[0]
        if isinstance(parameter, click.Option) and parameter.is_flag:
            words.append(flag)
            continue
        for each in value if isinstance(value, tuple | list) else (value,):
            words += [flag, str(each)]
    return shlex.join(words)


def rate_options(smoothing: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command ``--bin`` and ``--smooth``, of which it receives seconds.

    Parameters
    ----------
    smoothing : what is done without ``--smooth``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        smooth = f"Smooth the rates with a Gaussian of this SD; 0: not.  [default: {smoothing}]"
        length = "Length of the bins in ms.  [default: that of the alignment]"
        decorated = click.option("--smooth", "smoothing_s", type=Milliseconds(0), help=smooth)(command)
        return click.option("--bin", "bin_s", type=Milliseconds(0.1), help=length)(decorated)

    return decorate
