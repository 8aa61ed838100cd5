"""``vbn plot training``."""

import click

from populate.commands.plot.options import Picture, picture_options


@click.command("training")
@click.option("--mouse", "mouse_id", required=True, help="The mouse's id.")
@picture_options
def command(mouse_id: str, picture: Picture) -> None:
    """Training of a mouse up to its recording days: stages, sensitivity, response rates, trials, rewards.

    Sessions that only the release's tables list (vbn catalogue) are drawn without performance.

    \b
    Example:
      vbn plot training --mouse 544835 --out training.pdf
    """
    import schemas
    from schemas.figures.training import training_history
    from vbn.plots.training import plot_training

    schemas.connect()
    data = training_history(mouse_id)
    picture.write(plot_training, data)
    click.echo(f"{picture}: {len(data.date)} sessions, {int(data.is_registered.sum())} of them registered.")
