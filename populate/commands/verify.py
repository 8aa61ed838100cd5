"""``vbn verify``."""

import click

from populate.commands.options import json_option


@click.command("verify")
@click.option("--quick", is_flag=True, help="Compare sizes only.")
@json_option("Print one JSON object per file.")
def command(quick: bool, as_json: bool) -> None:
    """Check that the registered files exist and are unchanged (size and hash).

    \b
    Example:
      vbn verify --quick
    """
    import schemas
    from populate.output.as_json import print_json
    from populate.registration.relocate import verify
    from vbn.visible import visible

    schemas.connect()
    problems = 0
    for result in verify(quick=quick):
        problems += result["status"] != "ok"
        if as_json:
            print_json(result, indent=None)
        else:
            click.echo(f"{result['status']:<8} {visible(result['file'])} {result['problem']}".rstrip())
    if problems:
        raise SystemExit(1)
