"""The cortical layers of units, by a volume of the Allen CCF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas import ecephys
from schemas.queries.checks import restrict
from schemas.queries.missing import warn_of_missing
from vbn.anatomy.layers import LAYERS, NO_LAYER
from vbn.errors import NotFoundError, SettingError
from vbn.nearest import nearest


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
    return found if cortical_layer is None else restrict(found, {"cortical_layer": _layers(cortical_layer)})


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


def _layers(wanted: str | Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = (*LAYERS, "6", NO_LAYER)
    for name in names:
        if name not in known:
            raise SettingError(f"There is no layer '{name}'. There are: {', '.join(known)}.")
    return [each for name in names for each in (("6a", "6b") if name == "6" else (name,))]
