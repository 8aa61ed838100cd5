"""``vbn doctor``."""

import click

from populate.commands.module_option import module_option
from populate.commands.options import json_option


@click.command("doctor")
@json_option()
@module_option
def command(as_json: bool) -> None:
    """Check this machine, the server, privileges, array store, roots, files and jobs; advise what to do.

    With --json a list of checks, each with name, is_good, finding, advice and values. Exit code 1 if one is
    not good.

    \b
    Example:
      vbn doctor
    """
    from populate.admin.doctor import examine
    from populate.output.as_json import print_json

    checks = examine()
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            click.echo(f"{'ok' if check.is_good else 'NO':>4}  {check.name:<14} {check.finding}")
            if check.advice:
                click.echo(f"{'':22}{check.advice}")
    if not all(check.is_good for check in checks):
        raise SystemExit(1)
