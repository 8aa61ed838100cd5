"""Fetching the results of one session as the tables of a derived NWB file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

import vbn
from schemas import behavior, ecephys, psth, session
from schemas.bases.parameter_table import as_json
from schemas.bases.provenance import METHOD, PACKAGE, PARAMETERS, SOURCE
from schemas.bases.registry import part_classes, tables
from schemas.queries.column_comments import column_comments
from schemas.queries.located_units import located_units, session_key
from schemas.reading.recordings import iterate_probe_spikes
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.errors import NotFoundError
from vbn.nearest import nearest
from vbn.nwb.write_derived import DerivedSeries, DerivedSession, DerivedTable

Key = dict[str, Any]

SESSION_KEY = ("mouse_id", "session_id")
MADE_WITH = {
    PACKAGE: "version of vbn-datajoint",
    METHOD: "version of the method",
    PARAMETERS: "sha256 of the parameter sets, empty without parameters",
    SOURCE: "blake2b of the source file, or size:bytes where it has no hash",
}
SOURCE_FILE = ("file_kind", "size_bytes", "blake2b")
UNIT_LOCATION = (
    "structure_acronym", "probe_vertical_position", "probe_horizontal_position", "valid_data",
)  # fmt: skip
IDS = ("unit_id", "trial_id")
PSTH_UNIT = "psth_unit_"
INTERVALS = {
    "trials": {
        "trial_start_time": "start_time", "trial_stop_time": "stop_time", "lick_times": "lick_timestamps",
    },
    "engagement_epoch": {"epoch_start_time": "start_time", "epoch_stop_time": "stop_time"},
}  # fmt: skip
"""Tables of intervals that all have a duration, unlike lick bouts of a single lick. To pynapple, a table with
a column of lists whose name ends in ``_times`` is one of spike trains."""


def derived_session(
    session_id: int, names: Sequence[str] = (), *, with_spikes: bool = True
) -> DerivedSession:
    """Return the results of a session, for `vbn.nwb.write_derived.write_derived`.

    Parameters
    ----------
    session_id : id of the session.
    names : computed tables, ``Psth`` with its parts or ``Psth.Unit`` alone; all by default. Units and trials
        are always included.
    with_spikes : whether the units have their spike times, which make most of the file's size.

    Raises
    ------
    NotFoundError
        If the session is not registered, a name is not that of a computed table, or nothing was computed.
    """
    key = session_key(session_id)
    masters = _chosen(names)
    results = [table for cls, labels in masters.items() for table in _results(cls, labels, key)]
    if not any(len(table.frame) for table in results):
        which = f" in {', '.join(names)}" if names else ""
        raise NotFoundError(f"Session {session_id} has no results{which}. Compute them with: vbn populate")
    row = (
        session.Session * session.Mouse * session.NwbFile.proj("relative_path", *SOURCE_FILE) & key
    ).fetch1()
    provenance = [
        _source(row),
        _made_with(masters, key),
        _parameter_sets(masters, key),
        _time_axes(masters, key),
    ]
    units = _units(key, with_spikes)
    return DerivedSession(
        session_id=session_id,
        start=row["date_of_acquisition"].replace(tzinfo=UTC),
        session_type=row["session_type"],
        mouse_id=row["mouse_id"],
        sex=row["sex"],
        age_in_days=row["age_in_days"],
        genotype=row["genotype"],
        source=_file_name(row),
        generated_by=("vbn-datajoint", vbn.__version__),
        tables=[*provenance, units, _trials(key), *results],
        series=[_mean_responses(table, units) for table in results if table.name.startswith(PSTH_UNIT)],
    )


def missing_entries(session_id: int, names: Sequence[str] = ()) -> dict[str, int]:
    """Return the numbers of entries of a session that computed tables still lack, for incomplete tables.

    A table that is made only when asked for by name is not incomplete.

    Parameters
    ----------
    session_id, names : as in `derived_session`.
    """
    key = session_key(session_id)
    wanted = [cls for cls in _chosen(names) if not getattr(cls, "is_optional", False)]
    due = {cls: len((cls().key_source & key) - cls().proj()) for cls in wanted}
    return {cls.__name__: count for cls, count in due.items() if count}


def _chosen(names: Sequence[str]) -> dict[Any, dict[str, Any]]:
    """Return the chosen computed tables, each with the chosen tables among itself and its parts, by name."""
    of_sessions = [cls for cls in tables(dj.Computed) if "session_id" in cls.primary_key]
    everything = {
        cls: {cls.__name__: cls} | {f"{cls.__name__}.{part.__name__}": part for part in part_classes(cls)}
        for cls in of_sessions
    }
    known = [label for labels in everything.values() for label in labels]
    for name in names:
        if name not in known:
            raise NotFoundError(f"There is no computed table '{name}'.{nearest(name, known)}")
    chosen = {
        cls: {
            label: table
            for label, table in labels.items()
            if not names or label in names or cls.__name__ in names
        }
        for cls, labels in everything.items()
    }
    return {cls: labels for cls, labels in chosen.items() if labels}


def _results(cls: Any, labels: Mapping[str, Any], key: Key) -> Iterator[DerivedTable]:
    """Yield the tables of a master and its parts; those with arrays or intervals split by parameter set."""
    place = "ecephys" if ecephys.Recording().full_table_name in cls().ancestors() else "behavior"
    made_with = [f"{cls.provenance_prefix()}_{name}" for name in MADE_WITH]
    sets = _set_names(cls)
    for label, table in labels.items():
        whole = _table(_snake(label), table() & key, place, without=made_with)
        holds_arrays = any(attribute.codec for attribute in table.heading.attributes.values())
        if not (sets and (holds_arrays or whole.name in INTERVALS)):
            yield whole
            continue
        for values, frame in whole.frame.groupby(sets, sort=False):
            words = ", ".join(f"{name} {value}" for name, value in zip(sets, values, strict=True))
            yield replace(
                whole,
                name=_snake("_".join([label, *map(str, values)])),
                description=f"{whole.description}, {words}",
                frame=frame.reset_index(drop=True),
            )


def _set_names(cls: Any) -> list[str]:
    """Return the attributes of a computed table's key that name parameter sets."""
    return [table.primary_key[0] for table in cls.parameters()]


