"""HDF5 filters (compression) that a file needs and this machine lacks.

HDF5 has built-in filters for deflate, shuffle, Fletcher32 and usually SZIP; all others are plugins. HDF5's
own error message names the plugin folder but not the filter, so this module identifies the filter when a file
cannot be read.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import h5py
from h5py import h5z

from vbn.errors import AbsentFilterError, shortened
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
"""Filter numbers registered with The HDF Group, for filters found in NWB files."""

ADVICE = (
    "In the environment of vbn, on each machine with workers: pip install hdf5plugin (it is used by itself). "
    "For a filter that is not in it, name the folder of the filter's plugin in HDF5_PLUGIN_PATH."
)


@cache
def use_installed_plugins() -> None:
    """Import ``hdf5plugin`` if it is installed, which registers its filters with HDF5."""
    if importlib.util.find_spec("hdf5plugin") is not None:
        importlib.import_module("hdf5plugin")


def missing_filters(file: h5py.File) -> dict[str, list[str]]:
    """Find the filters that are needed to read a file but not available.

    Parameters
    ----------
    file : an open HDF5 file.

    Returns
    -------
    dict
        Name and number of the filter -> HDF5 paths of the data sets that use it.
    """
    found: dict[str, list[str]] = {}
    for name, item in walk(file):
        if isinstance(item, h5py.Dataset) and item.chunks is not None:
            for needed in _missing_of(item):
                found.setdefault(needed, []).append(f"/{name}")
    return found


def explain_missing(path: Path | str, file: h5py.File) -> AbsentFilterError | None:
    """Return an error that names the missing filters; None if there are none.

    Parameters
    ----------
    path : path or URL of the file, for the message.
    file : the open file.
    """
    missing = missing_filters(file)
    if not missing:
        return None
    parts = [f"{name} for {_first_of(paths)}" for name, paths in sorted(missing.items())]
    return AbsentFilterError(
        path, f"it is compressed with an HDF5 filter that is not installed: {'; '.join(parts)}.", ADVICE
    )


def _missing_of(dataset: h5py.Dataset) -> list[str]:
    """Return the filters that a data set's first chunk needs but that are not available."""
    if not dataset.id.get_num_chunks():
        return []
    pipeline, skipped = dataset.id.get_create_plist(), dataset.id.get_chunk_info(0).filter_mask
    filters = [pipeline.get_filter(index) for index in range(pipeline.get_nfilters())]
    return [
        _name(number, stored)
        for index, (number, _, _, stored) in enumerate(filters)
        if not skipped & (1 << index) and not _can_decode(number)
    ]


def _can_decode(number: int) -> bool:
    """Return whether a filter is available for decoding; HDF5 looks for its plugin."""
    return bool(h5z.filter_avail(number)) and bool(
        h5z.get_filter_info(number) & h5z.FILTER_CONFIG_DECODE_ENABLED
    )


def _name(number: int, stored: bytes) -> str:
    name = FILTERS.get(number) or shortened(stored.decode(errors="backslashreplace"), 40)
    return f"{name} ({number})" if name else f"filter {number}"


def _first_of(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return shortened(paths[0], 150) + more
