"""One value, or one column, however a file holds it.

NWB asks for a scalar; MATLAB writes an array of one element, text of fixed length filled up with spaces, an
array of character codes, or a whole number as a float. All of these mean the same value. None of the
functions guesses: what is not one such value is a `ValueError`, which the readers turn into an
`InvalidContentError` with the HDF5 path.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import quoted

MOST_CHARACTERS = 10_000
"""Of a text that is stored as an array of character codes."""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1


def single(stored: Any) -> Any:
    """Give the value of a scalar, or of an array of one element of any number of dimensions.

    Parameters
    ----------
    stored : an attribute's value, or a data set, which is read only if it holds one value.

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
    """Give a text, without the spaces and zeros that fill it up; a number as its digits.

    Raises
    ------
    ValueError
        It is not one value, or neither text nor number.

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
    """Give the texts of an attribute that holds any number of them.

    Raises
    ------
    ValueError
        One of them is no text.

    Examples
    --------
    >>> texts(np.array([[b"a", b"b "]])), texts("a"), texts(h5py.Empty("f8"))
    (['a', 'b'], ['a'], [])
    """
    return [] if isinstance(stored, h5py.Empty) else [text(value) for value in np.ravel(stored)]


def decoded(value: bytes | str) -> str:
    r"""Decode text; bytes that are not UTF-8 are written out, so that the rest of the file can be read.

    Parameters
    ----------
    value : as h5py gives it, which hands over such bytes as halves of characters.

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
    except UnicodeEncodeError:  # halves of other characters, as MATLAB's codes may be
        return value.encode(errors="backslashreplace")


def number(stored: Any) -> float:
    """Give a number, also from text.

    Raises
    ------
    ValueError
        It is not one number.

    Examples
    --------
    >>> number(np.array([60.0])), number(b"60")
    (60.0, 60.0)
    """
    value = single(stored)
    if isinstance(value, np.number) and not isinstance(value, np.complexfloating):
        return float(value)
    words = text(value)
    try:
        return float(words)
    except ValueError:
        raise ValueError(f"a number is expected, and it is {quoted(words)}") from None


def whole(stored: Any) -> int:
    """Give a whole number of 64 bits, also from a float or from text.

    Raises
    ------
    ValueError
        It is not one whole number.

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
    """Give True or False for a flag, or for 0 or 1.

    Raises
    ------
    ValueError
        It is not one flag.

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
    """Give the number of rows of a column; None for what is no column.

    A column of one row may be stored as a scalar, one of no rows as a data set without content, and MATLAB
    has no arrays of one dimension: all dimensions but one are 1.
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
    """Tell whether a data set is text in MATLAB's own way, an array of character codes."""
    is_codes = isinstance(stored, h5py.Dataset) and stored.dtype.kind == "u" and stored.size
    return bool(is_codes) and stored.attrs.get("MATLAB_class") in (b"char", "char")


def _joined(codes: h5py.Dataset) -> str:
    """Put a text together that MATLAB stored as an array of UTF-16 codes."""
    if codes.size > MOST_CHARACTERS:
        raise ValueError(f"text is expected, and there are {codes.size} character codes")
    raw: bytes = codes[()].astype("<u2").tobytes()
    return raw.decode("utf-16-le", errors="surrogatepass")
