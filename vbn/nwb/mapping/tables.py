"""Tables of a file under the names of the release's columns."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import quoted, shortened
from vbn.nearest import nearest
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.view import View
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.issue import first_of
from vbn.nwb.mapping.definition import PLACE_HOLDER, Epochs, FileMapping, StimulusTable
from vbn.nwb.readers.columns import NAME_MISSING, Table
from vbn.nwb.readers.stimulus import INTERVALS, SUFFIX
from vbn.nwb.readers.trials import TRIALS

LARGEST_EXACT = 2**53
"""Floats below it hold each whole number."""


def require_column(raw: RecordingFile, table: str, name: str, ours: str) -> h5py.Dataset:
    """Return a column that the mapping names.

    Raises
    ------
    InvalidContentError
        The table lacks it; the message names the nearest that it has.
    """
    group = require_table(raw, table)
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        near = nearest(name, names_in(group))
        raise raw.invalid(f"/{table} has no column {quoted(name)}, which the mapping reads as {ours}.{near}")
    return found


def require_table(raw: RecordingFile, path: str) -> h5py.Group:
    """Return a table that the mapping names.

    Raises
    ------
    InvalidContentError
        The file lacks it; the message names the nearest beside it.
    """
    found = raw.file.get(path)
    if isinstance(found, h5py.Dataset):
        raise raw.invalid(f"/{path} is one data set, and a table is a group with a data set for each column.")
    if not isinstance(found, h5py.Group):
        above, _, name = path.rpartition("/")
        beside = raw.file.get(above or "/")
        near = nearest(name, names_in(beside)) if isinstance(beside, h5py.Group) else ""
        raise raw.invalid(f"the mapping reads a table /{path}, and the file has none.{near}")
    return found


def show_table(
    raw: RecordingFile,
    view: View,
    path: str,
    shown: str,
    columns: Mapping[str, str],
    left_out: Collection[str] = (),
) -> None:
    """Show a table with columns under other names; columns that are not mapped keep theirs.

    Parameters
    ----------
    raw, view : the file and what is seen of it.
    path, shown : HDF5 path of the table, and where it is shown.
    columns : column of the release -> column of the file.
    left_out : columns that are not shown.

    Raises
    ------
    InvalidContentError
        The file lacks the table or a column, or has a column under both names.
    """
    group = require_table(raw, path)
    for ours, theirs in columns.items():
        require_column(raw, path, theirs, ours)
        if ours != theirs and isinstance(group.get(ours), h5py.Dataset):
            raise raw.invalid(
                f"/{path} has a column {quoted(ours)}, and the mapping reads {quoted(theirs)} as {ours}. "
                "Keep one of them: take it out of the mapping, or of the file."
            )
    names = {theirs: ours for ours, theirs in columns.items()}
    view.skeleton.require_group(shown)
    for name in names_in(group):
        item, base = group.get(name), name.removesuffix("_index")
        is_index = name.endswith("_index") and base in names
        ours = f"{names[base]}_index" if is_index else names.get(name, name)
        if isinstance(item, h5py.Dataset) and ours not in left_out:
            view.add(f"{shown}/{ours}", item, f"{path}/{name}")


def show_stimulus(
    raw: RecordingFile, view: View, stimulus: StimulusTable, mapping: FileMapping, number: int
) -> None:
    """Show a table of intervals as the presentations of a stimulus.

    Parameters
    ----------
    raw, view : the file and what is seen of it.
    number : of the stimulus block, if nothing else says it.

    Raises
    ------
    InvalidContentError
        The file lacks what the mapping names, two tables would be one stimulus, or two images would have one
        name.
    """
    shown = f"{INTERVALS}/{stimulus.name}{SUFFIX}"
    if shown in view.skeleton:
        raise raw.invalid(
            f"/{stimulus.table} would be the stimulus {quoted(stimulus.name)}, which another table of the "
            "file is already. Give one of them another name in [[stimuli]]."
        )
    show_table(raw, view, stimulus.table, shown, stimulus.columns)
    table = Table(RecordingFile(raw.path, None, raw.file, raw.identity, view=view), shown)
    n_rows = len(table)
    names = _images(table, stimulus, mapping)
    if names is not None:
        view.write(f"{shown}/image_name", as_texts(names))
    if TRIALS not in view.skeleton and not table.has("is_change"):
        # Without a task, that an image differs from the last is no change that an animal could report.
        view.write(f"{shown}/is_change", np.full(n_rows, np.nan))
    if stimulus.is_own and (table.has("stimulus_block") or not mapping.stimuli):
        return
    blocks, active = np.full(n_rows, number), np.full(n_rows, stimulus.active)
    if mapping.epochs is not None:
        blocks, in_task = _of_epochs(raw, table, mapping.epochs)
        active |= in_task
    if stimulus.block is not None:
        blocks = np.full(n_rows, stimulus.block)
    if "stimulus_block" not in stimulus.columns:
        view.write(f"{shown}/stimulus_block", blocks)
    if not stimulus.is_own:
        view.write(f"{shown}/stimulus_name", as_texts([stimulus.name] * n_rows))
    if not (stimulus.is_own and table.has("active")):
        view.write(f"{shown}/active", active)


def require_own_blocks(raw: RecordingFile, view: View, stimuli: Sequence[StimulusTable]) -> None:
    """Refuse stimuli that share a block, by the mapping's numbers or by epochs.

    Raises
    ------
    InvalidContentError
        Two do; the message says which key gives one of them a block of its own.
    """
    known: dict[int, StimulusTable] = {}
    for stimulus in stimuli:
        column = view.skeleton.get(f"{INTERVALS}/{stimulus.name}{SUFFIX}/stimulus_block")
        if column is None or column.shape == ():  # the file's own
            continue
        for block in np.unique(column[:]).tolist():
            other = known.setdefault(block, stimulus)
            if other is not stimulus:
                raise raw.invalid(
                    f"the stimuli {quoted(other.name)} and {quoted(stimulus.name)} are both in block {block}"
                    ", and a block holds one stimulus. Shown in turns, each needs a block of its own: "
                    f"block = ... in the [[stimuli]] of /{stimulus.table}."
                )


def block_numbers(stimuli: Sequence[StimulusTable]) -> list[int]:
    """Return the blocks of stimuli if nothing else says them: their places, or later ones if taken."""
    taken = {each.block for each in stimuli}
    beyond = (number for number in itertools.count(len(stimuli)) if number not in taken)
    return [next(beyond) if place in taken else place for place in range(len(stimuli))]


def _images(table: Table, stimulus: StimulusTable, mapping: FileMapping) -> list[str | None] | None:
    """Return the name of what each presentation shows; None if it has none."""
    if stimulus.image is not None:
        return _filled(stimulus.image, table)
    if not table.has("image_name"):
        return None
    stored = table.texts("image_name", NAME_MISSING).tolist()
    names = [mapping.images.get(name, name) for name in stored]
    _require_told_apart(table, stored, names, "Give one of them another name in [images].")
    return names


def _require_told_apart(
    table: Table, stored: Sequence[Hashable], names: Sequence[str | None], advice: str
) -> None:
    """Refuse two images under one name: they would be averaged as one."""
    held: dict[str | None, Hashable] = {}
    for value, name in zip(stored, names, strict=True):
        if held.setdefault(name, value) != value:
            both = " and ".join(sorted(shortened(each) for each in (value, held[name])))
            raise table.recording.invalid(
                f"two images of /{table.path} would have one name, {quoted(name)}: {both}. {advice}"
            )


def _filled(template: str, table: Table) -> list[str | None]:
    """Return a text for each row, with the row's values in it."""
    parts = PLACE_HOLDER.split(template)  # text, name, text, name, ... text
    columns = [_words(table, part) if at % 2 else [part] * len(table) for at, part in enumerate(parts)]
    rows = list(zip(*columns, strict=True))
    names: list[str | None] = ["".join(row) for row in rows]
    _require_told_apart(table, rows, names, "Put a sign between the columns in image.")
    return names


