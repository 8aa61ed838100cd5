"""Selecting sessions of the release by its tables."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from vbn.errors import NotFoundError
from vbn.nearest import nearest
from vbn.release.manifest import Manifest
from vbn.release.names import BEHAVIOR_ONLY, LFP, RECORDING, parse_name
from vbn.release.tables import NAMES

SESSION_COLUMNS = (
    "session_id",
    "kind",
    "behavior_session_id",
    "mouse_id",
    "date_of_acquisition",
    "session_type",
    "image_set",
    "experience_level",
    "session_number",
    "genotype",
    "sex",
    "age_in_days",
    "equipment_name",
    "unit_count",
    "probe_count",
    "structures",
    "is_abnormal",
    "n_lfp_files",
    "file_id",
)


@dataclass(frozen=True)
class Selection:
    """Criteria for sessions: a session must match one value of every criterion given.

    Parameters
    ----------
    sessions : ``ecephys_session_id`` or ``behavior_session_id``.
    mice : ``mouse_id``.
    experience : ``Familiar`` or ``Novel`` (``experience_level``), in any case.
    structures : acronyms, at least one of which was recorded; ``VIS*`` matches all that begin with VIS.
    session_types : such as ``EPHYS_1_images_G_5uL_reward``; ``*`` as above.
    kinds : ``recording``, ``behavior_only`` or both; by default recordings, or any kind if ``sessions`` are
        given.
    normal_only : exclude sessions with abnormal histology or activity, as AllenSDK does by default
        (``get_ecephys_session_table(filter_abnormalities=True)``).
    """

    sessions: tuple[int, ...] = ()
    mice: tuple[str, ...] = ()
    experience: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    session_types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    normal_only: bool = False

    @property
    def asks_tables(self) -> bool:
        """Whether a criterion needs the release's tables."""
        return bool(self.mice or self.experience or self.structures or self.session_types or self.normal_only)


def list_sessions(tables: Mapping[str, pd.DataFrame], manifest: Manifest) -> pd.DataFrame:
    """Return the sessions of the release, from its tables.

    Parameters
    ----------
    tables : ``ecephys_sessions``, ``behavior_sessions`` and ``probes``, from `read_table`.
    manifest : lists the files.

    Returns
    -------
    DataFrame
        One row per session, recordings first, with the columns `SESSION_COLUMNS`: ``session_id`` is the
        ``ecephys_session_id`` of a recording, the ``behavior_session_id`` of a behavior-only session;
        ``kind`` is ``recording`` or ``behavior_only``; ``mouse_id`` is text; ``structures`` a tuple of
        acronyms, empty for behavior-only sessions; ``is_abnormal`` a flag; ``n_lfp_files`` a count;
        ``file_id`` the key of the session's file in the manifest, None if there is none. Columns that a table
        lacks are missing values.

    Notes
    -----
    As in the tables, ``session_number`` is the recording day (1, 2) of recordings, but counts all sessions of
    the mouse for behavior-only sessions. ``date_of_acquisition`` is as in the table: local time labelled as
    UTC.
    """
    recordings = tables["ecephys_sessions"]
    behavior = tables["behavior_sessions"]
    # Behavior sessions may name an ecephys session without a recording (HABITUATION), so only the table of
    # recordings shows which behavior sessions have one.
    alone = behavior[~behavior["behavior_session_id"].isin(recordings["behavior_session_id"])]
    n_lfp = lfp_probes(tables["probes"], manifest).groupby("ecephys_session_id").size()
    rows = pd.concat(
        [
            _rows(recordings, RECORDING, "ecephys_session_id", manifest),
            _rows(alone, BEHAVIOR_ONLY, "behavior_session_id", manifest),
        ],
        ignore_index=True,
    )
    is_recording = rows["kind"] == RECORDING
    rows["n_lfp_files"] = rows["session_id"].where(is_recording).map(n_lfp).fillna(0).astype(int)
    return rows[list(SESSION_COLUMNS)]


def list_files(manifest: Manifest) -> pd.DataFrame:
    """Return the sessions of the release, from the names of its files.

    Returns
    -------
    DataFrame
        As from `list_sessions`, recordings first, sorted by id; values that are only in the tables are
        missing.
    """
    named = [(key, parse_name(file.relative_path)) for key, file in manifest.data_files.items()]
    found = pd.DataFrame(
        [(name.kind, name.session_id, key) for key, name in named if name and name.session_id is not None],
        columns=["kind", "session_id", "file_id"],
    )
    n_lfp = found[found["kind"] == LFP].groupby("session_id").size()
    rows = found[found["kind"].isin([RECORDING, BEHAVIOR_ONLY])].sort_values(
        ["kind", "session_id"], ascending=[False, True], ignore_index=True
    )
    rows["n_lfp_files"] = rows["session_id"].map(n_lfp).fillna(0).astype(int)
    rows["behavior_session_id"] = rows["session_id"].where(rows["kind"] == BEHAVIOR_ONLY).astype("Int64")
    rows["structures"] = [() for _ in range(len(rows))]
    return rows.reindex(columns=list(SESSION_COLUMNS))


