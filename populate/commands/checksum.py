"""``vbn checksum``."""

import click

from populate.commands.options import json_option


@click.command("checksum")
@click.option(
    "--volatile/--stable",
    default=True,
    show_default=True,
    help="Include columns that differ between two runs of the same work, such as times, or leave them out.",
)
@click.option("--arrays/--no-arrays", default=True, show_default=True, help="Read the arrays in the store.")
@json_option()
def command(volatile: bool, arrays: bool, as_json: bool) -> None:
    """Print a checksum of each table's content.

    Two databases with the same content have the same checksums, on MySQL and on PostgreSQL. Arrays in the
    store count by their content; reservations and errors of jobs do not count.

    \b
    Example:
      vbn checksum --stable
    """
    from populate.admin.checksums import table_checksums, total_of
    from populate.output.as_json import print_json
    from schemas.server.connection import open_database
    from schemas.server.published import require_database

    require_database(
        "take its checksums (vbn freeze show NAME --check compares its files with theirs, vbn publish DIR "
        "--check those of a folder)"
    )
    checksums = table_checksums(with_arrays=arrays, volatile=volatile, database=open_database())
    if as_json:
        print_json({"tables": checksums, "total": total_of(checksums)})
        return
    for table, checksum in checksums.items():
        click.echo(f"{checksum}  {table}")
    click.echo(f"{total_of(checksums)}  total")
