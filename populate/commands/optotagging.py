"""``vbn optotagging``."""

import click

from populate.commands.query import ALLOW_MIXED, printing_warnings


@click.group("optotagging")
def command() -> None:
    """Summarize which units respond to the laser."""


@command.command("report")
@click.option("--method", "methods", multiple=True, help="Only this method; may be repeated.")
@ALLOW_MIXED
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(methods: tuple[str, ...], allow_mixed: bool, as_json: bool) -> None:
    """Show the share of tagged units by Cre line and method; in wild types it is the false-positive rate.

    \b
    Example:
      vbn optotagging report --method bennett_2025
    """
    import json

    from rich.table import Table

    import schemas
    from populate.output.optotagging_report import shares_by_line
    from populate.output.terminal import console, plain

    schemas.connect()
    with printing_warnings():
        shares = shares_by_line(methods, allow_mixed=allow_mixed)
    if as_json:
        click.echo(json.dumps(shares.to_dict("records"), indent=2))
        return
    table = Table("method", "line", "sessions", "units", "pass", "share", "95 % interval (%)")
    for row in shares.to_dict("records"):
        interval = f"{100 * row['share_low']:.2f}-{100 * row['share_high']:.2f}"
        counts = (str(row[name]) for name in ("n_sessions", "n_units", "n_passing"))
        table.add_row(plain(row["method"]), plain(row["line"]), *counts, f"{row['share']:.2%}", interval)
    console().print(table)
    click.echo("The share in wild types, whose cells have no opsin, is the method's false-positive rate.")
