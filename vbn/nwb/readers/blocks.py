"""Stimulus blocks: contiguous presentations of one stimulus."""

from __future__ import annotations

import pandas as pd


def summarise_blocks(presentations: pd.DataFrame) -> pd.DataFrame:
    """Return one row per stimulus block.

    Parameters
    ----------
    presentations : frame from `read_stimulus_presentations`.

    Returns
    -------
    pandas.DataFrame
        ``block``, ``stimulus_name``, ``block_start_time`` (s, of the first presentation), ``block_stop_time``
        (s, the latest known end), ``block_is_active``, ``n_presentations``; sorted by block. Empty without
        presentations.

    Raises
    ------
    ValueError
        If a block mixes stimuli.
    """
    groups = presentations.groupby("stimulus_block", sort=True)
    names_per_block = groups["stimulus_name"].nunique()
    mixed = names_per_block.index[names_per_block > 1].tolist()
    if mixed:
        raise ValueError(f"stimulus blocks must hold one stimulus each, but these mix several: {mixed}")
    frame = groups.agg(
        stimulus_name=("stimulus_name", "first"),
        block_start_time=("start_time", "min"),
        block_stop_time=("end_time", "max"),
        block_is_active=("active", "any"),
        n_presentations=("start_time", "size"),
    )
    return frame.rename_axis("block").reset_index()
