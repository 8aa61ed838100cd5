"""Electrodes, probes and units of a file under the names of the release.

Units whose electrode the file does not say are on a channel of their probe of which nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import quoted
from vbn.nwb.hdf5.recording import RAGGED, RecordingFile
from vbn.nwb.hdf5.scalars import flat, texts, whole
from vbn.nwb.hdf5.view import View
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.issue import first_of
from vbn.nwb.mapping.definition import ELECTRODE_COLUMNS, PER_SESSION, FileMapping
from vbn.nwb.mapping.tables import as_texts, require_column, show_table
from vbn.nwb.readers.columns import NAME_MISSING, Table, bounds_of, floats, integers, nullable_booleans
from vbn.nwb.readers.probes import CCF_COLUMNS, ELECTRODES, EPHYS, SITE_POSITIONS
from vbn.nwb.readers.units import UNITS

IDS_PER_SESSION = 100_000
"""Ids that each session has for its own, which keeps ids below 2**53, the largest that JSON is read with."""

LARGEST_SESSION_ID = 2**53 // IDS_PER_SESSION
SOLE_PROBE = "probe"
LONGEST_PROBE_NAME = 32
STRUCTURE_MISSING = (*NAME_MISSING, "unknown")
"""NWB asks for ``unknown`` where the location is not known."""

TAKEN = tuple(name for name in ELECTRODE_COLUMNS if name not in CCF_COLUMNS.values())
"""Columns that are read under their own names where the rest of the table is not the release's: x, y and z
need not be coordinates of the CCF."""

UNKNOWN = -1


@dataclass
class _Electrodes:
    """The electrodes of a file: ids as stored, the probe of each, and its columns."""

    ids: NDArray[np.int64]
    probes: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]


def show_sites(raw: RecordingFile, view: View, mapping: FileMapping) -> None:
    """Show electrodes, probes and units.

    Raises
    ------
    InvalidContentError
        The file lacks what the mapping names, contradicts itself, or has ids that cannot be made unique.
    """
    electrodes = _electrodes(raw, mapping)
    units = Table(raw, UNITS) if raw.has(f"{UNITS}/id") else None
    if raw.has(UNITS):
        left_out = (
            "peak_channel_id",
            "electrodes",
            "electrodes_index",
            "electrode_group",
            *_without_index(raw, mapping),
        )
        columns = {ours: theirs for ours, theirs in mapping.units.items() if ours != "peak_channel_id"}
        show_table(raw, view, UNITS, UNITS, columns, left_out)
    ids = units.identifiers() if units is not None else np.empty(0, np.int64)
    sites = _sites(raw, units, mapping, electrodes) if len(ids) else np.empty(0, np.int64)
    own = _Numbering(raw, mapping)
    view.write(f"{UNITS}/id", own.ids(ids, f"/{UNITS}/id"))
    view.write(f"{UNITS}/peak_channel_id", own.ids(sites, "the electrodes of units"))
    if view.get(f"{UNITS}/spike_times") is None:
        view.write(f"{UNITS}/spike_times", np.empty(0))
    probe_ids = _show_probes(raw, view, electrodes, own)
    columns_of = {"id": own.ids(electrodes.ids, f"/{ELECTRODES}/id"), **electrodes.columns}
    columns_of["probe_id"] = np.array([probe_ids[name] for name in electrodes.probes], dtype=np.int64)
    for name, values in columns_of.items():
        view.write(f"{ELECTRODES}/{name}", values)


def _without_index(raw: RecordingFile, mapping: FileMapping) -> tuple[str, ...]:
    """Return the columns of units that cannot be told apart by unit, as NWB's own mean waveform may be.

    Raises
    ------
    InvalidContentError
        The mapping names such a column.
    """
    for ours in sorted(RAGGED & set(mapping.units)):
        theirs = mapping.units[ours]
        require_column(raw, UNITS, theirs, ours)
        if not raw.has(f"{UNITS}/{theirs}_index"):
            raise raw.invalid(
                f"/{UNITS}/{theirs} has no {theirs}_index, which says where the values of each unit end, and "
                f"the mapping reads it as {ours}. Take it out of the mapping."
            )
    is_usable = "waveform_mean" in mapping.units or raw.has(f"{UNITS}/waveform_mean_index")
    return () if is_usable else ("waveform_mean",)


@dataclass(frozen=True)
class _Numbering:
    """How ids of a file become unique in the database."""

    raw: RecordingFile
    mapping: FileMapping

    @property
    def is_per_session(self) -> bool:
        return self.mapping.ids == PER_SESSION

    def ids(self, stored: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """Return ids: as stored, or counted on from the first of the session."""
        session_id = self.raw.identity.identifier
        if not self.is_per_session or not len(stored):
            return stored
        if not 0 < session_id < LARGEST_SESSION_ID:
            raise self.raw.invalid(
                f"the id of the session is {session_id}, and ids per session need one below "
                f"{LARGEST_SESSION_ID}. Give it another session_id by a table of sessions (--metadata)."
            )
        if stored.min() < 0 or stored.max() >= IDS_PER_SESSION:
            raise self.raw.invalid(
                f"{what} runs from {stored.min()} to {stored.max()}, and ids per session must be from 0 to "
                f"{IDS_PER_SESSION - 1}. If they are unique in all files, say ids = 'stored' in the mapping."
            )
        return session_id * IDS_PER_SESSION + stored


def _electrodes(raw: RecordingFile, mapping: FileMapping) -> _Electrodes:
    """Read the electrodes, with NaN or empty texts for what the file lacks."""
    if not raw.has(f"{ELECTRODES}/id"):
        return _Electrodes(np.empty(0, np.int64), np.empty(0, object), {})
    table = Table(raw, ELECTRODES)
    for ours, theirs in mapping.electrodes.items():
        require_column(raw, ELECTRODES, theirs, ours)
    used = set(mapping.electrodes.values())
    own = ELECTRODE_COLUMNS if table.has("probe_channel_number") else TAKEN
    names = {name: name for name in own if table.has(name) and name not in used} | dict(mapping.electrodes)
    group_name = names.pop("group_name", None)
    probes = table.texts(group_name) if group_name else np.full(len(table), SOLE_PROBE, dtype=object)
    columns = {ours: _column(table, ours, theirs, mapping) for ours, theirs in names.items()}
    return _Electrodes(table.identifiers(), _probe_names(raw, probes), columns)


def _column(table: Table, ours: str, theirs: str, mapping: FileMapping) -> NDArray[Any]:
    """Read one column of the electrodes."""
    if ours == "valid_data":
        flags = table.column(theirs, nullable_booleans)
        return flags.to_numpy(dtype=np.float64, na_value=np.nan)
    if ours in SITE_POSITIONS:
        return np.rint(table.floats(theirs))  # um, which the database stores as whole numbers
    if ours in CCF_COLUMNS.values():
        return table.floats(theirs)
    missing = STRUCTURE_MISSING if ours == "location" else NAME_MISSING
    found = table.texts(theirs, missing)
    if ours == "location":
        return as_texts([mapping.structures.get(name, name) for name in found])
    return as_texts(found)


def _probe_names(raw: RecordingFile, names: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return names of probes that groups can have."""
    renamed = {name: (name or SOLE_PROBE).replace("/", "_") for name in set(names)}
    for name in renamed.values():
        if len(name) > LONGEST_PROBE_NAME:
            raise raw.invalid(
                f"the probe {quoted(name)} has a name of more than {LONGEST_PROBE_NAME} characters."
            )
    if len(set(renamed.values())) < len(renamed):
        raise raw.invalid(f"two probes have one name: {first_of(sorted(map(str, renamed)))}.")
    return np.array([renamed[name] for name in names], dtype=object)


