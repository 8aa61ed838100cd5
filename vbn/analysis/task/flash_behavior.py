"""What the mouse did around each flash: one row per flash and omission.

The columns are those of the stimulus table of Bennett et al. 2025 (``build_master_stim_table``) by which
flashes are chosen (`vbn.analysis.task.flash_sets`), with that code's rules: a bout belongs to the last flash
that began *before* it, the last bout of a flash wins, and a flash's own licks do not count for the time since
the last lick.

The columns, where a *row* is a flash or omission, and "before" and "after" are in its block:

* start_time (s), image_name, active, omitted, is_change, is_image_novel (``boolean``, NA where unknown);
* is_repeat: a flash that is no change and not the first of its block, which repeats nothing;
* is_shared: one of `SHARED_IMAGES`;
* previous_omitted: the row before is an omission;
* is_prechange: the next row is a change;
* flashes_since_change: 0 at a change and at the first flash, not raised by an omission (AllenSDK);
* run: number of the run, in order of time: from a change, or a block's first row, to the next;
* trial: position in ``trials``, -1 without one; trial_flash: rows since the first of its trial, -1
  without a trial;
* n_licks: licks after its start and until the next row, which counts as after;
* lick_time: start (s) of the last bout that begins in it, NaN without one; lick_for_flash: whether there
  is one; reaction_time: lick_time - start_time; time_from_last_bout: lick_time less the end of the bout
  before, -1 for the first bout;
* bout_start: lick_time is more than `BOUT_PAUSE_S` after that of the last row with bout_start;
* lick_in_window, bout_in_window: lick_for_flash, bout_start with a reaction_time within
  `RESPONSE_WINDOW_S`;
* flashes_since_lick: rows since the last earlier one with a lick; NaN up to the first row with a bout;
* flashes_since_bout: rows since the last earlier one with a bout; NaN where there is none;
* rewarded (`rewarded_flashes`); engaged_allensdk, engaged_bennett_2025, engaged_siegle_2021
  (`vbn.analysis.task.engagement`), never in the replay;
* after_hit: follows the change of its trial, which is a hit; is_eligible: trial_flash of at least
  `ELIGIBLE_FROM`, and not after_hit;
* replay: index of the row of the replay that shows it again or, in the replay, of the row that it shows
  again; -1 where the replay does not show the same images in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events
from vbn.analysis.task.engagement import ENGAGEMENT, engaged_flashes, rewarded_flashes
from vbn.analysis.task.licking import LICK_GAPS_S, lick_bouts
from vbn.analysis.task.presentations import (
    NO_ROW,
    change_flash_times,
    check_columns,
    flags,
    image_names,
    is_change,
    is_image,
    is_in_block,
    is_omission,
    start_times,
    trial_rows,
)

BENNETT_GAP_S = LICK_GAPS_S["bennett_2025"]
RESPONSE_WINDOW_S = (0.1, 0.75)
"""Both limits exclusive (Bennett et al. 2025)."""
BOUT_PAUSE_S = 2.0
"""A flash's bout counts as a new one if it begins more than this after the last that did."""
SHARED_IMAGES = ("im083_r", "im111_r")
"""Images of both image sets, familiar in every session."""
SWITCH = "switch"
ELIGIBLE_FROM = 4
"""Position in its trial from which on a flash may be a change."""


