"""``vbn plot optotagging``."""

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import ONE_SESSION, listed_option
from populate.commands.plot.options import Picture, picture_options


@click.command("optotagging")
@ONE_SESSION
@picture_options
@click.option(
    "--method",
    default="bennett_2025",
    show_default=True,
    help="Method of the labels; see vbn params list OptotagMethod.",
)
@listed_option("--project", help="Data set of the lines' counts.  [default: that of the session]")
@ALLOW_MIXED
def command(
    session_id: int, picture: Picture, method: str, project: tuple[str, ...], allow_mixed: bool
) -> None:
    """Responses to the laser, their latency and reliability, and how many units pass in wild types.

    \b
    Example:
      vbn plot optotagging --session 1064644573 --out optotagging.pdf
    """
    import schemas
    from schemas.figures.optotagging import laser_evidence
    from vbn.plots.optotagging import plot_optotagging

    schemas.connect()
    with printing_warnings():
        data = laser_evidence(
            session_id, method=method, project=list(project) or None, allow_mixed=allow_mixed
        )
    picture.write(plot_optotagging, data)
    tagged, passing = data.label.count("tagged"), int(data.passes.sum())
    click.echo(f"{picture}: {len(data.label)} units, {tagged} tagged, {passing} passing.")
