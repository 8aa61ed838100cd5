"""The cortical layers of units, by a volume of the Allen CCF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from schemas import ecephys
from schemas.queries.checks import knowing_arguments, restrict
from schemas.queries.missing import warn_of_missing
from schemas.rows.fetch import fetch_frame
from vbn.anatomy.layers import LAYERS, NO_LAYER
from vbn.errors import NotFoundError, SettingError
from vbn.nearest import nearest

DEPTHS = ("cortical_depth", "pia_distance", "streamline_distance", "streamline_length")
OF_LAYER = ("cortical_layer", *DEPTHS)


@knowing_arguments
def unit_layers(
    cortical_layer: str | Sequence[str] | None = None, atlas: str | None = None, of: Any = True
) -> Any:
    """Return the layer and the depth of each unit's peak channel.

    Parameters
    ----------
    cortical_layer : one or more of ``1``, ``2/3``, ``4``, ``5``, ``6a``, ``6b``, ``6`` for the last two, or
        ``none`` for units in the brain outside the isocortex; None for all.
    atlas : name of a row of `ecephys.AtlasParams`; may be left out if there is one only.
    of : query of units; a warning names their recordings that have no layers yet.

    Returns
    -------
    query expression
        Rows with the key of ``ecephys.Recording.Unit``, the atlas and the attributes of
        ``ecephys.ChannelLayer.Channel``.

    Raises
    ------
    NotFoundError
        If there is no such atlas, or several and none is named.
    SettingError
        For an unknown layer.
    """
    key = {"atlas": atlas_name(atlas)}
    channels = (ecephys.ChannelLayer.Channel & key).proj(..., peak_channel_id="channel_id")
    found = ecephys.Recording.Unit.proj("peak_channel_id") * channels
    warn_of_missing(ecephys.ChannelLayer, key, of)
    return (
        found if cortical_layer is None else restrict(found, {"cortical_layer": layer_names(cortical_layer)})
    )


def atlas_name(name: str | None = None) -> str:
    """Return the name of an atlas that is there: the one that is named, or the only one."""
    known = ecephys.AtlasParams.names()
    if name is None and len(known) == 1:
        return known[0]
    if not known:
        raise NotFoundError("Units have no layers, as no atlas was entered. Enter one: vbn atlas add --help")
    if name is None:
        raise NotFoundError(f"There are several atlases; name one of them: {', '.join(known)}.")
    if name not in known:
        raise NotFoundError(f"There is no atlas '{name}'.{nearest(name, known)}")
    return name


def layer_names(wanted: str | Sequence[str]) -> list[str]:
    """Return the layers that are meant: ``6`` stands for ``6a`` and ``6b``."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = (*LAYERS, "6", NO_LAYER)
    for name in names:
        if name not in known:
            raise SettingError(f"There is no layer '{name}'. There are: {', '.join(known)}.")
    return [each for name in names for each in (("6a", "6b") if name == "6" else (name,))]


@knowing_arguments
def layer4_sinks(atlas: str | None = None, of: Any = True) -> pd.DataFrame:
    """Return the depth of layer 4 by physiology, and what the Allen CCF has there: two independent measures.

    Parameters
    ----------
    atlas : name of a row of `ecephys.AtlasParams`; may be left out if there is at most one.
    of : restriction of probes or sessions.

    Returns
    -------
    pandas.DataFrame
        One row per probe and parameter set with a sink (`ecephys.Layer4Sink`): the key, the table's columns,
        ``layer4_sink_depth`` (um below the highest site in a visual area, along the probe), and
        ``structure_acronym`` of the nearest site. With an atlas, also that site's ``cortical_layer``,
        ``cortical_depth`` (0 at the pia, 1 at the white matter), distances from the pia (um) and
        ``in_layer_4`` (NA without a layer), and ``from_ccf_layer_4`` (um): how far the sink is above the
        middle of the probe's sites in the CCF's layer 4, NaN without any.

    Raises
    ------
    NotFoundError
        If there is no such atlas, or several and none is named.
    """
    found = ecephys.Layer4Sink & "layer4_sink_position IS NOT NULL" & of
    sites = ecephys.Recording.Channel.proj("probe_vertical_position", "structure_acronym") & found.proj()
    sinks, of_sites, columns = fetch_frame(found), fetch_frame(sites), ["structure_acronym"]
    if atlas is not None or len(ecephys.AtlasParams()) > 0:
        layers = ecephys.ChannelLayer.Channel & {"atlas": atlas_name(atlas)} & found.proj()
        of_layers = fetch_frame(layers.proj(*OF_LAYER)).drop(columns="atlas")
        of_sites = of_sites.merge(of_layers, on=list(sites.primary_key), how="left")
        columns += OF_LAYER
    probe = list(ecephys.Recording.Probe.primary_key)
    both = sinks.merge(of_sites, on=probe)
    distance = (both["probe_vertical_position"] - both["layer4_sink_position"]).abs()
    nearest_site = both.loc[
        distance.groupby([both[name] for name in ecephys.Layer4Sink.primary_key]).idxmin()
    ]
    table = nearest_site[[*sinks.columns, *columns]].reset_index(drop=True)
    table["layer4_sink_depth"] = table["cortex_surface"] - table["layer4_sink_position"]
    if "cortical_layer" in table:
        inside = of_sites[of_sites["cortical_layer"] == "4"]
        middle = inside.groupby(probe)["probe_vertical_position"].median().rename("middle").reset_index()
        layer = table["cortical_layer"].astype("string")  # a site without a layer is not outside of layer 4
        table["in_layer_4"] = layer == "4"
        table["from_ccf_layer_4"] = (
            table["layer4_sink_position"] - table.merge(middle, on=probe, how="left")["middle"]
        )
    return table
