"""Restricting a query by user input: a misspelled name or value raises an error that suggests the nearest.

DataJoint ignores unknown keys of a dictionary, and a value that does not occur gives an empty result; both
look like valid results.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from schemas import ecephys, session
from schemas.bases.registry import part_classes, tables
from schemas.queries.words import hint, our_argument, our_name
from schemas.server import published
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import dj
from vbn.anatomy import structure_aliases
from vbn.errors import NotFoundError, SettingError, shortened
from vbn.nearest import nearest

Condition = str | Mapping[str, Any]
Given = ParamSpec("Given")
Result = TypeVar("Result")

TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*') | (?P<quoted>["`]) | (?P<end>;|--|/\*) | (?P<double>==)
      | (?P<name>[A-Za-z_]\w*) | (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?)
      | (?P<operator><=|>=|<>|!=|[=<>(),+\-*/%.]) | (?P<other>\S)""",
    re.VERBOSE,
)
KEYWORDS = {
    "and", "or", "not", "is", "null", "in", "like", "between", "true", "false", "escape", "case", "when",
    "then", "else", "end", "abs", "round", "floor", "ceiling", "lower", "upper", "length", "coalesce",
    "nullif", "greatest", "least", "sqrt", "ln", "log", "exp", "power", "mod", "sign", "date", "timestamp",
}  # fmt: skip
Token = tuple[str, str]
COMPARISONS = ("=", "<>", "!=", "<", ">", "<=", ">=")
STRUCTURE = "structure_acronym"


