"""Figure of probes in the brain: their channels in a coronal and a sagittal view of the Allen CCF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vbn.anatomy.annotation import SHAPES
from vbn.anatomy.planes import BrainPlane
from vbn.plots.panels import set_titles
from vbn.plots.structure_colours import GROUP_COLOURS, UNGROUPED_COLOUR, group_rank, lighter
from vbn.plots.style import BLACK, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

SIZE_INCHES = (7.8, 3.6)
CCF_UM = tuple(10.0 * size for size in SHAPES[10.0])
"""Extent of the CCF from anterior to posterior, dorsal to ventral, and left to right."""
AXES = ("anterior to posterior", "dorsal to ventral", "left to right")
BRAIN_FILL, CORTEX_FILL = "#F4F4F2", "#E6E9EC"
UM_PER_MM = 1000.0
LIGHTEST = 0.7
"""Share of white in the last structure of a group."""
NAMES_BESIDE, NAMES_PER_ROW, ROW_INCHES = 16, 8, 0.17
"""Names that fit beside the views; more stand below them, in rows."""
LETTER_MM, LETTER_POINTS = 0.5, 10
"""Letters nearer than this stand above one another."""
OUTSIDE = "in no structure"


@dataclass(frozen=True)
class ProbeInBrain:
    """The channels of a probe.

    Attributes
    ----------
    name : such as probeA.
    ccf_um : (n_channels, 3) micrometres in the CCF, in the order of `AXES`, from the tip upwards.
    structure, structure_group : (n_channels,) of each channel; None for no structure.
    """

    name: str
    ccf_um: Floats
    structure: Sequence[str | None]
    structure_group: Sequence[str | None]


@dataclass(frozen=True)
class ProbesInBrain:
    """Data of `plot_brain`.

    Attributes
    ----------
    title : what is drawn.
    probes : probes with channels that have coordinates.
    without : names of probes of which no channel has coordinates.
    coronal, sagittal : the planes behind the probes; None without an atlas.
    lacking : why there are no planes, in words.
    unit_um : (3,) place of a unit to mark; None for none.
    """

    title: str
    probes: Sequence[ProbeInBrain]
    without: Sequence[str] = ()
    coronal: BrainPlane | None = None
    sagittal: BrainPlane | None = None
    lacking: str = ""
    unit_um: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if not self.probes:
            raise ValueError("No probe has channels with coordinates.")

    @property
    def n_beyond(self) -> int:
        """Number of channels whose coordinates are beyond the CCF: a view, or both, cannot show them."""
        places = np.concatenate([probe.ccf_um for probe in self.probes])
        return int(((places < 0) | (places > CCF_UM)).any(axis=1).sum())

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each structure: that of its group, lighter for each further structure of the group."""
        met: dict[str, str | None] = {}
        for probe in self.probes:
            pairs = zip(probe.structure, probe.structure_group, strict=True)
            met |= {name: group for name, group in pairs if name is not None}
        of_group: dict[str | None, list[str]] = {}
        for name in sorted(met):
            of_group.setdefault(met[name], []).append(name)
        return {
            name: lighter(
                GROUP_COLOURS.get(group or "", UNGROUPED_COLOUR), LIGHTEST * rank / max(len(names) - 1, 1)
            )
            for group, names in sorted(of_group.items(), key=lambda pair: group_rank(pair[0]))
            for rank, name in enumerate(names)
        }


