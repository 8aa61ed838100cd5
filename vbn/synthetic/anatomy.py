"""Locations of the channels: one straight track per probe, through visual cortex, hippocampus and below.

Channel 0 is at the tip; ``probe_vertical_position`` increases towards the surface. The uppermost channels are
outside the brain: some are labelled ``root``, the last twelve have no location (acronym ``None``, coordinates
NaN).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vbn.synthetic.settings import CHANNELS_PER_PROBE, SessionIdentity

REFERENCE_CHANNEL = 191
CORTEX = ("VISam", "VISpm", "VISp", "VISl", "VISal", "VISrl")
_UNPLACED_CHANNELS = 12
# From the surface down: acronym and thickness in channels; the last entry fills the rest.
_TRACKS: tuple[tuple[tuple[str, int], ...], ...] = (
    (("root", 30), ("VISam", 94), ("root", 8), ("CA1", 58), ("DG", 62), ("LP", 60), ("PO", 1)),
    (
        ("root", 34),
        ("VISpm", 90),
        ("root", 6),
        ("SUB", 40),
        ("ProS", 38),
        ("SCig", 56),
        ("APN", 60),
        ("MRN", 1),
    ),
    (("root", 28), ("VISp", 96), ("root", 8), ("CA1", 54), ("DG", 66), ("LGd", 58), ("LP", 1)),
    (("root", 36), ("VISl", 100), ("root", 6), ("CA1", 50), ("CA3", 40), ("DG", 48), ("LGd", 50), ("MGd", 1)),
    (("root", 32), ("VISal", 98), ("root", 10), ("CA1", 52), ("CA3", 44), ("LGd", 56), ("VPM", 1)),
    (("root", 30), ("VISrl", 96), ("root", 8), ("CA1", 60), ("DG", 54), ("LP", 62), ("Eth", 12), ("PO", 1)),
)
_TIP_UM = (
    (7650, 4050, 7950),
    (8300, 4000, 7350),
    (8100, 4050, 8150),
    (7800, 4100, 8550),
    (7300, 4080, 8450),
    (7200, 4060, 8050),
)
_STEP_UM = (-1.6, -7.6, 1.4)
_HORIZONTAL_UM = (43, 11, 59, 27)
_INVALID_SHARE = 0.006


def probe_channels(rng: np.random.Generator, identity: SessionIdentity, probe: int) -> pd.DataFrame:
    """Lay out the channels of one probe.

    Returns
    -------
    384 rows, tip first: ``id``, ``probe_id``, ``group_name``, ``probe_channel_number``,
    ``probe_vertical_position`` and ``probe_horizontal_position`` (um), ``x``, ``y``, ``z`` (CCF, um, NaN
    where a channel has no location), ``location`` (acronym, or the text ``None``) and ``valid_data``.
    """
    number = np.arange(CHANNELS_PER_PROBE, dtype=np.int64)
    location = _locations(rng, probe)
    has_location = location != "None"
    valid = rng.random(CHANNELS_PER_PROBE) >= _INVALID_SHARE
    valid[[REFERENCE_CHANNEL, int(rng.integers(20, 180))]] = False
    ccf = np.where(has_location[:, None], _track(rng, probe, number), np.nan)
    return pd.DataFrame(
        {
            "id": identity.channel_ids(probe),
            "location": location,
            "group_name": identity.probe_names[probe],
            "probe_vertical_position": 20 * (number // 2 + 1),
            "probe_horizontal_position": np.array(_HORIZONTAL_UM, dtype=np.int64)[number % 4],
            "probe_id": identity.probe_id(probe),
            "probe_channel_number": number,
            "valid_data": valid,
            "x": ccf[:, 0],
            "y": ccf[:, 1],
            "z": ccf[:, 2],
        }
    )


def _locations(rng: np.random.Generator, probe: int) -> np.ndarray:
    """Return the acronym of each channel, tip first; thicknesses vary by a few channels between sessions."""
    layers = _TRACKS[probe]
    thickness = [max(4, channels + int(rng.integers(-4, 5))) for _, channels in layers[:-1]]
    rest = CHANNELS_PER_PROBE - _UNPLACED_CHANNELS - sum(thickness)
    names = ["None", *(name for name, _ in layers)]
    from_surface = np.repeat(np.array(names, dtype=object), [_UNPLACED_CHANNELS, *thickness, rest])
    return from_surface[::-1].copy()


def _track(rng: np.random.Generator, probe: int, number: np.ndarray) -> np.ndarray:
    tip = np.array(_TIP_UM[probe], dtype=np.float64) + rng.normal(0, 60, size=3).round()
    return np.asarray(np.round(tip + number[:, None] * np.array(_STEP_UM)))


def in_cortex(location: np.ndarray) -> np.ndarray:
    """Return whether each acronym is a visual cortical area, bool of the same shape."""
    return np.isin(np.asarray(location, dtype=str), CORTEX)
