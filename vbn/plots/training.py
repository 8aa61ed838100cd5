"""Figure of a mouse's training history: stages, performance, trials and rewards by date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.panels import is_missing, say, set_titles
from vbn.plots.style import BLACK, BLUE, FLASH_GREY, GREEN, ORANGE, PURPLE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (7.2, 7.6)
KINDS = ("TRAINING", "HABITUATION", "OPHYS", "EPHYS")
"""Prefixes of the stages, in the order of the training."""
IMAGE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
EXPERIENCE_MARKERS = {"Familiar": "s", "Novel": "D", None: "o"}
MICROSECONDS_PER_DAY = 86_400e6
NOT_COMPUTED = "no session of this mouse is imported and computed"


@dataclass(frozen=True)
class TrainingHistory:
    """Data of `plot_training`: one value per session, in order of date.

    Attributes
    ----------
    mouse_id, genotype : id and genotype of the mouse.
    date : (n_sessions,) start of each session, UTC.
    stage : (n_sessions,) beginning of the protocol's name, such as TRAINING_3.
    images : (n_sessions,) letter of the image set, or "gratings"; None if unknown.
    experience : (n_sessions,) Familiar or Novel for recordings; None if unknown.
    is_recording : (n_sessions,) whether brain activity was recorded.
    is_registered : (n_sessions,) whether the session's file is registered; others are known from the
        release's tables.
    dprime, engaged_dprime : (n_sessions,) sensitivity over all trials, and over engaged trials; NaN if
        unknown.
    hit_rate, false_alarm_rate : (n_sessions,) rates over all trials; NaN if unknown.
    n_trials, n_rewards : (n_sessions,) number of go and catch trials, and of rewards; NaN if unknown.
    """

    mouse_id: str
    genotype: str
    date: Sequence[datetime]
    stage: Sequence[str]
    images: Sequence[str | None]
    experience: Sequence[str | None]
    is_recording: NDArray[np.bool_]
    is_registered: NDArray[np.bool_]
    dprime: Floats
    engaged_dprime: Floats
    hit_rate: Floats
    false_alarm_rate: Floats
    n_trials: Floats
    n_rewards: Floats

    def __post_init__(self) -> None:
        n_sessions = len(self.date)
        per_session = [name for name in self.__dataclass_fields__ if name not in ("mouse_id", "genotype")]
        wrong = [name for name in per_session if len(getattr(self, name)) != n_sessions]
        if wrong:
            raise ValueError(
                f"All must have one value for each of {n_sessions} sessions: {', '.join(wrong)}."
            )
        if n_sessions == 0:
            raise ValueError(f"No sessions to draw of mouse {self.mouse_id}.")
        if unknown := sorted(set(map(str, self.experience)) - set(map(str, EXPERIENCE_MARKERS))):
            raise ValueError(f"Unknown experience {unknown}. Known: Familiar, Novel, None.")

    @property
    def day(self) -> Floats:
        """(n_sessions,) days since 1970-01-01."""
        return np.array(self.date, dtype="datetime64[us]").astype(np.float64) / MICROSECONDS_PER_DAY


def plot_training(data: TrainingHistory, figure: Figure | None = None) -> Figure:
    """Draw a mouse's training history.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7.2 x 7.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are, from top to bottom: stages, sensitivity, response rates, trials, rewards.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        panels = figure.subplots(5, 1, sharex=True, height_ratios=(2.4, 1.1, 1.1, 0.8, 0.8))
        draw_stages(panels[0], data)
        draw_sensitivities(panels[1], data)
        draw_rates(panels[2], data)
        _draw_counts(panels[3], data, data.n_trials, "Trials")
        _draw_counts(panels[4], data, data.n_rewards, "Rewards")
        _finish(figure, panels, data)
    return figure


def draw_stages(axes: Axes, data: TrainingHistory) -> None:
    """Draw the stage of each session: colour by images, shape by experience, filled if registered."""
    stages = stage_order(data.stage)
    rows = np.array([stages.index(stage) for stage in data.stage])
    axes.step(data.day, rows, where="post", color=FLASH_GREY, linewidth=1.5, zorder=1)
    colours = _image_colours(data.images)
    for day, row, images, experience, is_registered in zip(
        data.day, rows, data.images, data.experience, data.is_registered, strict=True
    ):
        marker, colour = EXPERIENCE_MARKERS[experience], colours[images]
        face = colour if is_registered else "white"
        axes.plot(day, row, marker, markersize=6, markerfacecolor=face, markeredgecolor=colour, zorder=2)
    axes.set_yticks(range(len(stages)), stages)
    axes.set_ylim(-0.6, len(stages) - 0.4)
    _draw_legend(axes, data, colours)


