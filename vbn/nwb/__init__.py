"""Readers of Visual Behavior Neuropixels NWB files: one function per concept, returning pandas frames.

Values agree with those of AllenSDK's own reader, except that missing integers (-99) and missing text (``''``,
``N/A``) are missing values here. Times are seconds on the session clock.

`open_session` opens recordings and behaviour-only sessions, `open_recording` recordings only, `open_lfp` the
LFP file of a probe. `vbn.nwb.checks` finds its anomalies.
"""

from vbn.nwb.hdf5.identify import (
    FileIdentity,
    FileKind,
    find_nwb_files,
    identify,
    require_lfp,
    require_recording,
    require_session,
)
from vbn.nwb.hdf5.recording import RecordingFile, open_lfp, open_recording, open_session
from vbn.nwb.issue import CODES, Issue
from vbn.nwb.readers.behavior import read_licks, read_rewards, read_running
from vbn.nwb.readers.blocks import summarise_blocks
from vbn.nwb.readers.changes import match_changes
from vbn.nwb.readers.eye import read_eye_tracking
from vbn.nwb.readers.lfp import (
    CurrentSourceDensity,
    LfpMetadata,
    read_csd,
    read_lfp_channels,
    read_lfp_probe,
    read_lfp_samples,
)
from vbn.nwb.readers.optotagging import read_optotagging
from vbn.nwb.readers.parameters import RigGeometry, TaskParameters, read_rig_geometry, read_task_parameters
from vbn.nwb.readers.probes import read_channels, read_probes
from vbn.nwb.readers.session import SessionMetadata, read_session
from vbn.nwb.readers.spikes import iterate_spike_amplitudes, iterate_spike_times
from vbn.nwb.readers.stimulus import read_stimulus_presentations, read_stimulus_timestamps
from vbn.nwb.readers.templates import StimulusTemplate, image_names, image_thumbnail, read_stimulus_templates
from vbn.nwb.readers.trials import read_trials
from vbn.nwb.readers.units import read_ids, read_units
from vbn.nwb.readers.waveforms import read_peak_waveforms, read_unit_waveform

__all__ = [
    "CODES",
    "CurrentSourceDensity",
    "FileIdentity",
    "FileKind",
    "Issue",
    "LfpMetadata",
    "RecordingFile",
    "RigGeometry",
    "SessionMetadata",
    "StimulusTemplate",
    "TaskParameters",
    "find_nwb_files",
    "identify",
    "image_names",
    "image_thumbnail",
    "iterate_spike_amplitudes",
    "iterate_spike_times",
    "match_changes",
    "open_lfp",
    "open_recording",
    "open_session",
    "read_channels",
    "read_csd",
    "read_eye_tracking",
    "read_ids",
    "read_lfp_channels",
    "read_lfp_probe",
    "read_lfp_samples",
    "read_licks",
    "read_optotagging",
    "read_peak_waveforms",
    "read_probes",
    "read_rewards",
    "read_rig_geometry",
    "read_running",
    "read_session",
    "read_stimulus_presentations",
    "read_stimulus_templates",
    "read_stimulus_timestamps",
    "read_task_parameters",
    "read_trials",
    "read_unit_waveform",
    "read_units",
    "require_lfp",
    "require_recording",
    "require_session",
    "summarise_blocks",
]
