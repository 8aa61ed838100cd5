"""Columns of HDF5 tables as arrays of a fixed type.

The format of the release's files changed over time: the same column may be stored as bool, integer or float,
and a missing value as NaN, -99, ``'N/A'``, ``''`` or not at all. The functions here convert all of these but
do not guess: anything else raises a `ValueError`, which `Table` turns into an `InvalidContentError` with the
column's HDF5 path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.errors import quoted, shortened
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.scalars import decoded, flat, length_of

T = TypeVar("T")

MOST_ROWS = 1_000_000
"""Limit for a table of units, channels, trials or presentations; real sessions have at most 15,000 rows."""

LARGEST_INTEGER = 2**63 - 1
LARGEST_WHOLE = float(2**63 - 1024)
"""The largest float that fits into a 64-bit integer."""

LONGEST_SESSION_S = 86_400.0
"""Times must be within this distance of the session clock's zero; real recordings last 3 hours.

Without this limit, a single damaged value could cause huge computations, such as binning from the first time
to the last.
"""

INTEGER_MISSING = -99
"""What AllenSDK writes for a missing integer (``INT_NULL``)."""

LONGEST_REASON = 200
"""Longest quote of another library's message, in characters."""

TEXT_MISSING = ("", "N/A")
"""What AllenSDK, or older writers, store for missing text."""

NAME_MISSING = (*TEXT_MISSING, "None", "nan", "NaN")
"""The same, and missing values that Python converted to text."""


def texts(values: NDArray[Any], missing: Collection[str] = ()) -> NDArray[np.object_]:
    """Decode a column of text.

    Parameters
    ----------
    values : (n,), bytes or text.
    missing : texts that stand for a missing value.

    Returns
    -------
    (n,) object
        str, None where missing.

    Raises
    ------
    ValueError
        The column contains something other than text.
    """
    padding = "\0 " if values.dtype.kind == "S" else ""  # of text of fixed length
    # Columns repeat a few names: each is decoded once.
    known = {value: _text(value).rstrip(padding) for value in set(values.tolist())}
    empty = {value for value, text in known.items() if text in missing}
    found = np.empty(len(values), dtype=object)
    found[:] = [None if value in empty else known[value] for value in values.tolist()]
    return found


