"""Scalar values and columns, in any form in which a file may store them.

NWB requires scalars; MATLAB writes arrays of one element, space-padded text of fixed length, arrays of
character codes, or whole numbers as floats. The functions accept all of these but do not guess: anything else
raises a `ValueError`, which the readers turn into an `InvalidContentError` with the HDF5 path.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import quoted

MOST_CHARACTERS = 10_000
"""Longest text that may be stored as an array of character codes."""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1


def single(stored: Any) -> Any:
    """Return the value of a scalar, or of an array of one element with any number of dimensions.

    Parameters
    ----------
    stored : value of an attribute, or a data set, which is read only if it holds one value.

    Raises
    ------
    ValueError
        There is no value, or more than one.

    Examples
    --------
    >>> single(np.array([[3]])), single("text")
    (np.int64(3), 'text')
    """
    if stored is None or isinstance(stored, h5py.Empty) or getattr(stored, "shape", ()) is None:
        raise ValueError("one value is expected, and there is none")
    if (n_values := getattr(stored, "size", 1)) != 1:
        raise ValueError(f"one value is expected, and there are {n_values}")
    value = stored[()] if isinstance(stored, h5py.Dataset) else stored
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) else value


def text(stored: Any) -> str:
    """Return a text without padding spaces and zeros; a number as its digits.

    Raises
    ------
    ValueError
        It is not a single value, or neither text nor number.

    Examples
    --------
    >>> text(np.array([b"wt/wt   "])), text(np.float64(544358.0))
    ('wt/wt', '544358')
    """
    value = _joined(stored) if _is_matlab_text(stored) else single(stored)
    if isinstance(value, bool | np.bool_ | np.void | h5py.Reference) or not isinstance(
        value, bytes | str | int | float | np.number
    ):
        raise ValueError(f"text is expected, and it is {quoted(value)}")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return decoded(value if isinstance(value, bytes) else str(value)).rstrip("\0 ")


def texts(stored: Any) -> list[str]:
    """Return all texts of an attribute.

    Raises
    ------
    ValueError
        One of them is not text.

    Examples
    --------
    >>> texts(np.array([[b"a", b"b "]])), texts("a"), texts(h5py.Empty("f8"))
    (['a', 'b'], ['a'], [])
    """
    return [] if isinstance(stored, h5py.Empty) else [text(value) for value in np.ravel(stored)]


def decoded(value: bytes | str) -> str:
    r"""Decode text, escaping bytes that are not UTF-8, so that the rest of the file can be read.

    Parameters
    ----------
    value : text as returned by h5py, which represents such bytes as lone surrogates.

    Examples
    --------
    >>> decoded(b"Ren\xe9"), decoded("Ren\udce9"), decoded("Ren\u00e9".encode())
    ('Ren\\xe9', 'Ren\\xe9', 'René')
    """
    raw = value if isinstance(value, bytes) else _encoded(value)
    return raw.decode(errors="backslashreplace")


def _encoded(value: str) -> bytes:
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # other lone surrogates, possible in MATLAB's codes
        return value.encode(errors="backslashreplace")


def number(stored: Any) -> float:
    """Return a number, also from text.

    Raises
    ------
    ValueError
        It is not a single number.

    Examples
    --------
    >>> number(np.array([60.0])), number(b"60")
    (60.0, 60.0)
    """
    value = single(stored)
    if isinstance(value, np.number) and not isinstance(value, np.complexfloating):
        return float(value)
    digits = text(value)
    try:
        return float(digits)
    except ValueError:
        raise ValueError(f"a number is expected, and it is {quoted(digits)}") from None


def whole(stored: Any) -> int:
    """Return a 64-bit integer, also from a float or from text.

    Raises
    ------
    ValueError
        It is not a single whole number.

    Examples
    --------
    >>> whole(np.array([7.0])), whole("1053960987")
    (7, 1053960987)
    """
    digits = text(stored).strip()
    try:
        value = int(digits)
    except ValueError:
        as_float = number(stored)
        if not as_float.is_integer():
            raise ValueError(f"a whole number is expected, and it is {quoted(digits)}") from None
        value = int(as_float)
    if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise ValueError(f"a whole number of 64 bits is expected, and it is {quoted(digits)}")
    return value


def flag(stored: Any) -> bool:
    """Return a flag as bool, also from 0 or 1.

    Raises
    ------
    ValueError
        It is not a single flag.

    Examples
    --------
    >>> flag(np.array([1], np.uint8)), flag(False)
    (True, False)
    """
    value = single(stored)
    if not isinstance(value, bool | np.bool_ | int | float | np.number) or value not in (0, 1):
        raise ValueError(f"0 or 1 is expected, and it is {quoted(value)}")
    return bool(value)


def length_of(column: Any) -> int | None:
    """Return the number of rows of a column; None if it is not a column.

    A column of one row may be stored as a scalar, an empty one as a data set without a data space. MATLAB has
    no 1-D arrays, so all dimensions but one may be 1.
    """
    if column.shape is None:
        return 0
    longer = [length for length in column.shape if length != 1]
    return None if len(longer) > 1 else math.prod(longer)


def flat(column: Any) -> NDArray[Any]:
    """Read a column as one array, (n_rows,).

    Raises
    ------
    ValueError
        It has more than one dimension.
    """
    if length_of(column) is None:
        raise ValueError(f"one value a row is expected, and the shape is {column.shape}")
    return np.empty(0, column.dtype) if column.shape is None else np.reshape(column[()], -1)


def _is_matlab_text(stored: Any) -> bool:
    """Return whether a data set is text in MATLAB's format, an array of character codes."""
    is_codes = isinstance(stored, h5py.Dataset) and stored.dtype.kind == "u" and stored.size
    return bool(is_codes) and stored.attrs.get("MATLAB_class") in (b"char", "char")


def _joined(codes: h5py.Dataset) -> str:
    """Decode a text that MATLAB stored as an array of UTF-16 codes."""
    if codes.size > MOST_CHARACTERS:
        raise ValueError(f"text is expected, and there are {codes.size} character codes")
    raw: bytes = codes[()].astype("<u2").tobytes()
    return raw.decode("utf-16-le", errors="surrogatepass")
