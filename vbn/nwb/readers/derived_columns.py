"""Presentation columns that older files lack, derived from trials and images.

The replay repeats the images of the active block. By AllenSDK's rule, values of a presentation in the active
block also apply to its copy in the replay, if both blocks show the same images in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def active_presentations(presentations: pd.DataFrame, trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the presentations of the blocks with the task.

    Parameters
    ----------
    presentations : start_time, image_name and stimulus_block.
    trials : start_time and stop_time.

    Returns
    -------
    (n_presentations,) bool
        True for all presentations of a block that shows an image between the start of the first and the stop
        of the last trial (AllenSDK, ``add_active_flag``). All False without trials.
    """
    starts = presentations["start_time"].to_numpy(dtype=float)
    # Without trials, minimum and maximum are NaN, and no time is above or below NaN.
    within = (starts > trials["start_time"].min()) & (starts < trials["stop_time"].max())
    shown = presentations["image_name"].notna().to_numpy() & within
    blocks = presentations["stimulus_block"].to_numpy()
    return np.isin(blocks, blocks[shown])


def trials_of_presentations(presentations: pd.DataFrame, trials: pd.DataFrame) -> pd.Series[Any]:
    """Find the trial of each image presentation.

    Parameters
    ----------
    presentations : start_time, image_name, stimulus_block and active.
    trials : trial_id, start_time and stop_time, ascending in start_time.

    Returns
    -------
    (n_presentations,) Int64
        The last trial that started before the presentation, even if it is over, up to the stop of the last
        trial; copied to the replay; NA elsewhere (AllenSDK, ``compute_trials_id_for_stimulus``).
    """
    starts = presentations["start_time"].to_numpy(dtype=float)
    position = np.searchsorted(trials["start_time"].to_numpy(dtype=float), starts, side="left") - 1
    within = (position >= 0) & (starts < trials["stop_time"].max())
    within &= presentations["image_name"].notna().to_numpy()
    ids = np.zeros(len(presentations), dtype=np.int64)
    ids[within] = trials["trial_id"].to_numpy(dtype=np.int64)[position[within]]
    found = pd.Series(pd.arrays.IntegerArray(ids, ~within))
    return copied_to_replay(found, presentations)


def sham_changes(presentations: pd.DataFrame, trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the presentations at which a catch trial's image could have changed.

    Parameters
    ----------
    presentations : start_frame, trials_id, image_name, stimulus_block and active.
    trials : trial_id, catch and change_frame.

    Returns
    -------
    (n_presentations,) bool
        True where the presentation starts in the change_frame of a catch trial, and for its replay (AllenSDK,
        ``compute_is_sham_change``).
    """
    shown = trials["trial_id"].isin(presentations["trials_id"].dropna())
    frames = trials.loc[trials["catch"] & shown, "change_frame"].dropna()
    found = pd.Series(presentations["start_frame"].isin(frames.astype(np.int64)).to_numpy())
    return copied_to_replay(found, presentations).to_numpy(dtype=np.bool_)


def image_changes(presentations: pd.DataFrame) -> pd.Series[Any]:
    """Mark the presentations that show a different image from the one before.

    Parameters
    ----------
    presentations : image_name, omitted and stimulus_block.

    Returns
    -------
    (n_presentations,) boolean
        Omissions are skipped and are not changes; nor is the first image of a block. NA where there is no
        image (AllenSDK, ``is_change_event``, which runs over a whole session, so that a block's first image
        may count as a change).
    """
    names = presentations["image_name"]
    shown = names[names.notna() & ~_omitted(presentations)]
    blocks = presentations.loc[shown.index, "stimulus_block"]
    before = shown.groupby(blocks).shift()
    changes = pd.Series(pd.array([False] * len(names), dtype="boolean"), index=names.index)
    changes[shown.index] = (before.notna() & (shown != before)).astype("boolean")
    return changes.mask(names.isna())


def flashes_since_change(presentations: pd.DataFrame) -> pd.Series[Any]:
    """Count the images shown since the last change.

    Parameters
    ----------
    presentations : image_name, omitted, is_change and stimulus_block.

    Returns
    -------
    (n_presentations,) Int64
        0 at a change and at a block's first image, unchanged by an omission, NA where there is no image
        (AllenSDK, ``get_flashes_since_change``).
    """
    has_image = presentations["image_name"].notna()
    counted = has_image & ~_omitted(presentations)
    changes = presentations["is_change"].fillna(False).astype(bool)
    blocks = presentations["stimulus_block"]
    runs = changes.groupby(blocks).cumsum()
    count = counted.astype(np.int64).groupby([blocks, runs]).cumsum() - 1
    return count.clip(lower=0).astype("Int64").mask(~has_image)


def _omitted(presentations: pd.DataFrame) -> pd.Series[Any]:
    """Mark omissions, by flag or by name."""
    flagged = presentations["omitted"].fillna(False).astype(bool)
    return flagged | (presentations["image_name"] == "omitted")


def copied_to_replay(values: pd.Series[Any], presentations: pd.DataFrame) -> pd.Series[Any]:
    """Copy the values of active presentations to their copies in the replay.

    Parameters
    ----------
    values : (n_presentations,), not modified.
    presentations : image_name, stimulus_block and active, in the same order.

    Returns
    -------
    (n_presentations,)
        The values, where a block that is not active and shows exactly the images of an active block gets that
        block's values.
    """
    copied = values.copy()
    blocks = presentations["stimulus_block"].to_numpy()
    images = presentations["image_name"].to_numpy(dtype=object)
    active = presentations["active"].to_numpy(dtype=np.bool_)
    passive_images = ~active & presentations["image_name"].notna().to_numpy()
    for source in np.unique(blocks[active]):
        for target in np.unique(blocks[passive_images]):
            if np.array_equal(images[blocks == source], images[blocks == target]):
                copied[blocks == target] = values[blocks == source].to_numpy()
    return copied
