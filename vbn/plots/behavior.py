"""Figure of a mouse's behavior in one session.

On the left, over the session: sensitivity, response rates, reward rate, running, pupil; grey where the mouse
was engaged. On the right, licks around each change or sham change, one row per trial, sorted by outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import POINTS_PER_INCH, Band, draw_bands, size_inches
from vbn.plots.panels import (
    SECONDS_PER_MINUTE,
    draw_trace,
    is_missing,
    say,
    set_titles,
    time_limits_min,
)
from vbn.plots.style import BLACK, BLUE, FLASH_GREY, GREEN, ORANGE, PURPLE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (7.2, 7.6)
OUTCOMES = {
    "hit": GREEN,
    "miss": QUIET_GREY,
    "false alarm": ORANGE,
    "correct reject": BLUE,
    "auto-rewarded": PURPLE,
}
"""Colour of each outcome, in the order of the sections from top to bottom."""
LICK_WINDOW_S = (-1.0, 3.0)
RASTER_VECTORS = 3000
"""With more licks, the raster is stored as an image in vector files."""


@dataclass(frozen=True)
class SessionBehavior:
    """Data of `plot_behavior`. Times are seconds on the session clock.

    Attributes
    ----------
    session_id, session_type : id and protocol of the session.
    start_s, stop_s : first and last time to show.
    trial_time_s : (n_trials,) start of each trial, aborted ones included, ascending.
    dprime, hit_rate, false_alarm_rate : (n_trials,) rolling values; NaN where undefined.
    reward_rate_per_min : (n_trials,) rolling values; NaN where undefined.
    engaged_threshold_per_min : reward rate above which the mouse is engaged.
    engaged_epochs_s : (n_epochs, 2) start and stop of the engaged epochs.
    bin_time_s : (n_bins,) centres of the bins of running and pupil.
    running_speed_cm_s, pupil_area_px2 : (n_bins,) means; None if not recorded.
    change_time_s : (n_changes,) times of changes and sham changes on the screen.
    outcome : (n_changes,) keys of `OUTCOMES`.
    lick_time_s, reward_time_s : (n_licks,), (n_rewards,) ascending.
    response_window_s : start and stop of the response window, from the change.
    """

    session_id: int
    session_type: str
    start_s: float
    stop_s: float
    trial_time_s: Floats
    dprime: Floats
    hit_rate: Floats
    false_alarm_rate: Floats
    reward_rate_per_min: Floats
    engaged_threshold_per_min: float
    engaged_epochs_s: Floats
    bin_time_s: Floats
    running_speed_cm_s: Floats | None
    pupil_area_px2: Floats | None
    change_time_s: Floats
    outcome: Sequence[str]
    lick_time_s: Floats
    reward_time_s: Floats
    response_window_s: tuple[float, float]

    def __post_init__(self) -> None:
        n_trials, n_changes = len(self.trial_time_s), len(self.change_time_s)
        names = ("dprime", "hit_rate", "false_alarm_rate", "reward_rate_per_min")
        wrong = [name for name in names if len(getattr(self, name)) != n_trials]
        wrong += ["outcome"] if len(self.outcome) != n_changes else []
        if wrong:
            raise ValueError(
                f"All must have one value for each of {n_trials} trials or {n_changes} changes; "
                f"not so: {', '.join(wrong)}."
            )
        if unknown := sorted(set(self.outcome) - set(OUTCOMES)):
            raise ValueError(f"Unknown outcomes {unknown}. Known: {', '.join(OUTCOMES)}.")


def plot_behavior(data: SessionBehavior, figure: Figure | None = None) -> Figure:
    """Draw the behavior in a session.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7.2 x 7.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are the five panels over time from top to bottom, the lick raster, and the
    strip with the names of its sections.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        grid = figure.add_gridspec(5, 3, width_ratios=(1.5, 0.45, 1.1))
        top = figure.add_subplot(grid[0, 0])
        panels = [top, *(figure.add_subplot(grid[row, 0], sharex=top) for row in range(1, 5))]
        raster = figure.add_subplot(grid[:, 2])
        strip = figure.add_subplot(grid[:, 1], sharey=raster)
        draw_sensitivity(panels[0], data)
        draw_response_rates(panels[1], data)
        draw_reward_rate(panels[2], data)
        running, pupil = data.running_speed_cm_s, data.pupil_area_px2
        draw_trace(panels[3], data.bin_time_s, running, "Running\n(cm/s)", GREEN, "no running")
        draw_trace(panels[4], data.bin_time_s, pupil, "Pupil area\n(px²)", PURPLE, "no eye tracking")
        draw_licks(raster, data)
        draw_sections(strip, data)
        _finish(figure, panels, data)
    return figure


def draw_sensitivity(axes: Axes, data: SessionBehavior) -> None:
    """Draw the rolling sensitivity d'."""
    _shade_engaged(axes, data)
    defined = np.isfinite(data.dprime)  # aborted trials have no value
    times, dprime = data.trial_time_s[defined], data.dprime[defined]
    draw_trace(axes, times, dprime, "Sensitivity d'", BLACK, "d' is not defined")
    if not is_missing(data.dprime):
        axes.axhline(0, color=QUIET_GREY, linewidth=0.6)


