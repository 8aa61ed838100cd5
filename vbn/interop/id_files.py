"""Reading the ids of units or sessions from a file that a person or another tool has written."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vbn.errors import InvalidContentError, NotReadableError, shortened

HEADINGS = {
    **dict.fromkeys(("unit_id", "ecephys_unit_id"), "units"),
    **dict.fromkeys(("session_id", "ecephys_session_id"), "sessions"),
}
"""Heading of a column -> what its ids are those of; units come first."""
LARGEST = 256 * 2**20
PARQUET = b"PAR1"
WHOLE = re.compile(r"\d+(\.0*)?")
ROUNDED = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+")
SEPARATORS = ",;\t"


@dataclass(frozen=True)
class IdFile:
    """The ids in a file, in its order.

    Attributes
    ----------
    kind : ``units`` or ``sessions`` by the heading of the column; None without such a heading.
    """

    ids: list[int]
    kind: str | None


def read_id_file(path: Path) -> IdFile:
    """Return the ids in a file.

    Parameters
    ----------
    path : Parquet, or text: a table with commas, semicolons or tabs and a heading ``unit_id`` (else
        ``session_id``), or ids alone, with a heading of any name or none. A byte order mark, empty lines and
        lines that begin with ``#`` are passed over.

    Raises
    ------
    NotReadableError
        If it cannot be read, or is larger than 256 MB.
    InvalidContentError
        If it is no text, has no ids, or something else among them, with the line.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise NotReadableError(
                path, f"it has {size / 1e6:,.0f} MB, too much for ids.", "Save these alone."
            )
        content = path.read_bytes()
    except OSError as error:
        raise NotReadableError(path, f"it cannot be read: {error.strerror}.") from error
    return ids_in(content, path)


LONGEST_ID = 40
"""Characters; those of any id are half as many, and Python does not convert thousands of digits."""


def ids_in(content: bytes, path: Path | str) -> IdFile:
    """Return the ids in the content of a file, whose name is for the messages; see `read_id_file`."""
    found = _of_parquet(content, path) if content.startswith(PARQUET) else _of_text(content, path)
    if not found.ids:
        raise InvalidContentError(path, "it has no ids.", "Write one a line, or a column unit_id.")
    return found


def _of_text(content: bytes, path: Path | str) -> IdFile:
    lines = [
        (number, line.strip())
        for number, line in enumerate(_decoded(content, path).splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        return IdFile([], None)
    heading = lines[0][1]
    separator = next((each for each in SEPARATORS if each in heading), None)
    names = [_plain(name) for name in (heading.split(separator) if separator else [heading])]
    column, kind = _column(names)
    if column is not None:
        return IdFile(list(_in_column(lines[1:], separator or ",", column, path)), kind)
    if any(re.search("[A-Za-z]", name) and not ROUNDED.fullmatch(name) for name in names):
        if len(names) > 1:
            raise InvalidContentError(
                path,
                f"none of its columns is unit_id or session_id: {shortened(', '.join(names), 200)}.",
                "Name the column so.",
            )
        lines = lines[1:]  # a heading that says nothing
    words = ((number, word) for number, line in lines for word in re.split(r"[\s,;]+", line) if word)
    return IdFile([_number(_plain(word), number, path) for number, word in words], None)


def _column(names: list[str]) -> tuple[int | None, str | None]:
    """Return which column has the ids, and what they are those of."""
    lower = [name.lower() for name in names]
    return next(((lower.index(word), kind) for word, kind in HEADINGS.items() if word in lower), (None, None))


def _in_column(lines: list[tuple[int, str]], separator: str, column: int, path: Path | str) -> Iterator[int]:
    try:
        rows = csv.reader((line for _, line in lines), delimiter=separator)
        for (number, _), row in zip(lines, rows, strict=False):
            if column >= len(row) or not row[column].strip():
                raise InvalidContentError(path, f"line {number} has no id.", "Remove the line, or add it.")
            yield _number(row[column].strip(), number, path)
    except csv.Error as error:
        raise InvalidContentError(path, f"it is no table: {error}.", "Save the ids alone.") from error


def _number(word: str, line: int, path: Path | str) -> int:
    if WHOLE.fullmatch(word) and len(word) <= LONGEST_ID:
        return int(word.partition(".")[0])
    if ROUNDED.fullmatch(word):
        raise InvalidContentError(
            path,
            f"line {line} has '{shortened(word)}', an id that a spreadsheet has rounded.",
            "Show the column there as a number without decimals, and save it again.",
        )
    raise InvalidContentError(path, f"line {line} has '{shortened(word)}', which is no id.", "Remove it.")


def _plain(word: str) -> str:
    return word.strip().strip("\"'").strip()


def _decoded(content: bytes, path: Path | str) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
        if "\0" in text:
            raise ValueError
    except ValueError as error:
        raise InvalidContentError(
            path, "it is neither text nor Parquet.", "Save the ids as CSV, or one a line."
        ) from error
    return text


def _of_parquet(content: bytes, path: Path | str) -> IdFile:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        column, kind = _column(file.schema_arrow.names)
        if column is None:
            raise InvalidContentError(path, "it has no column unit_id or session_id.", "Name it so.")
        values = file.read([file.schema_arrow.names[column]]).column(0).cast(pa.int64()).to_pylist()
    except pa.ArrowException as error:
        raise InvalidContentError(
            path, f"it is no Parquet file with ids: {shortened(error, 200)}.", "Save it again."
        ) from error
    if None in values:
        raise InvalidContentError(path, f"row {values.index(None) + 1} has no id.", "Remove the row.")
    return IdFile(values, kind)
