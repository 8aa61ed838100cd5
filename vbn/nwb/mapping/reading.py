"""Reading a file by a mapping: the one place where its names become those of the release.

A file is untrusted, and so is its mapping: both only say which of the file's own data sets is read as what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import h5py

from vbn.nwb.hdf5.identify import (
    LFP_DESCRIPTION,
    MOST_DIGITS,
    FileIdentity,
    FileKind,
    identity_of,
    require_nwb,
    unreadable,
)
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.scalars import text, whole
from vbn.nwb.hdf5.view import View
from vbn.nwb.hdf5.walk import names_in, walk_links
from vbn.nwb.mapping.definition import FileMapping, StimulusTable
from vbn.nwb.mapping.series import mapped_groups, show_series
from vbn.nwb.mapping.sites import show_sites
from vbn.nwb.mapping.tables import block_numbers, require_own_blocks, show_stimulus, show_table
from vbn.nwb.readers.parameters import RIG, TASK_PARAMETERS
from vbn.nwb.readers.probes import DEVICES, ELECTRODES, EPHYS
from vbn.nwb.readers.session import METADATA, SUBJECT
from vbn.nwb.readers.stimulus import INTERVALS, SUFFIX
from vbn.nwb.readers.trials import FLAGS, TRIALS
from vbn.nwb.readers.units import UNITS
from vbn.web.client import is_url

WITH_ATTRIBUTES = (METADATA, SUBJECT, TASK_PARAMETERS, RIG, f"{EPHYS}/*", f"{DEVICES}/*")
"""Groups whose attributes readers use."""

FIRST_HASHED_ID, N_HASHED_IDS = 10**10, 8 * 10**10
SUBJECT_TEXTS = {"mouse_id": "subject_id", **{name: name for name in ("genotype", "sex", "age", "species")}}


@dataclass(frozen=True)
class MappedReading:
    """How one file is read by a mapping.

    Parameters
    ----------
    mapping : the mapping.
    session_id : id of the session that the file was registered as; None before.
    row : what the lab's own table says of the session: session_id, mouse_id, genotype, sex, age_in_days,
        date_of_acquisition, session_type, equipment_name.
    """

    mapping: FileMapping
    session_id: int | None = None
    row: Mapping[str, Any] = field(default_factory=dict)

    def identity_of(self, path: Path | str, file: h5py.File) -> FileIdentity:
        """Identify an open file: a recording if it has units or electrodes.

        Raises
        ------
        NotNwbError, NotReadableError
            It is no NWB file, or is damaged.
        """
        path = path if is_url(path) else Path(path)
        try:
            require_nwb(path, file)
            description = file.get("session_description")
            if isinstance(description, h5py.Dataset) and text(description) == LFP_DESCRIPTION:
                return identity_of(path, file)
            is_recording = UNITS in file or ELECTRODES in file
            kind = FileKind.RECORDING if is_recording else FileKind.BEHAVIOR_ONLY
            return FileIdentity(path, kind, self._session_id(file), file.id.get_filesize())
        except (OSError, RuntimeError) as error:  # what h5py raises for a damaged object
            raise unreadable(path, error) from error

    def _session_id(self, file: h5py.File) -> int:
        """Return the id of the session: that of the lab's table, or the file's own, or a hash of that."""
        stated = self.row.get("session_id") if self.session_id is None else self.session_id
        if stated is not None:
            return int(stated)
        stored = file.get("identifier")
        identifier = text(stored).strip() if isinstance(stored, h5py.Dataset) else ""
        if identifier.isascii() and identifier.isdigit() and len(identifier) <= MOST_DIGITS:
            return int(identifier)
        digest = hashlib.sha256(f"{self.mapping.project}\0{identifier}".encode()).digest()
        return FIRST_HASHED_ID + int.from_bytes(digest[:8], "big") % N_HASHED_IDS

    def view_of(self, path: Path | str, file: h5py.File, identity: FileIdentity) -> View:
        """Return the file under the release's names; read are ids, names, places, and what must be made anew.

        Raises
        ------
        InvalidContentError
            The file lacks what the mapping names, or what that holds is of the wrong type.
        """
        raw, view = RecordingFile(path, None, file, identity, is_mapped=True), View.empty()
        try:
            self._show(raw, view)
        except BaseException:
            view.close()
            raise
        return view

    def _show(self, raw: RecordingFile, view: View) -> None:
        trials = self._trials(raw)
        stimuli = [*self.mapping.stimuli, *_own_stimuli(raw, self.mapping)]
        rebuilt = {"specifications", UNITS, ELECTRODES, TRIALS, trials, *(each.table for each in stimuli)}
        rebuilt |= mapped_groups(self.mapping)
        _mirror(raw.file, view, {path for path in rebuilt if path})
        if raw.identity.kind is FileKind.RECORDING:
            show_sites(raw, view, self.mapping)
        if trials:
            show_table(raw, view, trials, TRIALS, self.mapping.trials)
        show_series(raw, view, self.mapping)
        for number, stimulus in zip(block_numbers(stimuli), stimuli, strict=True):
            show_stimulus(raw, view, stimulus, self.mapping, number)
        require_own_blocks(raw, view, stimuli)
        self._show_session(raw, view)

    def _trials(self, raw: RecordingFile) -> str | None:
        """Return the path of the trials; None unless they are mapped, or have all flags of the task."""
        if self.mapping.trials_table:
            return self.mapping.trials_table.strip("/")
        has_flags = raw.has(TRIALS) and set(FLAGS) <= set(raw.group(TRIALS))
        return TRIALS if has_flags else None

    def _show_session(self, raw: RecordingFile, view: View) -> None:
        """Show what is known of session and mouse: by the table, else by the mapping, else by the file."""
        known = {
            **self.mapping.session,
            **{key: value for key, value in self.row.items() if value is not None},
        }
        if "age_in_days" in known:
            known["age"] = f"P{known['age_in_days']}D"
        metadata = view.skeleton.require_group(METADATA)
        if _behavior_session_id(raw) is None:
            metadata.attrs["behavior_session_id"] = raw.identity.identifier
        for name in ("session_type", "equipment_name", "stimulus_frame_rate"):
            if name in known:
                metadata.attrs[name] = known[name]
        for name, stored in SUBJECT_TEXTS.items():
            if name in known:
                view.write(f"{SUBJECT}/{stored}", str(known[name]))
        if "date_of_acquisition" in known:
            view.write("session_start_time", str(known["date_of_acquisition"]))
        if self.session_id is None and view.get(f"{SUBJECT}/subject_id") is None:
            raise raw.invalid(
                f"/{SUBJECT}/subject_id is missing, and neither the mapping ([session] mouse_id) nor a table "
                "of sessions (--metadata) says which mouse it is."
            )


def _own_stimuli(raw: RecordingFile, mapping: FileMapping) -> list[StimulusTable]:
    """Return the tables of presentations that have the release's names already."""
    mapped = {each.table for each in mapping.stimuli}
    names = names_in(raw.group(INTERVALS)) if raw.has(INTERVALS) else []
    own = [name for name in names if name.endswith(SUFFIX) and f"{INTERVALS}/{name}" not in mapped]
    return [StimulusTable(f"{INTERVALS}/{name}", name.removesuffix(SUFFIX), is_own=True) for name in own]


def _behavior_session_id(raw: RecordingFile) -> int | None:
    if not raw.has(METADATA) or "behavior_session_id" not in raw.group(METADATA).attrs:
        return None
    return raw.attribute(METADATA, "behavior_session_id", whole)


def _mirror(file: h5py.File, view: View, left_out: Collection[str]) -> None:
    """Show all groups and data sets of a file under their own names, but those left out."""
    for path, link, group in walk_links(file):
        if any(path == each or path.startswith(f"{each}/") for each in left_out):
            continue
        item = None if isinstance(link, h5py.ExternalLink) else group.get(path.rpartition("/")[2])
        if isinstance(item, h5py.Dataset):
            view.add(path, item)
        elif isinstance(item, h5py.Group):
            shown = view.skeleton.require_group(path)
            if any(fnmatchcase(path, pattern) for pattern in WITH_ATTRIBUTES):
                _copy_attributes(item, shown)


def _copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the attributes that are numbers or texts."""
    for name in source.attrs:
        try:
            kind = source.attrs.get_id(name).dtype
        except TypeError:  # a type that NumPy lacks, which no reader uses
            continue
        if kind.kind in "biufSO" and h5py.check_ref_dtype(kind) is None:
            target.attrs[name] = source.attrs[name]
