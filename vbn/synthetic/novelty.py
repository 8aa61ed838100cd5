"""Mice with a familiar and a novel session, between which responses differ by area, layer and cell type.

The areas are columns of a made atlas, `annotation`, so that the layer of a channel in it is known. Images
that are novel add spikes from 20 to 100 ms after each of their flashes (`effect_hz`), those of both none.
Mice differ, and sessions of one mouse as well, by more than chance among units, which are not independent.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pandas as pd

from vbn.anatomy.annotation import SHAPES
from vbn.anatomy.layers import NO_LAYER, layers
from vbn.synthetic.anatomy import CORTEX, in_cortex
from vbn.synthetic.settings import SessionIdentity, SyntheticSettings, generator
from vbn.synthetic.units import Unit

ATLAS_FILE = "annotation_100.nrrd"
VOXEL_UM = 100.0
THICKNESS = {"1": 1, "2/3": 2, "4": 1, "5": 2, "6a": 1, "6b": 1}
"""Layer -> thickness in voxels, from the surface down."""
OF_AREA = {"VISp": 0.5, "VISl": 0.75, "VISrl": 0.75, "VISal": 1.0, "VISpm": 1.0, "VISam": 1.25}
OF_LAYER = {"1": 0.0, "2/3": 1.5, "4": 0.5, "5": 1.0, "6a": 0.25, "6b": 0.0}
OF_CELL_TYPE = {"RS": 1.0, "FS": 0.5}
WINDOW_S = (0.02, 0.1)
_MOUSE_STREAM, _SESSION_STREAM = 30, 31
_MOUSE_SD, _SESSION_SD_HZ = 0.25, 1.5
_SURFACE_PLANE = 10
_BRAIN_ID = 997  # the root of the ontology, which is in no layer
_COLUMN_VOXELS, _FIRST_COLUMN, _MEDIAL_VOXEL, _LATERAL_VOXEL = 6, 60, 74, 86
_STEP_UM = 7.6


def effect_hz(settings: SyntheticSettings, structure: str, layer: str, *, is_fast: bool) -> float:
    """Return what a novel image adds to the rate of a ``novelty`` unit from 20 to 100 ms after its onset."""
    of_place = OF_AREA.get(structure, 0.0) * OF_LAYER.get(layer, 0.0)
    return (settings.novelty_hz or 0.0) * of_place * OF_CELL_TYPE["FS" if is_fast else "RS"]


def effects(settings: SyntheticSettings) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """Return the effect (Hz) by area, layer and cell type; elsewhere it is 0."""
    return {
        area: {
            layer: {
                name: effect_hz(settings, area, layer, is_fast=name == "FS") for name in OF_CELL_TYPE
            }
            for layer in OF_LAYER
        }
        for area in OF_AREA
    }  # fmt: skip


def annotation() -> np.ndarray:
    """Return the made atlas, (AP, DV, LR) ids of structures in voxels of 100 um, mirror-symmetric."""
    ids = np.zeros(SHAPES[VOXEL_UM], dtype=np.uint32)
    ids[:, _SURFACE_PLANE:] = _BRAIN_ID
    of_layer = layers().set_index(["area", "layer"])["structure_id"]
    ends = [_SURFACE_PLANE + end for end in accumulate(THICKNESS.values())]
    for column, area in enumerate(CORTEX):
        first = _FIRST_COLUMN + _COLUMN_VOXELS * column
        for layer, end in zip(THICKNESS, ends, strict=True):
            planes = slice(end - THICKNESS[layer], end)
            ids[first : first + _COLUMN_VOXELS, planes, _MEDIAL_VOXEL:_LATERAL_VOXEL] = of_layer[area, layer]
    half = ids.shape[2] // 2
    ids[:, :, :half] = ids[:, :, : half - 1 : -1]
    return ids


def atlas_file() -> bytes:
    """Return the atlas as an NRRD file, which ``vbn atlas add`` takes."""
    ids = annotation()
    sizes = " ".join(map(str, ids.shape))
    header = f"NRRD0004\ntype: uint32\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: gzip\n\n"
    return header.encode() + gzip.compress(ids.astype("<u4").tobytes(order="F"), mtime=0)


def placed(rng: np.random.Generator, channels: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Place the channels of a probe in the atlas, on a vertical track through the column of its area.

    Returns
    -------
    channels : with other coordinates.
    layer : (n_channels,) layer of each channel in visual cortex, None elsewhere.
    """
    cortical = in_cortex(channels["location"].to_numpy())
    number = channels["probe_channel_number"].to_numpy(np.float64)
    top, n_cortical = number[cortical].max(), int(cortical.sum())
    n_voxels = sum(THICKNESS.values())
    depth = (top - number + 0.5) / n_cortical  # 0 to 1 in cortex
    below = np.where(depth > 1, 1 + (depth - 1) * n_cortical * _STEP_UM / (n_voxels * VOXEL_UM), depth)
    column = _FIRST_COLUMN + _COLUMN_VOXELS * (
        CORTEX.index(str(channels["location"][cortical].iloc[0])) + 0.5
    )
    centre = np.array([column, (_MEDIAL_VOXEL + _LATERAL_VOXEL) / 2]) * VOXEL_UM
    x, z = (centre + rng.uniform(-150, 150, size=2)).round()
    y = np.round(_SURFACE_PLANE * VOXEL_UM + below * n_voxels * VOXEL_UM, 3)
    track = np.column_stack([np.full(len(y), x), y, np.full(len(y), z)])
    track[channels["location"].eq("None").to_numpy()] = np.nan
    bounds = np.array(list(accumulate(THICKNESS.values()))) / n_voxels
    names = np.array(list(THICKNESS), dtype=object)
    layer = names[np.searchsorted(bounds, depth.clip(0, 1 - 1e-9), side="right")]
    layer[~cortical] = None
    return channels.assign(x=track[:, 0], y=track[:, 1], z=track[:, 2]), layer


def tuned(
    settings: SyntheticSettings, identity: SessionIdentity, units: list[Unit], layer: np.ndarray
) -> list[Unit]:
    """Return units with the layer of their channel and, if they see novelty, with what they do.

    Parameters
    ----------
    settings : of the data set.
    identity : of the session.
    units : of one probe.
    layer : (n_channels,) from `placed`.
    """
    of_mouse = generator(settings, identity.index // 2, _MOUSE_STREAM)
    gain = float(np.exp(of_mouse.normal(0, _MOUSE_SD)))
    shift_hz = float(generator(settings, identity.index, _SESSION_STREAM).normal(0, _SESSION_SD_HZ))
    return [_tuned(settings, unit, layer[unit.channel], gain, shift_hz) for unit in units]


def _tuned(settings: SyntheticSettings, unit: Unit, layer: str | None, gain: float, shift_hz: float) -> Unit:
    parameters: dict[str, object] = {**unit.parameters, "layer": layer or NO_LAYER}
    if unit.role == "novelty":
        image_hz = unit.parameters["image_hz"]
        assert isinstance(image_hz, float)
        parameters |= {
            "window_s": list(WINDOW_S),
            "image_hz": max(0.0, gain * image_hz + shift_hz),
            "effect_hz": effect_hz(settings, unit.structure, layer or NO_LAYER, is_fast=unit.is_fast),
        }
    return replace(unit, parameters=parameters)