def plot_brain(data: ProbesInBrain, figure: Figure | None = None) -> Figure:
    """Draw the channels of probes, coloured by structure, in a coronal and a sagittal view.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one.

    Returns
    -------
    The figure. ``figure.axes`` are the coronal and the sagittal view.
    """
    with drawing_style():
        marks = _marks(data)
        n_rows = -(-len(marks) // NAMES_PER_ROW) if len(marks) > NAMES_BESIDE else 0
        figure = figure or Figure(figsize=(SIZE_INCHES[0], SIZE_INCHES[1] + ROW_INCHES * n_rows))
        coronal, sagittal = figure.subplots(1, 2, width_ratios=(CCF_UM[2], CCF_UM[0]))
        _draw_view(coronal, data, 2, data.coronal)
        _draw_view(sagittal, data, 0, data.sagittal)
        coronal.set(xlabel=f"{AXES[2]} (mm)", ylabel=f"{AXES[1]} (mm)")
        sagittal.set(xlabel=f"{AXES[0]} (mm)")
        coronal.set_title(_named("Coronal", "AP", data.coronal), loc="left", fontsize=points(9))
        sagittal.set_title(_named("Sagittal", "LR", data.sagittal), loc="left", fontsize=points(9))
        style: dict[str, Any] = {"frameon": False, "handletextpad": 0.2, "columnspacing": 0.8}
        style |= {"loc": "outside lower center", "ncols": NAMES_PER_ROW} if n_rows else {
            "loc": "outside right center"
        }  # fmt: skip
        figure.legend(handles=marks, fontsize=points(8), **style)
        set_titles(figure, data.title, _notes(data))
    return figure


def _draw_view(axes: Axes, data: ProbesInBrain, across: int, plane: BrainPlane | None) -> None:
    """Draw one view: the plane, and all channels projected onto it."""
    width, height = CCF_UM[across] / UM_PER_MM, CCF_UM[1] / UM_PER_MM
    axes.set_aspect("equal")
    axes.set(xlim=(0, width), ylim=(height, 0))
    if plane is not None:
        _draw_plane(axes, plane)
    colours = data.colours
    for probe in data.probes:
        names = np.array([name or OUTSIDE for name in probe.structure], dtype=object)
        for name in dict.fromkeys(names):
            x, y = probe.ccf_um[names == name][:, [across, 1]].T / UM_PER_MM
            style: dict[str, Any] = {"color": colours.get(name, UNGROUPED_COLOUR), "zorder": 3}
            axes.plot(x, y, "o", markersize=1.8, markeredgewidth=0, label=f"{probe.name}, {name}", **style)
    _name_probes(axes, data.probes, across)
    if data.unit_um is not None:
        place = data.unit_um[across] / UM_PER_MM, data.unit_um[1] / UM_PER_MM
        ring: dict[str, Any] = {
            "markersize": 8,
            "markeredgewidth": 1.6,
            "markerfacecolor": "none",
            "zorder": 5,
        }
        axes.plot(*place, "o", color=BLACK, label="unit", **ring)


def _draw_plane(axes: Axes, plane: BrainPlane) -> None:
    """Draw the outlines of brain and isocortex."""
    for cells, fill, width in ((plane.brain, BRAIN_FILL, 0.9), (plane.isocortex, CORTEX_FILL, 0.6)):
        if not cells.any():
            continue
        step = plane.step_um / UM_PER_MM
        padded = np.pad(cells, 1).T.astype(float)
        x, y = ((np.arange(size) - 0.5) * step for size in padded.shape[::-1])
        axes.contourf(x, y, padded, levels=[0.5, 1.5], colors=[fill], zorder=0.5)
        axes.contour(x, y, padded, levels=[0.5], colors=[QUIET_GREY], linewidths=width, zorder=0.8)


def _name_probes(axes: Axes, probes: Sequence[ProbeInBrain], across: int) -> None:
    """Write the letter of each probe below its tip."""
    tips = [probe.ccf_um[np.argmax(probe.ccf_um[:, 1])] / UM_PER_MM for probe in probes]
    level, last = 0, -np.inf
    style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top", "fontweight": "bold"}
    for at in np.argsort([tip[across] for tip in tips], kind="stable"):
        x, y = tips[at][across], tips[at][1]
        level = level + 1 if x - last < LETTER_MM else 0
        last = x
        letter = probes[at].name.removeprefix("probe") or probes[at].name
        offset = (0, -3 - LETTER_POINTS * level)
        axes.annotate(letter, (x, y), offset, fontsize=points(8), zorder=6, **style)


def _named(view: str, axis: str, plane: BrainPlane | None) -> str:
    return f"{view} outline at {axis} {plane.at_um / UM_PER_MM:.2f} mm" if plane is not None else view


def _marks(data: ProbesInBrain) -> list[Line2D]:
    """Return what names the colours."""
    colours = data.colours
    if any(name is None for probe in data.probes for name in probe.structure):
        colours[OUTSIDE] = UNGROUPED_COLOUR
    dot: dict[str, Any] = {"marker": "o", "linestyle": ""}
    marks = [
        Line2D([], [], color=colour, markersize=5, label=name, **dot) for name, colour in colours.items()
    ]
    if data.unit_um is not None:
        marks.append(Line2D([], [], color=BLACK, markerfacecolor="none", label="unit", **dot))
    return marks


def _notes(data: ProbesInBrain) -> list[str]:
    onto = ", projected onto the plane of the outline" if data.coronal else ""
    notes = [f"Each dot is a channel in the colour of its structure{onto}; letters: probes"]
    if data.n_beyond:
        notes.append(f"Beyond the CCF by their coordinates, and not in both views: {data.n_beyond} channels")
    if data.without:
        notes.append(f"Without coordinates, and not drawn: {', '.join(data.without)}")
    return [*notes, *([data.lacking] if data.lacking else [])]
