"""Receptive fields, measured with Gabors: of one unit, and of all units of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Ellipse
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.panels import say, set_titles
from vbn.plots.style import ORANGE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

FEW, FEW_COLUMNS, MOST_COLUMNS = 24, 6, 10
CELL_INCHES = (1.15, 1.35)
HEAD_INCHES, LEAST_WIDTH_INCHES = 0.8, 5.5
STEP_DEG = 10.0


@dataclass(frozen=True)
class Field:
    """Receptive field map of a unit, measured with Gabors.

    Attributes
    ----------
    spikes_per_gabor : (n_y, n_x) mean number of spikes, y and x ascending.
    x_deg, y_deg : (n_x,), (n_y,) positions relative to the screen's centre, y upwards.
    is_significant : whether the field is significant.
    p_value : p-value of the field; NaN with too few spikes.
    p_is_upper_bound : whether the p-value is an upper bound, because no shuffle was as great.
    fit : centre x and y, and standard deviations along x and y, of the Gaussian, in degrees; None without a
        fit.
    """

    spikes_per_gabor: Floats
    x_deg: Floats
    y_deg: Floats
    is_significant: bool
    p_value: float
    p_is_upper_bound: bool
    fit: tuple[float, float, float, float] | None

    @property
    def steps_deg(self) -> tuple[float, float]:
        """Distance between neighbours along x and y; of one place alone, that of the release."""
        x, y = (float(at[1] - at[0]) if len(at) > 1 else STEP_DEG for at in (self.x_deg, self.y_deg))
        return x, y

    @property
    def greatest(self) -> float:
        """Upper end of the colours: the greatest number of spikes, or 1 if there are none."""
        return float(np.nan_to_num(self.spikes_per_gabor).max()) or 1.0


@dataclass(frozen=True)
class FieldGrid:
    """Data of `plot_fields`: the receptive fields of a structure's units in one session.

    Attributes
    ----------
    session_id, structure : of the units.
    unit_id : (n_units,) ids of the units that are shown, in the order of the grid.
    height_um : (n_units,) heights above the probe's tip.
    fields : (n_units,) their fields.
    n_units : number of all units that were asked for, shown or not.
    n_significant : number of these with a significant field.
    criteria : what the units passed, in words; empty for all.
    """

    session_id: int
    structure: str
    unit_id: Sequence[int]
    height_um: Floats
    fields: Sequence[Field]
    n_units: int
    n_significant: int
    criteria: str = ""

    def __post_init__(self) -> None:
        if not self.fields or not len(self.unit_id) == len(self.height_um) == len(self.fields):
            raise ValueError(
                f"One id and height is needed for each of at least one field, got {len(self.unit_id)}, "
                f"{len(self.height_um)} and {len(self.fields)}."
            )


def plot_fields(data: FieldGrid, figure: Figure | None = None) -> Figure:
    """Draw receptive fields side by side, each in its own colours from no spikes to its greatest number.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, higher for more units.

    Returns
    -------
    The figure. ``figure.axes`` are the fields, row by row.
    """
    n_units = len(data.fields)
    n_columns = min(n_units, MOST_COLUMNS if n_units > FEW else FEW_COLUMNS)
    n_rows = -(-n_units // n_columns)
    with drawing_style():
        if figure is None:
            width = max(n_columns * CELL_INCHES[0], LEAST_WIDTH_INCHES)
            figure = Figure(figsize=(width, HEAD_INCHES + n_rows * CELL_INCHES[1]))
        panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes, unit_id, height_um, field in zip(
            panels, data.unit_id, data.height_um, data.fields, strict=False
        ):
            map_field(axes, field)
            axes.set_xticks([])
            axes.set_yticks([])
            significant = field.is_significant
            axes.spines[:].set(visible=True, color=ORANGE if significant else QUIET_GREY)
            axes.spines[:].set_linewidth(1.8 if significant else 0.6)
            height = f"{height_um:.0f} µm" if np.isfinite(height_um) else "height unknown"
            axes.set_title(f"{unit_id}\n{height}, {p_text(field)}", fontsize=points(6.5))
        for axes in panels[n_units:]:
            axes.remove()
        set_titles(figure, f"Receptive fields in {data.structure}, session {data.session_id}", _notes(data))
    return figure


def _notes(data: FieldGrid) -> list[str]:
    left_out = data.n_units - len(data.fields)
    few = f"; {left_out} more, with greater p, are not shown" if left_out else ""
    first = data.fields[0]
    span = f"{first.x_deg[0]:g} to {first.x_deg[-1]:g}° of x, {first.y_deg[0]:g} to {first.y_deg[-1]:g}° of y"
    units = counted(data.n_units, "unit")
    passing = f" that pass {data.criteria}" if data.criteria else ""
    return [
        f"{units}{passing}, {data.n_significant} with a significant field (orange){few}",
        f"From the surface down; each map from no spikes (dark) to its most, over {span} of the screen",
    ]


def draw_field(axes: Axes, field: Field | str) -> None:
    """Draw a receptive field as on the screen, and the fitted Gaussian at one standard deviation."""
    axes.set_title("Receptive field", loc="left")
    if isinstance(field, str):
        say(axes, field)
        axes.set_xticks([])
        return
    image = map_field(axes, field)
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, cax=axes.inset_axes((1.06, 0.0, 0.07, 1.0)))
    bar.set_label("Spikes per Gabor")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()
    axes.set(xlabel="x on screen (°)", ylabel="y on screen (°)")
    axes.set_xticks([-40, 0, 40])
    axes.set_yticks([-40, 0, 40])
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_anchor("W")
    axes.set_title(f"Receptive field, {p_text(field)}", loc="left")


def map_field(axes: Axes, field: Field) -> AxesImage:
    """Draw a receptive field alone, with its Gaussian."""
    half_x, half_y = (step / 2 for step in field.steps_deg)
    extent = (
        field.x_deg[0] - half_x,
        field.x_deg[-1] + half_x,
        field.y_deg[0] - half_y,
        field.y_deg[-1] + half_y,
    )
    image = axes.imshow(
        field.spikes_per_gabor, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=field.greatest
    )
    if field.fit is not None:
        _draw_fit(axes, field.fit)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    return image


def _draw_fit(axes: Axes, fit: tuple[float, float, float, float]) -> None:
    x, y, width, height = fit
    outline = [Stroke(linewidth=2.6, foreground="black"), Normal()]  # visible on dark and bright colours
    ellipse = Ellipse((x, y), 2 * width, 2 * height, fill=False, edgecolor="white", linewidth=1.3)
    ellipse.set_path_effects(outline)
    axes.add_patch(ellipse)
    axes.plot(x, y, "+", color="white", markersize=7, markeredgewidth=1.3, path_effects=outline)


def p_text(field: Field) -> str:
    """Return the p-value of a receptive field in words."""
    if not np.isfinite(field.p_value):
        return "few spikes"
    return f"p {'<' if field.p_is_upper_bound else '='} {field.p_value:.2g}"
