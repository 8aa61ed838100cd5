"""``vbn plot brain``."""

import click

from populate.commands.options import one_session
from populate.commands.plot.options import Picture, picture_options


@click.command("brain")
@one_session("A session's id: all its probes.", required=False)
@click.option("--unit", "unit_id", type=int, help="A unit's id: its probe, and its place.")
@click.option("--atlas", help="Atlas of the outlines, if there are several (vbn atlas).")
@picture_options
def command(session_id: int | None, unit_id: int | None, atlas: str | None, picture: Picture) -> None:
    """Probes in the brain: channels by structure in coronal and sagittal view, with outlines of an atlas.

    \b
    Example:
      vbn plot brain --session 1064644573 --out brain.pdf
      vbn plot brain --unit 1061854534 --out brain.png
    """
    import schemas
    from schemas.figures.brain import session_in_brain, unit_in_brain
    from vbn.plots.brain import plot_brain

    if (session_id is None) == (unit_id is None):
        raise click.UsageError("Name a --session or a --unit.")
    schemas.connect()
    if unit_id is not None:
        data = unit_in_brain(unit_id, atlas=atlas)
    else:
        assert session_id is not None
        data = session_in_brain(session_id, atlas=atlas)
    picture.write(plot_brain, data)
    n_channels = sum(len(probe.ccf_um) for probe in data.probes)
    names = ", ".join(probe.name for probe in data.probes)
    click.echo(f"{picture}: {names}: {n_channels} channels in {len(data.colours)} structures.")
    if data.lacking:
        click.echo(data.lacking, err=True)
