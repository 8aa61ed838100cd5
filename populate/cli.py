"""The command ``vbn``. Each subcommand is a module of ``populate.commands``.

Nothing heavy is imported before a command runs, so that ``vbn --help`` is instant.

Exit codes: 0 success; 1 something failed and was reported; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import atexit
import errno
import gc
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

import vbn
from populate.commands.options import use_freeze
from populate.commands.whole_sentences import sentence_of
from populate.output.terminal import visible_output
from vbn.errors import SettingError, VbnError, lacks_memory, shown_url
from vbn.nearest import nearest

GROUPS = {
    "Start: get data in, and compute": (
        "demo", "release", "catalogue", "inspect", "register", "adopt", "populate", "status", "errors",
        "retry", "issues", "atlas", "synthetic",
    ),
    "Ask": ("sessions", "project", "query", "explain", "params", "optotagging"),
    "Keep: lists and notes of your own": ("lists", "list", "notes", "note"),
    "Look": ("plot", "serve"),
    "Share: hand results on, and say what they are worth": (
        "export", "publish", "freeze", "checksum", "control", "calibrate",
    ),
    "Administer": (
        "admin", "deploy", "worker", "doctor", "metrics", "up", "down", "roots", "relocate", "verify",
        "stale", "recompute", "delete", "deletions", "gc", "backup", "restore",
    ),
}  # fmt: skip
NEED_A_DATABASE = frozenset(
    ("admin", "adopt", "atlas", "backup", "catalogue", "delete", "deletions", "demo", "deploy", "doctor",
     "errors", "freeze", "gc", "metrics", "note", "populate", "recompute", "register",
     "relocate", "restore", "retry", "roots", "verify", "worker")
)  # fmt: skip
"""Commands that write, or look after a database: not on a published folder, which can only be read."""
COMMANDS = tuple(sorted(name for names in GROUPS.values() for name in names))


class _Commands(click.Group):
    """Finds a subcommand in its own module."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"populate.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in groups, in the order in which they are needed, each with a whole sentence."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self._sentence(ctx, name)) for name in names])

    def _sentence(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else sentence_of(command)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vbn.__version__, prog_name="vbn")
@click.option("--prefix", envvar="VBN_PREFIX", help="Beginning of the schemas' names.  [default: vbn_]")
@click.option(
    "--published",
    envvar="VBN_PUBLISHED",
    metavar="DIR|URL",
    help="Read a folder of vbn publish in place of a database, also from a web server.",
)
@click.option(
    "--freeze",
    envvar="VBN_FREEZE",
    metavar="NAME",
    help="Read a freeze in place of the present rows (vbn freeze).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of any failure, and DataJoint's log.")
@click.pass_context
def vbn_command(
    ctx: click.Context, prefix: str | None, published: str | None, freeze: str | None, debug: bool
) -> None:
    """Visual Behavior Neuropixels in a relational database.

    The database is the one that DataJoint's settings name (DJ_HOST ... or datajoint.json);
    without them an embedded PostgreSQL in VBN_HOME starts by itself.
    """
    if prefix is not None:
        os.environ["VBN_PREFIX"] = prefix
    if published is not None:
        if not published.strip():
            raise SettingError("--published has no folder. Name one that vbn publish has written.")
        os.environ["VBN_PUBLISHED"] = published
        if ctx.invoked_subcommand in NEED_A_DATABASE:
            raise SettingError(
                f"{shown_url(published)} is a published folder, which can only be read: there is nothing to "
                f"{ctx.invoked_subcommand}. Leave out --published, or unset VBN_PUBLISHED; vbn adopt enters "
                "its rows into a database of your own."
            )
    if freeze is not None:
        _use_freeze(freeze, str(ctx.invoked_subcommand))
    logging.basicConfig(format="vbn: %(message)s", level=logging.INFO if debug else logging.WARNING)
    if not debug:
        # The commands report why a job failed, once and for people.
        os.environ.setdefault("DJ_LOG_LEVEL", "CRITICAL")


