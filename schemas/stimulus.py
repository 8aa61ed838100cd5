"""Visual stimuli, and the laser pulses of the optotagging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import vbn.nwb
from schemas import behavior, session  # noqa: F401 - the definitions refer to behavior
from schemas.bases.file_import import FileImport
from schemas.bases.issues import note_issues, stop_at_errors
from schemas.bases.provenance import provenance_lines
from schemas.files.array_store import discarding_leftovers
from schemas.files.open_file import registered_file
from schemas.rows.insert import insert_rows, key_of_session, plain, rows_from_frame
from schemas.server.connection import server_lock
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from schemas.server.unpublished import is_unpublished
from vbn.errors import NotFoundError, quoted
from vbn.nwb.checks.findings import (
    find_change_issues,
    find_frame_issues,
    find_infinite_values,
    find_missing_laser_table,
    find_presentation_issues,
    find_unknown_trials,
    find_unsorted_times,
)
from vbn.nwb.issue import first_of, issue
from vbn.nwb.readers.templates import image_hashes, picture_hash

schema = Schema()

PRESENTATION_COLUMNS = {
    "block": "stimulus_block",
    "trial_id": "trials_id",
    "presentation_start_time": "start_time",
    "presentation_end_time": "end_time",
    "presentation_duration": "duration",
    "presented_image_set": "image_set",
}
CHANGE_COLUMNS = {"change_residual": "residual"}
THUMBNAIL_WIDTH = 192
LONGEST_IMAGE_NAME = 64  # limit of the attribute, which also names a folder of the store
PULSE_COLUMNS = {
    "pulse_start_time": "start_time",
    "pulse_stop_time": "stop_time",
    "pulse_duration": "duration",
    "waveform": "stimulus_name",
    "pulse_condition": "condition",
}


@schema
class Image(dj.Manual):
    """One image of the task, as it was on the screen."""

    definition = """
    # One image of the task
    image_name : varchar(64)  # name of the image, omitted for an omission
    ---
    image_sha256=null : char(64)  # hash of the warped image, NULL where no file held the image
    thumbnail=null : <blob>  # (gray level) uint8, the warped image at 192 columns
    warped=null : <npy@vbn>  # (gray level) uint8, as drawn on the screen
    unwarped=null : <npy@vbn>  # (gray level) float64, as the mouse saw it, NaN off the screen
    """

    class Set(dj.Part):
        """The membership of one image in one image set."""

        definition = """
        # One image in one set
        -> master
        image_set_name : varchar(64)  # letter of the set in the session type, such as G
        """


@schema
class Stimulus(FileImport):
    """The visual stimuli of one session."""

    definition = f"""
    # The visual stimuli of one session
    -> behavior.ChangeDetection
    ---
    n_blocks : int16  # number of blocks
    n_presentations_total : int32  # number of presentations in all blocks
    stimulus_timestamps : <npy@vbn>  # (s) float64, time of each frame, frame numbers index it
    {provenance_lines("stimulus")}
    """

    class Block(dj.Part):
        """One contiguous block of one stimulus."""

        definition = """
        # One contiguous block of one stimulus
        -> master
        block : int16  # stimulus_block: 0 active, 1 gray, 2 Gabor, 3 gray, 4 flashes, 5 replay
        ---
        stimulus_name : varchar(128)  # stimulus of the block
        block_start_time : float64  # (s) start of the first presentation
        block_stop_time : float64  # (s) end of the last presentation
        block_is_active : bool  # whether the mouse performed the task
        n_presentations : int32  # number of presentations in the block
        """

    class Presentation(dj.Part):
        """One presentation: a flashed image, its omission, a Gabor, a full-field flash, or gray."""

        definition = """
        # One presentation of a stimulus
        -> master
        presentation_id : int32  # stimulus_presentations_id of AllenSDK, the order in time
        ---
        -> Stimulus.Block
        -> [nullable] behavior.ChangeDetection.Trial
        presentation_start_time : float64  # (s) start on the screen, display lag included
        presentation_end_time=null : float64  # (s) end on the screen
        presentation_duration=null : float64  # (s) duration, NULL for omissions in the active block
        start_frame=null : int32  # stimulus frame of the start
        end_frame=null : int32  # stimulus frame of the end
        active : bool  # whether the mouse performed the task
        -> [nullable] Image
        is_change=null : bool  # whether the image differs from the one before
        is_sham_change : bool  # change of a catch trial: the same image again
        is_image_novel=null : bool  # whether the image was new to the mouse, NULL for omissions
        omitted=null : bool  # whether the flash was left out
        rewarded=null : bool  # change followed by a reward, in replay: was rewarded in the active block
        flashes_since_change=null : int32  # flashes since the last change
        stimulus_index=null : int32  # index of the mapping stimulus
        orientation=null : float64  # (deg) orientation of a grating
        phase=null : float64  # (1) phase of a grating in cycles, behavior sessions only
        image_index=null : int32  # index of the image in its set, behavior sessions only
        presented_image_set=null : varchar(64)  # image set of the file, behavior sessions only
        position_x=null : float64  # (deg) horizontal position of a Gabor, 0 is the centre of the screen
        position_y=null : float64  # (deg) vertical position of a Gabor, 0 is the centre of the screen
        spatial_frequency=null : float64  # (cycles/deg) spatial frequency
        temporal_frequency=null : float64  # (Hz) temporal frequency
        contrast=null : float64  # (1) contrast
        color=null : float64  # (1) full-field flash, -1 black, 1 white
        """

    class Change(dj.Part):
        """The presentation at which one trial's image changed, or would have changed in a catch trial."""

        definition = """
        # The presentation of one change or sham change
        -> master
        -> behavior.ChangeDetection.Trial
        ---
        -> [nullable] Stimulus.Presentation
        frame_time=null : float64  # (s) stimulus timestamp of the frame of the change
        change_residual=null : float64  # (s) start on the screen after the change time of the trial
        frame_residual=null : float64  # (s) start on the screen after the stimulus timestamp
        """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the presentations, match each trial's change to one of them, and insert new images."""
        file = registered_file(source)
        presentations = vbn.nwb.read_stimulus_presentations(file)
        timestamps = vbn.nwb.read_stimulus_timestamps(file)
        trials = vbn.nwb.read_trials(file)
        changes = vbn.nwb.match_changes(trials, presentations, timestamps)
        issues = [
            *find_presentation_issues(presentations),
            *find_infinite_values(presentations, "stimulus_presentations"),
            *find_unknown_trials(trials, presentations),
            *find_change_issues(trials, presentations),
            *find_frame_issues(trials, presentations, vbn.nwb.read_licks(file), timestamps),
            *find_unsorted_times(timestamps, "stimulus_timestamps"),
        ]
        stop_at_errors(key, "Stimulus", file.path, issues)
        issues += enter_images(
            file, set(presentations["image_name"].dropna()), (session.Session & key).fetch1("image_set")
        )
        presentations["trials_id"] = presentations["trials_id"].where(
            presentations["trials_id"].isin(trials["trial_id"])
        )
        return presentations, changes, timestamps, issues

    def make_insert(
        self,
        key: dict[str, Any],
        presentations: pd.DataFrame,
        changes: pd.DataFrame,
        timestamps: np.ndarray,
        issues: list[vbn.nwb.Issue],
    ) -> None:
        """Insert the session's blocks, presentations and changes."""
        note_issues(key, "Stimulus", issues)
        blocks = vbn.nwb.summarise_blocks(presentations)
        counts = {"n_blocks": len(blocks), "n_presentations_total": len(presentations)}
        self.insert1({**key, **self.provenance(key), **counts, "stimulus_timestamps": timestamps})
        insert_rows(self.Block(), rows_from_frame(blocks, self.Block(), key))
        rows = rows_from_frame(presentations, self.Presentation(), key, PRESENTATION_COLUMNS)
        insert_rows(self.Presentation(), rows)
        insert_rows(self.Change(), rows_from_frame(changes, self.Change(), key, CHANGE_COLUMNS))


