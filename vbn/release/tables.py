"""Reading the release's CSV tables, with a check of each cell.

Spreadsheets and other programs change these tables when saving them: ids lose digits, dates their time zone,
lists their quotes. A cell is accepted if its value is unambiguous, and otherwise refused with file, line,
column and value. The functions from ``_id`` on define the accepted formats of each kind.
"""

from __future__ import annotations

import csv
import itertools
import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow
import pyarrow.csv

from vbn.errors import NotReadableError, quoted

ECEPHYS, BEHAVIOR = "ecephys_sessions.csv", "behavior_sessions.csv"
PROBES, CHANNELS, UNITS = "probes.csv", "channels.csv", "units.csv"

MISSING = frozenset(
    {"", "nan", "NaN", "NAN", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT"}
)
"""Texts that pandas reads as a missing value."""

ADVICE = "Correct the cell, or take the release's own table."
ROWS_AT_ONCE = 20_000
LONGEST_CELL = 2**20
N_EXAMPLES = 3

Reader = Callable[[str], Any]
"""Converts the text of a cell; raises ValueError, whose message, if any, is the reason."""


@dataclass(frozen=True)
class Kind:
    """Type of the cells of a column.

    Parameters
    ----------
    read : converts the text of a cell that is not empty.
    expected : description of a valid cell, for messages.
    dtype : type of the column in a data frame.
    """

    read: Reader
    expected: str
    dtype: str = "object"


@dataclass(frozen=True)
class ReleaseColumn:
    """A column of a table.

    Parameters
    ----------
    kind : type of its cells.
    is_needed : whether the table must have the column.
    is_filled : whether cells must not be empty.
    is_key : whether values must be unique.
    """

    kind: Kind
    is_needed: bool = False
    is_filled: bool = False
    is_key: bool = False

    def read(self, text: str) -> Any:
        """Return the value of a cell, None for an empty one; raise ValueError if it is invalid."""
        text = text.strip()
        if text in MISSING:
            if self.is_filled:
                raise ValueError("it is empty")
            return None
        return self.kind.read(text)


@dataclass(frozen=True)
class Refusal:
    """An invalid cell, or a row of the wrong length.

    Parameters
    ----------
    row : index among the non-empty rows.
    column : name of the column, empty for a whole row.
    text : text of the cell.
    problem : what is wrong, and what was expected.
    """

    row: int
    column: str
    text: str
    problem: str


@dataclass
class ReleaseTable:
    """Content of a table.

    Parameters
    ----------
    path : its file.
    cells : column -> values, None where a cell is empty or refused.
    columns : definitions of the columns.
    refused : refused cells, row by row.
    """

    path: Path
    cells: dict[str, list[Any]]
    columns: dict[str, ReleaseColumn]
    refused: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values()), []))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as dictionaries."""
        for row in zip(*self.cells.values(), strict=True):
            yield dict(zip(self.cells, row, strict=True))

    def frame(self) -> pd.DataFrame:
        """Return the table as a data frame, with nullable types."""
        return pd.DataFrame(
            {
                name: pd.Series(values, dtype=self.columns[name].kind.dtype)
                for name, values in self.cells.items()
            }
        )

    def problems(self) -> list[NotReadableError]:
        """Return the problems: one error per column, which names the first cells."""
        groups: dict[str, list[Refusal]] = {}
        for one in self.refused:
            groups.setdefault(one.column, []).append(one)
        return [self.problem(group) for group in groups.values()]

    def problem(self, refused: list[Refusal]) -> NotReadableError:
        """Return an error for some refused cells."""
        cells = [
            f"line {self._lines.get(one.row, '?')}{f', column {one.column}' if one.column else ''}: "
            f"{quoted(one.text)} {one.problem}"
            for one in refused[:N_EXAMPLES]
        ]
        more = f"; and {len(refused) - N_EXAMPLES} more" if len(refused) > N_EXAMPLES else ""
        return NotReadableError(self.path, "; ".join(cells) + more + ".", ADVICE)

    def checked(self) -> ReleaseTable:
        """Return the table; raise NotReadableError if a cell was refused."""
        for problem in self.problems():
            raise problem
        return self

    @cached_property
    def _lines(self) -> dict[int, int]:
        return _lines_of(self.path, {one.row for one in self.refused})


def read_table(
    path: Path,
    columns: Iterable[str] | None = None,
    name: str | None = None,
    known: dict[str, ReleaseColumn] | None = None,
) -> ReleaseTable:
    """Read one of the release's five tables, or another of the same kind.

    Parameters
    ----------
    path : the file.
    columns : columns to read, if the table has them; all by default.
    name : name of the table in the release, if the file has a different one.
    known : the columns of another table than the release's.

    Returns
    -------
    ReleaseTable
        Invalid cells are None and listed as refused. Empty rows, which spreadsheets add at the end, are
        skipped. Unknown columns are read as text.

    Raises
    ------
    NotReadableError
        The file is absent, is not comma-separated text, or lacks a column or has it twice.
    """
    known = COLUMNS[name or path.name] if known is None else known
    try:
        with _open(path) as file:
            rows = csv.reader(file, strict=True)
            header = _header(path, rows, known)
            chosen = set(header) if columns is None else {*columns}
            wanted = {one: known.get(one, ReleaseColumn(TEXT)) for one in header if one and one in chosen}
            return _read_plain(path, rows.line_num, header, wanted) or _read_rows(path, rows, header, wanted)
    except UnicodeDecodeError as error:
        raise NotReadableError(
            path, f"it is no table: {_not_utf8(path, error)}.", "Save it as CSV in UTF-8."
        ) from error
    except csv.Error as error:
        raise NotReadableError(
            path, f"it is no table: line {rows.line_num}: {error}.", "Look for a quote that is not closed."
        ) from error
    except OSError as error:
        raise NotReadableError(path, f"it is no table: {error.strerror}.", "Check the path.") from error


def _open(path: Path) -> IO[str]:
    """Open a table as text; refuse files that are recognised as something else."""
    csv.field_size_limit(LONGEST_CELL)
    if path.exists() and not path.is_file():
        raise NotReadableError(path, "it is no table, and no file.", "Check the path.")
    with path.open("rb") as file:
        start = file.read(8)
    kinds = {b"\x1f\x8b": "compressed", b"PK": "a spreadsheet or an archive", b"\xff\xfe": "UTF-16",
             b"\xfe\xff": "UTF-16", b"<": "a web page"}  # fmt: skip
    for mark, kind in kinds.items():
        if start.startswith(mark):
            raise NotReadableError(path, f"it is no table, but {kind}.", "Give CSV files in UTF-8.")
    return path.open(encoding="utf-8-sig", newline="")


def _not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """Describe where the text is not UTF-8; the error only has the position within a block of the file."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as found:
            return f"line {number} is not UTF-8 (byte 0x{line[found.start]:02X})"
    return str(error)


