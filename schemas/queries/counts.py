"""Spikes around presentations: stored counts in windows, and the spike tensor of Bennett et al. 2025."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from schemas import ecephys, psth, stimulus
from schemas.files.array_store import mapped
from schemas.queries.checks import knowing_arguments, of_sessions, require_attribute, require_choice
from schemas.queries.methods import require_present_methods
from schemas.queries.missing import not_computed
from schemas.queries.results import NO_UNITS
from schemas.reading.recordings import iterate_probe_spikes
from schemas.rows.fetch import fetch_frame
from vbn.analysis.spikes.presentation_counts import TENSOR_BIN_S, TENSOR_BINS, millisecond_spikes
from vbn.errors import NotFoundError, SettingError

if TYPE_CHECKING:
    import xarray as xr

LARGEST_TENSOR_BYTES = 4 * 10**9
PRESENTATION_KEY = ["mouse_id", "session_id", "presentation_id"]


@knowing_arguments
def presentation_counts(
    session: Any, window: str = "flash_250ms", *, presentation_counts_params: str = "standard"
) -> xr.DataArray:
    """Return the spikes of all units of a session in a window around every presentation, read lazily.

    Parameters
    ----------
    session : a session's id, a key, or a query of one session.
    window : name of a window of the parameter set.
    presentation_counts_params : name of a row of `psth.PresentationCountsParams`.

    Returns
    -------
    (unit, presentation) int32, stored as smaller integers and read where values are asked for: select units
    and presentations first, by their ids (``counts.sel(unit=1061854534)``). Coordinates: ``unit_id``;
    ``presentation_id``, ``start_time`` (s); the window's bounds are among the attributes.

    Raises
    ------
    NotFoundError
        If there is no such session or parameter set, or the counts are not computed.
    SettingError
        For an unknown window, suggesting the nearest, and for more than one session.
    ConflictError
        If an earlier method has counted.
    """
    import xarray as xr  # takes half a second

    from schemas.files.lazy_array import lazy_counts

    settings = psth.PresentationCountsParams.get(presentation_counts_params)
    require_choice("window", window, [each.name for each in settings.windows])
    key = {"presentation_counts_params": presentation_counts_params}
    recordings = of_sessions(ecephys.Recording.proj(), session).keys(limit=2)
    if not recordings:
        raise NotFoundError("There is no such recording. See: vbn sessions, vbn status.")
    of_session = dict(_only(recordings, "presentation_counts"))
    rows = (psth.PresentationCounts & of_session & key).to_dicts()
    if not rows:
        raise NotFoundError(not_computed(psth.PresentationCounts, key, [of_session["session_id"]]))
    require_present_methods({psth.PresentationCounts: key}, of_session)
    part = (psth.PresentationCounts.Window & of_session & key & {"counting_window": window}).fetch1()
    bounds = {"start": part["counting_start"], "stop": part["counting_stop"]}
    return xr.DataArray(
        lazy_counts(mapped(part["presentation_spike_counts"])),
        dims=("unit", "presentation"),
        coords={
            "unit": rows[0]["counted_unit_ids"],
            "presentation": rows[0]["counted_presentation_ids"],
            "unit_id": ("unit", rows[0]["counted_unit_ids"]),
            "presentation_id": ("presentation", rows[0]["counted_presentation_ids"]),
            "start_time": ("presentation", rows[0]["counted_start_times"]),
        },
        name=window,
        attrs={name: f"{value:g} s" for name, value in bounds.items()}
        | {"units": "spikes" if part["counting_of"] == "spikes" else "bins of 1 ms with a spike"},
    )


@knowing_arguments
def spike_tensor(units: Any, flashes: Any) -> xr.DataArray:
    """Return in which milliseconds after the start of flashes units fired, as Bennett et al. 2025 did.

    Parameters
    ----------
    units : query of units of one session, as returned by `units`.
    flashes : presentations of that session: a query as returned by `flashes`, `changes` or `omissions`, or
        rows of `flash_table`.

    Returns
    -------
    (unit, presentation, time) bool, 750 bytes for each unit and presentation, computed from the spike times.
    ``time`` is the start of each bin of 1 ms in seconds after the start of the presentation. The ids are the
    indices of units and presentations. Coordinates: ``unit_id`` (units are sorted by key);
    ``presentation_id``, ``start_time`` (s), in the order given.

    Raises
    ------
    NotFoundError
        If there are no such units or flashes.
    SettingError
        If they are not of one session, or the tensor would be larger than `LARGEST_TENSOR_BYTES`.

    Notes
    -----
    Bins and their edges are those of the published tensor, by
    `vbn.analysis.spikes.presentation_counts.millisecond_spikes`. Its gray before a flash is the end of the
    row before it, so take the flash before, too.
    """
    import xarray as xr  # takes half a second

    wanted = _presentations(flashes)
    probes = list(iterate_probe_spikes(units))
    if not probes or wanted.empty:
        raise NotFoundError(NO_UNITS if not probes else "There are no such flashes. See: vbn sessions.")
    session_id = _only(
        sorted({key["session_id"] for key, _, _ in probes} | set(wanted["session_id"])), "spike_tensor"
    )
    unit_ids = np.concatenate([frame["unit_id"] for _, frame, _ in probes])
    if (size := unit_ids.size * len(wanted) * TENSOR_BINS) > LARGEST_TENSOR_BYTES:
        raise SettingError(
            f"The tensor of {unit_ids.size} units and {len(wanted)} flashes would take {size / 1e9:.1f} GB. "
            "Ask for fewer units or flashes at once."
        )
    query = of_sessions(stimulus.Stimulus.Presentation.proj("presentation_start_time"), session_id)
    starts = fetch_frame(query).set_index("presentation_id")["presentation_start_time"]
    start_times = starts.loc[wanted["presentation_id"]].to_numpy(np.float64)
    parts = [
        millisecond_spikes(times, frame["spike_offset"], frame["n_spikes"], start_times)
        for _, frame, times in probes
    ]
    return xr.DataArray(
        np.concatenate(parts) if len(parts) > 1 else parts[0],
        dims=("unit", "presentation", "time"),
        coords={
            "unit": unit_ids,
            "presentation": wanted["presentation_id"].to_numpy(np.int64),
            "unit_id": ("unit", unit_ids),
            "presentation_id": ("presentation", wanted["presentation_id"].to_numpy(np.int64)),
            "start_time": ("presentation", start_times),
            "time": np.arange(TENSOR_BINS) * TENSOR_BIN_S,
        },
        name="spikes",
        attrs={"time_units": "s"},
    )


def _presentations(flashes: Any) -> pd.DataFrame:
    """Return session_id and presentation_id of presentations."""
    if not isinstance(flashes, pd.DataFrame):
        require_attribute(flashes, "presentation_id")
        return fetch_frame(flashes.proj())[PRESENTATION_KEY]
    for name in ("session_id", "presentation_id"):
        require_choice("column of flashes", name, [str(column) for column in flashes])
    return flashes[["session_id", "presentation_id"]]


def _only(sessions: Any, function: str) -> Any:
    """Return the only session, or raise a SettingError."""
    if len(sessions) > 1:
        raise SettingError(f"{function} is of one session at a time: restrict units and flashes to one.")
    return sessions[0]