def draw_sensitivities(axes: Axes, data: TrainingHistory) -> None:
    """Draw d' of each session, over all and over engaged trials."""
    axes.set_ylabel("Sensitivity d'")
    if is_missing(data.dprime):
        return say(axes, NOT_COMPUTED)
    _draw_values(axes, data, data.dprime, BLACK, "all trials")
    _draw_values(axes, data, data.engaged_dprime, GREEN, "engaged", marker="^")
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6)
    axes.margins(y=0.2)
    return _place_legend(axes)


def draw_rates(axes: Axes, data: TrainingHistory) -> None:
    """Draw the hit and false alarm rates of each session."""
    axes.set_ylabel("Response\nprobability")
    if is_missing(data.hit_rate) and is_missing(data.false_alarm_rate):
        return say(axes, NOT_COMPUTED)
    _draw_values(axes, data, data.hit_rate, GREEN, "hits")
    _draw_values(axes, data, data.false_alarm_rate, ORANGE, "false alarms", marker="^")
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks([0, 0.5, 1])
    return _place_legend(axes)


def stage_order(stages: Sequence[str]) -> list[str]:
    """Return the distinct stages in the order of the training; unknown ones first.

    Examples
    --------
    >>> stage_order(["EPHYS_1", "TRAINING_5", "HABITUATION_5", "TRAINING_0", "TRAINING_5"])
    ['TRAINING_0', 'TRAINING_5', 'HABITUATION_5', 'EPHYS_1']
    """

    def rank(stage: str) -> tuple[int, int, str]:
        kind, _, rest = stage.partition("_")
        number = re.match(r"\d+", rest)
        return KINDS.index(kind) if kind in KINDS else -1, int(number[0]) if number else -1, stage

    return sorted(set(stages), key=rank)


def _draw_values(
    axes: Axes, data: TrainingHistory, values: Floats, colour: str, label: str, marker: str = "o"
) -> None:
    style: dict[str, Any] = {"markersize": 4, "linewidth": 0.8, "color": colour, "label": label}
    axes.plot(data.day, values, marker=marker, **style)  # no line across unknown sessions


def _draw_counts(axes: Axes, data: TrainingHistory, counts: Floats, label: str) -> None:
    axes.set_ylabel(label)
    if is_missing(counts):
        return say(axes, NOT_COMPUTED)
    known = np.isfinite(counts)
    axes.vlines(data.day[known], 0, counts[known], color=BLUE, linewidth=2.5)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return None


def _image_colours(images: Sequence[str | None]) -> dict[str | None, str]:
    letters = sorted({name for name in images if name is not None and name != "gratings"})
    colours: dict[str | None, str] = {
        name: IMAGE_COLOURS[index % len(IMAGE_COLOURS)] for index, name in enumerate(letters)
    }
    return {**colours, "gratings": QUIET_GREY, None: QUIET_GREY}


def _draw_legend(axes: Axes, data: TrainingHistory, colours: dict[str | None, str]) -> None:
    def entry(label: str, marker: str, colour: str, face: str) -> Line2D:
        style: dict[str, Any] = {"linestyle": "none", "markersize": 6, "markeredgecolor": colour}
        return Line2D([], [], marker=marker, label=label, markerfacecolor=face, **style)

    names = sorted({name for name in data.images if name is not None})
    entries = [
        entry(name if name == "gratings" else f"images {name}", "o", colours[name], colours[name])
        for name in names
    ]
    for experience in ("Familiar", "Novel"):
        if experience in data.experience:
            marker = EXPERIENCE_MARKERS[experience]
            entries.append(entry(f"{experience.lower()} (recorded)", marker, BLACK, BLACK))
    if not data.is_registered.all():
        entries.append(entry("not registered", "o", BLACK, "white"))
    place: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1.0),
        "ncols": 3,
        "borderaxespad": 0.2,
    }
    axes.legend(
        handles=entries, **place, frameon=False, fontsize=points(8.5), handletextpad=0.1, columnspacing=1
    )


def _place_legend(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(3))
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 0.97), "ncols": 2, "borderaxespad": 0}
    axes.legend(**place, frameon=False, fontsize=points(8.5), handlelength=1.2)


def _finish(figure: Figure, panels: Sequence[Axes], data: TrainingHistory) -> None:
    for axes in panels:
        for day in data.day[data.is_recording]:
            axes.axvspan(day - 0.4, day + 0.4, color=FLASH_GREY, linewidth=0, zorder=0.5)
    margin = max(3.0, 0.03 * float(np.ptp(data.day)))  # for ticks at whole days
    panels[-1].set_xlim(data.day.min() - margin, data.day.max() + margin)
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda day, _: str(np.datetime64(int(day), "D"))))
    panels[-1].set_xlabel("Date")
    figure.align_ylabels(panels[1:])
    sessions = counted(len(data.date), "session")
    recorded, unknown = int(data.is_recording.sum()), int((~data.is_registered).sum())
    counts = f"{sessions}, {recorded} recorded (grey)"
    counts += f", {unknown} without a file here" if unknown else ""
    counts += "; trials are go and catch trials"
    set_titles(figure, f"Training of mouse {data.mouse_id}", [data.genotype, counts])