def flash_behavior(
    presentations: pd.DataFrame, trials: pd.DataFrame, lick_times: ArrayLike, gap_s: float = BENNETT_GAP_S
) -> pd.DataFrame:
    """Describe each flash and omission by the image, the licks and the engagement around it.

    Parameters
    ----------
    presentations : one row per presentation, in any order, with AllenSDK's columns and a unique index.
    trials : one row per trial in order of time, with AllenSDK's columns, see `engaged_trials`.
    lick_times : (n_licks,) seconds, in any order.
    gap_s : pause in seconds; longer pauses separate bouts.

    Returns
    -------
    One row per flash and omission of task and replay, in order of time, with the index of ``presentations``.
    The docstring of the module has the columns.

    Raises
    ------
    ValueError
        If a required column is missing, the gap is not positive, or lick times are not finite.

    Notes
    -----
    The source has no rows for the replay, and lets licks after the task belong to the task's last row. Here a
    lick belongs to the last row of its block only before the first row of the next block.
    """
    check_columns(presentations)
    image = np.flatnonzero(is_image(presentations))
    image = image[np.argsort(start_times(presentations)[image], kind="stable")]
    shown = presentations.iloc[image].set_axis(image, axis=0)
    licks = np.sort(checked_events(lick_times, "lick_times"))
    active = is_in_block(shown, "active")
    blocks = sorted(
        (np.flatnonzero(of_block) for of_block in (active, ~active) if of_block.any()),
        key=lambda rows: rows[0],
    )
    starts = start_times(shown)
    limits = [*(starts[rows[0]] for rows in blocks[1:]), np.inf]
    described = [
        _of_images(shown.iloc[rows]).join(_of_licks(shown.iloc[rows], licks[licks <= limit], gap_s))
        for rows, limit in zip(blocks, limits, strict=False)
    ]
    empty = shown.iloc[:0]
    table = pd.concat(described or [_of_images(empty).join(_of_licks(empty, licks[:0], gap_s))]).loc[image]
    table["run"] = np.cumsum(table.pop(SWITCH) | ~table["active"].duplicated()) - 1
    table["rewarded"] = rewarded_flashes(presentations, trials)[image]
    for name, definition in ENGAGEMENT.items():
        table[f"engaged_{name}"] = engaged_flashes(presentations, trials, definition)[image]
    table = table.join(_of_trials(table, presentations, trials)).set_axis(presentations.index[image], axis=0)
    return table.assign(replay=_replay(table))


def _of_images(block: pd.DataFrame) -> pd.DataFrame:
    """Describe what the rows of one block show, in order of time."""
    omitted, change = is_omission(block), is_change(block)
    # Without a task no image is a change, but another image ends the run of the one before.
    switch = change | (block["is_change"].isna().to_numpy(np.bool_) & _is_other_image(block, ~omitted))
    first = np.arange(len(block)) == 0
    shown = np.cumsum(~omitted)
    last = np.maximum.accumulate(np.where(switch | first, np.arange(len(block)), 0))
    novel = block["is_image_novel"] if "is_image_novel" in block else pd.Series(pd.NA, index=block.index)
    columns = {
        "start_time": start_times(block),
        "image_name": image_names(block),
        "active": flags(block, "active"),
        "omitted": omitted,
        "is_change": change,
        "is_image_novel": novel.astype("boolean"),
        "is_repeat": ~omitted & ~switch & ~first,
        "is_shared": block["image_name"].isin(SHARED_IMAGES).to_numpy(np.bool_),
        "previous_omitted": np.append(False, omitted[:-1])[: len(block)],
        "is_prechange": np.append(change[1:], False)[: len(block)],
        "flashes_since_change": np.maximum(shown - shown[last], 0) if len(block) else shown,
        SWITCH: switch,
    }
    return pd.DataFrame(columns, index=block.index)


def _is_other_image(block: pd.DataFrame, shown: Booleans) -> Booleans:
    """Return (n,) whether a flash shows another image than the one before; omissions show none."""
    names = pd.Series(image_names(block))[shown]
    found = np.zeros(len(block), dtype=np.bool_)
    found[shown] = (names.shift().notna() & (names != names.shift())).to_numpy(np.bool_)
    return found


