"""The change detection task, licks, running and eye tracking."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

import vbn.nwb
from schemas import session
from schemas.bases.file_import import FileImport
from schemas.bases.issues import note_issues
from schemas.bases.provenance import provenance_lines
from schemas.files.open_file import registered_file
from schemas.rows.insert import insert_rows, require_storable, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.nwb.checks.findings import (
    find_infinite_values,
    find_lick_issues,
    find_missing_pupil,
    find_reward_issues,
    find_trial_issues,
    find_unsorted_times,
)

schema = Schema()

TRIAL_COLUMNS = {
    "trial_start_time": "start_time",
    "trial_stop_time": "stop_time",
    "trial_is_change": "is_change",
}
CHANGE_TIMES = [
    "change_time_no_display_delay",
    "change_time",
    "response_latency",
]  # which of them a file has depends on its kind
REWARD_COLUMNS = {"reward_timestamp": "timestamps", "autorewarded": "auto_rewarded"}


@schema
class ChangeDetection(FileImport):
    """The change detection task of one session."""

    definition = f"""
    # The change detection task of one session
    -> session.NwbFile
    ---
    n_trials : int32  # number of trials, aborted ones included
    n_rewards : int32  # number of rewards, auto rewards included
    {provenance_lines("change_detection")}
    """

    class Trial(dj.Part):
        """One trial of the task."""

        definition = """
        # One trial
        -> master
        trial_id : int32  # index of the trial in the session
        ---
        trial_start_time : float64  # (s) begin of the trial
        trial_stop_time : float64  # (s) end of the trial
        trial_length : float64  # (s) duration of the trial
        initial_image_name=null : varchar(64)  # image before the change
        change_image_name=null : varchar(64)  # image after the change, the same in catch and aborted trials
        trial_is_change : bool  # whether the image changed, go or auto rewarded
        change_time_no_display_delay=null : float64  # (s) time of the change without the display lag
        change_time=null : float64  # (s) time of the change with the monitor delay, behavior sessions only
        response_latency=null : float64  # (s) first lick after the change, NULL without one or in recordings
        change_frame=null : int32  # stimulus frame of the change or sham change
        go : bool  # a change that the mouse could earn a reward for
        catch : bool  # a sham change
        hit : bool  # go trial with a lick in the response window
        miss : bool  # go trial without
        false_alarm : bool  # catch trial with a lick in the response window
        correct_reject : bool  # catch trial without
        aborted : bool  # ended by a lick before the change
        auto_rewarded : bool  # rewarded without a lick
        response_time=null : float64  # (s) first lick of the trial, also outside the response window
        reward_time=null : float64  # (s) time of the reward
        reward_volume=null : float64  # (mL) volume of the reward, 0 without
        lick_times=null : <blob>  # (s) float64, licks of the trial, frame times without the display lag
        """

    class Reward(dj.Part):
        """One reward, earned or free."""

        definition = """
        # One reward
        -> master
        reward_id : int32  # index of the reward in the session
        ---
        reward_timestamp : float64  # (s) when the water came
        volume : float64  # (mL) volume of the water
        autorewarded : bool  # whether it came without a lick
        """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read trials and rewards, and check them for anomalies."""
        file = registered_file(source)
        trials, rewards = vbn.nwb.read_trials(file), vbn.nwb.read_rewards(file)
        issues = find_trial_issues(trials) + find_reward_issues(rewards, vbn.nwb.read_licks(file))
        return trials, rewards, issues + find_infinite_values(trials, "trials", but=("response_latency",))

    def make_insert(
        self, key: dict[str, Any], trials: pd.DataFrame, rewards: pd.DataFrame, issues: list[vbn.nwb.Issue]
    ) -> None:
        """Insert the session's trials and rewards."""
        note_issues(key, "ChangeDetection", issues)
        self.insert1({**key, **self.provenance(key), "n_trials": len(trials), "n_rewards": len(rewards)})
        complete = trials.reindex(columns=trials.columns.union(CHANGE_TIMES, sort=False))
        insert_rows(self.Trial(), rows_from_frame(complete, self.Trial(), key, TRIAL_COLUMNS))
        numbered = rewards.reset_index(drop=True).rename_axis("reward_id").reset_index()
        insert_rows(self.Reward(), rows_from_frame(numbered, self.Reward(), key, REWARD_COLUMNS))