def _snake(label: str) -> str:
    """Return ``psth_unit`` for ``Psth.Unit``."""
    return re.sub(r"\W", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", label)).lower()


def _table(name: str, query: Any, place: str, without: Sequence[str] = ()) -> DerivedTable:
    """Return the rows of a query of one session, arrays loaded."""
    frame = fetch_frame(query).drop(columns=[*SESSION_KEY, *without], errors="ignore")
    for column in frame:
        if query.heading.attributes[column].codec:
            frame[column] = [value.load() if hasattr(value, "load") else value for value in frame[column]]
    times = INTERVALS.get(name, {})
    return DerivedTable(
        name=name,
        description=query.heading.table_status["comment"],
        frame=frame.rename(columns=times),
        columns={times.get(column, column): comment for column, comment in column_comments(query).items()},
        place=place,
        ids=next((column for column in reversed(query.primary_key) if column in IDS), None),
    )


def _units(key: Key, with_spikes: bool) -> DerivedTable:
    units = _table("units", ecephys.Recording.Unit() & key, "units", without=["spike_offset"])
    locations = fetch_frame(located_units(key).proj(*UNIT_LOCATION))[["unit_id", *UNIT_LOCATION]]
    return replace(
        units,
        description="Sorted units with the ids of the source file",
        frame=units.frame.merge(locations, on="unit_id", validate="1:1"),
        columns={**column_comments(ecephys.Recording.Channel()), **units.columns},
        spike_times=_spikes(key, units.frame["unit_id"]) if with_spikes and len(units.frame) else None,
    )


def _spikes(key: Key, unit_ids: pd.Series[int]) -> list[np.ndarray]:
    """Return the spike times of units in this order, as views of the probes' memory maps."""
    of_unit = {
        unit_id: times[offset : offset + size]
        for _, frame, times in iterate_probe_spikes(ecephys.Recording.Unit & key)
        for unit_id, offset, size in frame.to_numpy()
    }
    return [of_unit[unit_id] for unit_id in unit_ids]


def _mean_responses(table: DerivedTable, units: DerivedTable) -> DerivedSeries:
    """Return the mean responses of a table to one kind of event as a series with a column per unit."""
    alignment = table.name.removeprefix(PSTH_UNIT)
    axis = psth.Alignment.get(alignment).axis
    curves = dict(zip(table.frame["unit_id"], table.frame["psth_rate"], strict=True))
    missing = np.full(axis.n_bins, np.nan, np.float32)
    values = [curves.get(unit_id) for unit_id in units.frame["unit_id"]]
    return DerivedSeries(
        name=f"psth_{alignment}",
        description=f"{table.description}: time is that after the event, and column i is row i of /units, "
        "NaN where there was no such event",
        values=np.stack([missing if curve is None else curve for curve in values], axis=1),
        start_s=float(axis.centers_s[0]),
        rate_hz=1 / axis.bin_s,
        unit="Hz",
    )


def _trials(key: Key) -> DerivedTable:
    return _table("trials", behavior.ChangeDetection.Trial() & key, "trials")


def _source(row: Key) -> DerivedTable:
    """Return the identity of the source file, without its location."""
    own = {"file_name": _file_name(row), "identifier": str(row["session_id"])}
    frame = pd.DataFrame([{**own, **{name: row[name] for name in SOURCE_FILE}}])
    columns = {
        **column_comments(session.NwbFile()),
        "file_name": "name of the file",
        "identifier": "of the NWB file",
    }
    return DerivedTable(
        "source_file", "The file that everything was computed from", frame, columns, "analysis"
    )


def _file_name(row: Key) -> str:
    return PurePosixPath(row["relative_path"]).name


def _made_with(masters: Iterable[Any], key: Key) -> DerivedTable:
    """Return the provenance of each entry of the computed tables."""
    rows = []
    for cls in masters:
        columns = {name: f"{cls.provenance_prefix()}_{name}" for name in MADE_WITH}
        for entry in (cls & key).proj(**columns).to_dicts(order_by="KEY"):
            sets = ", ".join(f"{name}={entry[name]}" for name in _set_names(cls))
            rows.append(
                {"table": cls.__name__, "parameter_sets": sets, **{name: entry[name] for name in MADE_WITH}}
            )
    columns = {"table": "computed table", "parameter_sets": "parameter sets of the entry", **MADE_WITH}
    return DerivedTable(
        "made_with", "What the results were made with", pd.DataFrame(rows), columns, "analysis"
    )


def _parameter_sets(masters: Iterable[Any], key: Key) -> DerivedTable:
    """Return the content of the parameter sets that the results were made with, a row per parameter."""
    names: dict[Any, set[str]] = {}
    for cls in masters:
        for table in cls.parameters():
            attribute = table.primary_key[0]
            names.setdefault(table, set()).update((dj.U(attribute) & (cls & key)).to_arrays(attribute))
    rows = [
        {"table": table.__name__, "parameter_set": name, "parameter": parameter, "value": json.dumps(value)}
        for table, used in names.items()
        for name in sorted(used)
        for parameter, value in _leaves(as_json(table.get(name)))
    ]
    columns = {
        "table": "table of parameter sets",
        "parameter_set": "name of the set",
        "parameter": "name, with those of what it is part of, and numbers from 0 of the members of lists",
        "value": "JSON",
    }
    return DerivedTable(
        "parameter_sets", "Parameters of the results", pd.DataFrame(rows), columns, "analysis"
    )


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of the parameters in content that are not mappings."""
    if isinstance(content, list) and any(isinstance(each, list | dict) for each in content):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        yield path, content
        return
    for name, value in content.items():
        yield from _leaves(value, f"{path}.{name}" if path else str(name))


def _time_axes(masters: Iterable[Any], key: Key) -> DerivedTable:
    """Return the time axes of the alignments of the results."""
    used = [dj.U("alignment") & (cls & key) for cls in masters if "alignment" in cls.primary_key]
    names = sorted({str(name) for each in used for name in each.to_arrays("alignment")})
    centers = [psth.Alignment.get(name).axis.centers_s for name in names]
    columns = {"alignment": "name of the alignment", "bin_center": "(s) centre of each bin, after the event"}
    frame = pd.DataFrame({"alignment": names, "bin_center": centers})
    return DerivedTable("time_axes", "Time axes of the aligned responses", frame, columns, "analysis")
