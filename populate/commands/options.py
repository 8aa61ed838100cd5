"""Options that several commands have: each is spelt, read and explained in one way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from vbn.errors import SettingError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Return one decorator that adds several options, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


class AliasedOption(click.Option):
    """An option with other spellings, which are not shown in its help.

    Parameters
    ----------
    aliases : the other spellings, such as earlier ones, or those of AllenSDK.
    """

    def __init__(self, *names: Any, aliases: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.aliases = tuple(aliases)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser know all spellings."""
        shown, self.opts = self.opts, [*self.opts, *self.aliases]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


class Listed(click.ParamType):  # type: ignore[type-arg]
    """One value, or several with commas between.

    Parameters
    ----------
    of : type of each value.
    """

    def __init__(self, of: Any = str) -> None:
        self.of = click.types.convert_type(of)
        self.name = self.of.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Return the values; an empty one is refused, as it would stand for all."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(words):
            self.fail(f"'{value}' has an empty value.", param, ctx)
        return tuple(self.of.convert(word, param, ctx) for word in words)


def flattened(
    _ctx: click.Context, _param: click.Parameter, given: Sequence[Sequence[Any]]
) -> tuple[Any, ...]:
    """Return all values of an option, each once."""
    return tuple(dict.fromkeys(value for values in given for value in values))


def _only(ctx: click.Context, param: click.Parameter, given: Sequence[Sequence[Any]]) -> Any:
    """Return the one value of an option."""
    values = flattened(ctx, param, given)
    if len(values) > 1:
        raise click.BadParameter(f"takes one, not {len(values)}: {', '.join(map(str, values))}.", ctx, param)
    return values[0] if values else None


def listed_option(*names: str, help: str, of: Any = str, **more: Any) -> Decorator:  # noqa: A002 - as click
    """Return an option that may be repeated, and takes several values with commas between."""
    word = "ID" if of is int else "NAME"
    settings = {"metavar": f"{word}[,{word}...]", "cls": AliasedOption, **more}
    return click.option(
        *names,
        type=Listed(of),
        multiple=True,
        callback=flattened,
        help=f"{help}; may be repeated.",
        **settings,
    )


AREA = ("--area",)
"""AllenSDK's word for ``--structure``."""
SESSION_ALIASES = ("--sessions", "--session-id", "--ecephys-session-id")


def sessions_option(help: str = "Only this session", aliases: Sequence[str] = SESSION_ALIASES) -> Decorator:  # noqa: A002
    """Return the option ``--session`` of commands that take any number of them."""
    return listed_option("--session", "sessions", of=int, help=help, aliases=aliases)


def lists_option(help: str = "Only units or sessions in this named list") -> Decorator:  # noqa: A002
    """Return the option ``--list``."""
    return listed_option("--list", "lists", help=f"{help} (vbn lists)")


def one_session(help: str, *, required: bool = True) -> Decorator:  # noqa: A002 - as click
    """Return the option ``--session`` of commands that take one."""
    return click.option(
        "--session", "session_id", cls=AliasedOption, aliases=SESSION_ALIASES, type=Listed(int),
        multiple=True, required=required, callback=_only, metavar="ID", help=help,
    )  # fmt: skip


ONE_SESSION = one_session("The session's id.")
TABLES = listed_option("--table", "tables", help="Only this table", aliases=("--tables",))


def criteria_option(
    default: str | None, aliases: Sequence[str] = ("--filter", "--unit-criteria")
) -> Decorator:
    """Return the option that names a quality filter, with the default."""
    return click.option(
        "--criteria", cls=AliasedOption, aliases=aliases, default=default, show_default=default is not None,
        metavar="NAME", help="Quality filter of the units (vbn params list UnitCriteria).",
    )  # fmt: skip


WHERE = click.option(
    "--where",
    multiple=True,
    help="Condition on the attributes, such as \"snr > 1 AND quality = 'good'\"; may be repeated, all "
    "must be met.",
)
ROWS_WHERE = click.option(
    "--where",
    "rows_where",
    multiple=True,
    help='Condition on the columns of the answer, such as "hit AND latency_from_flash < 0.4"; may be '
    "repeated, all must be met.",
)


def json_option(help: str = "Print JSON.") -> Decorator:  # noqa: A002
    """Return the option by which a command prints JSON; see `populate.output.as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def rig_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how files of another rig are read."""
    return options(
        click.option(
            "--mapping",
            type=click.Path(path_type=Path),
            help="TOML file that says which names in files of another rig stand for ours.",
        ),
        click.option(
            "--metadata",
            type=click.Path(path_type=Path),
            help="CSV table of the lab's sessions, one row a file: mouse, genotype, experience level ...",
        ),
    )(function)


def use_freeze(name: str) -> None:
    """Let the command read a freeze in place of the present rows.

    Raises
    ------
    SettingError
        If it is to read a published folder, too, or the name is empty.
    """
    if not name.strip():
        raise SettingError("--freeze has no name. Name a freeze (vbn freeze list), or leave out --freeze.")
    if os.environ.get("VBN_PUBLISHED"):
        raise SettingError(
            "A freeze and a published folder cannot both be read: leave out --freeze or --published "
            "(VBN_FREEZE, VBN_PUBLISHED)."
        )
    os.environ["VBN_FREEZE"] = name


def takes_freeze(command: click.Command | None) -> click.Command | None:
    """Return a command that takes ``--freeze``, as `vbn` itself does before the name of a command."""
    if command is not None and all(each.name != "freeze" for each in command.params):
        command.params.append(
            click.Option(
                ["--freeze"],
                metavar="NAME",
                expose_value=False,
                callback=lambda _ctx, _param, value: None if value is None else use_freeze(value),
                help="Read this freeze in place of the present rows (vbn freeze).",
            )
        )
    return command


PROJECT = listed_option(
    "--project", help="Data set of the sessions: vbn-release, a rig of the lab, or all to join them"
)
LISTS_AND_LABELS = options(
    lists_option(),
    listed_option("--not-list", help="Only units or sessions that are not in this list"),
    listed_option("--label", help="Only what somebody has labelled so (vbn notes)"),
    listed_option("--not-label", help="Only what nobody has labelled so"),
)
PEOPLES = {
    "project": "project", "lists": "in_list", "not_list": "not_in_list", "label": "label",
    "not_label": "without_label",
}  # fmt: skip
"""Value of ``PROJECT`` and ``LISTS_AND_LABELS`` -> argument of `schemas.queries.units` and its like."""


def of_people(options: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return what a user gave of ``PROJECT`` and ``LISTS_AND_LABELS``, as arguments of queries."""
    return {argument: list(options[name]) for name, argument in PEOPLES.items() if options.get(name)}
