"""Groups of commands whose help says of each what it does in a whole sentence."""

from __future__ import annotations

import click


def sentence_of(command: click.Command) -> str:
    """Return the first sentence of a command's help."""
    return f"{command.get_short_help_str(limit=1000).rstrip('.')}."


class WholeSentences(click.Group):
    """A group that shortens nothing: what distinguishes its commands may stand at the end of a sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with its sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, sentence_of(each)) for name, each in found if each is not None and not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
