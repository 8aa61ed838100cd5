"""Matrices with coordinates in netCDF and Zarr files that come back equal.

Neither format has text that is missing, flags that are missing, pandas' own types, or attributes that are
flags, None or a dictionary: xarray writes an empty text for a missing one, and refuses the others. They are
written as what the formats have, with an attribute ``vbn_types`` (JSON) that says how to read them back.
Other programs read the same file, without what is missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vbn.errors import NotReadableError, SettingError
from vbn.interop.optional import require_library
from vbn.whole_files import whole_file, whole_folder

if TYPE_CHECKING:
    import xarray as xr

TYPES = "vbn_types"
NO_FLAG = -1
"""Stands for a flag that is missing."""
LIBRARIES = {".nc": "h5netcdf", ".zarr": "zarr"}


def save_matrix(matrix: xr.DataArray, path: str | Path) -> None:
    """Write a matrix with its coordinates and attributes to a netCDF or Zarr file.

    Parameters
    ----------
    matrix : as `psth_matrix` and the like return, or computed from it.
    path : ends in ``.nc``, netCDF 4, which replaces an existing file, or in ``.zarr``, a new folder.

    Raises
    ------
    SettingError
        If the path has another suffix, the folder exists, the library is not installed or too old, or a
        coordinate has values that are neither numbers, flags nor text.
    """
    path = Path(path)
    _library(path)
    stored = storable(matrix)
    if path.suffix == ".nc":
        with whole_file(path) as part:
            stored.to_netcdf(part, engine="h5netcdf")
    else:
        with whole_folder(path) as part:
            stored.to_zarr(part, consolidated=False)


def open_matrix(path: str | Path) -> xr.DataArray:
    """Read a matrix that `save_matrix` has written.

    Parameters
    ----------
    path : the file or folder.

    Returns
    -------
    The matrix, in memory: values, coordinates with their types, and attributes are those that were saved.

    Raises
    ------
    NotReadableError
        If there is no such file.
    SettingError
        If the library is not installed or too old.
    """
    import xarray as xr  # takes half a second

    path = Path(path)
    options: dict[str, Any] = {} if _library(path) == "h5netcdf" else {"consolidated": False}
    if not path.exists():
        raise NotReadableError(path, "there is no such file")
    with xr.open_dataarray(path, engine=LIBRARIES[path.suffix], **options) as stored:
        return restored(stored.load())


def storable(matrix: xr.DataArray) -> xr.DataArray:
    """Return a matrix that xarray can write without loss.

    Raises
    ------
    SettingError
        If a coordinate has values that are neither numbers, flags nor text.
    """
    types: dict[str, Any] = {}
    coords = {}
    for name, coord in matrix.coords.items():
        if isinstance(coord.dtype, np.dtype) and coord.dtype.kind in "biufM":
            continue  # as it is
        one_by_one, dtype = _one_by_one(coord)
        values, how = _encoded(str(name), one_by_one)
        types[str(name)] = {"dtype": dtype, **how}
        coords[name] = (coord.dims, values.reshape(coord.shape), coord.attrs)
    described: dict[str, Any] = {"coords": types}
    attrs = matrix.attrs
    if not all(
        isinstance(value, str | int | float) and not isinstance(value, bool) for value in attrs.values()
    ):
        described["attrs"], attrs = attrs, {}
    text = json.dumps(described, default=lambda value: value.tolist())
    return _with_attrs(matrix.assign_coords(coords), {**attrs, TYPES: text})


def restored(stored: xr.DataArray) -> xr.DataArray:
    """Return the matrix of which `storable` has made this one; others are returned as they are."""
    attrs = dict(stored.attrs)
    if TYPES not in attrs:
        return stored
    described = json.loads(attrs.pop(TYPES))
    coords = {
        name: (stored[name].dims, _decoded(stored[name].values, how), stored[name].attrs)
        for name, how in described["coords"].items()
    }
    return _with_attrs(stored.assign_coords(coords), described.get("attrs", attrs))


def _with_attrs(matrix: xr.DataArray, attrs: dict[Any, Any]) -> xr.DataArray:
    """Return a matrix with these attributes alone, and without the encoding of a file."""
    matrix = matrix.copy(deep=False).drop_encoding()
    matrix.attrs = dict(attrs)
    return matrix


def _library(path: Path) -> str:
    if path.suffix not in LIBRARIES:
        raise SettingError(f"'{path}' must end in {' or '.join(LIBRARIES)}.")
    require_library(LIBRARIES[path.suffix])
    return LIBRARIES[path.suffix]


def _one_by_one(coord: xr.DataArray) -> tuple[pd.Series[Any], str]:
    """Return the values of a coordinate and the name of its type; single values have none of pandas'."""
    if coord.ndim == 0:
        return pd.Series([coord.item()], dtype=object), "object"
    if isinstance(coord.data, np.ndarray):
        return pd.Series(coord.data.ravel(), dtype=object), "U" if coord.dtype.kind == "U" else str(
            coord.dtype
        )
    return pd.Series(coord.data), str(coord.dtype)


def _encoded(name: str, values: pd.Series[Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return values that the formats have, and how to read them back."""
    known = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        how = {"categories": values.cat.categories.tolist(), "ordered": bool(values.cat.ordered)}
        return values.cat.codes.to_numpy(), how
    if pd.api.types.is_integer_dtype(values.dtype):
        return _filled(values, np.int64, np.iinfo(np.int64).min)
    if pd.api.types.is_bool_dtype(values.dtype) or (
        len(known) and all(isinstance(value, bool) for value in known)
    ):
        return _filled(values.astype(object), np.int8, NO_FLAG)
    if all(isinstance(value, str) for value in known):
        fill = ""
        while (known == fill).any():
            fill += "missing"
        return _filled(values.astype(object), object, fill)
    kinds = sorted({type(value).__name__ for value in known})
    raise SettingError(
        f"Coordinate '{name}' has values of type {', '.join(kinds)}, which no file can hold. Drop it."
    )


def _filled(values: pd.Series[Any], kind: Any, fill: Any) -> tuple[np.ndarray, dict[str, Any]]:
    filled = [fill if pd.isna(value) else value for value in values]
    return np.array(filled, dtype=kind), {"fill": fill}


def _decoded(values: np.ndarray, how: dict[str, Any]) -> Any:
    if "categories" in how:
        return pd.Categorical.from_codes(values.astype(int), how["categories"], ordered=how["ordered"])
    if how["dtype"] == "U":
        return np.array(values.tolist(), dtype=str)
    plain = bool if how["fill"] == NO_FLAG else type(how["fill"])
    known = [None if value == how["fill"] else plain(value) for value in values.ravel()]
    if how["dtype"] == "object":
        return np.array([*known, None], dtype=object)[:-1].reshape(values.shape)
    return pd.array(known, dtype=how["dtype"])
