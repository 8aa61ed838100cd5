"""Responses aligned to events: units' rates, and behaviour on the same time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, parameters, stimulus
from schemas._datajoint import dj
from schemas.rows import insert_rows, key_of_session, plain, rows_from_frame
from vbn.analysis.aligned_behavior import AlignedBehavior as Aligned
from vbn.analysis.aligned_behavior import align_behavior
from vbn.analysis.events import select_event_times
from vbn.analysis.psth import TimeAxis, count_spikes, psth

schema = dj.Schema()

METHOD_VERSION = 1
FLASH_FLAGS = ("is_change", "is_sham_change", "omitted", "active")
# Window and bins of AllenSDK's VBN quick-start notebook (makePSTH around image changes).
CHANGE_WINDOW = {"window_start": -1.0, "window_stop": 1.5, "bin_width": 0.01}
DEFAULTS = {
    "change_active": {"event": "change", "block_condition": "active", **CHANGE_WINDOW},
    "change_passive": {"event": "change", "block_condition": "passive", **CHANGE_WINDOW},
}


@schema
class Alignment(dj.Lookup):
    """One way to align to events: which ones, in which blocks, and on which time axis."""

    definition = """
    # One way to align to events
    alignment : varchar(64)  # readable name
    ---
    event : varchar(32)  # kind of event, change is a change of the image
    block_condition : varchar(32)  # active is the task, passive its replay
    window_start : float64  # (s) begin of the window relative to the event
    window_stop : float64  # (s) end of the window relative to the event
    bin_width : float64  # (s) width of the bins
    method_version : int16  # version of the method
    content_hash : char(64)  # sha256 of content and method version
    unique index (content_hash)
    """

    @staticmethod
    def axis(row: dict[str, Any]) -> TimeAxis:
        """Return the time axis of a row."""
        return TimeAxis(row["window_start"], row["window_stop"], row["bin_width"])


def seed_defaults() -> None:
    """Enter the default alignments that are missing."""
    for name, content in DEFAULTS.items():
        parameters.add_parameters(Alignment(), {"alignment": name, **content}, content, METHOD_VERSION)


def event_times(key: dict[str, Any], alignment: dict[str, Any]) -> np.ndarray:
    """Return the times of a session's events of an alignment: (n_events,) float64, seconds."""
    images = stimulus.Stimulus.Presentation & key_of_session(key) & "image_name IS NOT NULL"
    query = images.proj(
        *FLASH_FLAGS, "image_name", "flashes_since_change", start_time="presentation_start_time"
    )
    frame = pd.DataFrame(query.to_dicts(order_by="presentation_id"))
    if frame.empty:
        return np.empty(0)
    for name in FLASH_FLAGS:  # MySQL returns flags as numbers
        frame[name] = frame[name].astype("boolean")
    return select_event_times(frame, alignment["event"], alignment["block_condition"])


@schema
class Psth(dj.Computed):
    """The mean responses of all units of one session around one kind of event."""

    definition = """
    # Mean responses of the units of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> Alignment
    ---
    n_events : int32  # number of events averaged
    """

    class Unit(dj.Part):
        """The mean response of one unit."""

        definition = """
        # Mean response of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        psth_rate : <blob>  # (Hz) float32, mean rate per bin of the alignment, NaN without events
        psth_sem : <blob>  # (Hz) float32, standard error over events, NaN below two events
        baseline_rate=null : float64  # (Hz) mean rate in the window before the event
        response_rate=null : float64  # (Hz) mean rate in the 0.25 s after the event
        peak_rate=null : float64  # (Hz) highest bin in the 0.25 s after the event
        peak_latency=null : float64  # (s) centre of that bin
        """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the alignment."""
        return ((Alignment & key).fetch1(),)

    def make_compute(self, key: dict[str, Any], alignment: dict[str, Any]) -> tuple[Any, ...]:
        """Count the spikes around the events, one probe after the other."""
        events, axis = event_times(key, alignment), Alignment.axis(alignment)
        frames = []
        for probe, units, times in ecephys.iterate_probe_spikes(ecephys.Recording.Unit & key_of_session(key)):
            offsets, sizes = units["spike_offset"].to_numpy(), units["n_spikes"].to_numpy()
            response = psth(count_spikes(times, offsets, sizes, events, axis), axis)
            frames.append(
                _response_frame(response).assign(unit_id=units["unit_id"], probe_name=probe["probe_name"])
            )
        return len(events), pd.concat(frames) if frames else None

    def make_insert(self, key: dict[str, Any], n_events: int, responses: pd.DataFrame | None) -> None:
        """Insert the session's responses."""
        self.insert1({**key, "n_events": n_events})
        if responses is not None:
            insert_rows(self.Unit(), rows_from_frame(responses, self.Unit(), key))


def _response_frame(response: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "psth_rate": list(response.rate_hz.astype(np.float32)),
            "psth_sem": list(response.sem_hz.astype(np.float32)),
            "baseline_rate": response.baseline_hz,
            "response_rate": response.response_hz,
            "peak_rate": response.peak_hz,
            "peak_latency": response.peak_latency_s,
        }
    )


@schema
class AlignedBehavior(dj.Computed):
    """Running, licking and the pupil of one session around one kind of event."""

    definition = """
    # Running, licking and pupil around the events of one session
    -> behavior.Running
    -> behavior.Licks
    -> behavior.EyeTracking
    -> stimulus.Stimulus
    -> Alignment
    ---
    n_aligned_events : int32  # number of events averaged
    running_speed_mean : <blob>  # (cm/s) float32, mean running speed at the centres of the bins
    running_speed_sem : <blob>  # (cm/s) float32, standard error over events
    lick_rate : <blob>  # (Hz) float32, licks per second in each bin
    pupil_area_mean=null : <blob>  # (px^2) float32, mean pupil area, blinks interpolated
    pupil_area_sem=null : <blob>  # (px^2) float32, standard error over events
    pupil_x_mean=null : <blob>  # (px) float32, mean horizontal position of the pupil, blinks interpolated
    pupil_x_sem=null : <blob>  # (px) float32, standard error over events
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the alignment."""
        return ((Alignment & key).fetch1(),)

    def make_compute(self, key: dict[str, Any], alignment: dict[str, Any]) -> tuple[Any, ...]:
        """Average the traces around the events."""
        running = (behavior.Running & key).fetch1()
        eye = (behavior.EyeTracking & key).fetch1()
        pupil = ("eye_timestamps", "pupil_area", "pupil_center_x", "likely_blink")
        aligned = align_behavior(
            event_times(key, alignment),
            Alignment.axis(alignment),
            running=(running["running_timestamps"].load(), running["running_speed"].load()),
            lick_times=(behavior.Licks & key).fetch1("lick_timestamps"),
            pupil=tuple(eye[name].load() for name in pupil) if eye["has_eye_tracking"] else None,
        )
        return (aligned,)

    def make_insert(self, key: dict[str, Any], aligned: Aligned) -> None:
        """Insert the averages."""
        arrays = {
            "running_speed_mean": aligned.running_speed_cm_s,
            "running_speed_sem": aligned.running_speed_sem,
            "lick_rate": aligned.lick_rate_hz,
            "pupil_area_mean": aligned.pupil_area,
            "pupil_area_sem": aligned.pupil_area_sem,
            "pupil_x_mean": aligned.pupil_x,
            "pupil_x_sem": aligned.pupil_x_sem,
        }
        stored = {name: None if array is None else array.astype(np.float32) for name, array in arrays.items()}
        self.insert1({**key, "n_aligned_events": plain(aligned.n_events), **stored})
