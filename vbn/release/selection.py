"""Choosing sessions of the release by what its tables say."""

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
    """What is wanted: a session must meet every criterion that is given, by one of its values.

    Parameters
    ----------
    sessions : ``ecephys_session_id`` or ``behavior_session_id``.
    mice : ``mouse_id``.
    experience : ``Familiar`` or ``Novel`` (``experience_level``); capitals do not matter.
    structures : acronyms, of which the session recorded at least one; ``VIS*`` stands for all that begin
        with VIS.
    session_types : such as ``EPHYS_1_images_G_5uL_reward``; ``*`` as above.
    kinds : ``recording``, ``behavior_only`` or both; if none is given, recordings, and of sessions that are
        named, whatever they are.
    normal_only : leave out sessions with abnormal histology or activity, as AllenSDK does unless asked
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
        """Whether a criterion is about what only the release's tables know."""
        return bool(self.mice or self.experience or self.structures or self.session_types or self.normal_only)


def list_sessions(tables: Mapping[str, pd.DataFrame], manifest: Manifest) -> pd.DataFrame:
    """Put together what the release's tables know about its sessions.

    Parameters
    ----------
    tables : ``ecephys_sessions``, ``behavior_sessions`` and ``probes``, as `read_table` gives them.
    manifest : tells which files there are.

    Returns
    -------
    DataFrame
        One row per session, recordings first, with the columns `SESSION_COLUMNS`: ``session_id`` is the
        ``ecephys_session_id`` of a recording, the ``behavior_session_id`` of a behaviour-only session;
        ``kind`` is ``recording`` or ``behavior_only``; ``mouse_id`` is text; ``structures`` a tuple of
        acronyms, empty for behaviour-only sessions; ``is_abnormal`` a flag; ``n_lfp_files`` a count;
        ``file_id`` the key of the session's file in the manifest, None if there is none. What a table does
        not have is missing.

    Notes
    -----
    ``session_number`` is the recording day (1, 2) of recordings, and counts all sessions of a mouse for
    behaviour-only ones, as in the tables. ``date_of_acquisition`` is as it stands in the table: local time
    labelled as UTC.
    """
    recordings = tables["ecephys_sessions"]
    behavior = tables["behavior_sessions"]
    # A behaviour session names an ecephys session also where there is no recording (HABITUATION), so
    # that only the recordings' own table tells which behaviour sessions have one.
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
    """Put together what the names of the release's files say about its sessions.

    Returns
    -------
    DataFrame
        As of `list_sessions`, recordings first, by number; what only the tables know is missing.
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
    """Give the rows of the table of probes whose LFP file is in the release, with ``file_id`` as text.

    Notes
    -----
    Probes without LFP carry a file id as well, which is not theirs; ``has_lfp_data`` is what counts. Older
    releases have no LFP files.
    """
    has_lfp = (
        probes.get("has_lfp_data", pd.Series(False, index=probes.index)).astype(str).str.lower() == "true"
    )
    keys = _file_keys(probes, manifest)
    return probes.assign(file_id=keys)[has_lfp & keys.notna()]


def choose(sessions: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Choose sessions.

    Parameters
    ----------
    sessions : as of `list_sessions`.
    selection : what is wanted.

    Returns
    -------
    DataFrame
        The rows that meet all criteria; may be empty, if each is met by some session but all by none.

    Raises
    ------
    NotFoundError
        A value is unknown to the release: one message for all of them.
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
"""Which rows meet a criterion, and the values that no row meets, each with a hint."""


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
    """Match rows one of whose texts is one of those wanted, whatever the capitals."""
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
    """Give a table the columns of the sessions' table."""
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
    """Give a column, of missing values if the table does not have it."""
    return table[name] if name in table else pd.Series(None, index=table.index, dtype=object)


def _file_keys(table: pd.DataFrame, manifest: Manifest) -> pd.Series:
    """Give the file ids as text, None where the manifest has no such file."""
    keys = _column(table, manifest.file_id_column).map(_plain_number).astype(object)
    return keys.where(keys.isin(list(manifest.data_files)), None)


def _plain_number(value: object) -> str | None:
    """Write a number as the manifest does: a column with missing values has 870.0 for 870."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_acronyms(value: object) -> tuple[str, ...]:
    """Give a cell's structures, of a list or of its text in the tables, such as ``['CA1', 'VISp']``.

    Returns
    -------
    tuple of str
        Empty for a missing value; channels without a structure are left out.

    Examples
    --------
    >>> parse_acronyms("['DG-mo', 'VISp', 'root']")
    ('DG-mo', 'VISp', 'root')
    """
    names = NAMES.read(value) if isinstance(value, str) else value
    return tuple(name for name in names if name is not None) if isinstance(names, list) else ()
