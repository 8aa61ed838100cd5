"""Responses aligned to events: firing rates of units, and behavior on the same time axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, selection, stimulus  # noqa: F401 - definitions refer to it
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, provenance_lines
from schemas.files.array_store import mapped
from schemas.reading.kept_frames import read_once
from schemas.reading.recordings import located_frame, session_spikes
from schemas.reading.session_frames import licks_frame, presentations_frame, session_events, trials_frame
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows, key_of_session, plain, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.spikes.aligned_behavior import AlignedBehavior as Aligned
from vbn.analysis.spikes.aligned_behavior import align_behavior
from vbn.analysis.spikes.population import population_psth
from vbn.analysis.spikes.presentation_counts import COUNT_WINDOWS, CountWindow, count_presentations
from vbn.analysis.spikes.psth import TimeAxis, count_spikes, psth
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import CountedSpikes, checked_window
from vbn.analysis.task.events import EventSelection, find_events, summary_windows_s
from vbn.analysis.task.trial_response import WINDOWS_S, trial_counts, trial_events

if TYPE_CHECKING:
    import xarray as xr

schema = Schema()

Key = dict[str, Any]

PULSE = "laser_pulse"
# Window and bins of AllenSDK's VBN quick-start notebook (makePSTH around image changes).
CHANGE_AXIS: Any = {"window_start": -1.0, "window_stop": 1.5, "bin_width": 0.01}
# Its optotagging part uses 1 ms bins; the pulse lasts 10 ms, the raised cosine 1 s.
PULSE_AXIS: Any = {"window_start": -0.05, "window_stop": 0.1, "bin_width": 0.001}


@dataclass(frozen=True)
class AlignmentSettings:
    """Which events to align to, and on which time axis.

    Parameters
    ----------
    event, block_condition, outcome_condition, image_condition, novelty_condition, engagement_condition,
    repeat_condition, waveform_condition, level_condition, bout_gap : as in `vbn.analysis.EventSelection`;
        None matches all. A repeat number is given as text.
    window_start, window_stop, bin_width : seconds, see `vbn.analysis.TimeAxis`.
    baseline_start, baseline_stop, response_start, response_stop : seconds after the event, windows of the
        summary values: the bins wholly within. None is that of `vbn.analysis.task.events.summary_windows_s`.
    """

    event: str
    window_start: float
    window_stop: float
    bin_width: float
    block_condition: str | None = None
    outcome_condition: str | None = None
    image_condition: str | None = None
    novelty_condition: str | None = None
    engagement_condition: str | None = None
    repeat_condition: str | None = None
    waveform_condition: str | None = None
    level_condition: str | None = None
    bout_gap: float | None = None
    baseline_start: float | None = None
    baseline_stop: float | None = None
    response_start: float | None = None
    response_stop: float | None = None

    def __post_init__(self) -> None:
        _ = self.axis
        object.__setattr__(self, "bout_gap", self.events.bout_gap_s)
        usual = summary_windows_s(self.event, self.waveform_condition)
        for name, window in zip(("baseline", "response"), usual, strict=True):
            for edge, value in zip(("start", "stop"), window, strict=True):
                if getattr(self, f"{name}_{edge}") is None:
                    object.__setattr__(self, f"{name}_{edge}", value)
            checked_window(self._window(name), name)

    def _window(self, name: str) -> tuple[float, float]:
        return getattr(self, f"{name}_start"), getattr(self, f"{name}_stop")

    @property
    def baseline_window_s(self) -> tuple[float, float]:
        """Window of the baseline rate."""
        return self._window("baseline")

    @property
    def response_window_s(self) -> tuple[float, float]:
        """Window of the response and of its peak."""
        return self._window("response")

    @property
    def axis(self) -> TimeAxis:
        """The bins."""
        return TimeAxis(self.window_start, self.window_stop, self.bin_width)

    @property
    def events(self) -> EventSelection:
        """The events and their conditions."""
        repeat = self.repeat_condition
        return EventSelection(
            self.event,
            block=self.block_condition,
            outcome=self.outcome_condition,
            image=self.image_condition,
            novelty=self.novelty_condition,
            engagement=self.engagement_condition,
            repeat=int(repeat) if repeat is not None and repeat.isdigit() else repeat,
            waveform=self.waveform_condition,
            level=self.level_condition,
            bout_gap_s=self.bout_gap,
        )


def _changes(**conditions: Any) -> AlignmentSettings:
    return AlignmentSettings("change", **CHANGE_AXIS, **conditions)


@schema
class Alignment(ParameterTable):
    """One alignment to events: which events, under which conditions, and on which time axis."""

    method_version = 2  # with the windows of baseline and response
    settings = AlignmentSettings
    defaults = {
        "change_active": _changes(block_condition="active"),
        "change_passive": _changes(block_condition="passive"),
        "change_hit": _changes(block_condition="active", outcome_condition="hit"),
        "change_miss": _changes(block_condition="active", outcome_condition="miss"),
        "omission_active": AlignmentSettings("omission", **CHANGE_AXIS, block_condition="active"),
        "laser_pulse_high": AlignmentSettings(
            PULSE, **PULSE_AXIS, waveform_condition="pulse", level_condition="high"
        ),
    }
    definition = """
    # One way to align to events
    alignment : varchar(64)  # readable name
    ---
    event : varchar(32)  # kind of event, change is a change of the image
    block_condition=null : varchar(32)  # active is the task, passive its replay, NULL both
    outcome_condition=null : varchar(32)  # outcome of the trial of the event, NULL any
    image_condition=null : varchar(64)  # image shown, NULL any
    novelty_condition=null : varchar(32)  # novel or familiar image, NULL any
    engagement_condition=null : varchar(32)  # engaged or disengaged by the reward rate, NULL any
    repeat_condition=null : varchar(16)  # first, later, or number of flashes since the change, NULL any
    waveform_condition=null : varchar(32)  # waveform of the laser, NULL any
    level_condition=null : varchar(16)  # rank of the level of the laser, low, medium or high, NULL any
    bout_gap=null : float64  # (s) time without a lick between two lick bouts
    window_start : float64  # (s) begin of the window relative to the event
    window_stop : float64  # (s) end of the window relative to the event
    bin_width : float64  # (s) width of the bins
    baseline_start=null : float64  # (s) begin of the window of the baseline relative to the event
    baseline_stop=null : float64  # (s) end of the window of the baseline
    response_start=null : float64  # (s) begin of the window of the response relative to the event
    response_stop=null : float64  # (s) end of the window of the response
    alignment_version : int16  # version of the method
    alignment_hash : char(64)  # sha256 of content and method version
    unique index (alignment_hash)
    """


@schema
class Psth(Computation):
    """The mean responses of all units of one session around one kind of event."""

    method_version = 2  # baseline and response in the windows of the alignment
    definition = f"""
    # Mean responses of the units of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> stimulus.OptoStimulation
    -> behavior.Licks
    -> Alignment
    ---
    n_events : int32  # number of events averaged
    {provenance_lines("psth")}
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
        baseline_rate=null : float64  # (Hz) mean rate in the baseline window of the alignment
        response_rate=null : float64  # (Hz) mean rate in the response window of the alignment
        peak_rate=null : float64  # (Hz) highest bin in the response window
        peak_latency=null : float64  # (s) centre of that bin
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the alignment."""
        return self.provenance(key), Alignment.get(key)

    def make_compute(self, key: Key, made_with: Key, alignment: AlignmentSettings) -> tuple[Any, ...]:
        """Count the spikes around the events."""
        events, axis = find_events(session_events(key), alignment.events), alignment.axis
        units, times = session_spikes(key)
        counts = count_spikes(times, units["spike_offset"], units["n_spikes"], events, axis)
        response = psth(counts, axis, alignment.response_window_s, alignment.baseline_window_s)
        return made_with, len(events), _response_frame(response).assign(**units[["unit_id", "probe_name"]])

    def make_insert(self, key: Key, made_with: Key, n_events: int, responses: pd.DataFrame) -> None:
        """Insert the session's responses."""
        self.insert1({**key, **made_with, "n_events": n_events})
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


