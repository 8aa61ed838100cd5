"""Making and asking queries of the lab's own, with the checks of this package's."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from schemas.bases.lab_queries import TAKEN_NAMES, LabQuery, parameters_of, register_query
from schemas.queries.checks import Condition, knowing_arguments, restrict
from schemas.rows.fetch import fetch_frame
from vbn.errors import SettingError

Given = ParamSpec("Given")
Result = TypeVar("Result")


def lab_query(*, columns: str = "") -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Register a function as a query: ``vbn query NAME``, completion and page offer it.

    Parameters
    ----------
    columns : names of the columns that a table shows by default, with blanks between; all by default.

    Returns
    -------
    decorator
        Of a function that answers with a query expression or a data frame. The first line of its docstring
        says what one row is; its arguments are named, with types (str, int, float, bool, ``Literal``, a
        sequence of them, each also ``| None``), and explained as ``name : meaning``.

    Raises
    ------
    SettingError
        If the function has no docstring, or name or arguments cannot be those of a query.

    Notes
    -----
    Arguments are checked as those of `units` are: an unknown one, and a value that is no choice, is an error
    that names the nearest. Values that go into `units`, `sessions` or `restrict` are checked there; never put
    a text into SQL yourself.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        name = function.__name__
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise SettingError(
                f"'{name}' cannot be the name of a query: use lower-case letters, digits and _."
            )
        if name in TAKEN_NAMES:
            raise SettingError(f"The query {name} of {function.__module__} has the name of vbn query {name}.")
        if not (function.__doc__ or "").strip():
            raise SettingError(
                f"The query {name} of {function.__module__} needs a docstring: what is one row?"
            )
        parameters = parameters_of(function)
        known = knowing_arguments(function)

        @functools.wraps(function)
        def checked(*arguments: Given.args, **named: Given.kwargs) -> Result:
            for argument, value in named.items():
                if argument in parameters:
                    parameters[argument].require(value)
            return known(*arguments, **named)

        register_query(LabQuery(name, checked, function.__module__, parameters, tuple(columns.split())))
        return checked

    return decorate


def lab_frame(query: LabQuery, given: Mapping[str, Any], where: Sequence[Condition] = ()) -> pd.DataFrame:
    """Return the rows of a query of the lab.

    Parameters
    ----------
    query : one of `lab_queries`.
    given : values of its parameters.
    where : conditions on its columns, see `restrict`; all must be met.

    Raises
    ------
    SettingError
        If it answers with neither a query nor a data frame, or there are conditions on a data frame.
    """
    found = query.function(**given)
    if isinstance(found, pd.DataFrame):
        if where:
            raise SettingError(f"The query {query.name} answers with a data frame: it takes no conditions.")
        return found
    if not hasattr(found, "heading"):
        raise SettingError(
            f"The query {query.name} of {query.module} answers with {type(found).__name__}: it must return a "
            "query or a pandas.DataFrame."
        )
    return fetch_frame(restrict(found, *where), nullable_integers=True)
