"""The presentations table, read by meaning: what each row shows, in which block, in which trial.

A *flash* is a presentation of an image that was not left out, an *omission* one that was; gratings of the
first training stages have names as images do and count as images. An image presentation is *active* while
the mouse does the task, *passive* in the replay. Column names are AllenSDK's. Missing flags (``<NA>``, None,
NaN) are not set; flags may be numbers, as some databases return them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans, Floats, Integers

NO_ROW = -1
OMITTED = "omitted"
TRIAL_OUTCOMES = ("hit", "miss", "false_alarm", "correct_reject", "auto_rewarded", "aborted")
REQUIRED = ("start_time", "active", "image_name", "is_change", "omitted")


def flags(table: pd.DataFrame, column: str) -> Booleans:
    """Tell where a flag is set.

    Parameters
    ----------
    table : any table.
    column : name of a column of booleans, or of 0, 1 and missing values.

    Returns
    -------
    (n_rows,) True where the flag is set; all False when there is no such column.
    """
    if column not in table:
        return np.zeros(len(table), dtype=np.bool_)
    return np.asarray(table[column].astype("boolean").fillna(False), dtype=np.bool_)


def start_times(table: pd.DataFrame) -> Floats:
    """(n_rows,) seconds."""
    return table["start_time"].to_numpy(np.float64)


def in_order_of_time(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the rows by start_time; a new table, whose index is the place in the given one."""
    order = np.argsort(start_times(table), kind="stable")
    return table.iloc[order].set_axis(order, axis=0)


def check_columns(presentations: pd.DataFrame) -> None:
    """Refuse a table of presentations that lacks what every question about it needs.

    Raises
    ------
    ValueError
        Naming the missing columns among start_time, active, image_name, is_change and omitted.
    """
    missing = [name for name in REQUIRED if name not in presentations]
    if missing:
        raise ValueError(
            f"presentations must have {', '.join(REQUIRED)}: {', '.join(missing)} missing. "
            "A column may be all missing values where the session has no images."
        )


def image_names(presentations: pd.DataFrame) -> pd.Series[Any]:
    """Name the image of each presentation.

    Returns
    -------
    (n_presentations,) object; ``omitted`` for an omission, None where there is no image.
    """
    names = presentations["image_name"].astype(object)
    return names.where(names.notna() & (names != ""), None)


def is_image(presentations: pd.DataFrame) -> Booleans:
    """(n_presentations,) True for flashes and omissions."""
    return image_names(presentations).notna().to_numpy(np.bool_)


def is_omission(presentations: pd.DataFrame) -> Booleans:
    """(n_presentations,) True where an image was left out, by flag or by name."""
    named = (image_names(presentations) == OMITTED).to_numpy(np.bool_)
    return is_image(presentations) & (flags(presentations, "omitted") | named)


def is_flash(presentations: pd.DataFrame) -> Booleans:
    """(n_presentations,) True where an image was shown."""
    return is_image(presentations) & ~is_omission(presentations)


def is_change(presentations: pd.DataFrame) -> Booleans:
    """(n_presentations,) True for a flash of another image than the flash before."""
    return is_flash(presentations) & flags(presentations, "is_change")


def is_sham_change(presentations: pd.DataFrame) -> Booleans:
    """(n_presentations,) True for the flash of a catch trial at which the image could have changed."""
    return is_flash(presentations) & flags(presentations, "is_sham_change")


def is_in_block(presentations: pd.DataFrame, block: str) -> Booleans:
    """(n_presentations,) True for the images of the ``active`` block, or of the ``passive`` one."""
    active = flags(presentations, "active")
    return is_image(presentations) & (active if block == "active" else ~active)


def image_rows(presentations: pd.DataFrame) -> Integers:
    """Find the flash whose image each flash showed, and each omission would have shown.

    The file calls an omission's image ``omitted``. The change flash is never left out, so the image would
    have been that of the flash before (VBN whitepaper).

    Parameters
    ----------
    presentations : in order of time.

    Returns
    -------
    (n_presentations,) row of a flash itself, or of the flash before an omission in the same block; -1 without
    image, and for omissions at a block's begin.
    """
    row = np.arange(len(presentations))
    if row.size == 0:
        return row
    block = _blocks(presentations)
    block_start = np.maximum.accumulate(np.where(np.append(True, block[1:] != block[:-1]), row, 0))
    flash = np.maximum.accumulate(np.where(is_flash(presentations), row, NO_ROW))
    return np.where(is_image(presentations) & (flash >= block_start), flash, NO_ROW)


def _blocks(presentations: pd.DataFrame) -> Any:
    """(n_presentations,) something that differs between the active block and the replay."""
    if "stimulus_block" in presentations and presentations["stimulus_block"].notna().all():
        return presentations["stimulus_block"].to_numpy(np.int64)
    return flags(presentations, "active")


