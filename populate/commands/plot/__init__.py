"""``vbn plot``. Each figure is a module of this package."""

from __future__ import annotations

from importlib import import_module

import click

from populate.commands.options import takes_freeze
from populate.commands.whole_sentences import WholeSentences

FIGURES = (
    "behavior", "brain", "change-response", "connectivity", "decoding", "encoding", "example", "fields",
    "hierarchy", "novelty", "optotagging", "probe", "session", "strategy", "training", "unit",
)  # fmt: skip


class _Figures(WholeSentences):
    """Finds a figure in its own module."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(FIGURES)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in FIGURES:
            return None
        module = import_module(f"populate.commands.plot.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return takes_freeze(command)


@click.group("plot", cls=_Figures)
def command() -> None:
    """Draw figures from the database."""