def _to_pulses() -> Any:
    """Return the alignments to laser pulses."""
    return (Alignment.proj("event") & {"event": PULSE}).proj()


@schema
class AlignedBehavior(Computation):
    """Running, licking and the pupil of one session around one kind of event."""

    method_version = 3  # 2: long gaps of the pupil are missing; 3: waits for the laser's pulses

    definition = f"""
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
    {provenance_lines("aligned_behavior")}
    """

    also_reads = (stimulus.OptoStimulation,)

    @property
    def key_source(self) -> Any:
        """Sessions, by alignments to laser pulses those only of which these are known."""
        return super().key_source - stimulus.OptoStimulation.waiting() * _to_pulses()

    @classmethod
    def made_from(cls, table: type) -> Any:
        """Only rows around laser pulses are made from these."""
        return cls & _to_pulses() if table is stimulus.OptoStimulation else super().made_from(table)

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the alignment."""
        alignment = Alignment.get(key)
        if alignment.event == PULSE:
            stimulus.OptoStimulation.require(key)  # it may have gone since the job was made
        return self.provenance(key), alignment

    def make_compute(self, key: Key, made_with: Key, alignment: AlignmentSettings) -> tuple[Any, ...]:
        """Average the traces around the events."""
        return made_with, self.around(key, find_events(session_events(key), alignment.events), alignment.axis)

    @staticmethod
    def around(key: Key, event_times: Any, axis: TimeAxis) -> Aligned:
        """Average the traces of a session around any times, in seconds."""
        running = (behavior.Running & key).fetch1()
        eye = (behavior.EyeTracking & key).fetch1()
        traces = ("eye_timestamps", "pupil_area", "pupil_center_x", "likely_blink")
        pupil: Any = tuple(None if eye[name] is None else eye[name].load() for name in traces)
        return align_behavior(
            event_times,
            axis,
            running=(running["running_timestamps"].load(), running["running_speed"].load()),
            lick_times=licks_frame(key)["timestamps"],
            pupil=pupil if eye["has_eye_tracking"] else None,
        )

    def make_insert(self, key: Key, made_with: Key, aligned: Aligned) -> None:
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
        self.insert1({**key, **made_with, "n_aligned_events": plain(aligned.n_events), **stored})


@dataclass(frozen=True)
class PresentationCountSettings:
    """The windows in which the spikes around all presentations are counted.

    Parameters
    ----------
    windows : see `vbn.analysis.spikes.presentation_counts.CountWindow`.
    """

    windows: tuple[CountWindow, ...]

    def __post_init__(self) -> None:
        _check_names([window.name for window in self.windows])


def _check_names(names: list[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"At least one window is required, each with a unique name: {names}.")


@schema
class PresentationCountsParams(ParameterTable):
    """One set of windows in which the spikes around all presentations are counted."""

    settings = PresentationCountSettings
    defaults = {"standard": PresentationCountSettings(COUNT_WINDOWS)}
    definition = definition_of(
        "presentation_counts",
        "the spike counts of all presentations",
        "schemas.psth.PresentationCountSettings",
    )


@schema
class PresentationCounts(Computation):
    """Spike counts of all units of one session around all presentations: images, omissions, Gabors, flashes.

    Tables that count around presentations read them (`session_spikes`), but have no foreign key to them: they
    count themselves where there are none, with the same result. So counts may be deleted, to make room, or
    not be made at all, and no result goes with them or waits for them.
    """

    definition = f"""
    # Spike counts of all units around all presentations of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> PresentationCountsParams
    ---
    n_counted_units : int32  # number of units
    n_counted_presentations : int32  # number of presentations
    counted_unit_ids : <blob>  # (id) int64, unit of each row of the counts
    counted_unit_spikes : <blob>  # (1) int64, spikes of each unit in the recording
    counted_presentation_ids : <blob>  # (index) int32, presentation_id of each column of the counts
    counted_start_times : <blob>  # (s) float64, start of each presentation
    {provenance_lines("presentation_counts")}
    """

    class Window(dj.Part):
        """The counts in one window."""

        definition = """
        # Spike counts around all presentations in one window
        -> master
        counting_window : varchar(32)  # name of the window
        ---
        counting_start : float64  # (s) begin of the window after the start of the presentation
        counting_stop : float64  # (s) end of the window after the start of the presentation
        counting_of : enum('spikes', 'bins')  # spikes, or bins of 1 ms with a spike
        presentation_spike_counts : <npy@vbn>  # (1) smallest unsigned integer type, units by presentations
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the windows."""
        return self.provenance(key), PresentationCountsParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: PresentationCountSettings) -> tuple[Any, ...]:
        """Count the spikes around each presentation."""
        presentations = presentations_frame(key)
        units, times = session_spikes(key)
        starts = presentations["start_time"].to_numpy(np.float64)
        counts = count_presentations(
            times, units["spike_offset"], units["n_spikes"], starts, settings.windows
        )
        row = {
            "n_counted_units": len(units),
            "n_counted_presentations": len(presentations),
            "counted_unit_ids": units["unit_id"].to_numpy(np.int64),
            "counted_unit_spikes": units["n_spikes"].to_numpy(np.int64),
            "counted_presentation_ids": presentations["presentation_id"].to_numpy(np.int32),
            "counted_start_times": starts,
        }
        return made_with, settings, row, counts

    def make_insert(
        self,
        key: Key,
        made_with: Key,
        settings: PresentationCountSettings,
        row: Key,
        counts: list[np.ndarray],
    ) -> None:
        """Insert one array for each window."""
        self.insert1({**key, **made_with, **row})
        for window, array in zip(settings.windows, counts, strict=True):
            bounds = {"counting_start": window.start_s, "counting_stop": window.stop_s}
            part = {**key, "counting_window": window.name, **bounds, "counting_of": window.counted}
            self.Window.insert1({**part, "presentation_spike_counts": array})

    @classmethod
    def session_spikes(cls, key: Key) -> tuple[pd.DataFrame, SpikePieces]:
        """Return the spikes of a session with the counts that are stored, for all that counts its spikes.

        Parameters
        ----------
        key : contains the session's primary key.

        Returns
        -------
        As of `schemas.reading.recordings.session_spikes`; the spikes know the counts of all parameter sets
        that the present method has made from the present file and of the present units.
        """
        units, times = session_spikes(key)
        counted = [row for row in cls._present(key) if _is_of(row, units)]
        if not counted:
            return units, times
        starts = counted[0]["counted_start_times"]
        counts = {
            (part["counting_start"], part["counting_stop"], part["counting_of"]): partial(
                mapped, part["presentation_spike_counts"]
            )
            for row in counted
            if np.array_equal(row["counted_start_times"], starts)
            for part in (cls.Window & {name: row[name] for name in cls.primary_key}).to_dicts()
        }
        return units, CountedSpikes(times, units["spike_offset"], units["n_spikes"], starts, counts)

    @classmethod
    def _present(cls, key: Key) -> list[Key]:
        """Return the rows of a session that are not stale."""
        return [row for row in (cls & key_of_session(key)).to_dicts() if not cls.is_stale(row)]


def _is_of(row: Key, units: pd.DataFrame) -> bool:
    """Return whether counts are of just these units, with as many spikes."""
    return np.array_equal(row["counted_unit_ids"], units["unit_id"]) and np.array_equal(
        row["counted_unit_spikes"], units["n_spikes"]
    )


@dataclass(frozen=True)
class TimeWindow:
    """One half-open time window relative to an event.

    Parameters
    ----------
    name : readable name.
    start_s, stop_s : seconds after the event.
    """

    name: str
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class TrialResponseSettings:
    """The time windows in which the spikes of each trial are counted.

    Parameters
    ----------
    block : ``active``, or ``passive`` for the replayed flashes of the same trials.
    windows : the windows, relative to the flash of the trial's change or sham change.
    """

    block: str
    windows: tuple[TimeWindow, ...]

    def __post_init__(self) -> None:
        if self.block not in ("active", "passive"):
            raise ValueError(f"block must be active or passive, got {self.block!r}.")
        _check_names([window.name for window in self.windows])
        if bad := [window for window in self.windows if not window.start_s < window.stop_s]:
            raise ValueError(f"A window must end after it starts: {bad[0]}.")


DEFAULT_WINDOWS = tuple(TimeWindow(name, *window) for name, window in WINDOWS_S.items())


@schema
class TrialResponseParams(ParameterTable):
    """One set of windows in which the spikes of each trial are counted."""

    settings = TrialResponseSettings
    defaults = {
        "active": TrialResponseSettings("active", DEFAULT_WINDOWS),
        "passive": TrialResponseSettings("passive", DEFAULT_WINDOWS),
    }
    definition = definition_of(
        "trial_response", "the spike counts of each trial", "schemas.psth.TrialResponseSettings"
    )


@schema
class TrialResponse(Computation):
    """Spike counts of all units of one session in all trials, around the change or sham change."""

    definition = f"""
    # Spike counts of all units in all trials of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> TrialResponseParams
    ---
    n_response_units : int32  # number of units
    n_response_trials : int32  # number of trials with a change or sham change
    response_unit_ids : <blob>  # (id) int64, unit of each row of the counts
    response_trial_ids : <blob>  # (id) int64, trial of each column of the counts
    response_event_times : <blob>  # (s) float64, start of the flash of each trial
    {provenance_lines("trial_response")}
    """

    class Window(dj.Part):
        """The counts in one window."""

        definition = """
        # Spike counts in one window
        -> master
        response_window : varchar(32)  # name of the window
        ---
        counted_from : float64  # (s) begin of the window after the start of the flash
        counted_to : float64  # (s) end of the window after the start of the flash
        trial_spike_counts : <npy@vbn>  # (samples) int32, units by trials
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the windows."""
        return self.provenance(key), TrialResponseParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: TrialResponseSettings) -> tuple[Any, ...]:
        """Count the spikes of each trial."""
        events = trial_events(presentations_frame(key), trials_frame(key), settings.block)
        windows = {window.name: (window.start_s, window.stop_s) for window in settings.windows}
        units, times = PresentationCounts.session_spikes(key)
        flashes = events["event_time"].to_numpy(np.float64)
        counts = trial_counts(times, units["spike_offset"], units["n_spikes"], flashes, windows)
        return made_with, settings, events, units["unit_id"].to_numpy(np.int64), counts

    def make_insert(
        self,
        key: Key,
        made_with: Key,
        settings: TrialResponseSettings,
        events: pd.DataFrame,
        unit_ids: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        """Insert one array for each window."""
        row = {
            "n_response_units": len(unit_ids),
            "n_response_trials": len(events),
            "response_unit_ids": unit_ids,
            "response_trial_ids": events["trial_id"].to_numpy(np.int64),
            "response_event_times": events["event_time"].to_numpy(np.float64),
        }
        self.insert1({**key, **made_with, **row})
        for window, array in zip(settings.windows, counts, strict=True):
            bounds = {"counted_from": window.start_s, "counted_to": window.stop_s}
            part = {**key, "response_window": window.name, **bounds, "trial_spike_counts": array}
            self.Window.insert1(part)


@read_once(Psth)
def _unit_rates(key: Key, alignment: str) -> pd.DataFrame:
    """Return the mean responses of a session's units, which each quality filter chooses from."""
    return fetch_frame((Psth.Unit & key_of_session(key) & {"alignment": alignment}).proj("psth_rate"))


