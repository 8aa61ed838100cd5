"""``vbn doctor``."""

import click

from populate.commands.module_option import module_option


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@module_option
def command(as_json: bool) -> None:
    """Check this machine, the server, privileges, array store, roots, files and jobs; advise what to do.

    With --json a list of checks, each with name, is_good, finding, advice and values. Exit code 1 if one is
    not good.

    \b
    Example:
      vbn doctor
    """
    import json

    from populate.admin.doctor import examine
    from populate.work.status import as_dicts

    checks = examine()
    if as_json:
        click.echo(json.dumps(as_dicts(list(checks)), indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok' if check.is_good else 'NO':>4}  {check.name:<14} {check.finding}")
            if check.advice:
                click.echo(f"{'':22}{check.advice}")
    if not all(check.is_good for check in checks):
        raise SystemExit(1)
