"""Quality filters exactly on their bounds, without labels, and of sessions that are or may be abnormal."""

from __future__ import annotations

import ast
import shutil
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from schemas import queries, selection, session
from schemas.queries import IncompleteWarning
from schemas.queries.units import FLAGS
from vbn.errors import SettingError

METRICS = ("isi_violations", "amplitude_cutoff", "presence_ratio")
BOUNDS = {
    "isi_violations": (0.5,),
    "amplitude_cutoff": (0.1,),
    "presence_ratio": (0.9, 0.95),
}
MISSING = b"None"
ISOLATED = "isi_violations <= 0.5 and amplitude_cutoff <= 0.1"
VALID = "valid and (quality == 'good' or not labelled)"


def make_odd(file: h5py.File) -> None:
    """Put units on, just below and just above each bound, one on a bad site, and one without a label."""
    units, channels = file["units"], file["general/extracellular_ephys/electrodes"]
    for name, value in (("isi_violations", 0.01), ("amplitude_cutoff", 0.01), ("presence_ratio", 0.99)):
        units[name][:] = value
    place = 0
    for name, bounds in BOUNDS.items():
        for bound in bounds:
            for value in (np.nextafter(bound, 0), bound, np.nextafter(bound, 1)):
                units[name][place] = value
                place += 1
    units["presence_ratio"][place] = np.nan
    units["quality"][:] = b"good"
    units["quality"][place + 1] = MISSING
    units["quality"][place + 2] = b"noise"
    bad = channels["id"][:] == units["peak_channel_id"][-1]
    channels["valid_data"][np.flatnonzero(bad)[0]] = False


def drop_labels(file: h5py.File) -> None:
    """Make a file of a release before v0.5.0, whose units have no labels."""
    del file["units/quality"]
    names = [name for name in file["units"].attrs["colnames"] if name != "quality"]
    file["units"].attrs["colnames"] = np.array(names, dtype=h5py.string_dtype())


def units_of(path: Path) -> pd.DataFrame:
    """Return what a file says of its units, read by hand."""
    with h5py.File(path) as file:
        units, channels = file["units"], file["general/extracellular_ephys/electrodes"]
        places = pd.DataFrame(
            {"valid": channels["valid_data"][:], "place": channels["location"].asstr()[:]},
            index=channels["id"][:],
        ).loc[units["peak_channel_id"][:]]
        frame = pd.DataFrame({name: units[name][:] for name in METRICS}, index=units["id"][:])
        label = units["quality"].asstr()[:] if "quality" in units else None
        return frame.assign(valid=places["valid"].to_numpy(), place=places["place"].to_numpy(), quality=label)


@pytest.fixture(scope="module")
def odd_files(synthetic_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("odd")
    paths = [Path(shutil.copy(path, folder)) for path in synthetic_files]
    for path, change in zip(paths, ((make_odd,), (make_odd, drop_labels)), strict=True):
        with h5py.File(path, "r+") as file:
            for each in change:
                each(file)
    return paths


@pytest.fixture(scope="module")
def odd_units(odd_files: list[Path], make_database: Callable[..., Any]) -> Any:
    """Two recordings, with and without labels of the units, registered without the release's tables."""
    database = make_database()
    database.vbn("register", *odd_files)
    database.vbn("populate", "--table", "Recording", "--table", "UnitSelection")
    return database


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("good", VALID),
        ("visual_coding", f"{ISOLATED} and presence_ratio >= 0.9"),
        (
            "visual_coding_code",
            f"{ISOLATED} and presence_ratio >= 0.95 and {VALID} and place != 'None'",
        ),
        (
            "bennett_2025",
            "isi_violations < 0.5 and amplitude_cutoff < 0.1 and presence_ratio > 0.9 and quality != 'noise'",
        ),
    ],
)
def test_a_filter_passes_what_its_source_passes_also_on_its_bounds(
    odd_units: Any, odd_files: list[Path], name: str, condition: str
) -> None:
    odd_units.connect()
    for path, labelled in zip(odd_files, (True, False), strict=True):
        key = {"session_id": int(path.stem.rpartition("_")[2])}
        units = units_of(path).assign(labelled=labelled)
        expected = sorted(units.query(condition).index)
        assert 0 < len(expected) < len(units)
        selected = selection.UnitSelection.Unit & key & {"unit_criteria": name}
        assert sorted(selected.to_arrays("unit_id").tolist()) == expected
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteWarning)
            found = queries.units(session_id=key["session_id"], criteria=name)
        assert sorted(found.to_arrays("unit_id").tolist()) == expected


def test_a_filter_of_normal_sessions_says_of_which_that_is_not_known(odd_units: Any) -> None:
    odd_units.connect()
    first, second = sorted(session.Session.to_arrays("session_id").tolist())
    with pytest.warns(IncompleteWarning, match=rf"2 sessions are abnormal is not known: {first}, {second}"):
        queries.units(criteria="bennett_2025")
    with pytest.warns(
        IncompleteWarning, match=rf"a session is abnormal is not known: {second}\. They are assumed"
    ):
        queries.units(criteria="bennett_2025", sessions={"session_id": second})
    queries.units(criteria="good")  # which does not ask


def test_only_a_metric_of_units_can_be_absent_from_a_file(odd_units: Any) -> None:
    odd_units.connect()
    criterion = {"column": "valid_data", "comparison": "==", "value": True, "null_passes": False}
    content = {"criteria": [{**criterion, "absent_passes": True}], "for_populations": False}
    with pytest.raises(SettingError, match="is for metrics of the units, not valid_data"):
        selection.UnitCriteria.add("mine", content)


