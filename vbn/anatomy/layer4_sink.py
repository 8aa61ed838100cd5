"""The depth of layer 4 by physiology: the earliest strong sink of the current source density after a flash.

The rule is ours: no paper of this data set states one. It needs no Allen CCF, and changes no layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.anatomy.layers import VISUAL_AREAS
from vbn.errors import SettingError


@dataclass(frozen=True)
class SinkParameters:
    """Where and when to look for the sink of layer 4.

    Attributes
    ----------
    window_start_s, window_stop_s : s after the flash, in which the sink begins.
    baseline_s : length of the baseline, which ends at the flash.
    n_deviations : how many standard deviations of the baseline a sink is above the baseline's mean.
    peak_within_s : the strongest sink up to this long after the first one is the sink.
    deepest_um : how far below the highest site in cortex to look, along the probe.

    Raises
    ------
    SettingError
        If a number is out of its range.
    """

    window_start_s: float = 0.03
    window_stop_s: float = 0.08
    baseline_s: float = 0.05
    n_deviations: float = 5.0
    peak_within_s: float = 0.02
    deepest_um: float = 700.0

    def __post_init__(self) -> None:
        if not 0 <= self.window_start_s < self.window_stop_s:
            raise SettingError(
                "The window of the sink must begin at 0 or later, and end after that, got "
                f"{self.window_start_s} to {self.window_stop_s} s."
            )
        for name in ("baseline_s", "n_deviations", "peak_within_s", "deepest_um"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} must be greater than 0, got {getattr(self, name)}.")


class Sink(NamedTuple):
    """A sink: its place and time, and its height above the baseline."""

    vertical_um: float
    time_s: float
    strength: float


def highest_cortical_site(channels: pd.DataFrame) -> float | None:
    """Return the vertical position of the highest site of a probe in a visual area.

    Parameters
    ----------
    channels : sites of one probe: ``probe_vertical_position`` (um from the tip), ``structure_acronym``.

    Returns
    -------
    float or None : um from the tip; None if no site is in a visual area.
    """
    inside = channels[channels["structure_acronym"].isin(VISUAL_AREAS)]
    highest = inside["probe_vertical_position"].max()
    return None if pd.isna(highest) else float(highest)


def layer4_sink(
    density: ArrayLike,
    times_s: ArrayLike,
    vertical_um: ArrayLike,
    surface_um: float,
    parameters: SinkParameters | None = None,
) -> Sink | None:
    """Return the earliest strong sink below the surface of cortex.

    Parameters
    ----------
    density : current source density, times by sites, V/cm^2, as the release has it: the second spatial
        derivative of the LFP, in which a sink (current that flows into cells) is positive. Textbooks plot its
        negative.
    times_s : s after the flash.
    vertical_um : um from the tip, of each site.
    surface_um : vertical position of the highest site in cortex.
    parameters : where and when to look.

    Returns
    -------
    Sink or None
        None if nothing rises above the baseline's deviations, or the times do not hold baseline and window,
        or no site is below the surface. The time is that of the peak.

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Notes
    -----
    The standard deviation is pooled over the sites that are looked at: 50 ms of a signal without frequencies
    above 150 Hz hold few independent values, and a site's own deviation would let noise pass in up to 14 % of
    probes, instead of 2 %.
    """
    parameters = parameters or SinkParameters()
    values, times, sites = (np.asarray(each, dtype=np.float64) for each in (density, times_s, vertical_um))
    if values.shape != (len(times), len(sites)):
        raise ValueError(f"There are {len(times)} times and {len(sites)} sites for values {values.shape}.")
    in_depth = (sites <= surface_um) & (sites >= surface_um - parameters.deepest_um)
    in_depth &= np.isfinite(values).all(axis=0)
    before = (times >= -parameters.baseline_s) & (times < 0)
    begins = (times >= parameters.window_start_s) & (times <= parameters.window_stop_s)
    if not in_depth.any() or before.sum() < 2 or not begins.any():
        return None
    sites, values = sites[in_depth], values[:, in_depth]
    above = values - values[before].mean(axis=0)
    deviation = np.sqrt(values[before].var(axis=0, ddof=1).mean())
    if not deviation > 0:
        return None
    is_strong = (above > parameters.n_deviations * deviation) & begins[:, np.newaxis]
    if not is_strong.any():
        return None
    first = times[is_strong.any(axis=1)].min()
    near = np.where(
        ((times >= first) & (times <= first + parameters.peak_within_s))[:, np.newaxis], above, -np.inf
    )
    time, site = np.unravel_index(int(near.argmax()), near.shape)
    return Sink(float(sites[site]), float(times[time]), float(near[time, site]))
