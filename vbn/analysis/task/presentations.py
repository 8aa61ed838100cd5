"""Interpretation of the presentations table: what each row shows, in which block, in which trial.

A *flash* is a presentation of an image, an *omission* an omitted one; the gratings of the first training
stages are named as images are and count as images. An image presentation is *active* during the task,
*passive* during the replay. Column names are AllenSDK's. Missing flags (``<NA>``, None, NaN) count as not
set; flags may be numbers, as some databases return them.
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
    """Return where a flag is set.

    Parameters
    ----------
    table : any table.
    column : name of a column of booleans, or of 0, 1 and missing values.

    Returns
    -------
    (n_rows,) True where the flag is set; all False if there is no such column.
    """
    if column not in table:
        return np.zeros(len(table), dtype=np.bool_)
    values = table[column].astype("boolean")
    return values.to_numpy(np.bool_, na_value=False)


def start_times(table: pd.DataFrame) -> Floats:
    """Return (n_rows,) start times in seconds."""
    return table["start_time"].to_numpy(np.float64)


def in_order_of_time(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table sorted by start_time; its index holds the row numbers in the input."""
    order = np.argsort(start_times(table), kind="stable")
    return table.iloc[order].set_axis(order, axis=0)


def check_columns(presentations: pd.DataFrame) -> None:
    """Check that the presentations have all required columns.

    Raises
    ------
    ValueError
        If start_time, active, image_name, is_change or omitted is missing.
    """
    missing = [name for name in REQUIRED if name not in presentations]
    if missing:
        raise ValueError(
            f"presentations must have {', '.join(REQUIRED)}: {', '.join(missing)} missing. "
            "A column may be all missing values where the session has no images."
        )


def image_names(presentations: pd.DataFrame) -> pd.Series[Any]:
    """Return the image name of each presentation.

    Returns
    -------
    (n_presentations,) object; ``omitted`` for an omission, None for other stimuli.
    """
    names = presentations["image_name"].astype(object)
    return names.where(names.notna() & (names != ""), None)


def is_image(presentations: pd.DataFrame) -> Booleans:
    """Return (n_presentations,) True for flashes and omissions."""
    return _named(presentations)[0]


def is_omission(presentations: pd.DataFrame) -> Booleans:
    """Return (n_presentations,) True for omissions, identified by flag or by name."""
    return _images_and_omissions(presentations)[1]


def _images_and_omissions(presentations: pd.DataFrame) -> tuple[Booleans, Booleans]:
    """Return where an image has its turn, and where it was omitted."""
    images, named_omitted = _named(presentations)
    return images, images & (flags(presentations, "omitted") | named_omitted)


def _named(presentations: pd.DataFrame) -> tuple[Booleans, Booleans]:
    """Return where there is an image's name, and where it is that of omissions.

    Asked once per name and for both at once, as this is asked often.
    """
    codes, names = pd.factorize(presentations["image_name"])
    given = np.array([*(name != "" for name in names), False], dtype=np.bool_)  # the last for -1, no name
    omitted = np.array([*(name == OMITTED for name in names), False], dtype=np.bool_)
    return given[codes], omitted[codes]


def is_flash(presentations: pd.DataFrame) -> Booleans:
    """Return (n_presentations,) True where an image was shown."""
    images, omissions = _images_and_omissions(presentations)
    return images & ~omissions


def is_change(presentations: pd.DataFrame) -> Booleans:
    """Return (n_presentations,) True for a flash that shows a different image from the flash before."""
    return is_flash(presentations) & flags(presentations, "is_change")


def is_sham_change(presentations: pd.DataFrame) -> Booleans:
    """Return (n_presentations,) True for the flash of a catch trial at which the image could have changed."""
    return is_flash(presentations) & flags(presentations, "is_sham_change")


def is_in_block(presentations: pd.DataFrame, block: str) -> Booleans:
    """Return (n_presentations,) True for flashes and omissions of the ``active`` or the ``passive`` block."""
    active = flags(presentations, "active")
    return is_image(presentations) & (active if block == "active" else ~active)


def image_rows(presentations: pd.DataFrame) -> Integers:
    """Find the flash that shows each presentation's image, or for an omission the omitted image.

    Files name an omission's image ``omitted``. Changes are never omitted, so the omitted image is that of the
    flash before (VBN whitepaper).

    Parameters
    ----------
    presentations : in order of time.

    Returns
    -------
    (n_presentations,) the row itself for a flash, the row of the flash before in the same block for an
    omission; -1 for other stimuli, and for omissions at the start of a block.
    """
    row = np.arange(len(presentations))
    if row.size == 0:
        return row
    block = _blocks(presentations)
    block_start = np.maximum.accumulate(np.where(np.append(True, block[1:] != block[:-1]), row, 0))
    flash = np.maximum.accumulate(np.where(is_flash(presentations), row, NO_ROW))
    return np.where(is_image(presentations) & (flash >= block_start), flash, NO_ROW)