@schema
class Licks(FileImport):
    """The licks of one session."""

    definition = f"""
    # The licks of one session
    -> session.NwbFile
    ---
    n_licks : int32  # number of licks
    lick_timestamps : <blob>  # (s) float64, ascending, lick sensor on the session clock
    lick_frames : <blob>  # (index) int64, stimulus frame of each lick
    {provenance_lines("licks")}
    """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the licks; a session without any has empty arrays."""
        return (vbn.nwb.read_licks(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], licks: pd.DataFrame) -> None:
        """Insert the session's licks."""
        note_issues(key, "Licks", find_lick_issues(licks) + find_infinite_values(licks, "licks"))
        times, frames = licks["timestamps"].to_numpy(np.float64), licks["frame"].to_numpy(np.int64)
        self.insert1(
            {
                **key,
                **self.provenance(key),
                "n_licks": len(licks),
                "lick_timestamps": times,
                "lick_frames": frames,
            }
        )


@schema
class Running(FileImport):
    """The running speed of one session."""

    definition = f"""
    # The running speed of one session
    -> session.NwbFile
    ---
    n_running_samples : int32  # number of samples
    running_timestamps : <npy@vbn>  # (s) float64, time of each sample
    running_speed : <npy@vbn>  # (cm/s) float64, low-pass filtered at 10 Hz
    raw_running_speed : <npy@vbn>  # (cm/s) float64, unfiltered
    {provenance_lines("running")}
    """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the running speed."""
        return (vbn.nwb.read_running(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], running: pd.DataFrame) -> None:
        """Insert the session's running speed."""
        times = running["timestamps"].to_numpy(np.float64)
        note_issues(key, "Running", find_unsorted_times(times, "running"))
        names = {
            "timestamps": "running_timestamps",
            "speed": "running_speed",
            "raw_speed": "raw_running_speed",
        }
        arrays = {attribute: running[column].to_numpy(np.float64) for column, attribute in names.items()}
        self.insert1({**key, **self.provenance(key), "n_running_samples": len(running), **arrays})


@schema
class EyeTracking(FileImport):
    """The eye tracking of one session; sessions without any have a row that says so."""

    definition = f"""
    # The eye tracking of one session
    -> session.NwbFile
    ---
    has_eye_tracking : bool  # whether the file holds eye tracking
    n_eye_samples : int32  # number of video frames
    eye_timestamps=null : <npy@vbn>  # (s) float64, time of each frame
    likely_blink=null : <npy@vbn>  # (bool) blinks by the rule of AllenSDK, z-score above 3, dilated by 2
    eye_area=null : <npy@vbn>  # (px^2) area of the eye, NaN in blinks
    eye_area_raw=null : <npy@vbn>  # (px^2) area of the eye
    eye_center_x=null : <npy@vbn>  # (px) centre of the eye
    eye_center_y=null : <npy@vbn>  # (px) centre of the eye
    eye_height=null : <npy@vbn>  # (px) half axis of the eye
    eye_width=null : <npy@vbn>  # (px) half axis of the eye
    eye_phi=null : <npy@vbn>  # (rad) angle of the eye
    pupil_area=null : <npy@vbn>  # (px^2) area of the pupil as a circle, NaN in blinks
    pupil_area_raw=null : <npy@vbn>  # (px^2) area of the pupil as a circle
    pupil_center_x=null : <npy@vbn>  # (px) centre of the pupil
    pupil_center_y=null : <npy@vbn>  # (px) centre of the pupil
    pupil_height=null : <npy@vbn>  # (px) half axis of the pupil
    pupil_width=null : <npy@vbn>  # (px) half axis of the pupil
    pupil_phi=null : <npy@vbn>  # (rad) angle of the pupil
    cr_area=null : <npy@vbn>  # (px^2) area of the corneal reflection, NaN in blinks
    cr_area_raw=null : <npy@vbn>  # (px^2) area of the corneal reflection
    cr_center_x=null : <npy@vbn>  # (px) centre of the corneal reflection
    cr_center_y=null : <npy@vbn>  # (px) centre of the corneal reflection
    cr_height=null : <npy@vbn>  # (px) half axis of the corneal reflection
    cr_width=null : <npy@vbn>  # (px) half axis of the corneal reflection
    cr_phi=null : <npy@vbn>  # (rad) angle of the corneal reflection
    {provenance_lines("eye_tracking")}
    """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the eye tracking; None if there is none."""
        return (vbn.nwb.read_eye_tracking(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], eye_tracking: pd.DataFrame | None) -> None:
        """Insert the session's eye tracking, one array per column."""
        if (session.NwbFile & key).fetch1("file_kind") == "recording":  # training boxes have no eye camera
            note_issues(key, "EyeTracking", find_missing_pupil(eye_tracking))
        if eye_tracking is None:
            self.insert1({**key, **self.provenance(key), "has_eye_tracking": False, "n_eye_samples": 0})
            return
        arrays = {str(name): column.to_numpy() for name, column in eye_tracking.items()}
        arrays["eye_timestamps"] = arrays.pop("timestamps")
        note_issues(key, "EyeTracking", find_unsorted_times(arrays["eye_timestamps"], "eye_tracking"))
        self.insert1(
            {
                **key,
                **self.provenance(key),
                "has_eye_tracking": True,
                "n_eye_samples": len(eye_tracking),
                **arrays,
            }
        )


