"""Figures from arrays, drawn with matplotlib's objects: no pyplot, no global state."""

from vbn.plots.change_response import ChangeResponse, plot_change_response
from vbn.plots.files import save_figure

__all__ = ["ChangeResponse", "plot_change_response", "save_figure"]
