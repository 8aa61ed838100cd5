"""Cortical layers of recording sites, by the structure that the Allen CCF has where they are.

The layer is looked up by a table of ids, never by the end of an acronym: ``CA1`` and ``CUL4`` are no layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from vbn.anatomy.annotation import Volume
    from vbn.anatomy.streamlines import Streamlines

LAYERS = ("1", "2/3", "4", "5", "6a", "6b")
NO_LAYER = "none"
LAYER_GROUPS = {"1": "2/3", "2/3": "2/3", "4": "4", "5": "5", "6a": "6", "6b": "6"}
"""Layer -> the group that contrasts of layers take it to (Bennett et al. 2025)."""
SNAP_UM = 100.0
COORDINATES = (
    "anterior_posterior_ccf_coordinate",
    "dorsal_ventral_ccf_coordinate",
    "left_right_ccf_coordinate",
)
DISTANCES = ("pia_distance_um", "streamline_distance_um", "streamline_length_um")
VISUAL_AREAS = (
    "VIS", "VISp", "VISl", "VISal", "VISam", "VISpm", "VISpl", "VISli", "VISpor", "VISrl", "VISa",
    "VISrll", "VISlla", "VISmma", "VISmmp", "VISm",
)  # fmt: skip
"""The visual areas of the ontology. ``VISC`` is visceral: none is found by how its acronym begins."""


@cache
def layers() -> pd.DataFrame:
    """Return the layers of the isocortex in the CCFv3 ontology.

    Returns
    -------
    pandas.DataFrame
        ``structure_id``, ``area`` (acronym of the area that has the layer), ``layer`` (one of `LAYERS`).
        Source: the Allen Institute's structure tree of the 2017 ontology.
    """
    with resources.files("vbn.anatomy").joinpath("layers.csv").open() as file:
        return pd.read_csv(file, dtype={"area": str, "layer": str})


@dataclass(frozen=True)
class Atlas:
    """From which volumes sites get their layers, and how.

    Attributes
    ----------
    annotation, depths, streamlines, surface : where the volumes and the two files of streamlines
        (`vbn.anatomy.streamlines`) are: name of a root and path below it, as of a registered file; all but
        the first may be None. Not hashed, since files may move.
    annotation_blake2b, depths_blake2b, streamlines_blake2b, surface_blake2b : hashes of their contents.
    resolution_um : edge of a voxel of the annotation.
    depths_resolution_um : of the depths, None without.
    snap_distance_um : a site of a visual area whose voxel is no isocortex takes the layer of the nearest site
        of its probe that has one, within this distance along the probe.
    """

    annotation: tuple[str, str]
    annotation_blake2b: str
    resolution_um: float
    depths: tuple[str, str] | None = None
    depths_blake2b: str | None = None
    depths_resolution_um: float | None = None
    snap_distance_um: float = SNAP_UM
    streamlines: tuple[str, str] | None = None
    streamlines_blake2b: str | None = None
    surface: tuple[str, str] | None = None
    surface_blake2b: str | None = None


def site_layers(
    channels: pd.DataFrame,
    annotation: Volume,
    depths: Volume | None = None,
    snap_distance_um: float = SNAP_UM,
    streamlines: Streamlines | None = None,
) -> pd.DataFrame:
    """Return the layer, the depth and the distances from the pia of each recording site.

    Parameters
    ----------
    channels : the sites of one or more probes: ``probe_name``, ``probe_vertical_position`` (um), the three
        `COORDINATES` (um) and ``structure_acronym``, the area by physiology.
    annotation : structure ids.
    depths : relative depth, 0 at the pia and 1 at the white matter, also 0 outside the isocortex; of both
        hemispheres or of one.
    snap_distance_um : see `Atlas`.
    streamlines : from the pia to the white matter.

    Returns
    -------
    pandas.DataFrame
        With the index of ``channels``:
        ``ccf_structure_id`` (Int64), missing for a site that is not registered, or outside volume or brain;
        ``ccf_area``, the area of isocortex there, or missing;
        ``cortical_layer``, one of `LAYERS`, or `NO_LAYER` in the brain where the voxel or
        ``structure_acronym`` is no isocortex, or missing;
        ``area_agrees`` (boolean), whether ``ccf_area`` is ``structure_acronym``, missing where one is;
        ``layer_is_snapped`` (bool);
        ``cortical_depth`` (float), missing where the site's own voxel is in no layer, or has no depth;
        ``pia_distance_um``, ``streamline_distance_um`` and ``streamline_length_um`` (float;
        `vbn.anatomy.streamlines.Streamlines.distances`), missing where the site's own voxel is in no layer.
    """
    coordinates = channels[list(COORDINATES)].to_numpy(float)
    unregistered = (coordinates == 0).all(axis=1)
    ids = annotation.at(np.where(unregistered[:, None], np.nan, coordinates)).astype(np.int64)
    known = layers().set_index("structure_id")
    table = known.reindex(ids).set_axis(channels.index)
    label = channels["structure_acronym"]
    elsewhere = label.notna() & ~label.isin(known["area"])
    layer = table["layer"].astype(object).mask(table["layer"].isna() | elsewhere, NO_LAYER)
    found = pd.DataFrame(
        {
            "ccf_structure_id": pd.Series(ids, channels.index).astype("Int64").mask(ids == 0),
            "ccf_area": table["area"].astype(object),
            "cortical_layer": layer.mask(ids == 0, None),
        }
    )
    agrees = (found["ccf_area"] == label).astype("boolean")
    found["area_agrees"] = agrees.mask(found["ccf_area"].isna() | label.isna())
    snapped = _snapped_layers(channels, found["cortical_layer"], snap_distance_um)
    found["layer_is_snapped"] = snapped.notna()
    found["cortical_layer"] = snapped.where(snapped.notna(), found["cortical_layer"])
    own = found["cortical_layer"].isin(LAYERS) & ~found["layer_is_snapped"]
    depth = _depths(coordinates, depths, annotation.midline_um)
    # Outside the isocortex the volume of depths is 0, as at the pia.
    has_depth = own & ((depth > 0) | (found["cortical_layer"] == LAYERS[0]))
    found["cortical_depth"] = np.where(has_depth, depth, np.nan)
    for name in DISTANCES:
        found[name] = np.nan
    if streamlines is not None:
        found.loc[own, list(DISTANCES)] = streamlines.distances(coordinates[own]).to_numpy()
    return found


def _snapped_layers(channels: pd.DataFrame, layer: pd.Series, distance_um: float) -> pd.Series:
    """Return the layers of sites of visual areas that take another site's, and None for all others."""
    snapped = pd.Series(None, index=channels.index, dtype=object)
    has_layer = layer.isin(LAYERS)
    wanting = channels["structure_acronym"].isin(VISUAL_AREAS) & ~has_layer & layer.notna()
    for _, sites in channels.groupby("probe_name", sort=False):
        from_sites = sites[has_layer[sites.index]]
        to_sites = sites[wanting[sites.index]]
        if from_sites.empty or to_sites.empty:
            continue
        positions = from_sites["probe_vertical_position"].to_numpy(float)
        distances = np.abs(np.subtract.outer(to_sites["probe_vertical_position"].to_numpy(float), positions))
        near = distances.min(axis=1) <= distance_um
        nearest = from_sites.index[distances.argmin(axis=1)]
        snapped.loc[to_sites.index[near]] = layer.loc[nearest[near]].to_numpy()
    return snapped


def _depths(coordinates: np.ndarray, depths: Volume | None, midline_um: float) -> np.ndarray:
    """Return the relative depth; where one hemisphere has none, that of the other. Both are 0 at the pia."""
    if depths is None:
        return np.full(len(coordinates), np.nan)
    mirrored = coordinates * [1.0, 1.0, -1.0] + [0.0, 0.0, 2 * midline_um]
    return np.asarray(np.fmax(depths.at(coordinates, np.nan), depths.at(mirrored, np.nan)), dtype=float)