def row_before_change(presentations: pd.DataFrame) -> Integers:
    """Find the change that directly follows each presentation.

    Parameters
    ----------
    presentations : in order of time.

    Returns
    -------
    (n_presentations,) row of the change whose flash before is this one; -1 for all others, for an
    omission, and where the block ends in between.
    """
    image = np.flatnonzero(is_image(presentations))
    flash, following = image[:-1], image[1:]
    block = _blocks(presentations)
    same_block = block[flash] == block[following]  # the replay does not follow the task's end
    before = is_change(presentations)[following] & is_flash(presentations)[flash] & same_block
    rows = np.full(len(presentations), NO_ROW, dtype=np.int64)
    rows[flash[before]] = following[before]
    return rows


def trial_ids(trials: pd.DataFrame) -> Integers:
    """(n_trials,) from the column ``trials_id`` or ``trial_id``, else from the index."""
    for name in ("trials_id", "trial_id"):
        if name in trials:
            return trials[name].to_numpy(np.int64)
    return trials.index.to_numpy(np.int64)


def trial_rows(presentations: pd.DataFrame, trials: pd.DataFrame) -> Integers:
    """Find the trial of each image presentation.

    By ``trials_id``, if the presentations have one; else by time, as AllenSDK does
    (``compute_trials_id_for_stimulus``): the last trial that started before, up to the last trial's stop,
    and in the replay the trial of the same image of the active block.

    Parameters
    ----------
    presentations : in any order.
    trials : start_time and stop_time (s), and the ids; in any order.

    Returns
    -------
    (n_presentations,) position in ``trials``; -1 where there is no trial, and for other stimuli.
    """
    if "trials_id" in presentations and not _all_missing(presentations["trials_id"]):
        stored = presentations["trials_id"].astype("Int64").to_numpy(np.int64, na_value=NO_ROW)
        found = pd.Index(trial_ids(trials)).get_indexer(pd.Index(stored)).astype(np.int64)
        return np.where(is_image(presentations), found, NO_ROW)
    rows = rows_at_times(start_times(presentations), trials)
    active = is_in_block(presentations, "active")
    return _copied_to_replay(np.where(active, rows, NO_ROW), presentations)


def _all_missing(ids: pd.Series[Any]) -> bool:
    return bool((ids.isna() | (ids < 0)).all())


def rows_at_times(times: Floats, trials: pd.DataFrame) -> Integers:
    """Find the trial in which each moment falls.

    Parameters
    ----------
    times : (n,) seconds.
    trials : start_time and stop_time (s), in any order.

    Returns
    -------
    (n,) position in ``trials`` of the last trial that started before; -1 before the first start and after
    the last stop. Trials have gaps between them, which belong to the trial before (AllenSDK,
    ``Trial._get_trial_data``).
    """
    starts = start_times(trials)
    if starts.size == 0:
        return np.full(times.shape, NO_ROW, dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    position = np.searchsorted(starts[order], times, side="left") - 1
    inside = (position >= 0) & (times <= trials["stop_time"].to_numpy(np.float64).max())
    return np.where(inside, order[position], NO_ROW)


def _copied_to_replay(rows: Integers, presentations: pd.DataFrame) -> Integers:
    """Give the replay the active block's values, if it shows the same images in the same order."""
    names, order = image_names(presentations).to_numpy(object), np.argsort(start_times(presentations))
    active, passive = (order[is_in_block(presentations, name)[order]] for name in ("active", "passive"))
    copied = rows.copy()
    if np.array_equal(names[active], names[passive]):
        copied[passive] = rows[active]
    return copied


def change_flashes(
    presentations: pd.DataFrame, trials: pd.DataFrame, block: str = "active"
) -> tuple[Integers, Integers]:
    """Pair the trials with the flash at which the image changed, or could have changed.

    Parameters
    ----------
    presentations, trials : in any order.
    block : ``active``, or ``passive`` for the flashes that replay the trials.

    Returns
    -------
    trial, flash : (n,) positions in ``trials`` and in ``presentations``, ascending in time of the flash.
        Aborted trials have none. Go and auto-rewarded trials have a change, catch trials a sham change.
    """
    row = trial_rows(presentations, trials)
    eligible = is_in_block(presentations, block) & (row != NO_ROW)
    flash = np.flatnonzero(eligible & (is_change(presentations) | is_sham_change(presentations)))
    trial = row[flash]
    sham_expected = (flags(trials, "false_alarm") | flags(trials, "correct_reject"))[trial]
    fits = (is_sham_change(presentations)[flash] == sham_expected) & ~flags(trials, "aborted")[trial]
    flash = flash[fits]
    flash = flash[np.argsort(start_times(presentations)[flash], kind="stable")]
    # A trial has one change; were there two, the first would count.
    first = np.sort(np.unique(row[flash], return_index=True)[1])
    return row[flash[first]], flash[first]


def change_flash_times(presentations: pd.DataFrame, trials: pd.DataFrame) -> Floats:
    """(n_trials,) seconds, start of the flash of each trial's change or sham change; NaN without one."""
    times = np.full(len(trials), np.nan)
    trial, flash = change_flashes(presentations, trials)
    times[trial] = start_times(presentations)[flash]
    return times
