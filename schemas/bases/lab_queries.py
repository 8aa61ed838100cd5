"""Queries of the lab's own, in modules of its own: what each asks for, and the values that it takes.

`schemas.queries.lab_query` makes them, `schemas.deploy.lab_modules` finds their modules, and ``vbn query``
and the page offer them beside this package's.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbn.errors import NotFoundError, SettingError, shortened
from vbn.nearest import nearest

KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
FLAGS = {"true": True, "1": True, "false": False, "0": False}
MEANING = re.compile(r"^\s*(\w+) : (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One argument of a query.

    Attributes
    ----------
    kind : type of its values: str, int, float or bool.
    several : whether it takes several values, as a list.
    default : its default; `inspect.Parameter.empty` where a value is needed.
    choices : the values that it may have; empty for any.
    meaning : what it is.
    """

    name: str
    kind: type
    several: bool
    default: Any
    choices: tuple[str, ...]
    meaning: str

    @property
    def is_required(self) -> bool:
        """Whether a value is needed."""
        return self.default is inspect.Parameter.empty

    def value(self, text: str) -> Any:
        """Return a value from text.

        Raises
        ------
        SettingError
            If it is of another type, or no choice.
        """
        try:
            value = FLAGS[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError) as error:
            raise SettingError(
                f"'{self.name}' is {self.described_kind}, not '{shortened(text, 60)}'."
            ) from error
        self.require(value)
        return value

    @property
    def described_kind(self) -> str:
        """What a value is, in words."""
        return KINDS[self.kind]

    def require(self, value: Any) -> None:
        """Raise NotFoundError unless a value, or each of several, is one of the choices."""
        for each in value if isinstance(value, list | tuple) else [value]:
            if self.choices and each is not None and each not in self.choices:
                raise NotFoundError(
                    f"'{self.name}' has no value '{shortened(str(each))}'.{nearest(each, self.choices)}"
                )


@dataclass(frozen=True)
class LabQuery:
    """A query of the lab.

    Attributes
    ----------
    function : what answers it with a query expression or a data frame, its arguments checked.
    module : name of the module that defines it.
    parameters : its arguments by name.
    columns : columns that a table shows by default; empty for all.
    """

    name: str
    function: Callable[..., Any]
    module: str
    parameters: Mapping[str, Parameter]
    columns: tuple[str, ...]

    @property
    def help(self) -> str:
        """Its docstring up to the parameters; each has a help of its own."""
        return re.split(r"\n\s*Parameters\n\s*-+", inspect.getdoc(self.function) or "")[0].strip()

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return self.help.partition("\n")[0]


TAKEN_NAMES = frozenset(
    ("changes", "columns", "connectivity", "contrast", "decoding", "encoding", "flash_behavior", "flashes",
     "full_field_flashes", "gabors", "novelty", "omissions", "pairs", "psth", "responses", "sessions",
     "spikes", "strategy", "trial_decoding", "trials", "units")
)  # fmt: skip
"""Queries of this package, by the names of their commands."""
TAKEN_ARGUMENTS = frozenset(
    ("as_json", "columns", "format", "help", "json", "kind", "limit", "module", "no", "out", "query", "sort",
     "where")
)  # fmt: skip
"""What the command and the page call options of their own."""
SPELT_ALIKE = (
    {"session", "sessions", "session_id", "ecephys_session_id"},
    {"mouse", "mouse_id"},
    {"experience", "experience_level"},
    {"structure", "area"},
)
"""Arguments of which a query has one at most, since they are one option."""

_known: dict[str, LabQuery] = {}


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the arguments of a function as parameters of a query.

    Raises
    ------
    SettingError
        For an argument without a name or type that a command and a form can offer.
    """
    hints = typing.get_type_hints(function)
    meanings = dict(MEANING.findall(inspect.getdoc(function) or ""))
    found = {}
    for name, argument in inspect.signature(function).parameters.items():
        if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL, argument.POSITIONAL_ONLY):
            raise SettingError(f"The query {function.__name__} takes '{name}' without a name.")
        if name in TAKEN_ARGUMENTS:
            raise SettingError(
                f"The query {function.__name__} cannot have an argument '{name}': options of commands and of "
                "the page have that name."
            )
        kind, several, choices = _type_of(hints.get(name), f"{function.__name__}({name}=...)")
        found[name] = Parameter(name, kind, several, argument.default, choices, meanings.get(name, ""))
    for alike in SPELT_ALIKE:
        if len(both := sorted(alike & found.keys())) > 1:
            raise SettingError(
                f"The query {function.__name__} has {' and '.join(both)}, which are one option."
            )
    return found


def _type_of(hint: Any, where: str) -> tuple[type, bool, tuple[str, ...]]:
    """Return type, whether there are several, and choices of an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [_type_of(each, where) for each in arguments if each is not types.NoneType]
        of_one = {(kind, choices) for kind, _, choices in kinds}
        if len(of_one) == 1:  # such as str | Sequence[str] | None
            ((kind, choices),) = of_one
            return kind, any(several for _, several, _ in kinds), choices
    elif origin is typing.Literal and all(isinstance(each, str) for each in arguments):
        return str, False, arguments
    elif inspect.isclass(origin) and issubclass(origin, Sequence) and arguments:
        kind, several, choices = _type_of(arguments[0], where)
        if not several:
            return kind, True, choices
    elif hint in KINDS:
        return hint, False, ()
    raise SettingError(
        f"{where} needs a type that a command can offer: str, int, float, bool, Literal[...] of texts, a "
        "Sequence of these, each also with | None."
    )


def register_query(query: LabQuery) -> None:
    """Add a query, in place of an earlier one of its name in the module: a notebook runs cells again.

    Raises
    ------
    SettingError
        If another module has a query of the name.
    """
    other = _known.get(query.name)
    if other and other.module != query.module:
        raise SettingError(
            f"The query {query.name} of {query.module} has the name of one of {other.module}. Rename it."
        )
    _known[query.name] = query


def forget_queries(names: Collection[str]) -> None:
    """Remove queries."""
    for name in names:
        _known.pop(name, None)


def lab_queries() -> dict[str, LabQuery]:
    """Return the lab's queries by name, of the modules that were imported."""
    return dict(sorted(_known.items()))


def of_module(name: str) -> list[str]:
    """Return the names of the queries of a module, or of the modules of a package."""
    return [each.name for each in _known.values() if f"{each.module}.".startswith(f"{name}.")]
