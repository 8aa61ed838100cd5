"""Mice, sessions, and the files that the sessions were read from."""

from __future__ import annotations

import re
from typing import Any

from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.errors import NotFoundError
from vbn.nearest import nearest

schema = Schema()


@schema
class Mouse(dj.Manual):
    """One mouse."""

    definition = """
    # One mouse
    mouse_id : varchar(32)  # LabTracks id of the mouse
    ---
    sex=null : enum('M', 'F')  # sex of the mouse
    genotype=null : varchar(255)  # full genotype, wt/wt for a wild type, NULL where not stated
    driver_line : json  # driver lines, a list of names, empty for a wild type
    reporter_line=null : varchar(255)  # reporter line, NULL for a wild type
    cre_line=null : varchar(64)  # Cre line by the rule of AllenSDK, NULL for a wild type
    """


@schema
class Session(dj.Manual):
    """One session of one mouse: a training day, a habituation or a recording."""

    definition = """
    # One session of one mouse
    -> Mouse
    session_id : int64  # id in the name of the session file, ecephys_session_id of a recording
    ---
    behavior_session_id : int64  # id of the same session as a behavior session
    session_type : varchar(128)  # protocol, for example EPHYS_1_images_G_3uL_reward
    stage=null : varchar(32)  # first words of the protocol, for example TRAINING_3, HABITUATION_5, EPHYS_1
    date_of_acquisition : datetime(6)  # (UTC) start of the session by wall clock
    age_in_days=null : int32  # (days) age of the mouse
    equipment_name=null : varchar(64)  # rig that the session was recorded on
    stimulus_frame_rate=null : float64  # (Hz) nominal frame rate of the monitor
    project_code=null : varchar(64)  # project of the Allen Institute as the file names it
    image_set=null : varchar(8)  # letter of the image set in the session type
    experience_level=null : varchar(32)  # Familiar or Novel images, from the catalogue of the release
    session_number=null : int32  # recording day of the mouse, from the catalogue of the release
    training_session_number=null : int32  # all sessions of the mouse counted, from the catalogue
    prior_exposures_to_session_type=null : int32  # sessions of this type before, from the catalogue
    prior_exposures_to_image_set=null : int32  # sessions with these images before, from the catalogue
    prior_exposures_to_omissions=null : int32  # sessions with omissions before, from the catalogue
    abnormal_histology=null : json  # structures with abnormal histology, a list, from the catalogue
    abnormal_activity=null : json  # (s) times of abnormal activity, a list, from the catalogue
    project="vbn-release" : varchar(64)  # data set that the session belongs to, such as a rig of the lab
    unique index (session_id)
    """


@schema
class NwbFile(dj.Manual):
    """The NWB file that a session is read from."""

    definition = """
    # The NWB file of a session
    -> Session
    ---
    root : varchar(64)  # name of the folder or URL that the path is relative to
    relative_path : varchar(1024)  # path below the root
    file_kind : enum('recording', 'behavior_only')  # what the content is
    size_bytes : int64  # (bytes) size of the file
    blake2b=null : char(128)  # hash of the content as in the manifest of the release, NULL for a URL
    modified_ns=null : int64  # (ns) last change of the file, since 1970, to skip the hash, NULL for a URL
    registered_at : datetime(6)  # (UTC) when the file was registered
    package_version : varchar(32)  # version of vbn-datajoint that read the metadata
    registered_by=null : varchar(255)  # account that registered it; workers share their time among these
    """


@schema
class AdoptedSession(dj.Manual):
    """One session whose rows were adopted from a published folder."""

    definition = """
    # One session whose rows come from a published folder
    -> Session
    ---
    adopted_from : varchar(255)  # name of the folder
    adopted_version : varchar(64)  # version of what was published
    adopted_digest : char(64)  # sha256 of the folder's list of checksums
    n_adopted_rows : int64  # number of rows of the session, but those of pairs of sessions
    n_unpublished_arrays : int32  # number of arrays of which the folder had shape and type only
    adopted_at : datetime(6)  # (UTC) when the rows were entered
    adopted_by=null : varchar(255)  # account that entered them
    """


@schema
class RigMapping(dj.Manual):
    """One mapping, which says what another rig's files hold under which names."""

    definition = """
    # One mapping of the names in files of another rig to ours
    mapping_hash : char(64)  # sha256 of the text
    ---
    mapping_text : json  # the text of the TOML file under toml, by which every worker reads the files
    """


@schema
class MappedFile(dj.Manual):
    """A registered file that is read by a mapping."""

    definition = """
    # A file that is read by a mapping
    -> NwbFile
    ---
    -> RigMapping
    lab_row : json  # what the lab's own table says of the session, column to value
    """


