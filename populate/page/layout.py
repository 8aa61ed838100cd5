"""What all pages share: style, navigation, templates, and how errors are said."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import jinja2

from schemas.bases.lab_queries import lab_queries
from vbn.errors import VbnError

logger = logging.getLogger("vbn")

FOLDER = files(__package__)
STYLE = (FOLDER / "style.css").read_text()
SCRIPT = (FOLDER / "page.js").read_text()
NAVIGATION = {
    "": "Status",
    "sessions": "Sessions",
    "session": "Session",
    "units": "Units",
    "across": "Across sessions",
    "issues": "Import issues",
}
"""Path of each page in the menu -> its name."""
OF_LAB = {"queries": "Lab queries"}
"""The same of pages that there are only with modules of the lab."""


def is_known(value: Any) -> bool:
    """Return whether there is a value to show."""
    return value is not None and value == value and value != ""


def _session_label(row: dict[str, Any]) -> str:
    words = [row["session_id"], row["date"], row["experience_level"], row["session_type"]]
    return " · ".join(str(word) for word in words if is_known(word))


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(str(FOLDER / "templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def image_address(name: object) -> str:
    """Return the address of the picture of an image of the task."""
    return f"./image?{urlencode({'name': str(name)})}"


TEMPLATES.tests["known"] = is_known
TEMPLATES.filters["session_label"] = _session_label
TEMPLATES.filters["image_address"] = image_address


def rendered(template: str, **values: Any) -> str:
    """Return a template filled in; values are escaped."""
    return TEMPLATES.get_template(template).render(**values)


def masthead(path: str) -> str:
    """Return the head of every page, with the menu; `path` is that of the present page."""
    pages = NAVIGATION | (OF_LAB if lab_queries() else {})
    return rendered("masthead.html", pages=pages, current=path)


def plain_start(title: str, path: str, nonce: str) -> str:
    """Return the beginning of a page that needs no Bokeh, up to its contents."""
    return rendered(
        "plain_start.html",
        title=title,
        style=STYLE,
        script=SCRIPT,
        nonce=nonce,
        masthead=masthead(path),
    )


def said(error: Exception) -> str:
    """Return the message of an error; unexpected errors are logged."""
    if isinstance(error, VbnError):
        return str(error)
    logger.error("Unexpected error in the page.", exc_info=error)
    return "Something unexpected happened; see the log of vbn serve for details. This may be a bug."
