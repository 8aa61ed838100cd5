"""``vbn synthetic``."""

from pathlib import Path

import click


@click.command("synthetic")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into."
)
@click.option(
    "--sessions", type=int, default=2, show_default=True, help="Number of recordings, two per mouse."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same data.")
@click.option("--probes", type=int, default=2, show_default=True, help="Probes per recording, 1 to 6.")
@click.option("--units-per-probe", type=int, default=40, show_default=True, help="Units per probe.")
@click.option(
    "--minutes",
    type=float,
    default=8.0,
    show_default=True,
    help="Length of a recording; real ones have about 160.",
)
@click.option(
    "--genotype", multiple=True, help="sst, vip or wt; may be repeated, for the mice in turn.  [default: all]"
)
@click.option("--mean-rate", "mean_rate_hz", type=float, help="Mean firing rate of the units in Hz.")
@click.option(
    "--novelty",
    "novelty_hz",
    type=float,
    metavar="HZ",
    help="Mice that respond to novel images by this rate more, by area, layer and cell type; 0: no more.",
)
@click.option(
    "--synapses", type=int, default=0, help="Pairs of units of which one makes the other fire, per recording."
)
@click.option("--no-eye-tracking", is_flag=True, help="Leave out eye tracking.")
@click.option("--no-laser", is_flag=True, help="Leave out the laser table.")
def command(
    out: Path,
    sessions: int,
    seed: int,
    probes: int,
    units_per_probe: int,
    minutes: float,
    genotype: tuple[str, ...],
    mean_rate_hz: float | None,
    novelty_hz: float | None,
    synapses: int,
    no_eye_tracking: bool,
    no_laser: bool,
) -> None:
    """Write recordings in the release's layout, with a known ground truth (ground_truth.json).

    \b
    Example:
      vbn synthetic --out synthetic --sessions 2
      vbn register synthetic --catalogue synthetic && vbn populate
    """
    import sys

    from tqdm import tqdm

    from vbn.errors import SettingError
    from vbn.synthetic import SyntheticSettings, write_sessions

    try:
        settings = SyntheticSettings(
            sessions=sessions,
            seed=seed,
            probes=probes,
            units_per_probe=units_per_probe,
            minutes=minutes,
            mean_rate_hz=mean_rate_hz,
            novelty_hz=novelty_hz,
            synapses=synapses,
            eye_tracking=not no_eye_tracking,
            laser=not no_laser,
            genotype=genotype or SyntheticSettings.genotype,
        )
    except ValueError as error:
        raise SettingError(str(error)) from error

    def advance(done: int, _total: int) -> None:
        bar.update(done - bar.n)

    with tqdm(total=sessions, unit="session", disable=not sys.stderr.isatty()) as bar:
        for path in write_sessions(out, settings, progress=advance):
            click.echo(str(path))
