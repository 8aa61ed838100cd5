"""``vbn plot optotagging``."""

from pathlib import Path

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import ONE_SESSION
from populate.commands.plot.options import OUT


@click.command("optotagging")
@ONE_SESSION
@OUT
@click.option(
    "--method",
    default="bennett_2025",
    show_default=True,
    help="Method of the labels; see vbn params list OptotagMethod.",
)
@ALLOW_MIXED
def command(session_id: int, out: Path, method: str, allow_mixed: bool) -> None:
    """Responses to the laser, their latency and reliability, and how many units pass in wild types.

    \b
    Example:
      vbn plot optotagging --session 1064644573 --out optotagging.pdf
    """
    import schemas
    from schemas.figures.optotagging import laser_evidence
    from vbn.plots import save_figure
    from vbn.plots.optotagging import plot_optotagging

    schemas.connect()
    with printing_warnings():
        data = laser_evidence(session_id, method=method, allow_mixed=allow_mixed)
    save_figure(plot_optotagging(data), out)
    tagged, passing = data.label.count("tagged"), int(data.passes.sum())
    click.echo(f"{out}: {len(data.label)} units, {tagged} tagged, {passing} passing.")