def _use_freeze(name: str, command: str) -> None:
    """Let the command read a freeze; raise SettingError if it works on the database itself."""
    if command in NEED_A_DATABASE:
        raise SettingError(
            f"'{name}' is a freeze, which can only be read: there is nothing to {command}. Leave out "
            "--freeze, or unset VBN_FREEZE."
        )
    use_freeze(name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _collect_garbage_less_often()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with visible_output(), warnings.catch_warnings():
            warnings.showwarning = _shown(warnings.showwarning)
            _run(arguments, debug="--debug" in arguments)
    finally:
        _discard_unwritten_output()


def _shown(others: Callable[..., None]) -> Callable[..., None]:
    """Return a function that prints our own warnings as messages, and others as ``others`` does."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if category.__module__.startswith("schemas."):
            click.echo(f"vbn: {message}", err=True)
        else:
            others(message, category, *place, **options)

    return show


def _run(arguments: list[str], *, debug: bool) -> None:
    """Run a command and exit with its code; print what went wrong."""
    try:
        code = vbn_command.main(arguments, prog_name="vbn", standalone_mode=False, obj=tuple(arguments))
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        _with_nearest_command(error).show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("vbn: interrupted; run the same command again to continue.", err=True)
        sys.exit(130)
    except VbnError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"vbn: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)  # the reader of our output is gone (vbn status | head)
    except Exception as error:  # noqa: BLE001 - the last resort: log it and print where
        if debug:
            traceback.print_exc()
            sys.exit(1)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            click.echo("vbn: No space is left where this writes, so it is not complete. Make room.", err=True)
            sys.exit(1)
        if lacks_memory(error):
            click.echo(
                f"vbn: There is not enough memory for this command{f' ({error})' if str(error) else ''}, so "
                "it is not complete. Run it again with more, or on a larger machine.",
                err=True,
            )
            sys.exit(1)
        if about_server := _about_server(error):
            click.echo(f"vbn: {about_server} The details are in {_write_log()}", err=True)
            sys.exit(1)
        click.echo(
            f"vbn: unexpected {type(error).__name__}: {error}\n"
            f"vbn: this may be a bug; --debug shows the details, which are also in {_write_log()}",
            err=True,
        )
        sys.exit(1)


def _about_server(error: Exception) -> str | None:
    """Return what to do if the server was lost, or a lock could not be had, in the middle of a command."""
    if "schemas" not in sys.modules:
        return None  # it has not come to a server
    from populate.work.causes import Cause, cause_of

    reason = str(error).strip().partition("\n")[0]
    match cause_of(error):
        case Cause.SERVER:
            return (
                f"The database server was lost in the middle of this command ({reason}), or can do nothing "
                "for now. See whether it answers (vbn doctor), then run the same command again."
            )
        case Cause.LOCK:
            return f"Somebody else holds what this command needs ({reason}). Run it again."
    return None


def _with_nearest_command(error: click.ClickException) -> click.ClickException:
    """Return the error, with the nearest commands if it is about one that does not exist."""
    unknown = re.match(r"No such command '(.+)'", error.message)
    context = error.ctx if isinstance(error, click.UsageError) else None
    if unknown and context and isinstance(context.command, click.Group):
        known = context.command.list_commands(context)
        return click.UsageError(f"{unknown[0]}.{nearest(unknown[1], known)}", context)
    return error


def _discard_unwritten_output() -> None:
    """Discard what cannot be printed, about which the interpreter would complain when it exits.

    The reader of a pipe is gone, or the disk is full; the command has reported which.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _collect_garbage_less_often() -> None:
    """Keep Python from examining all objects repeatedly during imports, and once more at exit.

    DataJoint and its imports are 200,000 permanent objects; collection takes a third of the import time.
    Other changes that make DataJoint faster are in `schemas.server.datajoint`, which is imported later.
    """
    gc.set_threshold(10_000, 10, 10)
    atexit.register(gc.freeze)


def _write_log() -> str:
    """Append the current exception to the log and return the log's path."""
    from vbn.home import home_folder

    path = home_folder() / "vbn.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(traceback.format_exc() + "\n")
    except OSError as error:
        return f"no log ({error.strerror})"
    return str(path)
