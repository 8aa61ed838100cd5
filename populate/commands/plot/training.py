"""``vbn plot training``."""

from pathlib import Path

import click

from populate.commands.plot.options import OUT


@click.command("training")
@click.option("--mouse", "mouse_id", required=True, help="The mouse's id.")
@OUT
def command(mouse_id: str, out: Path) -> None:
    """Training of a mouse up to its recording days: stages, sensitivity, response rates, trials, rewards.

    Sessions that only the release's tables list (vbn catalogue) are drawn without performance.

    \b
    Example:
      vbn plot training --mouse 544835 --out training.pdf
    """
    import schemas
    from schemas.figures.training import training_history
    from vbn.plots import save_figure
    from vbn.plots.training import plot_training

    schemas.connect()
    data = training_history(mouse_id)
    save_figure(plot_training(data), out)
    click.echo(f"{out}: {len(data.date)} sessions, {int(data.is_registered.sum())} of them registered.")
