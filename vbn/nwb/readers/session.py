"""Metadata of a recording or a behavior-only session: mouse, date, rig, protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from vbn.errors import quoted
from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.scalars import number, text, texts, whole
from vbn.nwb.issue import Issue, issue

METADATA = "general/metadata"
SUBJECT = "general/subject"
SEXES = ("M", "F")
AGE = re.compile(
    r"P(?:(?P<years>\d{1,9})Y)?(?:(?P<months>\d{1,9})M)?(?:(?P<weeks>\d{1,9}(?:\.\d+)?)W)?"
    r"(?:(?P<days>\d{1,9}(?:\.\d+)?)D?)?(?:T[\d.HMS]*)?",
    re.ASCII,
)
LONGEST_AGE_DAYS = 36525
"""A hundred years; anything above is not the age of a mouse."""


@dataclass(frozen=True)
class SessionMetadata:
    """Metadata of one session.

    Parameters
    ----------
    session_id : identifier of the file: ``ecephys_session_id`` of a recording, ``behavior_session_id`` of a
        behavior-only session.
    behavior_session_id : id of the same session among all behavior sessions.
    mouse_id : LabTracks number, as text.
    sex : ``M`` or ``F``, None if unknown.
    age_in_days : full days, None if unknown or not a number of days.
    genotype : full genotype; None if not stated.
    driver_line : sorted; empty for a wild type.
    reporter_line : None for a wild type.
    cre_line : genotype up to the first ``;`` without ``/wt``, None without ``;`` (AllenSDK,
        ``FullGenotype.parse_cre_line``).
    species : None if not stated.
    session_type : such as ``EPHYS_1_images_G_3uL_reward``; the session's description where not stated, which
        is the same in the release.
    date_of_acquisition : start of the session, UTC.
    equipment_name : name of the rig, None if not stated.
    stimulus_frame_rate : Hz, nominal; None if not stated.
    project_code : as stored, ``Not Available`` in the release's recordings; None if not stated.
    image_set : the letter after ``images_`` in the session type, None if there is none.
    kind : recording or behavior-only session.
    behavior_session_uuid : id of the session on the behavior computer, None if not stated (as in the
        release's recordings).
    experiment_description : a sentence about the training stage, None if not stated (as in recordings).
    """

    session_id: int
    behavior_session_id: int
    mouse_id: str
    sex: str | None
    age_in_days: int | None
    genotype: str | None
    driver_line: tuple[str, ...]
    reporter_line: str | None
    cre_line: str | None
    species: str | None
    session_type: str
    date_of_acquisition: datetime
    equipment_name: str | None
    stimulus_frame_rate: float | None
    project_code: str | None
    image_set: str | None
    kind: FileKind = FileKind.RECORDING
    behavior_session_uuid: str | None = None
    experiment_description: str | None = None


@reads("session metadata")
def read_session(recording: RecordingFile) -> SessionMetadata:
    """Read the metadata of a session.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    SessionMetadata

    Raises
    ------
    InvalidContentError
        A required entry is missing or invalid.
    """
    session_type = _optional_attribute(recording, METADATA, "session_type") or _description(recording)
    genotype = _optional_dataset_text(recording, f"{SUBJECT}/genotype")
    sex = _optional_dataset_text(recording, f"{SUBJECT}/sex")
    return SessionMetadata(
        session_id=recording.identity.identifier,
        behavior_session_id=recording.attribute(METADATA, "behavior_session_id", whole),
        mouse_id=recording.scalar(f"{SUBJECT}/subject_id", text),
        sex=sex if sex in SEXES else None,
        age_in_days=age_in_days(_optional_dataset_text(recording, f"{SUBJECT}/age")),
        genotype=genotype,
        driver_line=tuple(sorted(_text_list(recording, SUBJECT, "driver_line"))),
        reporter_line=next(iter(_text_list(recording, SUBJECT, "reporter_line")), None),
        cre_line=cre_line(genotype or ""),
        species=_optional_dataset_text(recording, f"{SUBJECT}/species"),
        session_type=session_type,
        date_of_acquisition=_start_time(recording),
        equipment_name=_optional_attribute(recording, METADATA, "equipment_name"),
        stimulus_frame_rate=_frame_rate(recording),
        project_code=_optional_attribute(recording, METADATA, "project_code"),
        image_set=image_set(session_type),
        kind=recording.identity.kind,
        behavior_session_uuid=_known(_optional_attribute(recording, METADATA, "behavior_session_uuid")),
        experiment_description=_optional_dataset_text(recording, "general/experiment_description"),
    )


def age_in_days(code: str | None) -> int | None:
    """Return the full days of an age such as ``P119D`` or ``P17W``, an ISO 8601 duration.

    Years, months and ranges, which NWB allows, do not give a definite number of days: they are None, as is
    any other text. AllenSDK reads days only (``Age._age_code_to_days``).

    Examples
    --------
    >>> age_in_days("P119D"), age_in_days("P17W"), age_in_days("P2W3DT12H")
    (119, 119, 17)
    >>> age_in_days("P90D/P120D") is age_in_days("P4M") is None
    True
    """
    first, *others = {end.strip() for end in (code or "").upper().split("/")}
    match = AGE.fullmatch(first)
    if others or match is None or match["weeks"] is match["days"] is None:
        return None
    if int(match["years"] or 0) or int(match["months"] or 0):
        return None
    days = int(7 * float(match["weeks"] or 0) + float(match["days"] or 0))
    return days if days <= LONGEST_AGE_DAYS else None


def find_metadata_issues(recording: RecordingFile) -> list[Issue]:
    """Find an age that is not a number of days, and an unknown sex.

    Parameters
    ----------
    recording : an open recording or behaviour-only file.

    Returns
    -------
    list of Issue
        ``unclear_age`` and ``incomplete_mouse``.
    """
    age, sex = (_optional_dataset_text(recording, f"{SUBJECT}/{name}") for name in ("age", "sex"))
    found = [] if sex in SEXES else [issue("incomplete_mouse", "session", f"sex {quoted(sex)}")]
    if age_in_days(age) is None:
        found.append(issue("unclear_age", "session", f"age {quoted(age)}"))
    return found


def cre_line(genotype: str) -> str | None:
    """Parse the Cre line from a genotype (AllenSDK, ``FullGenotype.parse_cre_line``).

    Examples
    --------
    >>> cre_line("Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt")
    'Sst-IRES-Cre'
    >>> cre_line("wt/wt") is None
    True
    """
    return genotype.split(";")[0].replace("/wt", "") if ";" in genotype else None


def image_set(session_type: str) -> str | None:
    """Parse the letter of the image set from a session type.

    Examples
    --------
    >>> image_set("EPHYS_1_images_G_3uL_reward")
    'G'
    """
    match = re.search(r"images_([A-Z])(?![A-Za-z])", session_type)
    return match[1] if match else None


def _start_time(recording: RecordingFile) -> datetime:
    """Read the start of the session; a time without a zone is UTC, as all times of the release are."""
    stored = recording.scalar("session_start_time", text)
    try:
        start = datetime.fromisoformat(stored)
        return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise recording.invalid(f"/session_start_time {quoted(stored)} is no ISO date.") from error


def _description(recording: RecordingFile) -> str:
    return recording.scalar("session_description", text)


def _frame_rate(recording: RecordingFile) -> float | None:
    """Read the frame rate; None if it is absent."""
    has_rate = "stimulus_frame_rate" in recording.group(METADATA).attrs
    return recording.attribute(METADATA, "stimulus_frame_rate", number) if has_rate else None


def _optional_attribute(recording: RecordingFile, group: str, name: str) -> str | None:
    return recording.attribute(group, name, text) if name in recording.group(group).attrs else None


def _optional_dataset_text(recording: RecordingFile, path: str) -> str | None:
    """Read a text; None if it is absent."""
    return _known(recording.scalar(path, text)) if recording.has(path) else None


def _known(stored: str | None) -> str | None:
    """Return a text, or None for what AllenSDK writes for an absent one."""
    return None if stored in (None, "", "None") else stored


def _text_list(recording: RecordingFile, group: str, name: str) -> list[str]:
    """Return the texts of an attribute, which for a wild type is absent, ``None``, or an empty array."""
    if not recording.has(group) or name not in recording.group(group).attrs:
        return []
    return [each for each in recording.attribute(group, name, texts) if each not in ("", "None")]