def _show_probes(raw: RecordingFile, view: View, electrodes: _Electrodes, own: _Numbering) -> dict[str, int]:
    """Show a group with an id for each probe; return the ids by name."""
    group = view.skeleton.require_group(EPHYS)
    stored = {
        name: raw.attribute(f"{EPHYS}/{name}", "probe_id", whole)
        for name in names_in(group)
        if "probe_id" in group[name].attrs and raw.has(f"{EPHYS}/{name}")
    }
    names = sorted({*stored, *electrodes.probes} or {SOLE_PROBE})
    if own.is_per_session:
        ids = own.ids(np.arange(len(names)), "the number of probes").tolist()
        stored = dict(zip(names, ids, strict=True))
    if without := [name for name in names if name not in stored]:
        raise raw.invalid(
            f"the probe {quoted(without[0])} has no probe_id, and the mapping says that ids are stored. "
            "Say ids = 'per session'."
        )
    for name in names:
        group.require_group(name).attrs["probe_id"] = stored[name]
    return stored


def _sites(
    raw: RecordingFile, units: Table | None, mapping: FileMapping, electrodes: _Electrodes
) -> NDArray[np.int64]:
    """Return the electrode of each unit; for those that have none, one of their probe is added."""
    assert units is not None
    named = mapping.units.get("peak_channel_id")
    if named is not None:
        require_column(raw, UNITS, named, "peak_channel_id")
    column = named or next((name for name in ("peak_channel_id", "electrodes") if units.has(name)), None)
    if column is not None:
        sites = _electrode_ids(raw, units, column, electrodes)
        probes = np.full(len(sites), None, dtype=object)
    else:
        sites, probes = np.full(len(units), UNKNOWN), _probes_of_units(raw, units)
    return _with_added_sites(raw, electrodes, sites, probes)


