"""``vbn plot probe``."""

import click

from populate.commands.options import ONE_SESSION, criteria_option
from populate.commands.plot.options import Picture, picture_options


@click.command("probe")
@ONE_SESSION
@click.option("--probe", "probe_name", help="One probe, such as probeA.  [default: all side by side]")
@picture_options
@criteria_option("quickstart")
def command(session_id: int, probe_name: str | None, picture: Picture, criteria: str) -> None:
    """Probes along depth: structures, invalid channels, unit yield, firing rates, CSD.

    \b
    Example:
      vbn plot probe --session 1064644573 --probe probeC --out probe.pdf
    """
    import schemas
    from schemas.figures.probes import session_probes
    from vbn.plots.probe import plot_probes

    schemas.connect()
    data = session_probes(session_id, probe_name, criteria=criteria)
    picture.write(plot_probes, data)
    passing = sum(int(probe.passes.sum()) for probe in data.probes)
    units = sum(len(probe.passes) for probe in data.probes)
    names = ", ".join(probe.name for probe in data.probes)
    click.echo(f"{picture}: {names}: {units} units, {passing} of them pass '{criteria}'.")
