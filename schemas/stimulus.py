"""What was shown, and the laser pulses of the optotagging."""

from __future__ import annotations

from typing import Any

import pandas as pd

import vbn.nwb
from schemas import behavior, session  # noqa: F401 - the definitions refer to behavior
from schemas._datajoint import dj
from schemas.files import registered_recording
from schemas.rows import insert_rows, plain, rows_from_frame

schema = dj.Schema()

PRESENTATION_COLUMNS = {
    "block": "stimulus_block",
    "trial_id": "trials_id",
    "presentation_start_time": "start_time",
    "presentation_end_time": "end_time",
    "presentation_duration": "duration",
}
PULSE_COLUMNS = {
    "pulse_start_time": "start_time",
    "pulse_stop_time": "stop_time",
    "pulse_duration": "duration",
    "waveform": "stimulus_name",
    "pulse_condition": "condition",
}


@schema
class Stimulus(dj.Imported):
    """The visual stimuli of one session."""

    definition = """
    # The visual stimuli of one session
    -> behavior.ChangeDetection
    ---
    n_blocks : int16  # number of blocks
    n_presentations_total : int32  # number of presentations in all blocks
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
        image_name=null : varchar(64)  # image, omitted for an omission, NULL for other stimuli
        is_change=null : bool  # whether the image differs from the one before
        is_sham_change : bool  # change of a catch trial: the same image again
        is_image_novel=null : bool  # whether the image was new to the mouse, NULL for omissions
        omitted=null : bool  # whether the flash was left out
        rewarded=null : bool  # change followed by a reward, in replay: was rewarded in the active block
        flashes_since_change=null : int32  # flashes since the last change
        stimulus_index=null : int32  # index of the mapping stimulus
        orientation=null : float64  # (deg) orientation of a grating
        position_x=null : float64  # (deg) horizontal position of a Gabor, 0 is the centre of the screen
        position_y=null : float64  # (deg) vertical position of a Gabor, 0 is the centre of the screen
        spatial_frequency=null : float64  # (cycles/deg) spatial frequency
        temporal_frequency=null : float64  # (Hz) temporal frequency
        contrast=null : float64  # (1) contrast
        color=null : float64  # (1) full-field flash, -1 black, 1 white
        """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch where the file is."""
        return ((session.NwbFile & key).fetch1(),)

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the presentations and find their blocks."""
        recording = registered_recording(source)
        presentations = vbn.nwb.read_stimulus_presentations(recording)
        try:
            return presentations, vbn.nwb.summarise_blocks(presentations)
        except ValueError as error:
            raise recording.invalid(str(error)) from error

    def make_insert(self, key: dict[str, Any], presentations: pd.DataFrame, blocks: pd.DataFrame) -> None:
        """Insert the session's blocks and presentations."""
        self.insert1({**key, "n_blocks": len(blocks), "n_presentations_total": len(presentations)})
        insert_rows(self.Block(), rows_from_frame(blocks, self.Block(), key))
        insert_rows(
            self.Presentation(),
            rows_from_frame(presentations, self.Presentation(), key, PRESENTATION_COLUMNS),
        )


@schema
class OptoStimulation(dj.Imported):
    """The laser pulses of one session; sessions without a laser table have a row that says so."""

    definition = """
    # The laser pulses of one session
    -> session.NwbFile
    ---
    has_laser_table : bool  # whether the file holds laser pulses
    n_pulses : int32  # number of pulses
    n_levels : int16  # number of different levels
    highest_level=null : float64  # (V) highest command voltage of the laser
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

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch where the file is."""
        return ((session.NwbFile & key).fetch1(),)

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the laser table; its absence is a state."""
        return (vbn.nwb.read_optotagging(registered_recording(source)),)

    def make_insert(self, key: dict[str, Any], pulses: pd.DataFrame | None) -> None:
        """Insert the session's pulses."""
        if pulses is None:
            self.insert1({**key, "has_laser_table": False, "n_pulses": 0, "n_levels": 0})
            return
        levels = {"n_levels": pulses["level"].nunique(), "highest_level": plain(pulses["level"].max())}
        self.insert1({**key, "has_laser_table": True, "n_pulses": len(pulses), **levels})
        insert_rows(self.Pulse(), rows_from_frame(pulses, self.Pulse(), key, PULSE_COLUMNS))