def _electrode_ids(
    raw: RecordingFile, units: Table, column: str, electrodes: _Electrodes
) -> NDArray[np.int64]:
    """Read the first electrode of each unit, by id, or by row as NWB's own column has it."""
    path = f"{UNITS}/{column}"
    dataset = raw.dataset(path)
    values = units.converted(column, dataset, lambda stored: integers(flat(stored)))
    if units.has(f"{column}_index"):
        bounds = bounds_of(units.integers(f"{column}_index"), len(values))
        if bounds is None:
            raise raw.invalid(
                f"/{path}_index must ascend to the number of electrodes of units, {len(values)}."
            )
        padded = np.append(values, UNKNOWN)
        values = np.where(np.diff(bounds) > 0, padded[bounds[:-1]], UNKNOWN)
    elif len(values) != len(units):
        raise raw.invalid(f"/{path} has {len(values)} values for {len(units)} units.")
    is_region = "DynamicTableRegion" in _types_of(raw, path)
    known = np.arange(len(electrodes.ids)) if is_region else electrodes.ids
    unknown = values[(values != UNKNOWN) & ~np.isin(values, known)].tolist()
    if unknown:
        raise raw.invalid(f"/{path} names electrodes that are not in /{ELECTRODES}: {first_of(unknown)}.")
    return (
        np.where(values == UNKNOWN, UNKNOWN, electrodes.ids[values]) if is_region and len(known) else values
    )


def _types_of(raw: RecordingFile, path: str) -> list[str]:
    name = "neurodata_type"
    return raw.attribute(path, name, texts) if name in raw.dataset(path).attrs else []


def _probes_of_units(raw: RecordingFile, units: Table) -> NDArray[np.object_]:
    """Return each unit's group of electrodes; None where the file does not say it."""
    found = np.full(len(units), None, dtype=object)
    if not units.has("electrode_group"):
        return found
    references = units.values("electrode_group")
    for row, reference in enumerate(references):
        group = raw.file[reference] if isinstance(reference, h5py.Reference) and reference else None
        found[row] = None if group is None or not group.name else group.name.rpartition("/")[2]
    return found


def _with_added_sites(
    raw: RecordingFile, electrodes: _Electrodes, sites: NDArray[np.int64], probes: NDArray[np.object_]
) -> NDArray[np.int64]:
    """Add an electrode to each probe with units that have none; return the electrodes of all units."""
    alone = sites == UNKNOWN
    if not alone.any():
        return sites
    known = set(electrodes.probes.tolist())
    sole = next(iter(known)) if len(known) == 1 else SOLE_PROBE
    if len(known) > 1 and any(probe is None for probe in probes[alone]):
        raise raw.invalid(
            f"/{UNITS} does not say on which of {len(known)} probes {int(alone.sum())} units were recorded. "
            "Say by peak_channel_id in [units] which column has the electrode of a unit."
        )
    names = _probe_names(raw, np.array([probe or sole for probe in probes], dtype=object))
    added = sorted(set(names[alone]))
    first = int(electrodes.ids.max()) + 1 if len(electrodes.ids) else 0
    number = {name: first + at for at, name in enumerate(added)}
    electrodes.ids = np.append(electrodes.ids, [number[name] for name in added]).astype(np.int64)
    electrodes.probes = np.append(electrodes.probes, np.array(added, dtype=object))
    for name, values in electrodes.columns.items():
        filler = as_texts([None] * len(added)) if values.dtype.kind == "O" else np.full(len(added), np.nan)
        electrodes.columns[name] = np.concatenate(
            [values, floats(filler) if filler.dtype.kind == "f" else filler]
        )
    return np.array(
        [number[name] if lost else site for site, name, lost in zip(sites, names, alone, strict=True)]
    )
