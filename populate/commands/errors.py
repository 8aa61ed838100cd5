"""``vbn errors``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("errors")
@json_option()
@module_option
def command(as_json: bool) -> None:
    """List the failed jobs with their reasons.

    \b
    Example:
      vbn errors
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.work.status import job_errors

    schemas.connect()
    errors = job_errors()
    if as_json:
        print_json(errors)
        return
    for error in errors:
        key = ", ".join(f"{name}={value}" for name, value in error.key.items())
        click.echo(f"{error.table} ({key}), {error.failed_at} on {error.host}:\n  {error.message}")
    click.echo(
        f"{len(errors)} failed." + (" After fixing the cause: vbn retry && vbn populate" if errors else "")
    )
