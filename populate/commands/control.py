"""``vbn control``."""

import click

from populate.commands.options import json_option


@click.command("control")
@click.argument("session_id", type=int, metavar="SESSION")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Times to rotate the spikes."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed gives the same numbers.",
)
@json_option("Print all results as JSON.")
def command(session_id: int, repeats: int, seed: int, as_json: bool) -> None:
    """Test p-values, q-values and flags on the rotated spikes of a session.

    The spikes of each unit are rotated within each block of stimuli, by 30 s or more, and the tables computed
    anew, with their default parameters; nothing is stored. What a column still finds is not there: p should
    be at most 0.05 in 5 % of the units. Columns that compare with the time before an event are left out:
    flashes are regular, and a unit that is driven by them stays so. Interrupted, it shows the repeats that
    are done.

    \b
    Example:
      vbn control 1064644573 --repeats 10
    """
    import sys

    from tqdm import tqdm

    import schemas
    from populate.output.as_json import print_json
    from populate.output.control import SessionControl
    from populate.output.rendering import render
    from populate.output.terminal import data_stream, on_terminal
    from vbn.calibration.control import Calls
    from vbn.calibration.report import control_rows

    schemas.connect()
    control = SessionControl.of(session_id)
    done: list[Calls] = []
    with tqdm(total=repeats * len(control.tables), unit="table", disable=not sys.stderr.isatty()) as bar:
        try:
            for number in range(repeats):
                done.append(control.repeat(seed, number, bar.update))
        except KeyboardInterrupt:
            if not done:
                raise
    rows = control_rows(done, control.kinds)
    left_out = control.left_out | control.untested(rows)
    if as_json:
        found = {
            "session_id": session_id,
            "seed": seed,
            "repeats": len(done),
            "short_blocks_s": control.short_blocks_s,
            "columns": rows,
            "left_out": left_out,
        }
        print_json(found)
    else:
        shown = rows.round({"share": 3, "low": 3, "high": 3}) if on_terminal() else rows
        render(shown, "table", data_stream())
        for reason in dict.fromkeys(left_out.values()):
            names = [name for name, why in left_out.items() if why == reason]
            click.echo(f"Left out ({reason}): {', '.join(names)}.")
        if lengths := control.short_blocks_s:
            short = ", ".join(f"{length:.0f} s" for length in lengths)
            click.echo(f"Blocks that are rotated by less than 30 s, as they are short: {short}.")
    if len(done) < repeats:
        click.echo(f"vbn: interrupted; this is of {len(done)} of {repeats} repeats.", err=True)
        click.get_current_context().exit(130)
