"""``vbn metrics``."""

from pathlib import Path

import click


@click.command("metrics")
@click.option(
    "--backup", "backups", multiple=True, envvar="VBN_BACKUP", show_envvar=True,
    type=click.Path(path_type=Path), help="Folder of a backup, or of several; may be repeated.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, completely or not at all, instead of printing.",
)  # fmt: skip
def command(backups: tuple[Path, ...], out: Path | None) -> None:
    """Print what a monitor watches, in Prometheus' text format.

    Sessions, entries and jobs by state, age of the oldest reservation, import issues, size of database and
    store, time of the last backup. A reader's account suffices.

    \b
    Example:
      vbn metrics --backup /backup --out /var/lib/node_exporter/vbn.prom
    """
    from populate.output.metrics import metrics_text
    from vbn.whole_files import whole_file

    text = metrics_text(backups)
    if out is None:
        click.echo(text, nl=False)
        return
    with whole_file(out) as part:
        part.write_text(text)
