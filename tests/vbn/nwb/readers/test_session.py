"""The metadata of a recording, from hand-made files."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.session import age_in_days, cre_line, find_metadata_issues, image_set


def test_what_a_file_does_not_state_is_none(make_recording, root):
    session = nwb.read_session(make_recording(root))
    for name in ("sex", "age_in_days", "reporter_line", "cre_line", "species", "project_code"):
        assert getattr(session, name) is None
    assert session.driver_line == ()


def test_the_time_is_turned_to_utc(make_recording, root):
    """The fixture's 15:20:11 at eight hours behind UTC."""
    session = nwb.read_session(make_recording(root))
    assert session.date_of_acquisition == datetime(2020, 11, 18, 23, 20, 11, tzinfo=UTC)
    assert session.date_of_acquisition.tzinfo is UTC


def test_a_time_without_zone_is_utc(make_recording, root):
    session = nwb.read_session(make_recording(root | {"session_start_time": "2020-11-18T23:20:11"}))
    assert session.date_of_acquisition == datetime(2020, 11, 18, 23, 20, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (np.empty(0, float), ()),
        ("None", ()),
        ("Vip-IRES-Cre", ("Vip-IRES-Cre",)),
        (np.array(["b", "a"], dtype=h5py.string_dtype()), ("a", "b")),
        (np.array([b"a"]), ("a",)),
    ],
)
def test_driver_lines_are_sorted_text(make_recording, root, stored, wanted):
    """A wild type's is an empty array of float64."""
    contents = root | {"general/subject@driver_line": stored}
    assert nwb.read_session(make_recording(contents)).driver_line == wanted


@pytest.mark.parametrize(("stored", "wanted"), [("M", "M"), ("F", "F"), ("U", None), ("", None)])
def test_sex_is_m_f_or_unknown(make_recording, root, stored, wanted):
    assert nwb.read_session(make_recording(root | {"general/subject/sex": stored})).sex == wanted


def test_text_of_other_kinds_is_read(make_recording, root):
    contents = root | {
        "general/subject/subject_id": 527749,
        "general/metadata@session_type": b"EPHYS_1_images_G_5uL_reward",
        "general/subject@reporter_line": "None",
        "general/metadata@project_code": "Not Available",
    }
    session = nwb.read_session(make_recording(contents))
    assert (session.mouse_id, session.image_set) == ("527749", "G")
    assert (session.reporter_line, session.project_code) == (None, "Not Available")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"general/subject/subject_id": None}, "/general/subject/subject_id is missing"),
        (
            {"general/metadata@behavior_session_id": "x"},
            "behavior_session_id: a number is expected, and it is 'x'",
        ),
        (
            {"general/metadata@stimulus_frame_rate": "fast"},
            "stimulus_frame_rate: a number is expected, and it is 'fast'",
        ),
        ({"session_start_time": "yesterday"}, "/session_start_time 'yesterday' is no ISO date"),
        ({"session_start_time": None}, "/session_start_time is missing"),
    ],
)
def test_a_required_entry_is_named(make_recording, root, change, problem):
    changed = {path: value for path, value in (root | change).items() if value is not None}
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_session(make_recording(changed))


def test_what_the_file_does_not_state_is_none(make_recording, root):
    lost = ("general/metadata@equipment_name", "general/metadata@session_type", "general/subject/genotype")
    described = {path: value for path, value in root.items() if path not in lost}
    found = nwb.read_session(make_recording(described | {"session_description": "our task"}))
    assert found.equipment_name is found.genotype is found.cre_line is None
    assert found.session_type == "our task"


def test_ages_cre_lines_and_image_sets_are_read_off_text():
    assert [age_in_days(code) for code in ("P119D", "P119", "P17W", "119", "", None)] == [
        119, 119, 119, None, None, None,
    ]  # fmt: skip
    assert cre_line("Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt") == "Vip-IRES-Cre"
    assert cre_line("wt/wt") is None
    assert [image_set(name) for name in ("TRAINING_5_images_A_x", "images_H", "TRAINING_1_gratings")] == [
        "A", "H", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "days"),
    [
        ("P119D", 119),
        ("P119", 119),
        ("P17W", 119),
        ("P17W2D", 121),
        ("p17w", 119),
        ("P0Y0M119D", 119),
        ("P119DT6H30M", 119),
        ("P119.5D", 119),
        ("P0D", 0),
        ("P119D/P119D", 119),
    ],
)
def test_an_age_with_a_number_of_days_is_that_number(make_recording, root, stored, days):
    file = make_recording(root | {"general/subject/age": stored, "general/subject/sex": "F"})
    assert nwb.read_session(file).age_in_days == days
    assert find_metadata_issues(file) == []


@pytest.mark.parametrize(
    "stored",
    ["P90D/P120D", "P90D/", "/P90D", "P3M", "P1Y", "P1Y2M3D", "P", "PT5H", "P-3D", "119", "119 days",
     "P9000W", "P99999999999999999999D", "unknown", "P119D/P120D/P121D", "\uff11\uff11\uff19", "None", ""],
)  # fmt: skip
def test_any_other_age_is_an_issue_and_never_silently_missing(make_recording, root, stored):
    file = make_recording(root | {"general/subject/age": stored, "general/subject/sex": "M"})
    assert nwb.read_session(file).age_in_days is None
    (found,) = find_metadata_issues(file)
    assert (found.code, found.severity, found.table) == ("unclear_age", "info", "session")
    assert found.detail == ("age nothing" if stored in ("", "None") else f"age '{stored}'")


@pytest.mark.parametrize("stored", ["U", "O", "female", "", "None"])
def test_a_sex_that_is_not_known_is_an_issue(make_recording, root, stored):
    file = make_recording(root | {"general/subject/age": "P119D", "general/subject/sex": stored})
    (found,) = find_metadata_issues(file)
    assert (found.code, found.table) == ("incomplete_mouse", "session")
    assert found.detail == ("sex nothing" if stored in ("", "None") else f"sex '{stored}'")
