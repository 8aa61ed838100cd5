"""``vbn plot decoding``."""

from __future__ import annotations

import click

from populate.commands.answer import ALLOW_MIXED, printing_warnings
from populate.commands.options import AREA, SESSION_ALIASES, listed_option
from populate.commands.plot.options import Picture, picture_options


@click.command("decoding")
@picture_options
@click.option("--params", "decoding_params", help="Set of parameters.  [default: ours]")
@listed_option("--decoded", help="image, change, lick_matched_change, hit or omission")
@click.option("--cell-class", default="all", show_default=True, help="Only units of a class: RS, FS ...")
@click.option("--n-units", type=click.IntRange(min=1), help="Units of a draw.  [default: the set's smallest]")
@listed_option("--session", of=int, help="Only of these sessions", aliases=SESSION_ALIASES)
@listed_option("--structure", help="Only of these structures", aliases=AREA)
@ALLOW_MIXED
def command(
    picture: Picture,
    decoding_params: str | None,
    decoded: tuple[str, ...],
    cell_class: str,
    n_units: int | None,
    session: tuple[int, ...],
    structure: tuple[str, ...],
    allow_mixed: bool,
) -> None:
    """How well images, changes, omissions and hits are decoded from structures, and how soon.

    \b
    Example:
      vbn plot decoding --out decoding.pdf
      vbn plot decoding --decoded image,change --structure VISp,VISl --out visual.pdf
    """
    import schemas
    from schemas.figures.decoding import decoding_of_structures
    from vbn.counted import counted
    from vbn.plots.decoding import plot_decoding

    schemas.connect()
    with printing_warnings():
        data = decoding_of_structures(
            list(structure) or None,
            list(decoded) or None,
            cell_class=cell_class,
            n_units=n_units,
            sessions=list(session) or True,
            decoding_params=decoding_params,
            allow_mixed=allow_mixed,
        )
    picture.write(plot_decoding, data)
    numbers = (len(data.labels), "label"), (len(data.order), "structure"), (data.n_sessions, "session")
    click.echo(f"{picture}: {', '.join(counted(*each) for each in numbers)}.")