def lfp_probes(probes: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return the rows of the probes table with an LFP file in the release, with ``file_id`` as text.

    Notes
    -----
    Probes without LFP have an (unrelated) file id as well, so ``has_lfp_data`` decides. Older releases have
    no LFP files.
    """
    has_lfp = (
        probes.get("has_lfp_data", pd.Series(False, index=probes.index)).astype(str).str.lower() == "true"
    )
    keys = _file_keys(probes, manifest)
    return probes.assign(file_id=keys)[has_lfp & keys.notna()]


def choose(sessions: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Select sessions.

    Parameters
    ----------
    sessions : table from `list_sessions`.
    selection : the criteria.

    Returns
    -------
    DataFrame
        The rows that meet all criteria; may be empty if no session meets all of them.

    Raises
    ------
    NotFoundError
        If values are unknown to the release; the message lists all of them.
    """
    criteria = {
        "session": _by_session(sessions, selection.sessions),
        "mouse": _by_value(sessions["mouse_id"], selection.mice),
        "experience level": _by_value(sessions["experience_level"], selection.experience),
        "structure": _by_structure(sessions["structures"], selection.structures),
        "session type": _by_value(sessions["session_type"], selection.session_types),
        "kind": _by_value(sessions["kind"], _kinds(selection)),
    }
    unknown = [
        f"{name} '{value}'{hint}" for name, (_, missing) in criteria.items() for value, hint in missing
    ]
    if unknown:
        raise NotFoundError(f"The release knows no {', no '.join(unknown)}.")
    chosen = ~sessions["is_abnormal"] if selection.normal_only else pd.Series(True, index=sessions.index)
    for matches, _ in criteria.values():
        chosen &= matches
    return sessions[chosen]


Matches = tuple[pd.Series, list[tuple[str, str]]]
"""The rows that meet a criterion, and the values that match no row, each with a hint."""


def _kinds(selection: Selection) -> tuple[str, ...]:
    return selection.kinds or (() if selection.sessions else (RECORDING,))


def _by_session(sessions: pd.DataFrame, wanted: tuple[int, ...]) -> Matches:
    if not wanted:
        return pd.Series(True, index=sessions.index), []
    numbers = sessions[["session_id", "behavior_session_id"]]
    unknown = [(str(value), "") for value in wanted if not (numbers == int(value)).any(axis=None)]
    return numbers.isin([int(value) for value in wanted]).any(axis=1), unknown


def _by_value(column: pd.Series, wanted: Iterable[str]) -> Matches:
    texts = column.astype(object).where(column.notna(), "").astype(str)
    return _by_tuple(texts.map(lambda text: (text,) if text else ()), tuple(wanted))


def _by_structure(column: pd.Series, wanted: tuple[str, ...]) -> Matches:
    return _by_tuple(column, wanted)


def _by_tuple(column: pd.Series, wanted: tuple[str, ...]) -> Matches:
    """Match rows with at least one of the wanted texts, ignoring case."""
    if not wanted:
        return pd.Series(True, index=column.index), []
    known = sorted({text for texts in column for text in texts})
    met: set[str] = set()
    unknown = []
    for pattern in map(str, wanted):
        found = {text for text in known if fnmatch.fnmatchcase(text.lower(), pattern.lower())}
        if not found:
            unknown.append((pattern, f" ({nearest(pattern, known).strip(' .')})"))
        met |= found
    return column.map(lambda texts: not met.isdisjoint(texts)).astype(bool), unknown


def _rows(table: pd.DataFrame, kind: str, id_column: str, manifest: Manifest) -> pd.DataFrame:
    """Convert a table to the columns of the session table."""
    given = {
        "session_id": table[id_column].astype("int64"),
        "kind": kind,
        "behavior_session_id": table["behavior_session_id"].astype("int64"),
        "mouse_id": table["mouse_id"].map(_plain_number),
        "structures": _column(table, "structure_acronyms").map(parse_acronyms),
        "is_abnormal": _column(table, "abnormal_histology").notna()
        | _column(table, "abnormal_activity").notna(),
        "file_id": _file_keys(table, manifest),
    }
    others = {name: _column(table, name).astype(object) for name in SESSION_COLUMNS if name not in given}
    return pd.DataFrame({**given, **others}, index=table.index)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a column, of missing values if the table lacks it."""
    return table[name] if name in table else pd.Series(None, index=table.index, dtype=object)


def _file_keys(table: pd.DataFrame, manifest: Manifest) -> pd.Series:
    """Return the file ids as text, None where the manifest has no such file."""
    keys = _column(table, manifest.file_id_column).map(_plain_number).astype(object)
    return keys.where(keys.isin(list(manifest.data_files)), None)


def _plain_number(value: object) -> str | None:
    """Format a number as in the manifest: columns with missing values have 870.0 for 870."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_acronyms(value: object) -> tuple[str, ...]:
    """Return the structures in a cell, given a list or its text, such as ``['CA1', 'VISp']``.

    Returns
    -------
    tuple of str
        Empty for a missing value; channels without a structure are omitted.

    Examples
    --------
    >>> parse_acronyms("['DG-mo', 'VISp', 'root']")
    ('DG-mo', 'VISp', 'root')
    """
    names = NAMES.read(value) if isinstance(value, str) else value
    return tuple(name for name in names if name is not None) if isinstance(names, list) else ()
