"""Data of the figure of the optotagging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, optotagging, psth, session
from schemas.figures.aligned import laser_spans, spans
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import session_key
from schemas.queries.methods import require_present_methods
from schemas.queries.projects import Names, in_project, sessions_by_project
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import session_events
from schemas.rows.fetch import fetch_frame
from vbn.analysis.optotagging import DEFAULT_METHOD, is_cre_positive, line_of
from vbn.analysis.optotagging.report import WILD_TYPE
from vbn.analysis.spikes.psth import TimeAxis
from vbn.analysis.spikes.smoothing import smoothed_rates
from vbn.analysis.task.events import EventSelection, SessionEvents, find_events
from vbn.errors import NotFoundError
from vbn.plots.optotagging import LaserEvidence, LongPulses, PassingUnits

Key = dict[str, Any]

ALIGNMENT = "laser_pulse_high"
LONG, LONG_AXIS = "raised_cosine", TimeAxis(-0.25, 1.25, 0.01)


def laser_evidence(
    session_id: int, *, method: str = DEFAULT_METHOD, project: Names = None, allow_mixed: bool = False
) -> LaserEvidence:
    """Return the laser responses of a session's units, and the numbers of passing units in all sessions.

    Parameters
    ----------
    session_id : id of the session.
    method : name of a row of `optotagging.OptotagMethod`.
    project : data sets of the numbers of passing units, ``all`` to join them; by default that of the session.
    allow_mixed : warn instead of raising an error if some labels were computed by an earlier method.

    Raises
    ------
    NotFoundError
        If there is no such session or method, nothing is computed, or the session has no laser, or no short
        pulses.
    ConflictError
        If some labels, of any session, were computed by an earlier method.
    """
    optotagging.OptotagMethod.get(method)
    key = session_key(session_id)
    sets = {"optotag_params": optotagging.OptotagParams.default_name(), "optotag_method": method}
    if (session.NwbFile & key).fetch1("file_kind") != "recording":
        raise NotFoundError(f"Session {session_id} is behavior only: it has no units. {_with_laser()}")
    require_entries({**key, **sets}, optotagging.OptotagLabel)
    require_present_methods({optotagging.OptotagLabel: sets}, allow_mixed=allow_mixed)
    settings = psth.Alignment.get(ALIGNMENT)
    pulses = optotagging.Optotagging.Condition & key & {"laser_waveform": settings.waveform_condition}
    strongest = (pulses & {"laser_level_name": settings.level_condition}).to_dicts()
    if not strongest:
        kind = "laser table" if not optotagging.Optotagging.Condition & key else "short laser pulses"
        raise NotFoundError(f"Session {session_id} has no {kind}. {_with_laser()}")
    units = _units({**key, **sets}, strongest[0])
    events = session_events(key)
    of_lines = in_project(session.Session, project or (session.Session & key).fetch1("project")).proj()
    lines = _passing_units(sets, of_lines)
    return LaserEvidence(
        session_id=session_id,
        genotype=(session.Mouse & key).fetch1("genotype"),
        method=method,
        n_pulses=strongest[0]["n_condition_pulses"],
        edges_s=settings.axis.edges_s,
        rate_hz=rates_of_units(key, units["unit_id"], settings),
        label=units["optotag_label"].tolist(),
        passes=units["optotag_passes"].eq(True).to_numpy(bool),
        latency_s=units["first_spike_latency"].to_numpy(float),
        reliability=units["laser_reliability"].to_numpy(float),
        spans=laser_spans(strongest[0]["laser_duration"]),
        lines=lines,
        unit_id=units["unit_id"].tolist(),
        long_pulses=_long_pulses(key, units["unit_id"], events),
        projects=sessions_by_project(number for line in lines for number in line.session_id),
    )


def _long_pulses(key: Key, unit_ids: pd.Series[int], events: SessionEvents) -> LongPulses | None:
    """Return the responses to raised cosines at their highest level; None where there are none."""
    chosen = EventSelection("laser_pulse", waveform=LONG, level="high")
    times = find_events(events, chosen)
    if not times.size:
        return None
    return LongPulses(
        n_pulses=times.size,
        edges_s=LONG_AXIS.edges_s,
        rate_hz=_counted_rates(key, unit_ids, times, LONG_AXIS),
        spans=spans(events, chosen),
    )


def _counted_rates(key: Key, unit_ids: pd.Series[int], times: np.ndarray, axis: TimeAxis) -> np.ndarray:
    units, spikes = session_spikes(key)
    rows = units.set_index("unit_id").loc[unit_ids]
    return smoothed_rates(spikes, rows["spike_offset"], rows["n_spikes"], times, axis)


def _units(key: Key, condition: Key) -> pd.DataFrame:
    """Return the units' labels and their responses to one laser condition, sorted by unit id."""
    labels = fetch_frame((optotagging.OptotagLabel.Unit & key).proj("optotag_label", "optotag_passes"))
    condition_key = {name: condition[name] for name in optotagging.Optotagging.Condition.primary_key}
    evidence = fetch_frame(
        (optotagging.Optotagging.Evidence & condition_key).proj("first_spike_latency", "laser_reliability")
    )
    names = ["unit_id", "first_spike_latency", "laser_reliability"]
    return labels.merge(evidence[names], on="unit_id", how="left").sort_values("unit_id", ignore_index=True)


def rates_of_units(
    key: Key, unit_ids: pd.Series[int], settings: psth.AlignmentSettings, *, alignment: str = ALIGNMENT
) -> np.ndarray:
    """Return the mean firing rates of units around events: as computed before, else from the spikes.

    Parameters
    ----------
    key : the session's key.
    unit_ids : (n_units,) ids of units of that session.
    settings, alignment : the alignment and its name.

    Returns
    -------
    (n_units, n_bins) Hz
    """
    computed = fetch_frame((psth.Psth.Unit & key & {"alignment": alignment}).proj("psth_rate"))
    if set(unit_ids) <= set(computed["unit_id"]):
        return np.stack(computed.set_index("unit_id")["psth_rate"].loc[unit_ids].tolist()).astype(float)
    return _counted_rates(key, unit_ids, find_events(session_events(key), settings.events), settings.axis)


def _passing_units(sets: Key, sessions: Any) -> list[PassingUnits]:
    """Return how many units pass in each session with a laser, by mouse line."""
    measured = optotagging.Optotagging & {"optotag_outcome": "measured"}
    labels = optotagging.OptotagLabel & sets & measured & sessions & "n_passing IS NOT NULL"
    counts = labels.proj("n_passing") * ecephys.Recording.proj("n_units")
    rows = fetch_frame(counts * session.Mouse.proj("genotype"))
    names = [line_of(name) if is_cre_positive(name) else WILD_TYPE for name in rows["genotype"]]
    return [
        PassingUnits(
            str(line),
            group["session_id"].tolist(),
            group["n_passing"].to_numpy(),
            group["n_units"].to_numpy(),
        )
        for line, group in rows.groupby(np.array(names, dtype=object))
    ]


def _with_laser() -> str:
    """Return a sentence that names sessions with a laser."""
    found = optotagging.Optotagging & {"optotag_outcome": "measured"}
    known = sorted(set(found.to_arrays("session_id").tolist()))
    few = ", ".join(map(str, known[:5])) + (", ..." if len(known) > 5 else "")
    return f"Sessions with one: {few}." if known else "No session in the database has one."