def floats(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as float64; text that stands for a missing value becomes NaN.

    Raises
    ------
    ValueError
        A text is not a number, or the column holds something else, such as complex numbers.
    """
    if _is_text(values):
        return np.array([np.nan if text is None else _number(text) for text in texts(values, TEXT_MISSING)])
    if values.dtype.kind not in "fiub":
        raise ValueError(f"real numbers are expected, and the values are of type {values.dtype}")
    return values.astype(np.float64, copy=False)


def times(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column of times or durations as float64; values beyond `LONGEST_SESSION_S` become infinite.

    Infinite numbers are reported as issues, and stored as missing.

    Parameters
    ----------
    values : (n,), s.

    Raises
    ------
    ValueError
        A text is not a number.
    """
    found = floats(values)
    is_beyond = np.abs(found) > LONGEST_SESSION_S
    return np.where(is_beyond, np.copysign(np.inf, found), found) if is_beyond.any() else found


def integers(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return a column as int64.

    Raises
    ------
    ValueError
        A value is missing or not a whole number.
    """
    if values.dtype.kind in "iub":
        if values.dtype == np.uint64 and (values > LARGEST_INTEGER).any():
            raise ValueError(f"whole numbers are expected, and a row holds {values.max()}, more than 64 bits")
        return values.astype(np.int64)
    numbers = floats(values)
    whole = (np.abs(numbers) <= LARGEST_WHOLE) & (np.trunc(numbers) == numbers)
    if not whole.all():
        position = int(np.argmin(whole))
        raise ValueError(f"whole numbers are expected, and row {position} holds {numbers[position]}")
    return numbers.astype(np.int64)


def nullable_integers(values: NDArray[Any]) -> pd.Series[Any]:
    """Return a column as Int64, with -99 and NaN as missing.

    Raises
    ------
    ValueError
        A value is not a whole number.
    """
    stored = values if values.dtype.kind in "iu" else floats(values)
    missing = np.isnan(stored) | (stored == INTEGER_MISSING)
    return pd.Series(pd.arrays.IntegerArray(integers(np.where(missing, 0, stored)), missing))


def nullable_booleans(values: NDArray[Any]) -> pd.Series[Any]:
    """Return a column of bool, or of 0, 1 and NaN, as nullable boolean.

    Raises
    ------
    ValueError
        A number is neither 0 nor 1.
    """
    numbers = floats(values)
    missing = np.isnan(numbers)
    invalid = ~(missing | (numbers == 0) | (numbers == 1))
    if invalid.any():
        position = int(np.argmax(invalid))
        raise ValueError(f"0 and 1 are expected, and row {position} holds {numbers[position]}")
    return pd.Series(pd.arrays.BooleanArray(numbers == 1, missing))


def booleans(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a column of bool, or of 0 and 1, as bool.

    Raises
    ------
    ValueError
        A value is missing or neither 0 nor 1.
    """
    if values.dtype == np.bool_:
        return values
    flags = nullable_booleans(values)
    if flags.isna().any():
        raise ValueError(f"0 and 1 are expected, and {int(flags.isna().sum())} rows hold no value")
    return flags.to_numpy(dtype=np.bool_)


def plain_where_complete(values: pd.Series[Any]) -> NDArray[Any] | pd.Series[Any]:
    """Return a column of a nullable type as int64 or bool, unless a value is missing."""
    if values.isna().any():
        return values
    return values.to_numpy(dtype=np.bool_ if values.dtype == "boolean" else np.int64)


def bounds_of(ends: NDArray[np.int64], n_values: int) -> NDArray[np.int64] | None:
    """Return where each row of a ragged column begins and ends.

    Parameters
    ----------
    ends : (n_rows,), the index column.
    n_values : length of the column itself.

    Returns
    -------
    (n_rows + 1,) int64 or None
        The values of row k are ``[bounds[k], bounds[k + 1])``. None if the ends do not ascend to `n_values`.

    Examples
    --------
    >>> bounds_of(np.array([2, 2, 5]), 5).tolist()
    [0, 2, 2, 5]
    >>> bounds_of(np.array([2**63 - 1, -2, 5]), 5) is None
    True
    """
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), ends])
    # Compared rather than subtracted: differences of very large numbers may overflow.
    ascends = (bounds[1:] >= bounds[:-1]).all() and bounds[-1] == n_values
    return bounds if ascends else None


def frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a data frame whose text columns are of type object in every version of pandas."""
    return pd.DataFrame({name: _as_series(values) for name, values in columns.items()})


@dataclass(frozen=True)
class Table:
    """A group of columns of equal length, read one column at a time.

    Parameters
    ----------
    recording : the open file.
    path : HDF5 path of the group.
    length_column : the column that gives the number of rows.
    """

    recording: RecordingFile
    path: str
    length_column: str = "id"

    def __post_init__(self) -> None:
        self.recording.group(self.path)
        if self.length_column == "id" and self.recording.has(f"{self.path}/id") and len(self) > MOST_ROWS:
            raise self.recording.invalid(
                f"/{self.path} claims {len(self):,} rows, and at most {MOST_ROWS:,} are allowed."
            )

    def __len__(self) -> int:
        return self._n_rows

    @cached_property
    def _n_rows(self) -> int:
        return self.recording.length(f"{self.path}/{self.length_column}")

    def has(self, name: str) -> bool:
        """Return whether the table has a column."""
        return self.recording.has(f"{self.path}/{name}")

    def values(self, name: str) -> NDArray[Any]:
        """Read a required column as stored, (n_rows,); an empty table may lack it."""
        if not len(self) and not self.has(name):
            return np.empty(0)
        column = self.recording.dataset(f"{self.path}/{name}")
        if length_of(column) != len(self):
            raise self.recording.invalid(
                f"/{self.path}/{name} has shape {column.shape}, and the table has {len(self)} rows."
            )
        return flat(column)

    def bounds(self, name: str, n_values: int, what: str) -> NDArray[np.int64]:
        """Read a required index column, and return the bounds of its rows; see `bounds_of`."""
        return self.require_bounds(name, self.integers(name), n_values, what)

    def require_bounds(
        self, name: str, ends: NDArray[np.int64], n_values: int, what: str
    ) -> NDArray[np.int64]:
        """Return the bounds of the rows of a ragged column, or raise an error for an invalid index."""
        bounds = bounds_of(ends, n_values)
        if bounds is None:
            last = ends[-1] if len(ends) else 0
            raise self.recording.invalid(
                f"/{self.path}/{name} must ascend to the number of {what}, {n_values}, and ends at {last}."
            )
        return bounds

    def column(self, name: str, convert: Callable[[NDArray[Any]], T]) -> T:
        """Read a required column and convert it with a function of this module."""
        return self.converted(name, self.values(name), convert)

    def converted(self, name: str, values: NDArray[Any], convert: Callable[[NDArray[Any]], T]) -> T:
        """Convert values of a column; an error names the column."""
        try:
            return convert(values)
        except (ValueError, TypeError) as error:
            raise self.recording.invalid(
                f"/{self.path}/{name}: {shortened(error, LONGEST_REASON)}."
            ) from error

    def texts(self, name: str, missing: Collection[str] = ()) -> NDArray[np.object_]:
        """Read a required column of text; None where the text is one of `missing`."""
        return self.column(name, lambda values: texts(values, missing))

    def floats(self, name: str) -> NDArray[np.float64]:
        """Read a required column of numbers."""
        return self.column(name, floats)

    def floats_or_nan(self, name: str) -> NDArray[np.float64]:
        """Read a column of numbers; all NaN if the file lacks it."""
        return self.floats(name) if self.has(name) else np.full(len(self), np.nan)

    def times(self, name: str) -> NDArray[np.float64]:
        """Read a required column of times or durations, s."""
        return self.column(name, times)

    def times_or_nan(self, name: str) -> NDArray[np.float64]:
        """Read a column of times or durations; all NaN if the file lacks it."""
        return self.times(name) if self.has(name) else np.full(len(self), np.nan)

    def texts_or_missing(self, name: str, missing: Collection[str] = ()) -> NDArray[np.object_]:
        """Read a column of text; all None if the file lacks it."""
        return self.texts(name, missing) if self.has(name) else np.full(len(self), None, dtype=object)

    def integers_or_missing(self, name: str) -> pd.Series[Any]:
        """Read a column of whole numbers as Int64; all NA if the file lacks it."""
        if self.has(name):
            return self.column(name, nullable_integers)
        return pd.Series(pd.array([pd.NA] * len(self), dtype="Int64"))

    def booleans_or_missing(self, name: str) -> pd.Series[Any]:
        """Read a column of flags as nullable boolean; all NA if the file lacks it."""
        if self.has(name):
            return self.column(name, nullable_booleans)
        return pd.Series(pd.array([pd.NA] * len(self), dtype="boolean"))

    def integers(self, name: str) -> NDArray[np.int64]:
        """Read a required column of whole numbers."""
        return self.column(name, integers)

    def booleans(self, name: str) -> NDArray[np.bool_]:
        """Read a required column of flags."""
        return self.column(name, booleans)

    def identifiers(self, name: str = "id") -> NDArray[np.int64]:
        """Read a required column of unique whole numbers."""
        found = self.integers(name)
        unique, counts = np.unique(found, return_counts=True)
        if (counts > 1).any():
            raise self.recording.invalid(
                f"/{self.path}/{name}: {int((counts > 1).sum())} ids occur more than once, "
                f"the first is {unique[counts > 1][0]}."
            )
        return found


def _is_text(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "OSU"


def _number(text: str) -> float:
    """Convert a number stored as text."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"numbers are expected, and a row holds {quoted(text)}") from None


def _text(value: Any) -> str:
    """Decode one value."""
    if isinstance(value, bytes | str):
        return decoded(value)
    raise ValueError(f"text is expected, and a row holds {quoted(value)}")


def _as_series(values: Any) -> Any:
    """Keep pandas from turning an array of str and None into its own text type."""
    if isinstance(values, np.ndarray) and values.dtype == object:
        return pd.Series(values, dtype=object)
    return values
