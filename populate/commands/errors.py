"""``vbn errors``."""

import click

from populate.commands.module_option import module_option


@click.command("errors")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@module_option
def command(as_json: bool) -> None:
    """List the failed jobs with their reasons.

    \b
    Example:
      vbn errors
    """
    import json

    import schemas
    from populate.work.status import as_dicts, job_errors

    schemas.connect()
    errors = job_errors()
    if as_json:
        click.echo(json.dumps(as_dicts(errors), indent=2))
        return
    for error in errors:
        key = ", ".join(f"{name}={value}" for name, value in error.key.items())
        click.echo(f"{error.table} ({key}), {error.failed_at} on {error.host}:\n  {error.message}")
    click.echo(
        f"{len(errors)} failed." + (" After fixing the cause: vbn retry && vbn populate" if errors else "")
    )