def _of_licks(block: pd.DataFrame, licks: Floats, gap_s: float) -> pd.DataFrame:
    """Describe the licks around the rows of one block, in order of time."""
    starts = start_times(block)
    bouts = lick_bouts(licks, gap_s=gap_s)
    onset, end = (bouts[name].to_numpy(np.float64) for name in ("start_time", "stop_time"))
    row = np.searchsorted(starts, onset, side="left") - 1
    since_end = np.full(onset.size, -1.0)
    first = np.searchsorted(row, 0)  # bouts before the block are of no row
    since_end[first + 1 :] = onset[first + 1 :] - end[first:-1]
    lick_time, since_last = (np.full(starts.size, np.nan) for _ in range(2))
    lick_time[row[first:]], since_last[row[first:]] = onset[first:], since_end[first:]  # the last bout wins
    licked = np.searchsorted(starts, licks, side="left") - 1
    n_licks = np.bincount(licked[licked >= 0], minlength=starts.size)
    has_bout = ~np.isnan(lick_time)
    since_lick = _rows_since(n_licks > 0)
    since_lick[: 1 + (int(row[first]) if first < row.size else starts.size)] = np.nan
    reaction = lick_time - starts
    in_window = (reaction > RESPONSE_WINDOW_S[0]) & (reaction < RESPONSE_WINDOW_S[1])
    accepted = _apart(lick_time)
    columns = {
        "n_licks": n_licks,
        "lick_for_flash": has_bout,
        "lick_time": lick_time,
        "reaction_time": reaction,
        "time_from_last_bout": since_last,
        "bout_start": accepted,
        "lick_in_window": has_bout & in_window,
        "bout_in_window": accepted & in_window,
        "flashes_since_lick": since_lick,
        "flashes_since_bout": _rows_since(has_bout),
    }
    return pd.DataFrame(columns, index=block.index)


def _rows_since(marked: Booleans) -> Floats:
    """Return (n_rows,) the number of rows since the last earlier one that is marked; NaN without one."""
    row = np.arange(marked.size)
    last = np.maximum.accumulate(np.where(marked, row, NO_ROW)) if marked.size else row
    before = np.append(NO_ROW, last[:-1])[: marked.size]
    return np.where(before == NO_ROW, np.nan, row - before)


def _apart(lick_time: Floats) -> Booleans:
    """Mark lick times more than the pause after the last *marked* one: of steady licks, only some."""
    marked = np.zeros(lick_time.size, dtype=np.bool_)
    last = -np.inf
    for row in np.flatnonzero(~np.isnan(lick_time)):
        if lick_time[row] - last > BOUT_PAUSE_S:
            marked[row], last = True, lick_time[row]
    return marked


def _replay(table: pd.DataFrame) -> Integers:
    """Return the index of each row's counterpart; -1 where task and replay differ."""
    active = table["active"].to_numpy(np.bool_)
    task, again = table[active], table[~active]
    partner = np.full(len(table), NO_ROW, dtype=np.int64)
    if np.array_equal(task["image_name"].to_numpy(object), again["image_name"].to_numpy(object)):
        partner[active], partner[~active] = again.index.to_numpy(), task.index.to_numpy()
    return partner


def _of_trials(table: pd.DataFrame, presentations: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return where each row stands in its trial; in the replay, in the trial that is shown again."""
    trial = trial_rows(presentations, trials)[table.index]
    flash = pd.Series(trial, index=table.index).groupby([table["active"], trial]).cumcount().to_numpy()
    flash = np.where(trial == NO_ROW, NO_ROW, flash)
    change_s = np.append(change_flash_times(presentations, trials), np.nan)[trial]  # NaN for row -1
    hit = np.append(flags(trials, "hit"), False)[trial]
    start = table["start_time"].to_numpy(np.float64)
    after_hit = hit & (table["flashes_since_change"].to_numpy() > 0) & (start > change_s)
    columns: dict[str, Any] = {
        "trial": trial,
        "trial_flash": flash,
        "after_hit": after_hit & table["active"].to_numpy(np.bool_),
    }
    columns["is_eligible"] = (flash >= ELIGIBLE_FROM) & ~columns["after_hit"]
    return pd.DataFrame(columns, index=table.index)