@schema
class AreaPsth(selection.OfPopulations):
    """The mean responses of each structure of one session, over units that pass a quality filter."""

    definition = f"""
    # Mean responses of the structures of one session
    -> Psth
    -> selection.UnitSelection
    ---
    n_structures : int32  # number of structures with units
    {provenance_lines("area_psth")}
    """

    class Structure(dj.Part):
        """The mean response of the units of one structure."""

        definition = """
        # Mean response of the units of one structure
        -> master
        -> ecephys.Structure
        ---
        n_area_units : int32  # number of units averaged
        area_rate : <blob>  # (Hz) float32, mean over units per bin of the alignment
        area_std : <blob>  # (Hz) float32, standard deviation over units, NaN below two units
        area_sem : <blob>  # (Hz) float32, standard error over units, NaN below two units
        """

    @property
    def key_source(self) -> Any:
        """Responses, and selections by the filters for populations."""
        return Psth.proj() * selection.UnitSelection.proj() & self.wanted_filters()

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch only the provenance."""
        return (self.provenance(key),)

    def make_compute(self, key: Key, made_with: Key) -> tuple[Any, ...]:
        """Average the responses of the units that pass the filter, by structure."""
        responses = _unit_rates(key, key["alignment"])
        selected = fetch_frame((selection.UnitSelection.Unit & key).proj())
        chosen = responses.merge(selected[["unit_id"]], on="unit_id")
        frame = chosen.merge(located_frame(key), on="unit_id")
        rates = np.stack(frame["psth_rate"].tolist()) if len(frame) else np.empty((0, 1))
        return made_with, population_psth(rates, frame["structure_acronym"])

    def make_insert(self, key: Key, made_with: Key, areas: Any) -> None:
        """Insert the structures."""
        self.insert1({**key, **made_with, "n_structures": len(areas.groups)})
        frame = pd.DataFrame(
            {
                "structure_acronym": areas.groups,
                "n_area_units": areas.n_units,
                "area_rate": list(areas.mean_hz.astype(np.float32)),
                "area_std": list(areas.std_hz.astype(np.float32)),
                "area_sem": list(areas.sem_hz.astype(np.float32)),
            }
        )
        insert_rows(self.Structure(), rows_from_frame(frame, self.Structure(), key))


def trial_response(key: Key, window: str, trial_response_params: str = "active") -> xr.DataArray:
    """Return the spike counts of one session in one window; the counts are read lazily.

    Parameters
    ----------
    key : restriction to one session.
    window : name of the window.
    trial_response_params : name of the parameter set.

    Returns
    -------
    (unit, trial) int32, with the coordinates ``unit_id``, ``trial_id`` and ``event_time`` (s); the
    window's bounds are among the attributes.
    """
    import xarray as xr  # takes half a second

    restriction = {**key, "trial_response_params": trial_response_params}
    master = (TrialResponse & restriction).fetch1()
    part = (TrialResponse.Window & restriction & {"response_window": window}).fetch1()
    bounds = {"start": part["counted_from"], "stop": part["counted_to"]}
    return xr.DataArray(
        mapped(part["trial_spike_counts"]),
        dims=("unit", "trial"),
        coords={
            "unit_id": ("unit", master["response_unit_ids"]),
            "trial_id": ("trial", master["response_trial_ids"]),
            "event_time": ("trial", master["response_event_times"]),
        },
        name=window,
        attrs={name: f"{value:g} s" for name, value in bounds.items()} | {"units": "spikes"},
    )


def trial_response_frame(
    key: Key, window: str, unit_ids: Any, trial_response_params: str = "active"
) -> pd.DataFrame:
    """Return the counts of some units, one row per unit and trial, with the columns of the trials.

    Parameters
    ----------
    key, window, trial_response_params : as for `trial_response`.
    unit_ids : (n,) ids of the units; only their counts are read.
    """
    counts = trial_response(key, window, trial_response_params)
    chosen = counts[np.isin(counts["unit_id"], list(unit_ids))]
    frame = chosen.to_dataframe("spike_count").reset_index(drop=True)
    trials = trials_frame((TrialResponse & key).keys(limit=1)[0])
    return frame.merge(trials, on="trial_id", how="left", validate="many_to_one")
