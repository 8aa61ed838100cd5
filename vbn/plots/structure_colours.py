"""Colours of brain structures: one per group, with different lightness for neighbours."""

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
"""Colours of the groups in `vbn.anatomy.structures`, in the order of the figures."""
UNGROUPED_COLOUR = "#BBBBBB"
"""Colour of fibre tracts, ventricles and positions in no structure."""
LIGHTER = 0.4


def group_rank(group: str | None) -> int:
    """Return the rank of a group in figures; unknown groups come last."""
    return list(GROUP_COLOURS).index(group) if group in GROUP_COLOURS else len(GROUP_COLOURS)


def structure_colours(groups: Sequence[str | None]) -> list[str]:
    """Return a colour for each of a sequence of structures.

    Parameters
    ----------
    groups : groups of the structures, in order; None for no structure.

    Returns
    -------
    The groups' colours, lighter for every second of adjacent structures in the same group.
    """
    colours: list[str] = []
    for index, group in enumerate(groups):
        colour = to_hex(to_rgb(GROUP_COLOURS.get(group or "", UNGROUPED_COLOUR)))
        follows_same = index > 0 and colours[-1] == colour
        colours.append(lighter(colour) if follows_same else colour)
    return colours


def lighter(colour: str, share: float = LIGHTER) -> str:
    """Return a colour mixed with a fraction of white."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return to_hex((red, green, blue))