@schema
class LfpFile(dj.Manual):
    """The NWB file with the LFP of one probe of a recording."""

    definition = """
    # The LFP file of one probe
    -> NwbFile
    lfp_probe_id : int64  # id of the probe, the identifier in the file
    ---
    lfp_root : varchar(64)  # name of the folder or URL that the path is relative to
    lfp_relative_path : varchar(1024)  # path below the root
    lfp_size_bytes : int64  # (bytes) size of the file
    lfp_blake2b=null : char(128)  # hash of the content, NULL where it was not asked for
    lfp_modified_ns=null : int64  # (ns) last change of the file, since 1970, NULL for a URL
    lfp_registered_at : datetime(6)  # (UTC) when the file was registered
    """


@schema
class ImportIssue(dj.Manual):
    """One kind of anomaly found while importing one table of a session."""

    definition = """
    # One kind of oddity in the file of a session
    -> Session
    imported_by : varchar(64)  # table whose import met it
    issue_table : varchar(64)  # table of the file that it is about
    issue_code : varchar(64)  # kind of oddity, see docs/issues.md
    ---
    severity : enum('info', 'warning', 'error')  # an error stops the import of the table
    issue_detail : varchar(2000)  # how many, and the first of them
    noticed_at : datetime(6)  # (UTC) when the import met it
    """


@schema
class CatalogueSession(dj.Manual):
    """One session listed in the release's tables, with or without its file."""

    definition = """
    # One session in the tables of the release
    catalogue_session_id : int64  # ecephys_session_id of a recording, else behavior_session_id
    ---
    catalogue_kind : enum('recording', 'behavior_only')  # which table lists it
    catalogue_mouse_id : varchar(32)  # LabTracks id of the mouse
    catalogue_row : json  # the row of the release, all columns
    """


@schema
class CatalogueProbe(dj.Manual):
    """One probe listed in the release's tables."""

    definition = """
    # One probe in the tables of the release
    catalogue_probe_id : int64  # ecephys_probe_id
    ---
    -> CatalogueSession
    catalogue_probe_row : json  # the row of the release, all columns
    """


@schema
class CatalogueChannel(dj.Manual):
    """One channel listed in the release's tables."""

    definition = """
    # One channel in the tables of the release
    catalogue_channel_id : int64  # ecephys_channel_id
    ---
    -> CatalogueSession
    catalogue_channel_probe_id=null : int64  # ecephys_probe_id
    catalogue_channel_number=null : int32  # index on the probe, 0 at the tip
    catalogue_vertical_position=null : int32  # (um) distance from the tip
    catalogue_horizontal_position=null : int32  # (um) position across the shank
    catalogue_anterior_posterior=null : float64  # (um) CCF coordinate, growing to posterior
    catalogue_dorsal_ventral=null : float64  # (um) CCF coordinate, growing to ventral
    catalogue_left_right=null : float64  # (um) CCF coordinate, growing to the right
    catalogue_structure=null : varchar(32)  # acronym of the structure, NULL where the table has none
    catalogue_valid_data=null : bool  # whether the site is usable
    """


@schema
class CatalogueUnit(dj.Manual):
    """Values of one unit that only the release's tables contain."""

    definition = """
    # What only the tables of the release know of a unit
    catalogue_unit_id : int64  # unit_id
    ---
    -> CatalogueSession
    structure_id=null : int64  # CCF id of the structure
    waveform_halfwidth=null : float64  # (ms) width of the waveform at half of its trough
    """


def stage(session_type: str) -> str | None:
    """Return the stage at the beginning of a protocol's name, None if there is none.

    Examples
    --------
    >>> stage("TRAINING_3_images_A_10uL_reward"), stage("EPHYS_1_images_G_3uL_reward")
    ('TRAINING_3', 'EPHYS_1')
    """
    found = re.match(r"[A-Z]+_\d+", session_type)
    return found.group() if found else None


def training_history(mouse_id: str) -> Any:
    """Return a mouse's sessions, to be fetched with ``order_by="date_of_acquisition"``.

    Parameters
    ----------
    mouse_id : LabTracks id.

    Returns
    -------
    query expression : stage, protocol, images, prior exposures and the kind of the file.

    Raises
    ------
    NotFoundError
        If no session of the mouse is registered, naming the nearest of those that have some.
    """
    found = sessions_of_mouse(mouse_id)
    if not found:
        known = Mouse.to_arrays("mouse_id").tolist()
        raise NotFoundError(f"No session of a mouse '{mouse_id}' is registered.{nearest(mouse_id, known)}")
    return found


def sessions_of_mouse(mouse_id: str) -> Any:
    """Return the same of any mouse, without rows if none of its sessions is registered."""
    names = ("stage", "session_type", "date_of_acquisition", "age_in_days", "equipment_name", "image_set")
    counts = ("training_session_number", "prior_exposures_to_session_type", "prior_exposures_to_image_set")
    sessions = Session.proj(*names, *counts, "prior_exposures_to_omissions", "experience_level")
    return sessions * NwbFile.proj("file_kind") & {"mouse_id": mouse_id}
