"""What names say."""

from __future__ import annotations

from datetime import datetime

import pytest

from vbn.release import parse_name


@pytest.mark.parametrize(
    ("path", "kind", "session_id", "probe_name"),
    [
        ("behavior_ecephys_sessions/101/ecephys_session_101.nwb", "recording", 101, None),
        ("/data/ecephys_session_1053941483.nwb", "recording", 1053941483, None),
        ("behavior_only_sessions/204/behavior_session_204.nwb", "behavior_only", 204, None),
        ("behavior_ecephys_sessions/101/probe_probeC_lfp.nwb", "lfp", 101, "probeC"),
        ("somewhere/probe_probeC_lfp.nwb", "lfp", None, "probeC"),
    ],
)
def test_names_of_the_release_tell_kind_session_and_probe(path, kind, session_id, probe_name):
    found = parse_name(path)
    assert (found.archive, found.kind) == ("release", kind)
    assert (found.session_id, found.probe_name) == (session_id, probe_name)


@pytest.mark.parametrize(
    ("name", "kind", "mouse_id", "start", "probe_id"),
    [
        ("sub-506940_ses-20200817T222149.nwb", "session", "506940", datetime(2020, 8, 17, 22, 21, 49), None),
        (
            "sub-506940_ses-20200817T222149_image.nwb",
            "session",
            "506940",
            datetime(2020, 8, 17, 22, 21, 49),
            None,
        ),
        ("sub-506940_ses-None_probe-1158270876_ecephys.nwb", "lfp", "506940", None, 1158270876),
        (
            "sub-506940_ses-20200817T222149_obj-1a2b3c_ecephys+image.nwb",
            "session",
            "506940",
            datetime(2020, 8, 17, 22, 21, 49),
            None,
        ),
    ],
)
def test_names_of_dandi_tell_mouse_time_and_probe(name, kind, mouse_id, start, probe_id):
    found = parse_name(f"000713/sub-506940/{name}")
    assert (found.archive, found.kind, found.mouse_id) == ("dandi", kind, mouse_id)
    assert (found.start, found.probe_id, found.session_id) == (start, probe_id, None)


@pytest.mark.parametrize(
    "name",
    [
        "recording.nwb",
        "ecephys_session_.nwb",
        "ecephys_session_12.nwb.part",
        "sub-.nwb",
        "probe_lfp.nwb",
        "",
        "a.csv",
    ],
)
def test_other_names_say_nothing(name):
    assert parse_name(name) is None
