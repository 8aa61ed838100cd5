"""``vbn demo``."""

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo",
    show_default=True,
    help="Folder for everything.",
)
def command(folder: Path) -> None:
    """Show everything on two synthetic sessions, on an embedded server of its own.

    Configured servers are not used. A second run takes seconds.

    \b
    Example:
      vbn demo --folder demo
    """
    import os

    home = folder.absolute()
    for name in [name for name in os.environ if name.startswith(("DJ_", "VBN_"))]:
        del os.environ[name]
    os.environ.update(VBN_HOME=str(home), DJ_IGNORE_CONFIG_FILE="true", DJ_LOG_LEVEL="CRITICAL")

    from rich.table import Table

    from populate import demo
    from populate.output.terminal import console

    reports, figure = demo.run(home, click.echo)
    table = Table(
        "",
        *(str(report.session_id) for report in reports),
        title="Imported and computed",
        title_justify="left",
    )
    table.add_row("experience", *(report.experience_level for report in reports))
    for name in ("units", "spikes", "trials", "presentations", "laser_pulses"):
        table.add_row(name.replace("_", " "), *(f"{getattr(report, name):,}" for report in reports))
    table.add_row("highest d'", *(f"{report.max_dprime:.2f}" for report in reports))
    table.add_row("tagged units", *(str(report.tagged) for report in reports))
    table.add_row(
        "  of them injected", *(f"{report.tagged_correctly} of {report.injected}" for report in reports)
    )
    console().print(table)
    click.echo(f"Figure: {figure}\nNext steps:  export VBN_HOME={home};  vbn status;  vbn --help;  vbn down")
