"""The sessions of a release, and choosing among them."""

from __future__ import annotations

import pandas as pd
import pytest

from vbn.errors import NotFoundError
from vbn.release import SESSION_COLUMNS, Release, Selection
from vbn.release.selection import parse_acronyms


@pytest.fixture
def release(bucket):
    return Release(bucket.folder)


def chosen(release: Release, **criteria: object) -> list[int]:
    return release.choose(Selection(**criteria))["session_id"].tolist()


def test_every_session_is_listed_once_with_its_kind_and_file(release):
    """206 has no file; 205 names an ecephys session that is none of the release's."""
    sessions = release.sessions
    assert tuple(sessions.columns) == SESSION_COLUMNS
    assert sessions["session_id"].tolist() == [101, 102, 103, 204, 205, 206]
    assert sessions["kind"].tolist() == ["recording"] * 3 + ["behavior_only"] * 3
    assert sessions["behavior_session_id"].tolist() == [201, 202, 203, 204, 205, 206]
    keys = [key if isinstance(key, str) else None for key in sessions["file_id"]]
    assert keys == ["870", "871", "872", "873", "874", None]
    assert sessions["mouse_id"].tolist() == ["527749", "527749", "530862", "527749", "527749", "527749"]
    assert sessions["is_abnormal"].tolist() == [False, True, True, False, False, False]


def test_lfp_files_are_counted_where_there_are_some(release):
    """Probe 13 has none although it carries a file id, and the file of 14 is not in the manifest."""
    assert release.sessions["n_lfp_files"].tolist() == [2, 0, 0, 0, 0, 0]


def test_structures_are_a_tuple_of_acronyms(release):
    assert release.sessions["structures"][0] == ("CA1", "DG-mo", "VISp", "root")
    assert release.sessions["structures"][3] == ()


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, [101, 102, 103]),
        ({"kinds": ("recording", "behavior_only")}, [101, 102, 103, 204, 205, 206]),
        ({"kinds": ("behavior_only",), "mice": ("527749",)}, [204, 205, 206]),
        ({"sessions": (102,)}, [102]),
        ({"sessions": (202,)}, [102]),
        ({"sessions": (103, 204)}, [103, 204]),
        ({"mice": ("530862",)}, [103]),
        ({"experience": ("novel",)}, [102]),
        ({"experience": ("Familiar",), "mice": ("527749",)}, [101]),
        ({"structures": ("visp",)}, [101, 102]),
        ({"structures": ("MRN", "LP")}, [102, 103]),
        ({"structures": ("VIS*",)}, [101, 102]),
        ({"session_types": ("*_G_*",)}, [101, 103]),
        ({"normal_only": True}, [101]),
        ({"structures": ("MRN",), "experience": ("Novel",)}, []),
    ],
)
def test_sessions_meet_all_criteria_by_one_value_of_each(release, criteria, expected):
    assert chosen(release, **criteria) == expected


def test_all_unknown_values_are_named_in_one_message(release):
    wanted = Selection(sessions=(7,), mice=("5277",), experience=("Famliar",), structures=("VISP", "XX*"))
    with pytest.raises(NotFoundError) as caught:
        release.choose(wanted)
    message = str(caught.value)
    assert "session '7'" in message
    assert "mouse '5277'" in message
    assert "experience level 'Famliar' (Near to it: Familiar)" in message
    assert "structure 'XX*'" in message
    assert "VISP'" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("['CA1', 'VISp']", ("CA1", "VISp")),
        ("['CA1' 'SSp-bfd']", ("CA1", "SSp-bfd")),
        ('["CA1"]', ("CA1",)),
        ("[]", ()),
        (float("nan"), ()),
        (None, ()),
    ],
)
def test_lists_of_acronyms_are_read_as_python_and_numpy_write_them(text, expected):
    assert parse_acronyms(text) == expected


def test_the_corpus_can_be_listed(corpus_tables, bucket):
    """Its tables are the release's in all columns that count here."""
    sessions = Release(bucket.folder)
    from vbn.release import list_sessions

    found = list_sessions(corpus_tables, sessions.manifest)
    recordings = found[found["kind"] == "recording"]
    assert (
        recordings["session_id"].tolist() == corpus_tables["ecephys_sessions"]["ecephys_session_id"].tolist()
    )
    assert all("VISp" in structures or structures for structures in recordings["structures"])
    assert isinstance(found, pd.DataFrame)