def _header(path: Path, rows: Iterator[list[str]], known: dict[str, ReleaseColumn]) -> list[str]:
    """Read the column names; refuse other separators, duplicate names, and other tables."""
    header = [name.strip() for name in next((row for row in rows if any(row)), [])]
    if not header:
        raise NotReadableError(path, "it is no table: it is empty.", "Take the release's own table.")
    if len(header) == 1 and (found := [mark for mark in (";", "\t", "|") if mark in header[0]]):
        raise NotReadableError(
            path,
            f"it is no table: its columns have {found[0]!r} between them, not ','.",
            "Save it anew with commas, and with points in numbers.",
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise NotReadableError(
            path, f"the columns {', '.join(twice)} are there twice.", "Remove one of each."
        )
    absent = [name for name, column in known.items() if column.is_needed and name not in header]
    if absent:
        raise NotReadableError(
            path, f"the columns {', '.join(absent)} are missing.", "Give a release of VBN."
        )
    return header


def _read_plain(
    path: Path, n_header: int, header: list[str], wanted: dict[str, ReleaseColumn]
) -> ReleaseTable | None:
    """Read a table without quotes and without invalid cells; None for any other table.

    The two large tables of the release are such tables. Arrow parses them fifteen times as fast as Python.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'"') >= 0:
            return None
    try:
        columns = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(skip_rows=n_header, column_names=[*map(str, range(len(header)))]),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={str(at): pyarrow.string() for at in range(len(header))},
                include_columns=[str(header.index(name)) for name in wanted],
                strings_can_be_null=False,
            ),
        )
    except pyarrow.ArrowInvalid:  # the other reader reports what is wrong
        return None
    table = ReleaseTable(path, {}, wanted)
    for (name, column), held in zip(wanted.items(), columns.itercolumns(), strict=True):
        encoded = held.combine_chunks().dictionary_encode()
        seen, texts = _Seen(column), encoded.dictionary.to_pylist()
        seen.convert(texts)
        if seen.problems:
            return None
        values = [seen.known[text] for text in texts]
        table.cells[name] = [values[index] for index in encoded.indices.to_numpy().tolist()]
    _refuse_repeated(table)
    return table


def _read_rows(
    path: Path, rows: Iterator[list[str]], header: list[str], wanted: dict[str, ReleaseColumn]
) -> ReleaseTable:
    """Read the rows in blocks; equal texts in a column are converted once."""
    table = ReleaseTable(path, {name: [] for name in wanted}, wanted)
    seen = {name: _Seen(column) for name, column in wanted.items()}
    positions = [header.index(name) for name in wanted]
    filled = (row for row in rows if any(map(str.strip, row)))
    while chunk := list(itertools.islice(filled, ROWS_AT_ONCE)):
        start = len(table)
        _refuse_lengths(table, chunk, header, start)
        for name, position in zip(wanted, positions, strict=True):
            texts = [row[position] for row in chunk]
            seen[name].convert(texts)
            table.cells[name] += map(seen[name].known.__getitem__, texts)
            if not seen[name].problems.keys().isdisjoint(texts):
                table.refused += list(seen[name].refusals(name, texts, start, table))
    _refuse_repeated(table)
    table.refused.sort(key=lambda one: one.row)
    return table


def _refuse_repeated(table: ReleaseTable) -> None:
    """Refuse all rows that share an id, because it is unknown which of them is right."""
    key = next(name for name, column in table.columns.items() if column.is_key)
    ids = table.cells[key]
    if len(set(ids)) == len(ids):
        return
    repeated = {one for one, number in Counter(ids).items() if number > 1 and one is not None}
    table.refused += [
        Refusal(row, key, str(one), "is the id of another row too")
        for row, one in enumerate(ids)
        if one in repeated
    ]


def _refuse_lengths(table: ReleaseTable, chunk: list[list[str]], header: list[str], start: int) -> None:
    """Refuse rows with more or fewer cells than columns, and replace them by empty rows."""
    n_columns = len(header)
    if set(map(len, chunk)) == {n_columns}:
        return
    for index, row in enumerate(chunk):
        if len(row) != n_columns:
            problem = f"is {len(row)} cells, where {n_columns} are expected (a text with commas needs quotes)"
            table.refused.append(Refusal(start + index, "", ",".join(row), problem))
            chunk[index] = [""] * n_columns


@dataclass
class _Seen:
    """The distinct texts of a column, with their values and problems."""

    column: ReleaseColumn
    known: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def convert(self, texts: Iterable[str]) -> None:
        for text in {text for text in texts if text not in self.known}:
            try:
                self.known[text] = self.column.read(text)
            except ValueError as error:
                self.known[text] = None
                reason = f"({error})" if error.args else ""
                self.problems[text] = f"{reason} where {self.column.kind.expected} is expected".strip()

    def refusals(self, name: str, texts: Iterable[str], start: int, table: ReleaseTable) -> Iterator[Refusal]:
        cut = {one.row for one in table.refused if not one.column}
        for at, text in enumerate(texts, start):
            if text in self.problems and at not in cut:
                yield Refusal(at, name, text, self.problems[text])


def _lines_of(path: Path, wanted: set[int]) -> dict[int, int]:
    """Return the line numbers of rows, as in an editor; a cell may span several lines."""
    lines: dict[int, int] = {}
    with _open(path) as file:
        rows = csv.reader(file, strict=True)
        next(row for row in rows if any(row))  # the header
        number, before = 0, rows.line_num
        for row in rows:
            if any(map(str.strip, row)):
                if number in wanted:
                    lines[number] = before + 1
                number += 1
            before = rows.line_num
    return lines


_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EXPONENT = re.compile(r"[+-]?[0-9.,]+[eE][+-]?[0-9]+")
_SEPARATED = re.compile(r"[0-9]{1,3}(?:[,.' _\u00a0\u2009\u202f][0-9]{3})+")
_MOUSE = re.compile(r"[A-Za-z0-9][\w.:-]{0,31}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_ITEM = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<bare>[^\s,'"\[\](){}]+)|(?P<other>\S)"""
)
_NAME = re.compile(r"[A-Za-z][\w/.-]*", re.ASCII)
_WORDS = ("true", "false", "yes", "no")
_YEARS = range(1900, 2200)
_FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def _whole(text: str, lowest: int, highest: int) -> int:
    """Read a whole number; ``1696.0`` is accepted, as pandas writes columns with empty cells like this."""
    match = _WHOLE.fullmatch(text)
    if match is None or len(match[1]) > 20:
        raise ValueError(*_why_no_number(text))
    number = int(match[1])
    if not lowest <= number <= highest:
        raise ValueError("out of range")
    return number


