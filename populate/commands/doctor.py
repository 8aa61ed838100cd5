"""``vbn doctor``."""

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Check names, settings, server, privileges, schemas, store, files and jobs; advise what to do.

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