N_RECORDINGS, N_NORMAL = 153, 103
ABNORMAL = [(["VISp"], None)] * 38 + [(None, [212.5])] * 4 + [(["LP", "VISp"], [212, 433])] * 8


def enter_release() -> None:
    """Enter as many recordings as the real release has, some training days, and two that are not listed."""
    flags = [*ABNORMAL, *[(None, None)] * (N_NORMAL + 2 + 3)]
    session.Mouse.insert1({"mouse_id": "1", "genotype": "wt/wt", "driver_line": []})
    kinds = ["recording"] * (N_RECORDINGS + 2) + ["behavior_only"] * 3
    sessions, files, listed = [], [], []
    for number, ((histology, activity), kind) in enumerate(zip(flags, kinds, strict=True), start=1):
        key = {"mouse_id": "1", "session_id": number}
        sessions.append(
            {
                **key,
                "behavior_session_id": 1000 + number,
                "session_type": "EPHYS_1_images_G_3uL_reward",
                "date_of_acquisition": datetime(2021, 1, 1),
                "equipment_name": "NP.1",
                "stimulus_frame_rate": 60.0,
                "abnormal_histology": histology,
                "abnormal_activity": activity,
            }
        )
        files.append(
            {
                **key,
                "root": "data",
                "relative_path": f"{number}.nwb",
                "file_kind": kind,
                "size_bytes": 1,
                "registered_at": datetime(2021, 1, 1),
                "package_version": "0",
            }
        )
        row = {"catalogue_session_id": number, "catalogue_mouse_id": "1", "catalogue_row": {}}
        listed.append({**row, "catalogue_kind": kind})
    session.Session.insert(sessions)
    session.NwbFile.insert(files)
    session.CatalogueSession.insert([row for row in listed if row["catalogue_session_id"] not in UNLISTED])


UNLISTED = (N_RECORDINGS + 1, N_RECORDINGS + 2)


@pytest.fixture(scope="module")
def release(make_database: Callable[..., Any]) -> Any:
    database = make_database()
    database.connect()
    enter_release()
    return database


def chosen(**conditions: Any) -> list[int]:
    return sorted(queries.sessions(**conditions).to_arrays("session_id").tolist())


def test_the_recordings_of_the_release_without_abnormality_are_103(release: Any) -> None:
    release.connect()
    listed = f"session_id NOT IN {UNLISTED}"
    normal, abnormal = chosen(abnormal=False, where=listed), chosen(abnormal=True, where=listed)
    assert (len(normal), len(abnormal)) == (N_NORMAL, N_RECORDINGS - N_NORMAL)
    assert sorted(normal + abnormal) == list(range(1, N_RECORDINGS + 1))
    assert chosen(requires=["normal_histology", "normal_activity"], where=listed) == normal
    histology = chosen(requires="normal_histology", where=listed)
    assert set(histology) - set(normal) == {39, 40, 41, 42}
    assert len(chosen()) == N_RECORDINGS + 5


def test_a_recording_of_which_nothing_is_known_is_neither_normal_nor_abnormal(release: Any) -> None:
    release.connect()
    unknown = rf"2 sessions are abnormal is not known: {UNLISTED[0]}, {UNLISTED[1]}\. They are excluded\."
    for conditions in ({"abnormal": False}, {"abnormal": True}, {"requires": "normal_activity"}):
        with pytest.warns(IncompleteWarning, match=unknown):
            assert not set(chosen(**conditions)) & set(UNLISTED)
    said = release.call("query", "sessions", "--normal", "--format", "csv")
    assert len(said.stdout.splitlines()) == 1 + N_NORMAL
    assert "They are excluded. Load the tables of the release: vbn catalogue FOLDER" in said.stderr
    said = release.call("query", "sessions", "--abnormal", "--format", "csv")
    assert len(said.stdout.splitlines()) == 1 + N_RECORDINGS - N_NORMAL


def test_a_catalogue_that_was_entered_with_the_file_makes_the_flags_known(
    database: Any, release: Any
) -> None:
    """A session filled from the release's tables has an experience level there."""
    database.connect()
    enter_release()
    session.CatalogueSession.delete_quick()
    session.Session.update1({"mouse_id": "1", "session_id": N_RECORDINGS, "experience_level": "Novel"})
    with pytest.warns(IncompleteWarning):
        assert chosen(abnormal=False) == [N_RECORDINGS]
    with pytest.warns(IncompleteWarning):
        assert len(chosen(abnormal=True)) == len(ABNORMAL)


def test_the_flagged_recording_of_the_hard_corpus_is_left_out(database: Any, corpus_hard: Path) -> None:
    database.vbn("register", corpus_hard)
    table = pd.read_csv(corpus_hard / "project_metadata" / "ecephys_sessions.csv")
    database.connect()
    for row in table.to_dict("records"):
        number, mouse = int(row["ecephys_session_id"]), str(row["mouse_id"])
        flags = {name: None if pd.isna(row[name]) else ast.literal_eval(row[name]) for name in FLAGS}
        session.Session.update1({"mouse_id": mouse, "session_id": number, **flags})
        listed = {"catalogue_session_id": number, "catalogue_mouse_id": mouse, "catalogue_row": {}}
        session.CatalogueSession.insert1({**listed, "catalogue_kind": "recording"})
    is_normal = table[list(FLAGS)].isna().all(axis=1)
    assert (len(table), is_normal.sum()) == (3, 2)
    for abnormal, expected in ((False, is_normal), (True, ~is_normal)):
        assert chosen(abnormal=abnormal) == sorted(table.loc[expected, "ecephys_session_id"])