def enter_images(file: vbn.nwb.RecordingFile, shown: set[str], image_set: str | None) -> list[vbn.nwb.Issue]:
    """Insert the images of a session that are not in the database yet, with pixels if the file has them.

    Images do not belong to a session: they are inserted outside the job's transaction, by one worker at a
    time, and stay if the job fails. If two pictures have the same name, the one inserted first stays; within
    a file, the first in the order of the image sets' names.

    Parameters
    ----------
    file : the open file; the pixels of images that are in the database already are only compared.
    shown : names of the images that were presented, including ``omitted``.
    image_set : letter of the session's image set.

    Returns
    -------
    list of Issue : ``image_differs`` for pictures that differ from the stored ones.
    """
    held = {name for names in vbn.nwb.image_names(file).values() for name in names}
    if too_long := [name for name in sorted(shown | held) if len(name) > LONGEST_IMAGE_NAME]:
        raise file.invalid(
            f"the image name {quoted(too_long[0])} is longer than {LONGEST_IMAGE_NAME} characters."
        )
    with server_lock("images"):
        rows = Image.proj("image_sha256", "warped").to_dicts()
        known = {row["image_name"]: row["image_sha256"] for row in rows}
        adopted = {
            row["image_name"]
            for row in rows
            if row["warped"] is not None and is_unpublished(row["warped"].path)
        }
        missing = (shown | held) - known.keys()
        wanted = held & (missing | adopted | {name for name, sha256 in known.items() if sha256 is None})
        templates = vbn.nwb.read_stimulus_templates(file) if wanted else ()
        pictures: dict[str, vbn.nwb.StimulusTemplate] = {}
        for template in templates:
            if template.image_name in wanted:
                pictures.setdefault(template.image_name, template)
        kept: dict[str, str | None] = {
            name: picture_hash(template.warped) for name, template in pictures.items()
        }
        kept |= {name: sha256 for name, sha256 in known.items() if sha256 is not None}
        for name in sorted(missing):
            kept[name] = _enter_image(name, pictures.pop(name, None)) or kept.get(name)
        for name, template in pictures.items():  # known from a file, or a published folder, without pictures
            if picture_hash(template.warped) == kept[name]:
                Image.update1({"image_name": name, **_picture(template)})
        if image_set is not None:
            members = [{"image_name": name, "image_set_name": image_set} for name in sorted(held)]
            Image.Set.insert(members, skip_duplicates=True)
    others = [f"{name} ({of})" for of, name, sha256 in image_hashes(file) if sha256 != kept[name]]
    return [issue("image_differs", "stimulus_templates", first_of(others))] if others else []