@schema
class TaskParameters(FileImport):
    """The parameters of the task in one session."""

    definition = f"""
    # Parameters of the task of one session
    -> session.NwbFile
    ---
    task=null : varchar(64)  # name of the task
    stimulus=null : varchar(64)  # images or grating
    stimulus_set_name=null : varchar(128)  # name of the images, NULL in older files
    task_image_set=null : varchar(64)  # images_ and the letter of the set, or gratings
    stimulus_distribution=null : varchar(64)  # distribution of the times of changes
    stimulus_duration=null : float64  # (s) duration of a flash, NULL where the stimulus does not flash
    shortest_blank=null : float64  # (s) shortest gray between flashes
    longest_blank=null : float64  # (s) longest gray between flashes
    response_window_start=null : float64  # (s) begin of the response window after the change
    response_window_stop=null : float64  # (s) end of the response window after the change
    omitted_flash_fraction=null : float64  # (1) probability of an omission, NULL in training
    earned_reward_volume=null : float64  # (mL) water for a hit
    auto_reward_volume=null : float64  # (mL) water given free
    n_stimulus_frames=null : int32  # frames of the behavior block with a stimulus drawn
    {provenance_lines("task_parameters")}
    """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the parameters and rename them to the table's attributes."""
        file = registered_file(source)
        row = asdict(vbn.nwb.read_task_parameters(file))
        del row["session_type"]
        row["stimulus_set_name"], row["task_image_set"] = row.pop("stimulus_name"), row.pop("image_set")
        row["stimulus_duration"] = row.pop("stimulus_duration_sec")
        absent = (None, None)
        row["shortest_blank"], row["longest_blank"] = row.pop("blank_duration_sec") or absent
        row["response_window_start"], row["response_window_stop"] = row.pop("response_window_sec") or absent
        row["earned_reward_volume"] = row.pop("reward_volume")
        return (require_storable(self, row, file.path),)

    def make_insert(self, key: dict[str, Any], row: dict[str, Any]) -> None:
        """Insert the parameters."""
        self.insert1({**key, **self.provenance(key), **row})


@schema
class RigGeometry(FileImport):
    """Positions of monitor, eye camera and LED; sessions without a rig geometry have a row that says so."""

    definition = f"""
    # Geometry of the eye tracking of one session
    -> session.NwbFile
    ---
    has_rig_geometry : bool  # whether the file holds it
    monitor_position=null : <blob>  # (mm) float64 x, y, z
    monitor_rotation=null : <blob>  # (deg) float64 x, y, z
    camera_position=null : <blob>  # (mm) float64 x, y, z
    camera_rotation=null : <blob>  # (deg) float64 x, y, z
    led_position=null : <blob>  # (mm) float64 x, y, z
    {provenance_lines("rig_geometry")}
    """

    def make_compute(self, key: dict[str, Any], source: dict[str, Any]) -> tuple[Any, ...]:
        """Read the geometry; None if there is none."""
        return (vbn.nwb.read_rig_geometry(registered_file(source)),)

    def make_insert(self, key: dict[str, Any], geometry: vbn.nwb.RigGeometry | None) -> None:
        """Insert the geometry."""
        row = {} if geometry is None else asdict(geometry)
        row.pop("equipment", None)
        arrays = {name.rpartition("_")[0]: np.array(position) for name, position in row.items()}
        self.insert1({**key, **self.provenance(key), "has_rig_geometry": geometry is not None, **arrays})
