"""Compression that HDF5 cannot undo by itself: which filters a file needs and this machine lacks.

HDF5 has deflate, shuffle, Fletcher32 and mostly SZIP in itself; all others are plugins. HDF5's own error
names a folder of plugins and not the filter, so the filter is looked for here when a file cannot be read.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import h5py
from h5py import h5z

from vbn.errors import NotReadableError, shortened
from vbn.nwb.hdf5.walk import walk

FILTERS = {
    1: "deflate (gzip)",
    4: "SZIP",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstd",
    32017: "SZ",
    32018: "FCIDECOMP",
    32020: "VBZ",
    32024: "SZ3",
    32026: "Blosc2",
    32028: "SPERR",
}
"""Numbers that The HDF Group gave to filters, of those that NWB files are met with."""

ADVICE = (
    "In the environment of vbn, on each machine with workers: pip install hdf5plugin (it is used by itself). "
    "For a filter that is not in it, name the folder of the filter's plugin in HDF5_PLUGIN_PATH."
)


@cache
def use_installed_plugins() -> None:
    """Give HDF5 the filters of ``hdf5plugin``, if that is installed: they work once it was imported."""
    if importlib.util.find_spec("hdf5plugin") is not None:
        importlib.import_module("hdf5plugin")


def missing_filters(file: h5py.File) -> dict[str, list[str]]:
    """Find the filters that are needed to read a file, and that are not there.

    Parameters
    ----------
    file : an open HDF5 file.

    Returns
    -------
    dict
        Name of the filter with its number -> HDF5 paths of the data sets that were written with it.
    """
    found: dict[str, list[str]] = {}
    for name, item in walk(file):
        if isinstance(item, h5py.Dataset) and item.chunks is not None:
            for needed in _missing_of(item):
                found.setdefault(needed, []).append(f"/{name}")
    return found


def explain_missing(path: Path | str, file: h5py.File) -> NotReadableError | None:
    """Say which filters a file needs that are not there; None if it lacks none.

    Parameters
    ----------
    path : where the file is, for the message.
    file : the same, open.
    """
    missing = missing_filters(file)
    if not missing:
        return None
    words = [f"{name} for {_first_of(places)}" for name, places in sorted(missing.items())]
    return NotReadableError(
        path, f"it is compressed with an HDF5 filter that is not installed: {'; '.join(words)}.", ADVICE
    )


def _missing_of(dataset: h5py.Dataset) -> list[str]:
    """Name the filters of a data set that its first chunk needs and that are not there."""
    if not dataset.id.get_num_chunks():
        return []
    pipeline, skipped = dataset.id.get_create_plist(), dataset.id.get_chunk_info(0).filter_mask
    filters = [pipeline.get_filter(place) for place in range(pipeline.get_nfilters())]
    return [
        _name(number, stored)
        for place, (number, _, _, stored) in enumerate(filters)
        if not skipped & (1 << place) and not _is_there(number)
    ]


def _is_there(number: int) -> bool:
    """Tell whether a filter can undo what it did; HDF5 looks for its plugin."""
    return bool(h5z.filter_avail(number)) and bool(
        h5z.get_filter_info(number) & h5z.FILTER_CONFIG_DECODE_ENABLED
    )


def _name(number: int, stored: bytes) -> str:
    name = FILTERS.get(number) or shortened(stored.decode(errors="backslashreplace"), 40)
    return f"{name} ({number})" if name else f"filter {number}"


def _first_of(places: list[str]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return shortened(places[0], 150) + more
