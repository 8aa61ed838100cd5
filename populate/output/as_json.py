"""JSON of all commands: exact values, one way to write each.

A command with ``--json`` prints one document, a list with an object per row or one object; those that work
through files print an object per line. Numbers have all their digits, times are ISO 8601, and what is missing
is null, as are NaN and infinity, which JSON lacks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from typing import Any

import click
import numpy as np
import pandas as pd


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Return a value as JSON, in ASCII.

    Parameters
    ----------
    value : frames, mappings, sequences, dataclasses, arrays, numbers, times and text, within each other.
    indent : blanks per level; None for one line.
    """
    # DEL is the one character that JSON leaves alone and a terminal would not.
    return json.dumps(plain_value(value), indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON; see `json_text`."""
    click.echo(json_text(value, indent=indent))


def plain_value(value: Any) -> Any:
    """Return what JSON has for a value; see `json_text`."""
    if isinstance(value, pd.DataFrame):
        return [plain_value(row) for row in value.to_dict("records")]
    if is_dataclass(value) and not isinstance(value, type):
        return plain_value(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain_value(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain_value(list(pd.DatetimeIndex(value)) if value.dtype.kind == "M" else value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(each) for each in value]
    return _plain_scalar(value.item() if isinstance(value, np.generic) else value)


def _plain_scalar(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):  # sums of whole numbers on MySQL
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, str | int):
        return value
    if isinstance(value, bytes | memoryview):
        raise TypeError("JSON has no bytes")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
