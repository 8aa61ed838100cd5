"""Colours and sizes of all figures.

The colours are those of Okabe and Ito (and Tol's purple), which can be distinguished with any colour vision.
"""

from __future__ import annotations

from typing import Any

BLACK, BLUE, GREEN, ORANGE, PURPLE = "#000000", "#0072B2", "#009E73", "#D55E00", "#AA4499"
SKY_BLUE, AMBER = "#56B4E9", "#E69F00"
FLASH_GREY, QUIET_GREY = "#ECECEC", "#666666"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.5,
    "text.parse_math": False,  # a name with two $ is no formula
}
"""Matplotlib settings of all figures."""
