"""``vbn deploy``."""

import click


@click.command("deploy")
def command() -> None:
    """Create the schemas, tables and default parameter sets that are missing.

    Run again at any time: what exists is left as it is. On the embedded server every command
    does this by itself.

    \b
    Example:
      vbn deploy
    """
    import schemas
    from schemas.connection import tables

    database = schemas.connect(create=True)
    click.echo(
        f"{database}: {len(tables())} tables under '{database.prefix}...' are there. Arrays: {database.store}"
    )