def _why_no_number(text: str) -> tuple[str, ...]:
    """Return how a spreadsheet has changed a number, if recognised."""
    if _EXPONENT.fullmatch(text):
        return ("in exponent form, digits may be lost",)
    return ("with marks between its digits",) if _SEPARATED.fullmatch(text) else ()


def _id(text: str) -> int:
    return _whole(text, 1, 2**63 - 1)


def _count(text: str) -> int:
    return _whole(text, 0, 2**31 - 1)


def _integer(text: str) -> int:
    return _whole(text, -(2**31), 2**31 - 1)


def _large_integer(text: str) -> int:
    return _whole(text, -(2**63), 2**63 - 1)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(*_why_no_number(text))
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return number


def _metric(text: str) -> float:
    """Read a unit metric, which may be infinite."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    return float(text) if text.removeprefix(sign).lower() in ("inf", "infinity") else _number(text)


def _phase(text: str) -> float | str:
    """Read the phase of a probe, a number in this release and a name in others."""
    return _number(text) if _NUMBER.fullmatch(text) else text


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[text.lower()]


def _time(text: str) -> str:
    """Read a date with time, and return it in the release's format; the default zone is the release's.

    Examples
    --------
    >>> _time("2020-11-19T15:18:01.044")
    '2020-11-19 15:18:01.044000+00:00'
    """
    if not _TIME.fullmatch(text):
        raise ValueError
    time = datetime.fromisoformat(text)  # ValueError for dates such as 30 February
    if time.year not in _YEARS:
        raise ValueError("out of range")
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat(" ")


def _mouse(text: str) -> str:
    """Read the id of a mouse: a number in the release, possibly a name in a lab."""
    if _WHOLE.fullmatch(text) and text[0] in "0123456789":
        text = text.partition(".")[0]
    elif _NUMBER.fullmatch(text) or _why_no_number(text):
        raise ValueError(*_why_no_number(text))
    if not _MOUSE.fullmatch(text):
        raise ValueError
    return text


def _text_of(longest: int) -> Reader:
    """Return a reader of texts of limited length."""

    def read(text: str) -> str:
        if len(text) > longest:
            raise ValueError(f"{len(text)} characters")
        if "\0" in text:
            raise ValueError("with the character 0")
        return text

    return read


def _items(text: str, item: Callable[[str, bool], Any]) -> list[Any]:
    """Read a list as printed by Python or numpy, or a single item without brackets.

    Parameters
    ----------
    text : text of the cell.
    item : converts the text of an item; its second argument is whether the text was in quotes.

    Notes
    -----
    Adjacent texts without a comma are separate items, although Python would concatenate them.
    """
    is_list = text.startswith("[") and text.endswith("]") and len(text) > 1
    inner = text[1:-1].strip() if is_list else text
    pieces = list(_pieces(inner)) if inner else []
    if not is_list and len(pieces) != 1:
        raise ValueError
    return [_known_item(one, is_quoted, item) for one, is_quoted in pieces]


def _known_item(text: str, is_quoted: bool, item: Callable[[str, bool], Any]) -> Any:
    if not is_quoted and text in MISSING:
        return None
    if text == "...":
        raise ValueError("a list that was cut short")
    return item(text, is_quoted)


def _pieces(inner: str) -> Iterator[tuple[str, bool]]:
    """Yield the items of a list, separated by commas or by spaces, and whether they are in quotes."""
    found = list(_ITEM.finditer(inner))
    if any(match["other"] == "," for match in found):
        kinds = "".join("," if match["other"] else "i" for match in found)
        is_list = re.fullmatch("i(,i)*,?", kinds) is not None
    else:
        is_list = all(inner[match.start() - 1].isspace() for match in found[1:])
    for match in found:
        if not is_list or match["other"] not in (None, ","):
            raise ValueError
        if match["quoted"]:
            yield re.sub(r"\\(.)", r"\1", match["quoted"][1:-1]), True
        elif match["bare"]:
            yield match["bare"], False


def _names(text: str) -> list[str | None]:
    """Read a list of structures; ``nan`` and ``None`` stand for channels without a structure.

    Examples
    --------
    >>> _names("['DG-mo', 'VISp', nan]"), _names("['VISp' 'LP']"), _names("[VISp, LP]"), _names("VISp")
    (['DG-mo', 'VISp', None], ['VISp', 'LP'], ['VISp', 'LP'], ['VISp'])
    """

    def name(item: str, is_quoted: bool) -> str:
        is_name = item.isprintable() if is_quoted else _NAME.fullmatch(item) and item.lower() not in _WORDS
        if len(item) > LONGEST_ACRONYM or not item.strip() or not is_name:
            raise ValueError
        return item

    return _items(text, name)


def _times(text: str) -> list[float | None]:
    """Read a list of times in seconds.

    Examples
    --------
    >>> _times("[212, 433]"), _times("[212. 433.5]"), _times("212")
    ([212, 433], [212, 433.5], [212])
    """

    def number(item: str, is_quoted: bool) -> float:
        if is_quoted:
            raise ValueError
        value = _number(item)
        return int(value) if value.is_integer() else value

    return _items(text, number)


def _flagged(read: Callable[[str], list[Any]]) -> Reader:
    """Return a reader of abnormality lists, for which an empty list is a missing value."""
    return lambda text: read(text) or None


LONGEST_ACRONYM = 32

ID = Kind(_id, "an id in digits alone, such as 1064644573,", "Int64")
COUNT = Kind(_count, "a whole number", "Int64")
INTEGER = Kind(_integer, "a whole number", "Int64")
LARGE_INTEGER = Kind(_large_integer, "a whole number", "Int64")
NUMBER = Kind(_number, "a number, such as 1250.5,", "float64")
METRIC = Kind(_metric, "a number, such as 1250.5,", "float64")
PHASE = Kind(_phase, "a number or name")
FLAG = Kind(_flag, "True or False", "boolean")
TIME = Kind(_time, "a date with time, such as 2020-11-19 15:18:01+00:00,")
MOUSE = Kind(_mouse, "the id of a mouse, such as 544456,")
TEXT = Kind(_text_of(2**16), "a text")
SHORT_TEXT = Kind(_text_of(32), "a text of at most 32 characters")
ACRONYM = Kind(_text_of(LONGEST_ACRONYM), f"an acronym of at most {LONGEST_ACRONYM} characters")
NAMES = Kind(_names, "a list of acronyms, such as ['VISp', 'LP'],")
ABNORMAL_PLACES = Kind(_flagged(_names), NAMES.expected)
ABNORMAL_TIMES = Kind(_flagged(_times), "a list of times in seconds, such as [212, 433],")

_KEY, _OWNER, _NEEDED = (
    ReleaseColumn(ID, True, True, True),
    ReleaseColumn(ID, True, True),
    ReleaseColumn(COUNT, True),
)
_SESSION = {
    "mouse_id": ReleaseColumn(MOUSE, True, True),
    "session_type": ReleaseColumn(TEXT, True, True),
    "session_number": _NEEDED,
    "date_of_acquisition": ReleaseColumn(TIME),
    "equipment_name": ReleaseColumn(TEXT),
    "genotype": ReleaseColumn(TEXT),
    "sex": ReleaseColumn(TEXT),
    "age_in_days": ReleaseColumn(COUNT),
    "image_set": ReleaseColumn(TEXT),
    "prior_exposures_to_session_type": ReleaseColumn(COUNT),
    "prior_exposures_to_image_set": ReleaseColumn(COUNT),
    "prior_exposures_to_omissions": ReleaseColumn(COUNT),
    "project_code": ReleaseColumn(TEXT),
    "file_id": ReleaseColumn(LARGE_INTEGER),
}
_HELD = {
    "unit_count": ReleaseColumn(COUNT),
    "channel_count": ReleaseColumn(COUNT),
    "structure_acronyms": ReleaseColumn(NAMES),
}
_PLACE = {
    "probe_vertical_position": ReleaseColumn(INTEGER),
    "probe_horizontal_position": ReleaseColumn(INTEGER),
    "anterior_posterior_ccf_coordinate": ReleaseColumn(NUMBER),
    "dorsal_ventral_ccf_coordinate": ReleaseColumn(NUMBER),
    "left_right_ccf_coordinate": ReleaseColumn(NUMBER),
    "structure_acronym": ReleaseColumn(ACRONYM),
    "valid_data": ReleaseColumn(FLAG),
}
_METRICS = (
    "amplitude", "amplitude_cutoff", "cumulative_drift", "d_prime", "firing_rate", "isi_violations",
    "isolation_distance", "l_ratio", "max_drift", "nn_hit_rate", "nn_miss_rate", "presence_ratio", "PT_ratio",
    "recovery_slope", "repolarization_slope", "silhouette_score", "snr", "spread", "velocity_above",
    "velocity_below", "waveform_duration",
)  # fmt: skip

COLUMNS: dict[str, dict[str, ReleaseColumn]] = {
    ECEPHYS: {
        "ecephys_session_id": _KEY,
        "behavior_session_id": _OWNER,
        **_SESSION,
        **_HELD,
        "probe_count": ReleaseColumn(COUNT),
        "experience_level": ReleaseColumn(SHORT_TEXT, True),
        "abnormal_histology": ReleaseColumn(ABNORMAL_PLACES),
        "abnormal_activity": ReleaseColumn(ABNORMAL_TIMES),
    },
    BEHAVIOR: {"behavior_session_id": _KEY, "ecephys_session_id": ReleaseColumn(ID), **_SESSION},
    PROBES: {
        "ecephys_probe_id": _KEY,
        "ecephys_session_id": _OWNER,
        **_HELD,
        "name": ReleaseColumn(SHORT_TEXT),
        "phase": ReleaseColumn(PHASE),
        "sampling_rate": ReleaseColumn(NUMBER),
        "lfp_sampling_rate": ReleaseColumn(NUMBER),
        "has_lfp_data": ReleaseColumn(FLAG),
        "file_id": ReleaseColumn(LARGE_INTEGER),
    },
    CHANNELS: {
        "ecephys_channel_id": _KEY,
        "ecephys_session_id": _OWNER,
        "ecephys_probe_id": ReleaseColumn(ID),
        "probe_channel_number": ReleaseColumn(INTEGER),
        **_PLACE,
        "unit_count": ReleaseColumn(COUNT),
    },
    UNITS: {
        "unit_id": _KEY,
        "ecephys_session_id": _OWNER,
        "ecephys_channel_id": ReleaseColumn(ID),
        "ecephys_probe_id": ReleaseColumn(ID),
        "structure_id": ReleaseColumn(LARGE_INTEGER),
        "waveform_halfwidth": ReleaseColumn(NUMBER),
        "local_index": ReleaseColumn(LARGE_INTEGER),
        "cluster_id": ReleaseColumn(LARGE_INTEGER),
        "quality": ReleaseColumn(TEXT),
        **_PLACE,
        **{name: ReleaseColumn(METRIC) for name in _METRICS},
    },
}
"""Table -> column name -> column."""
