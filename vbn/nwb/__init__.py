"""Reads Visual Behavior Neuropixels NWB files: one function per concept, pandas frames out.

What comes out agrees with what AllenSDK's own reader gives, except that missing integers (-99) and
missing text (``''``, ``N/A``) are missing values here. Times are seconds on the session clock.
"""

from vbn.nwb.behavior import read_licks, read_rewards, read_running
from vbn.nwb.blocks import summarise_blocks
from vbn.nwb.eye import read_eye_tracking
from vbn.nwb.files import FileIdentity, FileKind, find_nwb_files, identify, require_recording
from vbn.nwb.optotagging import read_optotagging
from vbn.nwb.probes import read_channels, read_probes
from vbn.nwb.recording import RecordingFile, open_recording
from vbn.nwb.session import SessionMetadata, read_session
from vbn.nwb.spikes import iterate_spike_times
from vbn.nwb.stimulus import read_stimulus_presentations, read_stimulus_timestamps
from vbn.nwb.trials import read_trials
from vbn.nwb.units import read_units

__all__ = [
    "FileIdentity",
    "FileKind",
    "RecordingFile",
    "SessionMetadata",
    "find_nwb_files",
    "identify",
    "iterate_spike_times",
    "open_recording",
    "read_channels",
    "read_eye_tracking",
    "read_licks",
    "read_optotagging",
    "read_probes",
    "read_rewards",
    "read_running",
    "read_session",
    "read_stimulus_presentations",
    "read_stimulus_timestamps",
    "read_trials",
    "read_units",
    "require_recording",
    "summarise_blocks",
]
