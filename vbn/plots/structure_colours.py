"""Colours of brain structures: one of Okabe and Ito's for each group, neighbours told apart by lightness."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.colors import to_hex, to_rgb

from vbn.plots.style import AMBER, BLUE, GREEN, ORANGE, SKY_BLUE

GROUP_COLOURS = {
    "visual cortex": BLUE,
    "other cortex": SKY_BLUE,
    "hippocampus": GREEN,
    "thalamus": AMBER,
    "hypothalamus": ORANGE,
    "midbrain": "#CC79A7",
    "other": "#F0E442",
}
"""Colours of `vbn.anatomy.structures`'s groups, in the order in which figures have them."""
UNGROUPED_COLOUR = "#BBBBBB"
"""Of fibre tracts, ventricles and what is in no structure."""
LIGHTER = 0.4


def group_rank(group: str | None) -> int:
    """Return where a group comes among the others; unknown ones come last."""
    return list(GROUP_COLOURS).index(group) if group in GROUP_COLOURS else len(GROUP_COLOURS)


def structure_colours(groups: Sequence[str | None]) -> list[str]:
    """Return a colour for each of neighbouring structures.

    Parameters
    ----------
    groups : the structures' groups in order; None for no structure.

    Returns
    -------
    The group's colour, lighter for every second of neighbours of the same group.
    """
    colours: list[str] = []
    for place, group in enumerate(groups):
        colour = to_hex(to_rgb(GROUP_COLOURS.get(group or "", UNGROUPED_COLOUR)))
        follows_same = place > 0 and colours[-1] == colour
        colours.append(lighter(colour) if follows_same else colour)
    return colours


def lighter(colour: str, share: float = LIGHTER) -> str:
    """Return a colour mixed with so much white."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return to_hex((red, green, blue))
