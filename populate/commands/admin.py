"""``vbn admin``."""

import click


@click.group("admin")
def command() -> None:
    """Set up a lab's server and its accounts."""