def knowing_arguments(query: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function take the field's words for its arguments, and name the nearest to an unknown one."""
    parameters = inspect.signature(query).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return query

    @functools.wraps(query)
    def checked(*arguments: Given.args, **named: Given.kwargs) -> Result:
        for word in [name for name in named if name not in parameters]:
            name = our_argument(word, parameters)
            if name is None:
                raise TypeError(f"{query.__name__}() takes no argument '{word}'.{hint(word, parameters)}")
            if name in named:
                raise TypeError(
                    f"{query.__name__}() takes '{name}' or '{word}', which mean the same, not both."
                )
            named[name] = named.pop(word)
        return query(*arguments, **named)

    return checked


@knowing_arguments
def restrict(query: Any, *conditions: Condition) -> Any:
    """Return the rows of a query that meet all conditions, after checking each.

    Parameters
    ----------
    query : query expression.
    conditions : SQL such as ``"snr > 1 AND structure_acronym = 'VISp'"``, or a mapping of attributes to
        the wanted value, or a list of the wanted values. In a mapping, None stands for NULL.

    Returns
    -------
    query expression

    Raises
    ------
    SettingError
        For a name that is not an attribute of the query, suggesting the nearest, and for SQL that the server
        does not understand.
    NotFoundError
        For a text, or a number of a key, that does not occur in the database, suggesting the nearest.

    Notes
    -----
    Text must be in single quotes. Flags may be compared with 0 and 1 on every server.
    """
    for condition in conditions:
        condition = in_our_words(condition, query.heading.names)
        if isinstance(condition, str):
            query = _restrict_by_sql(query, condition)
        else:
            for name, value in condition.items():
                query = _restrict_by_value(query, name, value)
    return query


def in_our_words(condition: Condition, known: Collection[str]) -> Condition:
    """Return a condition with the names here for the field's words in it; see `schemas.queries.words`."""
    if not isinstance(condition, str):
        ours = {word: our_name(word, known) or word for word in condition}
        if len(set(ours.values())) < len(ours):
            raise SettingError(f"Two of these mean the same: {', '.join(ours)}. Give each condition once.")
        return {ours[word]: value for word, value in condition.items()}
    tokens = [
        ((our_name(token, known) or token) if kind == "name" and token.lower() not in KEYWORDS else token)
        for kind, token in _tokens(condition)
    ]
    is_ours = tokens == [token for _, token in _tokens(condition)]
    return condition if is_ours else text_of_words(tokens)


def restrict_all(query: Any, conditions: Condition | Sequence[Condition]) -> Any:
    """Return the rows of a query that meet one condition, or all of several; see `restrict`."""
    return restrict(query, *([conditions] if isinstance(conditions, str | Mapping) else conditions))


def of_sessions(query: Any, sessions: Any) -> Any:
    """Return the rows of a query that belong to sessions.

    Parameters
    ----------
    query : query expression with the session's key.
    sessions : a session's id or several, a key, or a query with the session's key; True for all.
    """
    if sessions is True:
        return query
    if hasattr(sessions, "proj"):
        return query & sessions.proj()
    key = sessions if isinstance(sessions, Mapping) else {"session_id": sessions}
    if set(key) <= set(session.Session.primary_key):
        # Keys begin with the mouse: by the session alone MySQL would read the whole table.
        return query & restrict(session.Session.proj(), key)
    return restrict(query, key)


def names_in_condition(condition: Condition) -> set[str]:
    """Return the names of attributes in a condition, see `restrict`."""
    if not isinstance(condition, str):
        return set(condition)
    return {token for kind, token in _tokens(condition) if kind == "name" and token.lower() not in KEYWORDS}


def words_of_condition(condition: str) -> list[str]:
    """Return the tokens of an SQL condition, text in its quotes; see `restrict`."""
    return [token for _, token in _tokens(condition)]


def name_and_value(text: str, kind: str = "attribute") -> tuple[str, str]:
    """Return both sides of ``attribute=value``, or raise SettingError if the text has another form."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise SettingError(f"'{text}' is not {kind}=value.")
    return name, value


def require_attribute(query: Any, name: str) -> None:
    """Raise a SettingError that suggests the nearest names unless a query has an attribute."""
    known = list(query.heading.names)
    if name not in known:
        raise SettingError(f"There is no attribute '{name}' here.{hint(name, known)}")


def require_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Raise a SettingError that suggests the nearest choices unless a value is one of them."""
    if value not in known:
        raise SettingError(f"There is no {what} '{value}'.{nearest(value, known)}")


def require_structures(names: Sequence[str]) -> None:
    """Raise an error, with the nearest, for a structure that does not exist; nothing is asked for none."""
    if names:
        known = ecephys.Structure.to_arrays("structure_acronym").tolist()
        for name in names:
            require_choice("structure", name, known)


def _restrict_by_value(query: Any, name: str, value: Any) -> Any:
    require_attribute(query, name)
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    for each in values:
        if each is not None:
            _require_known(query, name, each)
    return query & [{name: each} for each in values]


def _restrict_by_sql(query: Any, condition: str) -> Any:
    tokens = named_tokens(condition, list(query.heading.names))
    require_balanced(condition, [token for kind, token in tokens if kind != "text"])
    require_like_kinds(tokens, {name: _kind_of(query, name) for name in query.heading.names})
    for name, comparison, text in compared_texts(tokens):
        if comparison == "LIKE":
            _require_alike(query, name, text)
        else:
            _require_known(query, name, text)
    restricted = query & f"({_with_flags(query, tokens)})"
    _require_understood(restricted, condition)
    return restricted


def named_tokens(condition: str, known: Sequence[str]) -> list[Token]:
    """Return the kinds and texts of the words of a condition, of which each name must be a known one.

    Raises
    ------
    SettingError
        For another name, suggesting the nearest, and what cannot be in a condition.
    """
    tokens = list(_tokens(condition))
    if not tokens:
        raise SettingError("A condition is empty.")
    for position, (kind, token) in enumerate(tokens):
        if kind == "name" and token.lower() not in KEYWORDS and token not in known:
            raise SettingError(f"There is no attribute '{token}' here.{_meant(tokens, position, known)}")
    return tokens


def _meant(tokens: Sequence[Token], position: int, known: Collection[str]) -> str:
    """Return a sentence, after a blank, about an unknown name: text without quotes, or the nearest name."""
    words = [token.upper() for _, token in tokens[:position]]
    brackets = [number for number, word in enumerate(words) if word == "("]
    in_list = brackets and ")" not in words[brackets[-1] :] and words[: brackets[-1]][-1:] == ["IN"]
    word = tokens[position][1]
    if in_list or words[-1:] in (["="], ["<>"], ["!="], ["LIKE"]):
        return f" If it is a text: '{word}', in single quotes."
    return hint(word, known)


def _tokens(condition: str) -> Iterator[Token]:
    """Yield the kind and the text of each word of a condition."""
    for match in TOKEN.finditer(condition):
        kind = match.lastgroup or "other"
        if kind == "double":
            raise SettingError(f"In the condition {condition} equal is a single =.")
        if kind == "quoted":
            raise SettingError(f"In the condition {condition} text must stand in single quotes ('...').")
        if kind == "text" and "\\" in match.group():
            # To MySQL it begins an escape: the text could end elsewhere than is thought here.
            raise SettingError(f"The condition {condition} cannot contain a backslash.")
        if kind in ("end", "other"):
            advice = ": conditions are joined by AND, OR and NOT." if match.group() in "&|~" else ""
            raise SettingError(f"The condition {condition} cannot contain {match.group()}{advice}")
        yield kind, match.group()


def require_balanced(condition: str, words: Sequence[str]) -> None:
    """Require that a condition stands in the brackets put around it: ``1) OR (1`` would void the others."""
    depths = list(itertools.accumulate((word == "(") - (word == ")") for word in words))
    if depths and (min(depths) < 0 or depths[-1]):
        raise SettingError(f"The brackets of the condition {condition} do not match.")


def compared_texts(tokens: Sequence[Token]) -> Iterator[tuple[str, str, str]]:
    """Yield attribute, comparison and text wherever an attribute is compared with text."""
    name, comparison = "", ""
    for position, (kind, token) in enumerate(tokens):
        word = token.upper()
        if kind == "name" and token.lower() not in KEYWORDS:
            name, comparison = token, ""
        elif token in ("=", "<>", "!=") or word in ("IN", "LIKE"):
            comparison = word
        elif kind == "text":
            following = tokens[position + 1 :]
            if name and comparison:
                yield name, comparison, token[1:-1].replace("''", "'")
            elif len(following) > 1 and following[0][1] in ("=", "<>", "!=") and following[1][0] == "name":
                yield following[1][1], "=", token[1:-1].replace("''", "'")
        elif token not in ("(", ",") and word != "NOT":
            name, comparison = "", ""


def require_like_kinds(tokens: Sequence[Token], kinds: Mapping[str, str]) -> None:
    """Require that numbers are compared with numbers, and text with text.

    Servers differ in what else means: to MySQL and SQLite `block = 'active'` holds for some number.

    Parameters
    ----------
    tokens : words of a condition.
    kinds : ``number`` or ``text`` for the columns of which it is known.

    Raises
    ------
    SettingError
        If a column is compared with what it cannot be equal to.
    """
    texts = [(name, text) for name, _, text in compared_texts(tokens)]
    for (of_first, first), (_, operator), (of_second, second) in zip(
        tokens, tokens[1:], tokens[2:], strict=False
    ):
        if operator not in COMPARISONS or "name" not in (of_first, of_second):
            continue
        name, kind, value = (first, of_second, second) if of_first == "name" else (second, of_first, first)
        if kind == "text":
            texts.append((name, value[1:-1]))
        elif kind == "number" and kinds.get(name) == "text":
            raise SettingError(f"{name} is text, and cannot be compared with the number {value}.")
    for name, text in texts:
        if kinds.get(name) == "number" and not _is_a_number(text):
            raise SettingError(
                f"{name} is a number, and cannot be compared with the text '{shortened(text)}'."
            )


def _is_a_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return math.isfinite(float(text))
    return False


def _kind_of(query: Any, name: str) -> str:
    """Return ``number`` or ``text``, empty for other kinds of attributes."""
    declared = str(
        query.heading.attributes[name].original_type or query.heading.attributes[name].type
    ).lower()
    if re.match(r"u?int|float|bool|smallint|bigint|tinyint|double|real|numeric|decimal", declared):
        return "number"
    return "text" if re.match(r"varchar|char|text|enum", declared) else ""


def _with_flags(query: Any, tokens: Sequence[Token]) -> str:
    """Return the condition with 0 and 1 as FALSE and TRUE where flags are compared with them."""
    words = [token for _, token in tokens]
    for position in range(2, len(words)):
        flag, comparison, value = words[position - 2 : position + 1]
        is_flag = tokens[position - 2][0] == "name" and _is_flag(query, flag)
        if is_flag and comparison in ("=", "<>", "!=") and value in ("0", "1"):
            words[position] = "TRUE" if value == "1" else "FALSE"
    return text_of_words(words)


def text_of_words(words: Iterable[str]) -> str:
    """Return the words of a condition as one text."""
    return " ".join(words).replace(" . ", ".")


def _is_flag(query: Any, name: str) -> bool:
    attribute = query.heading.attributes.get(name)
    return attribute is not None and attribute.original_type in ("bool", "boolean")


def _require_understood(query: Any, condition: str) -> None:
    """Let the server parse the query, without fetching any row.

    Of a published folder nothing is loaded for this: what is not loaded is refused after the text was
    understood.
    """
    try:
        query.connection.query(f"{query.make_sql()} LIMIT 0 /* checked */")
    except dj.errors.AccessError:
        if published.configured() is None:
            raise
    except (*DRIVER_ERRORS, dj.errors.DataJointError) as error:
        reason = shortened(str(error.args[-1] or error.args[0]).partition("\n")[0], 200)
        raise SettingError(f"The server does not understand the condition {condition}: {reason}") from error


def _require_known(query: Any, name: str, value: Any) -> None:
    """Raise a NotFoundError unless a text, or a number of a key, occurs as a value of the attribute."""
    if name not in query.heading.names:
        return  # the SQL compares with something else
    attribute = query.heading.attributes[name]
    if not (isinstance(value, str) or (attribute.in_key and not isinstance(value, float))):
        return
    table = _origin(query, name)
    members = _members(table, name)
    if value not in members if members else not table & {name: value}:
        raise NotFoundError(f"Nothing has {name} '{shortened(value)}'.{_suggestion(name, value, table)}")


def _require_alike(query: Any, name: str, pattern: str) -> None:
    table = _origin(query, name)
    quoted = pattern.replace("'", "''")
    if not _members(table, name) and not table & f"{name} LIKE '{quoted}'":
        known = _suggestion(name, pattern.strip("%_"), table)
        raise NotFoundError(f"Nothing has a {name} like '{shortened(pattern)}'.{known}")


def _suggestion(name: str, word: object, table: Any) -> str:
    """Return a sentence with the values that may be meant; of structures, those that were recorded from."""
    if name != STRUCTURE:
        return nearest(word, choices(name, table))
    if other := structure_aliases().get(str(word).lower()):
        return f" It is named {other} here."
    return nearest(word, choices(name, table), first=choices(name, ecephys.Recording.Channel()))


def _origin(query: Any, name: str) -> Any:
    """Return the table that an attribute's values come from: the first that has it, else the query."""
    of_tables = (table() for cls in tables() for table in (cls, *part_classes(cls)))
    return next((table for table in of_tables if name in table.heading.names), query)


def _members(table: Any, name: str) -> list[str]:
    """Return the members of an enum, an empty list for other types."""
    declared = str(table.heading.attributes[name].original_type)
    return re.findall(r"'([^']*)'", declared) if declared.startswith("enum(") else []


def choices(name: str, table: Any) -> list[Any]:
    """Return the values that an attribute has in a table, sorted; for an enum, all its members."""
    if members := _members(table, name):
        return members
    values = (dj.U(name) & table).to_arrays(name).tolist()
    return sorted((value for value in values if value is not None), key=str)