def draw_response_rates(axes: Axes, data: SessionBehavior) -> None:
    """Draw the rolling hit and false alarm rates."""
    _shade_engaged(axes, data)
    axes.set_ylabel("Response\nprobability")
    if is_missing(data.hit_rate) and is_missing(data.false_alarm_rate):
        return say(axes, "no changes")
    for name, rate in (("hit", data.hit_rate), ("false alarm", data.false_alarm_rate)):
        defined = np.isfinite(rate)
        minutes = data.trial_time_s[defined] / SECONDS_PER_MINUTE
        axes.plot(minutes, rate[defined], color=OUTCOMES[name], label=f"{name}s", linewidth=1.2)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 0.98), "ncols": 2, "borderaxespad": 0}
    axes.legend(**place, frameon=False, fontsize=points(8.5), handlelength=1.2)
    return None


def draw_reward_rate(axes: Axes, data: SessionBehavior) -> None:
    """Draw the rolling reward rate and the engagement threshold."""
    _shade_engaged(axes, data)
    rate = data.reward_rate_per_min
    draw_trace(axes, data.trial_time_s, rate, "Rewards\n(1/min)", BLUE, "too few trials")
    if is_missing(rate):
        return
    threshold = data.engaged_threshold_per_min
    axes.axhline(threshold, color=QUIET_GREY, linestyle="--", linewidth=1.0)
    axes.set_ylim(0, 1.1 * max(threshold, float(np.nanmax(rate))))
    text = f"dashed: engaged above {threshold:g}/min"
    axes.text(0, 1.0, text, transform=axes.transAxes, fontsize=points(8.5), color=QUIET_GREY, va="bottom")


def draw_licks(axes: Axes, data: SessionBehavior) -> None:
    """Draw the licks around each change, one row per trial, sorted by outcome and time."""
    axes.set_xlabel("Time from change (s)\nshaded: response window")
    axes.set_xlim(*LICK_WINDOW_S)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    order = raster_order(data.outcome)
    axes.set_ylim(max(len(order), 1), 0)
    if not len(order):
        say(axes, "no changes")
        return
    axes.axvspan(*data.response_window_s, color=FLASH_GREY, linewidth=0, zorder=0.5)
    axes.axvline(0, color=QUIET_GREY, linestyle="--", linewidth=1.0, zorder=0.6)
    height_pt = size_inches(axes)[1] * POINTS_PER_INCH / len(order)
    size = float(np.clip(height_pt, 0.8, 7))
    for name, rows in _sections(data.outcome).items():
        trials = order[rows.start : rows.stop]
        x, row = _around(data.lick_time_s, data.change_time_s[trials])
        dense = len(data.lick_time_s) > RASTER_VECTORS
        style: dict[str, Any] = {"marker": "|", "markersize": size, "linestyle": "none", "rasterized": dense}
        axes.plot(x, row + rows.start + 0.5, color=OUTCOMES[name], markeredgewidth=0.8, **style)
    x, row = _around(data.reward_time_s, data.change_time_s[order])
    marker, large = ("v", min(size, 4)) if size > 3 else ("o", 1.8)
    axes.plot(x, row + 0.5, marker, color=BLACK, markersize=large, markeredgewidth=0)
    axes.set_title("Licks, and rewards (black)", fontsize=points(9.5), loc="left")


def draw_sections(axes: Axes, data: SessionBehavior) -> None:
    """Draw the outcome of the raster's rows, on axes that share its vertical axis."""
    axes.tick_params(left=False, labelleft=False)
    bands = [
        Band(rows.start, rows.stop, f"{name}\n({len(rows)})".replace(" r", "\nr"), OUTCOMES[name])
        for name, rows in _sections(data.outcome).items()
    ]
    draw_bands(axes, bands, mirrored=True, font_size=8.5, lines=3)


def raster_order(outcome: Sequence[str]) -> NDArray[np.intp]:
    """Return the index of the change in each row, sorted by outcome, then time."""
    ranks = [list(OUTCOMES).index(name) for name in outcome]
    return np.argsort(np.array(ranks, dtype=np.intp), kind="stable")


def _sections(outcome: Sequence[str]) -> dict[str, range]:
    sections, first = {}, 0
    for name in OUTCOMES:
        if count := list(outcome).count(name):
            sections[name] = range(first, first + count)
            first += count
    return sections


def _around(times_s: Floats, changes_s: Floats) -> tuple[Floats, Floats]:
    """Return the times relative to each change within the window, and the index of the change."""
    start, stop = LICK_WINDOW_S
    first = np.searchsorted(times_s, changes_s + start)
    last = np.searchsorted(times_s, changes_s + stop)
    relative = [times_s[low:high] - change for low, high, change in zip(first, last, changes_s, strict=True)]
    rows = np.repeat(np.arange(len(changes_s)), last - first)
    return np.concatenate([*relative, np.empty(0)]), rows.astype(np.float64)


def _shade_engaged(axes: Axes, data: SessionBehavior) -> None:
    for start, stop in data.engaged_epochs_s / SECONDS_PER_MINUTE:
        axes.axvspan(start, stop, color=FLASH_GREY, linewidth=0, zorder=0.5)


def _finish(figure: Figure, panels: Sequence[Axes], data: SessionBehavior) -> None:
    for axes in panels[3:]:
        _shade_engaged(axes, data)
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    panels[0].xaxis.set_major_locator(MaxNLocator(6))
    time_limits_min(panels, data.start_s, data.stop_s)
    figure.align_ylabels(panels)
    trials = counted(len(data.trial_time_s), "trial")
    counts = f"{trials}, {counted(len(data.reward_time_s), 'reward')} (grey: engaged)"
    set_titles(figure, f"Behavior of session {data.session_id}", [data.session_type, counts])
