"""The address in a visitor's browser, which follows what is chosen on a page."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import panel as pn


def keep_in_address(**chosen: object) -> None:
    """Put values into the address of the page, beside those that are there; empty ones are left out."""
    known = dict(parse_qsl(pn.state.location.search.lstrip("?")))
    pairs = known | {name: str(value) for name, value in chosen.items()}
    pn.state.location.search = "?" + urlencode({name: value for name, value in pairs.items() if value})
