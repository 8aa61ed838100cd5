"""``vbn verify``."""

import click


@click.command("verify")
@click.option("--quick", is_flag=True, help="Compare sizes only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(quick: bool, as_json: bool) -> None:
    """Check that the registered files exist and are unchanged (size and hash).

    \b
    Example:
      vbn verify --quick
    """
    import json

    import schemas
    from populate.registration.relocate import verify
    from vbn.visible import visible

    schemas.connect()
    problems = 0
    for result in verify(quick=quick):
        problems += result["status"] != "ok"
        click.echo(
            json.dumps(result)
            if as_json
            else f"{result['status']:<8} {visible(result['file'])} {result['problem']}".rstrip()
        )
    if problems:
        raise SystemExit(1)
