"""Probes and their channels.

A probe's *name* (``probeA`` .. ``probeF``) is unique within a session, its *id* within the data set. A
channel is one of a probe's 384 sites; positions are in um from the tip, CCF coordinates in um.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.errors import quoted
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.scalars import flag, number, whole
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.readers.columns import NAME_MISSING, Table, frame, plain_where_complete

EPHYS = "general/extracellular_ephys"
ELECTRODES = f"{EPHYS}/electrodes"
DEVICES = "general/devices"

CCF_COLUMNS = {
    "anterior_posterior_ccf_coordinate": "x",
    "dorsal_ventral_ccf_coordinate": "y",
    "left_right_ccf_coordinate": "z",
}


@reads("probes")
def read_probes(recording: RecordingFile) -> pd.DataFrame:
    """Read the probes of a recording.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per probe, sorted by name: probe_name, probe_id, sampling_rate (Hz; NaN where not stated),
        has_lfp_data, lfp_sampling_rate (Hz; NaN without LFP).

    Raises
    ------
    InvalidContentError
        There is no probe with an id.

    Notes
    -----
    The LFP attributes are those of the file, as in AllenSDK with ``probe_meta``; without that argument,
    AllenSDK reports no LFP for any probe.
    """
    groups = recording.group(EPHYS)
    names = sorted(name for name in names_in(groups) if "probe_id" in groups[name].attrs)
    if not names:
        raise recording.missing(f"{EPHYS}/<probe name>@probe_id")
    probes = [_probe(recording, name) for name in names]
    return frame(
        {column: np.array([probe[column] for probe in probes], dtype=kind) for column, kind in KINDS}
    )


SITE_POSITIONS = ("probe_channel_number", "probe_vertical_position", "probe_horizontal_position")
KINDS: tuple[tuple[str, Any], ...] = (
    ("probe_name", object),
    ("probe_id", np.int64),
    ("sampling_rate", np.float64),
    ("has_lfp_data", np.bool_),
    ("lfp_sampling_rate", np.float64),
)


@reads("channels")
def read_channels(recording: RecordingFile) -> pd.DataFrame:
    """Read all channels of a recording, including invalid ones.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per channel, in file order: channel_id, probe_name, probe_id, probe_channel_number,
        probe_vertical_position and probe_horizontal_position (um), the three CCF coordinates (um; NaN where
        the channel is not registered), structure_acronym (None where missing; ``root`` is not missing),
        valid_data, filtering. What the file lacks is missing in all channels.

    Raises
    ------
    InvalidContentError
        The table is missing, ids repeat, or a channel's probe is unknown.
    """
    table = Table(recording, ELECTRODES)
    probe_ids = _probe_ids(recording, table)
    columns: dict[str, Any] = {
        "channel_id": table.identifiers(),
        "probe_name": _probe_names(recording, probe_ids),
        "probe_id": probe_ids,
    }
    for name in SITE_POSITIONS:
        columns[name] = plain_where_complete(table.integers_or_missing(name))
    for name, stored in CCF_COLUMNS.items():
        columns[name] = table.floats_or_nan(stored)
    columns["structure_acronym"] = table.texts_or_missing("location", missing=NAME_MISSING)
    columns["valid_data"] = plain_where_complete(table.booleans_or_missing("valid_data"))
    columns["filtering"] = table.texts_or_missing("filtering")
    return frame(columns)


def _probe(recording: RecordingFile, name: str) -> dict[str, Any]:
    """Read one probe from its electrode group and its device."""
    group = recording.group(f"{EPHYS}/{name}")
    at = f"{EPHYS}/{name}/device" if "device" in group else f"{DEVICES}/{name}"
    device = recording.group(at) if recording.has(at) else group
    has_lfp = "has_lfp_data" in group.attrs and recording.attribute(group.name, "has_lfp_data", flag)
    has_rate = has_lfp and "lfp_sampling_rate" in group.attrs
    return {
        "probe_name": name,
        "probe_id": recording.attribute(group.name, "probe_id", whole),
        "sampling_rate": recording.attribute(device.name, "sampling_rate", number)
        if "sampling_rate" in device.attrs
        else np.nan,
        "has_lfp_data": has_lfp,
        "lfp_sampling_rate": recording.attribute(group.name, "lfp_sampling_rate", number)
        if has_rate
        else np.nan,
    }


def _probe_ids(recording: RecordingFile, table: Table) -> NDArray[np.int64]:
    """Read each channel's probe, by id or else by name, with which all of NWB's tables have it."""
    if table.has("probe_id") or not table.has("group_name"):
        return table.integers("probe_id")
    probes = read_probes(recording)
    ids = dict(zip(probes["probe_name"], probes["probe_id"].tolist(), strict=True))
    names = table.texts("group_name")
    if unknown := sorted(set(names) - set(ids)):
        raise recording.invalid(
            f"/{ELECTRODES}/group_name: no probe of the file is named {quoted(unknown[0])}."
        )
    return np.array([ids[name] for name in names], dtype=np.int64)


def _probe_names(recording: RecordingFile, probe_ids: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the name of each channel's probe."""
    probes = read_probes(recording)
    names = dict(zip(probes["probe_id"].tolist(), probes["probe_name"], strict=True))
    unknown = sorted(set(probe_ids.tolist()) - set(names))
    if unknown:
        raise recording.invalid(f"/{ELECTRODES}/probe_id: no probe of the file has the ids {unknown[:5]}.")
    return np.array([names[probe_id] for probe_id in probe_ids.tolist()], dtype=object)