def _enter_image(name: str, template: vbn.nwb.StimulusTemplate | None) -> str | None:
    """Insert an image; return the hash of the picture that it has now."""
    picture = _picture(template)
    try:
        with discarding_leftovers(Image(), {"image_name": name}):
            Image.insert1({"image_name": name, **picture})
    except dj.errors.DuplicateError:
        # The lock goes with a connection that is lost, and DataJoint sends the statement again on a new one:
        # somebody else, or we ourselves, have entered it meanwhile.
        (entered,) = (Image & {"image_name": name}).to_arrays("image_sha256").tolist()
        return entered or None
    return picture.get("image_sha256")


def _picture(template: vbn.nwb.StimulusTemplate | None) -> dict[str, Any]:
    if template is None:
        return {}
    return {
        "image_sha256": picture_hash(template.warped),
        "thumbnail": vbn.nwb.image_thumbnail(template.warped, THUMBNAIL_WIDTH),
        "warped": template.warped,
        "unwarped": template.unwarped,
    }


@schema
class OptoStimulation(FileImport):
    """The laser pulses of one session; sessions without a laser table have a row that says so."""

    definition = f"""
    # The laser pulses of one session
    -> session.NwbFile
    ---
    has_laser_table : bool  # whether the file holds laser pulses
    n_pulses : int32  # number of pulses
    n_levels : int16  # number of different levels
    highest_level=null : float64  # (V) highest command voltage of the laser
    {provenance_lines("opto_stimulation")}
    """

    class Pulse(dj.Part):
        """One laser pulse."""

        definition = """
        # One laser pulse
        -> master
        pulse_id : int32  # index in the order of the file
        ---
        pulse_start_time : float64  # (s) onset of the laser
        pulse_stop_time : float64  # (s) offset of the laser
        pulse_duration : float64  # (s) duration
        waveform : varchar(32)  # pulse or raised_cosine
        pulse_condition : varchar(64)  # waveform in words
        level : float64  # (V) command voltage of the laser, comparable within a session only
        level_rank : int16  # rank of the level in the session, 0 is the lowest
        """

    @property
    def key_source(self) -> Any:
        """Recordings only: there is no laser in a behavior session."""
        return session.NwbFile & {"file_kind": "recording"}

    @classmethod
    def waiting(cls) -> Any:
        """Return the sessions of which it is not known yet whether there was a laser."""
        return cls().key_source.proj() - cls.proj()

    @classmethod
    def require(cls, key: dict[str, Any]) -> None:
        """Raise NotFoundError if it is not known whether there was a laser in a session."""
        if cls.waiting() & key_of_session(key):
            raise NotFoundError(
                f"OptoStimulation of session {key['session_id']} is not imported, so that its laser pulses "
                "are not known. Run: vbn populate --table OptoStimulation"
            )

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the laser table; None if there is none."""
        return (vbn.nwb.read_optotagging(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], pulses: pd.DataFrame | None) -> None:
        """Insert the session's pulses."""
        found = [] if pulses is None else find_infinite_values(pulses, "optotagging")
        note_issues(key, "OptoStimulation", find_missing_laser_table(pulses) + found)
        if pulses is None:
            self.insert1(
                {**key, **self.provenance(key), "has_laser_table": False, "n_pulses": 0, "n_levels": 0}
            )
            return
        levels = {"n_levels": pulses["level"].nunique(), "highest_level": plain(pulses["level"].max())}
        self.insert1(
            {**key, **self.provenance(key), "has_laser_table": True, "n_pulses": len(pulses), **levels}
        )
        insert_rows(self.Pulse(), rows_from_frame(pulses, self.Pulse(), key, PULSE_COLUMNS))