def _blocks(presentations: pd.DataFrame) -> Any:
    """Return (n_presentations,) a value that differs between the active block and the replay."""
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
    (n_presentations,) for a pre-change flash, the row of the change; -1 for all other presentations, for
    omissions, and at the end of a block.
    """
    image = np.flatnonzero(is_image(presentations))
    flash, following = image[:-1], image[1:]
    block = _blocks(presentations)
    same_block = block[flash] == block[following]  # the replay's first image has no predecessor
    before = is_change(presentations)[following] & is_flash(presentations)[flash] & same_block
    rows = np.full(len(presentations), NO_ROW, dtype=np.int64)
    rows[flash[before]] = following[before]
    return rows


def trial_ids(trials: pd.DataFrame) -> Integers:
    """Return (n_trials,) ids from the column ``trials_id`` or ``trial_id``, else from the index."""
    for name in ("trials_id", "trial_id"):
        if name in trials:
            return trials[name].to_numpy(np.int64)
    return trials.index.to_numpy(np.int64)


def trial_rows(presentations: pd.DataFrame, trials: pd.DataFrame) -> Integers:
    """Find the trial of each image presentation.

    Uses ``trials_id`` if the presentations have it, else time, as AllenSDK does
    (``compute_trials_id_for_stimulus``): the last trial that started before the presentation, up to the stop
    of the last trial. Presentations of the replay get the trial of the presentation they repeat.

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
    """Find the trial at each time.

    Parameters
    ----------
    times : (n,) seconds.
    trials : start_time and stop_time (s), in any order.

    Returns
    -------
    (n,) position in ``trials`` of the last trial that started before; -1 before the first start and after the
    last stop. Gaps between trials belong to the trial before (AllenSDK, ``Trial._get_trial_data``).
    """
    starts = start_times(trials)
    if starts.size == 0:
        return np.full(times.shape, NO_ROW, dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    position = np.searchsorted(starts[order], times, side="left") - 1
    inside = (position >= 0) & (times <= trials["stop_time"].to_numpy(np.float64).max())
    return np.where(inside, order[position], NO_ROW)


def _copied_to_replay(rows: Integers, presentations: pd.DataFrame) -> Integers:
    """Copy the values of the active block to the replay, if it shows the same images in the same order."""
    names, order = image_names(presentations).to_numpy(object), np.argsort(start_times(presentations))
    active, passive = (order[is_in_block(presentations, name)[order]] for name in ("active", "passive"))
    copied = rows.copy()
    if np.array_equal(names[active], names[passive]):
        copied[passive] = rows[active]
    return copied


def change_flashes(
    presentations: pd.DataFrame, trials: pd.DataFrame, block: str = "active"
) -> tuple[Integers, Integers]:
    """Pair each trial with the flash at which the image changed, or could have changed.

    Parameters
    ----------
    presentations, trials : in any order.
    block : ``active``, or ``passive`` for the replay of the trials.

    Returns
    -------
    trial, flash : (n,) positions in ``trials`` and in ``presentations``, sorted by the time of the flash.
        Aborted trials have none. Go and auto-rewarded trials have a change, catch trials a sham change.
    """
    row = trial_rows(presentations, trials)
    eligible = is_in_block(presentations, block) & (row != NO_ROW)
    sham = is_sham_change(presentations)
    flash = np.flatnonzero(eligible & (is_change(presentations) | sham))
    trial = row[flash]
    sham_expected = (flags(trials, "false_alarm") | flags(trials, "correct_reject"))[trial]
    fits = (sham[flash] == sham_expected) & ~flags(trials, "aborted")[trial]
    flash = flash[fits]
    flash = flash[np.argsort(start_times(presentations)[flash], kind="stable")]
    # A trial has one change; if a file has two, the first counts.
    first = np.sort(np.unique(row[flash], return_index=True)[1])
    return row[flash[first]], flash[first]


def change_flash_times(presentations: pd.DataFrame, trials: pd.DataFrame) -> Floats:
    """Return (n_trials,) seconds, start of each trial's change or sham change flash; NaN without one."""
    times = np.full(len(trials), np.nan)
    trial, flash = change_flashes(presentations, trials)
    times[trial] = start_times(presentations)[flash]
    return times
