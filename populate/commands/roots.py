"""``vbn roots``."""

import click

from populate.commands.options import json_option
from populate.commands.whole_sentences import WholeSentences


@click.group("roots", cls=WholeSentences)
def command() -> None:
    """Set the folders or URLs where this machine finds the data.

    A registered file is stored as the name of a root and a path below it, so that machines may mount the data
    in different places.

    \b
    Example:
      vbn roots set data /mnt/vbn
      vbn roots list
    """


@command.command("list")
@json_option()
def list_roots(as_json: bool) -> None:
    """List the roots that this machine knows."""
    from populate.output.as_json import print_json
    from schemas.files.roots import roots

    known = {name: str(place) for name, place in roots().items()}
    if as_json:
        print_json(known)
        return
    for name, place in known.items():
        click.echo(f"{name}  {place}")
    click.echo(f"{len(known)} roots.")


@command.command("set")
@click.argument("name")
@click.argument("place")
def set_one(name: str, place: str) -> None:
    """Map NAME to PLACE, a folder of this machine or a URL."""
    from schemas.files.roots import roots, set_root

    set_root(name, place)
    click.echo(f"{name}  {roots()[name]}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME on this machine."""
    from schemas.files.roots import set_root

    set_root(name, None)
    click.echo(f"{name} is forgotten.")
