"""Mice, sessions, and the files that the sessions were read from."""

from __future__ import annotations

from schemas._datajoint import dj

schema = dj.Schema()


@schema
class Mouse(dj.Manual):
    """One mouse."""

    definition = """
    # One mouse
    mouse_id : varchar(32)  # LabTracks id of the mouse
    ---
    sex=null : enum('M', 'F')  # sex of the mouse
    genotype : varchar(255)  # full genotype, wt/wt for a wild type
    driver_line : json  # driver lines, a list of names, empty for a wild type
    reporter_line=null : varchar(255)  # reporter line, NULL for a wild type
    cre_line=null : varchar(64)  # Cre line by the rule of AllenSDK, NULL for a wild type
    """


@schema
class Session(dj.Manual):
    """One session of one mouse: a recording day."""

    definition = """
    # One session of one mouse
    -> Mouse
    session_id : int64  # id in the name of the session file, ecephys_session_id of a recording
    ---
    behavior_session_id : int64  # id of the same session as a behavior session
    session_type : varchar(128)  # stage of training or recording, for example EPHYS_1_images_G_3uL_reward
    date_of_acquisition : datetime(6)  # (UTC) start of the session by wall clock
    age_in_days=null : int32  # (days) age of the mouse
    equipment_name : varchar(64)  # rig that the session was recorded on
    stimulus_frame_rate : float64  # (Hz) nominal frame rate of the monitor
    project_code=null : varchar(64)  # project of the Allen Institute as the file names it
    image_set=null : varchar(8)  # letter of the image set in the session type
    experience_level=null : varchar(32)  # Familiar or Novel images, from the catalogue of the release
    session_number=null : int32  # recording day of the mouse, from the catalogue of the release
    prior_exposures_to_image_set=null : int32  # sessions with these images before, from the catalogue
    prior_exposures_to_omissions=null : int32  # sessions with omissions before, from the catalogue
    abnormal_histology=null : json  # structures with abnormal histology, a list, from the catalogue
    abnormal_activity=null : json  # (s) times of abnormal activity, a list, from the catalogue
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
    blake2b : char(128)  # hash of the content, the one that the manifest of the release gives
    modified_ns : int64  # (ns) time of the last change of the file, since 1970, to skip the hash
    registered_at : datetime(6)  # (UTC) when the file was registered
    package_version : varchar(32)  # version of vbn-datajoint that read the metadata
    """