def _words(table: Table, name: str) -> list[str]:
    """Return a column as words: texts as they are, numbers at full precision."""
    if not table.has(name):
        near = nearest(name, names_in(table.recording.group(table.path)))
        raise table.recording.invalid(f"/{table.path} has no column {quoted(name)}, which image names.{near}")
    values = table.values(name)
    if values.dtype.kind in "OSU":
        return [each or "none" for each in table.texts(name)]
    if values.dtype.kind in "iub":
        return [str(int(each)) for each in values]
    table.floats(name)  # refuses what is no number
    return [_number_word(each) for each in values]


def _number_word(value: np.floating[Any]) -> str:
    """Return the shortest text that is read as this number in its own precision; 45 for 45.0."""
    is_whole = abs(value) < LARGEST_EXACT and value == np.trunc(value)
    return str(int(value)) if is_whole else str(value)


def _of_epochs(raw: RecordingFile, table: Table, epochs: Epochs) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return block and activity of each presentation, by the last epoch that has begun and not ended."""
    require_column(raw, epochs.table, epochs.label, "the names of epochs")
    held = Table(raw, epochs.table)
    labels = held.texts(epochs.label)
    begins, ends, starts = held.times("start_time"), held.times("stop_time"), table.times("start_time")
    blocks, active = np.full(len(starts), -1), np.zeros(len(starts), dtype=np.bool_)
    for row in np.argsort(begins, kind="stable").tolist():
        inside = (starts >= begins[row]) & (starts < ends[row])
        if labels[row] in epochs.blocks:
            blocks[inside], active[inside] = epochs.blocks[labels[row]], labels[row] in epochs.active
    outside = np.flatnonzero(blocks < 0).tolist()
    if outside:
        raise raw.invalid(
            f"rows {first_of(outside)} of the stimulus in /{table.path} are in no epoch of [epochs.blocks]; "
            f"the epochs are {first_of(sorted(set(labels.tolist())))}."
        )
    return blocks, active


def as_texts(values: Collection[str | None]) -> NDArray[np.object_]:
    """Return texts as HDF5 stores them, empty for None."""
    return np.array([value or "" for value in values], dtype=h5py.string_dtype())
