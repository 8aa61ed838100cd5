"""One spelling of each option, in all commands: the parsers are walked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from populate.cli import vbn_command
from populate.commands.options import AliasedOption, Listed

# Commands that do something, and say in text that they have done it, or print a format of their own.
ACTING = {
    "admin create-course", "admin create-space", "admin create-user", "admin drop-course", "admin drop-space",
    "admin drop-user", "admin hand-over-space", "admin init", "atlas add", "atlas fetch", "demo", "down",
    "export TABLE", "export nwb", "freeze drop", "list add", "list remove", "list rename", "metrics",
    "note add", "note remove", "params add", "release get", "roots remove", "roots set", "serve",
    "synthetic", "up", "worker",
}  # fmt: skip
OPTION = re.compile(r"^  (?:-\w, )?(--[\w-]+)", re.MULTILINE)


def walked(group: Any, context: click.Context, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walked(command, context, f"{path}{name} ")
        else:
            yield path + name, command


COMMANDS = dict(walked(vbn_command, click.Context(vbn_command)))
WITH_SESSION = {
    path: option
    for path, command in COMMANDS.items()
    for option in command.params
    if "--session" in option.opts
}


def read(command: click.Command, option: click.Parameter, *words: str) -> Any:
    """Return what a command gets of one option; what else it needs is left out."""
    alone = click.Command(command.name, params=[option], callback=lambda **values: values)
    (value,) = alone.main(list(words), standalone_mode=False).values()
    return value


def test_the_walk_finds_the_commands() -> None:
    assert len(COMMANDS) > 60
    assert len(WITH_SESSION) > 25
    assert COMMANDS.keys() >= ACTING


@pytest.mark.parametrize("path", WITH_SESSION)
def test_sessions_may_be_listed_and_repeated_wherever_there_is_the_option(path: str) -> None:
    command, option = COMMANDS[path], WITH_SESSION[path]
    for spelling in ("--session", "--sessions", "--ecephys-session-id"):
        words = (spelling, "1,2", "--session", "3, 2")
        if option.name == "session_id":  # one figure, one file
            assert read(command, option, spelling, "12") == 12
            with pytest.raises(click.BadParameter, match="takes one, not 3: 1, 2, 3"):
                read(command, option, *words)
        else:
            assert read(command, option, *words) == (1, 2, 3)
            assert read(command, option) == ()
    for empty in ("", "1,", ","):  # an unset variable of a script does not stand for all sessions
        with pytest.raises(click.BadParameter, match="empty value"):
            read(command, option, "--session", empty)
    with pytest.raises(click.BadParameter, match="'x' is not a valid integer"):
        read(command, option, "--session", "1,x")


def test_what_may_be_repeated_is_a_list_everywhere() -> None:
    """Except free text, in which a comma may stand, and pairs of names and values."""
    free = {"--where", "--genotype", "--set", "--across", "--max-memory", "--module", "--origin", "--backup"}
    single = {
        f"{path} {option.opts[0]}"
        for path, command in COMMANDS.items()
        for option in command.params
        if isinstance(option, click.Option) and option.multiple and not isinstance(option.type, Listed)
    }
    assert {each for each in single if each.rpartition(" ")[2] not in free} == {
        "release list --kind", "release info --kind", "release get --kind",  # two choices
    }  # fmt: skip


def test_the_quality_filter_has_one_name_and_the_earlier_ones_still_work() -> None:
    shown = {name for command in COMMANDS.values() for name in OPTION.findall(help_of(command))}
    assert "--criteria" in shown
    assert not shown & {"--filter", "--all-units", "--unit-criteria"}
    for path in ("plot hierarchy", "plot novelty", "plot probe", "plot change-response", "query units"):
        command = COMMANDS[path]
        option = next(each for each in command.params if "--criteria" in each.opts)
        for spelling in ("--criteria", "--filter", "--unit-criteria"):
            assert read(command, option, spelling, "good") == "good"


def help_of(command: click.Command) -> str:
    return command.get_help(click.Context(command))


def test_hidden_spellings_are_spellings_of_nothing_else() -> None:
    for path, command in COMMANDS.items():
        aliases = [
            name for each in command.params if isinstance(each, AliasedOption) for name in each.aliases
        ]
        others = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
        assert len({*aliases, *others}) == len(aliases) + len(others), path


def test_every_command_that_reports_prints_json() -> None:
    lacking = {
        path
        for path, command in COMMANDS.items()
        if not path.startswith("plot ") and not any("--json" in option.opts for option in command.params)
    }
    assert lacking == ACTING


@pytest.mark.parametrize("words", [("query", "units", "--json", "--format", "csv"), ("deploy", "--json")])
def test_json_beside_another_format_is_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match="--json"):
        vbn_command.main(list(words), standalone_mode=False)
