"""Pictures of Bokeh that say what they are to those who do not see them."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure


def named_picture(name: str, **settings: Any) -> Any:
    """Return an empty picture, as wide as there is room.

    Parameters
    ----------
    name : what it shows, for screen readers; ``page.js`` gives it to the part that the keyboard reaches.
    settings : of ``bokeh.plotting.figure``.
    """
    picture = figure(sizing_mode="stretch_width", **settings)
    picture.html_attributes = {"role": "group", "aria-label": name}
    picture.toolbar.logo = None  # a link that leads away, in the way of the keyboard
    return picture
