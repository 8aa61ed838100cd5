"""Ages as users type them, such as 30d."""

from datetime import timedelta

import click

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(_ctx: click.Context, _param: click.Parameter, text: str | None) -> timedelta | None:
    """Return the age that a text means: the callback of an option."""
    if text is None:
        return None
    if not (text[:-1].isdecimal() and text[-1:] in UNITS):
        raise click.BadParameter(f"'{text}' is not an age. Examples: 30d, 12h, 10m, 0s.")
    try:
        return timedelta(**{UNITS[text[-1]]: int(text[:-1])})
    except OverflowError as error:
        raise click.BadParameter(f"'{text}' is longer than any age.") from error
