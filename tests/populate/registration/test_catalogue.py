"""The release's tables: what they list before its files are there, and whether they agree with the files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pytest

pytestmark = pytest.mark.files

RECORDINGS, SESSIONS = "ecephys_sessions.csv", "behavior_sessions.csv"
MOUSE = 990001
PROBES = """\
ecephys_probe_id,ecephys_session_id,name,sampling_rate,lfp_sampling_rate,phase,has_lfp_data,file_id
9100000001,9000000001,probeA,30000.0,2500.0,1.0,True,0
9100000002,9000000001,probeB,30000.0,2500.0,1.0,False,-999
42,777,probeA,30000.0,2500.0,1.0,False,-999
"""
CHANNELS = """\
ecephys_channel_id,ecephys_probe_id,ecephys_session_id,structure_acronym,dorsal_ventral_ccf_coordinate,valid_data
9200000001,9100000001,9000000001,VISp,1200.0,True
9200000002,9100000001,9000000001,,,False
42,42,777,VISp,1.0,True
"""
UNITS = """\
unit_id,ecephys_session_id,structure_id,waveform_halfwidth,snr
9300000001,9000000001,385,0.15,2.0
9300000002,9000000001,,,3.0
42,777,385,0.2,1.0
"""
# A training day with and one without a file id, and a habituation that names a recording which is none.
EARLIER = [
    {
        "behavior_session_id": 9000600001,
        "session_number": 1,
        "session_type": "TRAINING_1_gratings",
        "date_of_acquisition": "2020-09-01 10:00:00+00:00",
        "prior_exposures_to_session_type": 0,
    },
    {
        "behavior_session_id": 9000600002,
        "session_number": 30,
        "session_type": "HABITUATION_5_images_G_handoff_ready_3uL_reward",
        "date_of_acquisition": "2020-11-02 10:00:00+00:00",
        "ecephys_session_id": 9000999999,
        "prior_exposures_to_session_type": 4,
    },
]


class Tables:
    """A copy of a release's tables that a test may change."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder)

    def change(self, name: str, session_id: int, **values: Any) -> Tables:
        path = self.folder / name
        table = pd.read_csv(path)
        key = "ecephys_session_id" if name == RECORDINGS else "behavior_session_id"
        for column, value in values.items():
            table[column] = table[column].astype(object)
            table.loc[table[key] == session_id, column] = value
        table.to_csv(path, index=False)
        return self

    def add(self, *rows: dict[str, Any]) -> Tables:
        path = self.folder / SESSIONS
        table = pd.read_csv(path)
        common = table.iloc[0][["mouse_id", "genotype", "sex", "age_in_days", "equipment_name"]].to_dict()
        pd.concat([table, pd.DataFrame([{**common, **row} for row in rows])]).to_csv(path, index=False)
        return self


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


@pytest.fixture
def tables(synthetic_sessions: Path, tmp_path: Path) -> Tables:
    return Tables(tmp_path / "tables", synthetic_sessions / "project_metadata")


@pytest.fixture
def ids(synthetic_files: list[Path]) -> list[int]:
    return [int(path.stem.rsplit("_")[-1]) for path in synthetic_files]


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], synthetic_files: list[Path]) -> Any:
    database = make_database()
    database.json_lines("register", *synthetic_files)
    database.json("populate", "--table", "Recording")
    return database


@pytest.fixture
def registered(imported: Any) -> Any:
    """The two recordings, imported as far as the tables are compared with, and no catalogue."""
    imported.connect()
    forget_catalogue()
    return imported


def forget_catalogue() -> None:
    from schemas import session

    for table in (
        session.CatalogueUnit,
        session.CatalogueChannel,
        session.CatalogueProbe,
        session.CatalogueSession,
    ):
        table().delete_quick()
    (session.ImportIssue & {"issue_code": "catalogue_disagrees"}).delete_quick()


def disagreements(database: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in database.json("issues"):
        if row["issue_code"] == "catalogue_disagrees":
            found.setdefault(row["session_id"], []).append(row["issue_detail"])
    return found


def test_sessions_of_the_catalogue_are_listed_before_their_files_are_there(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    tables.add(*EARLIER)
    (tables.folder / "probes.csv").write_text(PROBES)
    (tables.folder / "channels.csv").write_text(CHANNELS)
    (tables.folder / "units.csv").write_text(UNITS)
    done = database.json("catalogue", tables.folder)
    assert done == {
        "added": {"CatalogueSession": 4, "CatalogueProbe": 2, "CatalogueChannel": 2, "CatalogueUnit": 2},
        "disagreeing_sessions": [],
    }
    rows = database.json("sessions")
    assert [row["session_id"] for row in rows] == [9000600001, 9000600002, *ids]  # by date
    assert {(row["has_file"], row["imported"], row["lfp_files"]) for row in rows} == {(False, "nothing", 0)}
    assert [row["kind"] for row in rows] == ["behavior_only"] * 2 + ["recording"] * 2
    database.json_lines("register", synthetic_files[0])
    rows = {row["session_id"]: row for row in database.json("sessions")}
    assert [number for number, row in rows.items() if row["has_file"]] == [ids[0]]
    text = database.call("sessions").stdout
    assert text.splitlines()[-1] == "4 sessions, 1 with a file."
    assert str(9000600001) in text
    assert "TRAINING_1_gratings" in text


def test_entering_the_catalogue_again_changes_nothing(database: Any, tables: Tables) -> None:
    tables.add(*EARLIER)
    (tables.folder / "probes.csv").write_text(PROBES)
    (tables.folder / "channels.csv").write_text(CHANNELS)
    (tables.folder / "units.csv").write_text(UNITS)
    database.json("catalogue", tables.folder)
    before = database.contents()
    again = database.json("catalogue", tables.folder)
    assert set(again["added"].values()) == {0}
    assert database.contents() == before


def test_the_catalogue_may_grow(database: Any, tables: Tables) -> None:
    assert database.json("catalogue", tables.folder)["added"]["CatalogueSession"] == 2
    tables.add(*EARLIER)
    assert database.json("catalogue", tables.folder)["added"]["CatalogueSession"] == 2
    assert len(database.json("sessions")) == 4


def test_the_folder_of_the_release_serves_as_well(database: Any, synthetic_sessions: Path) -> None:
    assert database.json("catalogue", synthetic_sessions)["added"]["CatalogueSession"] == 2


def test_what_only_the_tables_know_is_kept(database: Any, tables: Tables) -> None:
    from schemas import session

    (tables.folder / "probes.csv").write_text(PROBES)
    (tables.folder / "channels.csv").write_text(CHANNELS)
    (tables.folder / "units.csv").write_text(UNITS)
    database.json("catalogue", tables.folder)
    units = session.CatalogueUnit.to_dicts(order_by="catalogue_unit_id")
    assert [(row["structure_id"], row["waveform_halfwidth"]) for row in units] == [(385, 0.15), (None, None)]
    probe = (session.CatalogueProbe & {"catalogue_probe_id": 9100000001}).fetch1("catalogue_probe_row")
    assert (probe["phase"], probe["name"]) == (1.0, "probeA")


def test_only_the_sessions_of_a_mouse_are_listed(database: Any, tables: Tables) -> None:
    tables.add({**EARLIER[0], "mouse_id": 5})
    database.json("catalogue", tables.folder)
    assert [row["mouse_id"] for row in database.json("sessions", "--mouse", 5)] == ["5"]
    assert len(database.json("sessions", "--mouse", 5, "--mouse", MOUSE)) == 3
    done = database.call("sessions", "--mouse", 6, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such mouse: 6." in done.stderr


@pytest.mark.parametrize(
    ("hours", "is_right"), [(0, True), (7, True), (8, True), (1, False), (6, False), (24, False)]
)
def test_a_date_in_pacific_time_is_no_disagreement_and_any_other_is(
    registered: Any, tables: Tables, ids: list[int], synthetic_files: list[Path], hours: int, is_right: bool
) -> None:
    with h5py.File(synthetic_files[0]) as file:
        started = pd.Timestamp(file["session_start_time"][()].decode()).tz_convert("UTC")
    tables.change(RECORDINGS, ids[0], date_of_acquisition=str(started - pd.Timedelta(hours=hours)))
    registered.call("catalogue", tables.folder)
    found = disagreements(registered)
    assert found.keys() == (set() if is_right else {ids[0]})
    assert is_right or "date_of_acquisition" in found[ids[0]][0]


DISAGREEING: dict[str, tuple[Any, str]] = {
    "genotype": ("wt/wt", "genotype 'wt/wt', in the file 'Sst-IRES-Cre/wt;"),
    "sex": ("F", "sex 'F', in the file 'M'"),
    "age_in_days": (12, "age_in_days '12', in the file '112'"),
    "session_type": ("EPHYS_1_images_H_3uL_reward", "session_type 'EPHYS_1_images_H_3uL_reward'"),
}


@pytest.mark.parametrize(
    "changed", [DISAGREEING, {"mouse_id": (5, f"mouse_id '5', in the file '{MOUSE}'")}], ids=len
)
def test_disagreements_become_an_issue_on_registering(
    database: Any,
    tables: Tables,
    ids: list[int],
    synthetic_files: list[Path],
    changed: dict[str, tuple[Any, str]],
) -> None:
    tables.change(RECORDINGS, ids[0], **{column: value for column, (value, _) in changed.items()})
    outcomes = database.json_lines("register", *synthetic_files, "--catalogue", tables.folder)
    assert [outcome["status"] for outcome in outcomes] == ["registered"] * 2
    found = disagreements(database)
    assert found.keys() == {ids[0]}
    assert all(words in found[ids[0]][0] for _, words in changed.values())


def test_missing_cells_are_no_disagreement(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    tables.change(RECORDINGS, ids[0], **dict.fromkeys(("genotype", "date_of_acquisition", "sex")))
    outcomes = database.json_lines("register", *synthetic_files, "--catalogue", tables.folder)
    assert [outcome["status"] for outcome in outcomes] == ["registered"] * 2
    assert disagreements(database) == {}


def test_numbers_of_units_that_disagree_become_an_issue(
    registered: Any, tables: Tables, ids: list[int]
) -> None:
    """They are compared with what was imported."""
    tables.change(RECORDINGS, ids[1], unit_count=17, probe_count=2)
    for _ in range(2):  # and only one, however often it is looked for
        assert registered.json("catalogue", tables.folder)["disagreeing_sessions"] == [ids[1]]
        found = disagreements(registered)
        assert found == {ids[1]: ["imported were 16 units, 17 in the table"]}


def channels_as_imported(database: Any) -> pd.DataFrame:
    """What the release's table of channels is, if it agrees with the recordings."""
    from schemas import ecephys

    database.connect()
    rows = pd.DataFrame((ecephys.Recording.Channel * ecephys.Recording.Probe.proj("probe_id")).to_dicts())
    names = {
        "channel_id": "ecephys_channel_id",
        "session_id": "ecephys_session_id",
        "probe_id": "ecephys_probe_id",
    }
    return rows.rename(columns=names).drop(columns=["mouse_id", "probe_name", "filtering"])


def test_channels_are_entered_with_empty_cells_as_missing(
    registered: Any, tables: Tables, ids: list[int]
) -> None:
    from schemas import session

    table = channels_as_imported(registered)
    table.loc[0, ["structure_acronym", "anterior_posterior_ccf_coordinate"]] = None
    table["valid_data"] = table["valid_data"].astype(bool)
    table.to_csv(tables.folder / "channels.csv", index=False)
    assert registered.json("catalogue", tables.folder)["added"]["CatalogueChannel"] == len(table) > 700
    rows = session.CatalogueChannel.to_dicts(order_by="catalogue_channel_id")
    assert [row["catalogue_channel_id"] for row in rows] == sorted(table["ecephys_channel_id"])
    row = next(row for row in rows if row["catalogue_channel_id"] == table["ecephys_channel_id"][0])
    assert row["catalogue_structure"] is row["catalogue_anterior_posterior"] is None
    assert row["catalogue_left_right"] == table["left_right_ccf_coordinate"][0]
    assert bool(row["catalogue_valid_data"]) == table["valid_data"][0]
    again = registered.json("catalogue", tables.folder)
    assert set(again["added"].values()) == {0}


def test_channels_that_agree_are_no_issue(registered: Any, tables: Tables) -> None:
    table = channels_as_imported(registered)
    table["left_right_ccf_coordinate"] = table["left_right_ccf_coordinate"].round()
    table.to_csv(tables.folder / "channels.csv", index=False)
    assert registered.json("catalogue", tables.folder)["disagreeing_sessions"] == []
    assert disagreements(registered) == {}


def test_a_release_without_some_columns_of_channels_agrees(registered: Any, tables: Tables) -> None:
    table = channels_as_imported(registered)[
        ["ecephys_channel_id", "ecephys_session_id", "structure_acronym"]
    ]
    table.to_csv(tables.folder / "channels.csv", index=False)
    assert registered.json("catalogue", tables.folder)["disagreeing_sessions"] == []


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (
            "structure_acronym",
            "MOp",
            "structure_acronym of 1: {id} .the first is MOp, in the file {held}.$",
        ),
        (
            "structure_acronym",
            None,
            "structure_acronym of 1: {id} .the first is nothing, in the file {held}.$",
        ),
        ("valid_data", "turned", "valid_data of 1: {id} .the first is"),
        (
            "probe_vertical_position",
            7,
            "probe_vertical_position of 1: {id} .the first is 7, in",
        ),
        (
            "dorsal_ventral_ccf_coordinate",
            5.5,
            "dorsal_ventral_.* of 1: {id} .the first is 5.5, in",
        ),
        ("ecephys_channel_id", 77, r"not in the table 1: {id}; not in the file 1: 77$"),
    ],
)
def test_channels_that_disagree_become_an_issue(
    registered: Any, tables: Tables, ids: list[int], column: str, value: Any, words: str
) -> None:
    table = channels_as_imported(registered)
    row = table.index[(table["ecephys_session_id"] == ids[1]) & table["structure_acronym"].notna()][5]
    channel_id, held = table.loc[row, "ecephys_channel_id"], table.loc[row, column]
    table["valid_data"] = table["valid_data"].astype(bool)
    table.loc[row, column] = not held if value == "turned" else value
    table.to_csv(tables.folder / "channels.csv", index=False)
    assert registered.json("catalogue", tables.folder)["disagreeing_sessions"] == [ids[1]]
    found = disagreements(registered)
    assert found.keys() == {ids[1]}
    assert re.search(words.format(id=channel_id, held=held), found[ids[1]][0]), found


def test_metadata_that_disagree_become_an_issue_when_the_catalogue_comes_later(
    registered: Any, tables: Tables, ids: list[int]
) -> None:
    tables.change(RECORDINGS, ids[0], genotype="wt/wt")
    assert registered.json("catalogue", tables.folder)["disagreeing_sessions"] == [ids[0]]
    assert "genotype 'wt/wt'" in disagreements(registered)[ids[0]][0]


def test_a_session_registered_before_its_catalogue_gets_what_the_catalogue_knows(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    from schemas import session

    database.json_lines("register", *synthetic_files)
    outcomes = database.json_lines("register", *synthetic_files, "--catalogue", tables.folder)
    assert [outcome["status"] for outcome in outcomes] == ["updated"] * 2
    row = (session.Session & {"session_id": ids[1]}).fetch1()
    assert (row["experience_level"], row["session_number"]) == ("Novel", 2)


def test_two_meanings_of_the_session_number_are_two_attributes(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    from schemas import session

    database.json_lines("register", *synthetic_files, "--catalogue", tables.folder)
    rows = session.Session.to_dicts(order_by="session_id")
    assert [(row["session_number"], row["training_session_number"]) for row in rows] == [(1, 31), (2, 32)]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / RECORDINGS).unlink(), f"there is no {RECORDINGS}"),
        (lambda folder: (folder / RECORDINGS).write_text(""), "it is no table"),
        (
            lambda folder: (folder / RECORDINGS).write_text("ecephys_session_id\n1\n"),
            "the columns behavior_session_id",
        ),
        (lambda folder: (folder / "units.csv").write_text("unit\n1\n"), "the columns unit_id"),
        (lambda folder: (folder / "probes.csv").write_text("probe\n1\n"), "the columns ecephys_probe_id"),
        (lambda folder: (folder / "channels.csv").write_text("id\n1\n"), "the columns ecephys_channel_id"),
        (lambda folder: remove_column(folder / RECORDINGS, "mouse_id"), "the columns mouse_id are missing"),
        (lambda folder: remove_column(folder / SESSIONS, "session_type"), "the columns session_type are"),
        (
            lambda folder: (folder / "units.csv").write_text(UNITS.replace(",", ";")),
            "its columns have ';' between them, not ','",
        ),
    ],
    ids=["absent", "empty", "columns", "units", "probes", "channels", "mice", "types", "semicolons"],
)
def test_tables_that_cannot_be_read_are_refused_whole(
    shared_database: Any, tables: Tables, damage: Callable[[Path], Any], words: str
) -> None:
    damage(tables.folder)
    done = shared_database.call("catalogue", tables.folder, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "unexpected" not in done.stderr
    assert shared_database.json("sessions") == []


def test_the_history_of_a_mouse_is_a_query(populated_corpus: Any, corpus: Path) -> None:
    """The training before the recordings, with what the tables of the release count."""
    from schemas import session

    populated_corpus.connect()
    rows = session.training_history("900001").to_dicts(order_by="date_of_acquisition")
    table = pd.read_csv(corpus / "project_metadata" / SESSIONS)
    table = table[table["mouse_id"] == 900001].sort_values("date_of_acquisition")
    known = {
        int(row["ecephys_session_id"] if pd.notna(row["ecephys_session_id"]) else number): row
        for number, row in table.set_index("behavior_session_id").iterrows()
    }
    in_both = [row for row in rows if row["session_id"] in known]
    assert [row["session_id"] for row in in_both] == [
        number for number in known if number in {row["session_id"] for row in rows}
    ]
    for row in in_both:
        expected = known[row["session_id"]]
        assert row["training_session_number"] == expected["session_number"]
        for name in ("session_type", "prior_exposures_to_image_set", "prior_exposures_to_omissions"):
            assert row[name] == expected[name]
    assert [row["stage"] for row in rows] == ["TRAINING_5", "EPHYS_1", "EPHYS_1"]
    assert [row["file_kind"] for row in rows] == ["behavior_only", "recording", "recording"]
    assert [row["image_set"] for row in rows] == ["G", "G", "H"]
    assert [row["experience_level"] for row in rows] == [None, "Familiar", "Novel"]


def remove_column(path: Path, column: str) -> None:
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)


@pytest.mark.corpus
def test_the_corpus_agrees_with_its_tables(populated_corpus: Any, corpus: Path) -> None:
    """They are entered already, by ``vbn register --catalogue``."""
    from schemas import ecephys, session

    populated_corpus.connect()
    before = populated_corpus.contents()
    done = populated_corpus.json("catalogue", corpus / "project_metadata")
    assert done["disagreeing_sessions"] == []
    assert set(done["added"].values()) == {0}
    assert len(session.CatalogueChannel()) == len(ecephys.Recording.Channel())
    assert disagreements(populated_corpus) == {}
    assert populated_corpus.contents() == before


FLAGS = {"abnormal_histology": "['VISp', 'LP']", "abnormal_activity": "[212, 433]"}


def write_parts(tables: Tables, ids: list[int], n: int = 3) -> Tables:
    """Give each session a probe, and some channels and units."""
    rows = [(number, number * 1000 + one) for number in ids for one in range(n)]
    probes = "".join(f"{number},{number},probeA\n" for number in ids)
    (tables.folder / "probes.csv").write_text("ecephys_probe_id,ecephys_session_id,name\n" + probes)
    for name, key in (("channels.csv", "ecephys_channel_id"), ("units.csv", "unit_id")):
        text = "".join(f"{one},{number}\n" for number, one in rows)
        (tables.folder / name).write_text(f"{key},ecephys_session_id\n{text}")
    return tables


def session_row(session_id: int) -> dict[str, Any]:
    from schemas import session

    row: dict[str, Any] = (session.Session & {"session_id": session_id}).fetch1()
    return row


def issues_of(database: Any, code: str) -> dict[int, str]:
    rows = database.json("issues")
    return {row["session_id"]: row["issue_detail"] for row in rows if row["issue_code"] == code}


@pytest.mark.parametrize("order", ["together", "tables first", "files first"])
def test_a_flagged_session_is_entered_and_told_of_in_every_order(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path], order: str
) -> None:
    tables.change(RECORDINGS, ids[0], **FLAGS)
    steps = {
        "together": [("register", *synthetic_files, "--catalogue", tables.folder)],
        "tables first": [("catalogue", tables.folder), ("register", *synthetic_files)],
        "files first": [("register", *synthetic_files), ("catalogue", tables.folder)],
    }
    for step in steps[order]:
        database.call(*step)
    flagged, normal = map(session_row, ids)
    assert (flagged["abnormal_histology"], flagged["abnormal_activity"]) == (["VISp", "LP"], [212, 433])
    assert normal["abnormal_histology"] is normal["abnormal_activity"] is None
    for row, number in ((flagged, 1), (normal, 2)):
        assert row["experience_level"] == ("Familiar", "Novel")[number - 1]
        assert (row["session_number"], row["training_session_number"]) == (number, 30 + number)
    found = issues_of(database, "abnormal_session")
    assert found == {ids[0]: "abnormal_histology ['VISp', 'LP']; abnormal_activity [212, 433]"}


def test_what_was_selected_without_the_flags_is_withdrawn_and_made_anew(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    """The flags come last: no filter counts the session from then on, and nothing else is touched."""
    from schemas import queries, selection

    database.json_lines("register", *synthetic_files)
    database.json("populate", "--table", "Recording", "--table", "UnitSelection")

    def selected() -> dict[tuple[int, str], int]:
        rows = selection.UnitSelection.to_dicts()
        return {(row["session_id"], row["unit_criteria"]): row["n_selected"] for row in rows}

    before = selected()
    of_flagged = (ids[0], "bennett_2025")
    with pytest.warns(queries.IncompleteWarning, match="abnormal is not known"):
        passing = queries.units(criteria="bennett_2025", session_id=ids[0])
    assert before[of_flagged] == len(passing) > 0
    tables.change(RECORDINGS, ids[0], **FLAGS)
    text = database.call("catalogue", tables.folder).stdout
    assert "2 registered sessions were completed." in text
    assert "1 selections of units were made before the tables completed their session" in text
    assert selected() == {key: number for key, number in before.items() if key != of_flagged}
    assert len(passing) == 0
    database.json("populate", "--table", "UnitSelection")
    assert selected() == {**before, of_flagged: 0}
    assert database.json("stale") == []
    assert "selections" not in database.call("catalogue", tables.folder).stdout


@pytest.mark.parametrize(
    ("file", "column", "value", "words"),
    [
        (RECORDINGS, "date_of_acquisition", "unknown", "unknown' where a date with time"),
        (RECORDINGS, "date_of_acquisition", "8/19/2020 14:47", "where a date with time"),
        (RECORDINGS, "behavior_session_id", None, "it is empty"),
        (RECORDINGS, "abnormal_activity", "[212, 4e", "where a list of times"),
        (SESSIONS, "session_number", "three", "three' where a whole number"),
    ],
)
def test_a_cell_that_cannot_be_read_stops_its_session_only(
    database: Any,
    tables: Tables,
    ids: list[int],
    file: str,
    column: str,
    value: Any,
    words: str,
) -> None:
    row = ids[0] if file == RECORDINGS else pd.read_csv(tables.folder / file)["behavior_session_id"][0]
    tables.change(file, row, **{column: value})
    done = database.call("catalogue", tables.folder, check=False)
    assert done.returncode == 1
    assert re.search(rf"{file}: line 2, column {column}: '.*{re.escape(words)}", done.stderr)
    assert f"Sessions left out: 1 ({ids[0]})" in done.stdout
    assert [each["session_id"] for each in database.json("sessions")] == [ids[1]]


def test_a_cell_that_cannot_be_read_refuses_the_registering_of_its_session_only(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    tables.change(RECORDINGS, ids[0], date_of_acquisition="unknown")
    done = database.call("register", *synthetic_files, "--catalogue", tables.folder, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "1 failed, 1 registered.")
    assert done.stderr.count("unknown' where a date with time") == 1
    assert session_row(ids[1])["experience_level"] == "Novel"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("channels.csv", "9100000001", "probeA", "line 2, column ecephys_probe_id: 'probeA' where an id"),
        ("channels.csv", "VISp,", "VISp" * 9 + ",", "line 2, column structure_acronym: "),
        ("units.csv", "9300000002", "nine", "line 3, column unit_id: 'nine' where an id"),
        (
            "probes.csv",
            "9100000002",
            "9.1E+09",
            "line 3, column ecephys_probe_id: '9.1E+09' (in exponent form",
        ),
        ("units.csv", "0.15,2.0", "0.15", "line 2: '9300000001,9000000001,385,0.15' is 4 cells, where 5"),
    ],
)
def test_a_cell_of_a_part_stops_its_session_only(
    database: Any, tables: Tables, ids: list[int], name: str, old: str, new: str, words: str
) -> None:
    texts = {"probes.csv": PROBES, "channels.csv": CHANNELS, "units.csv": UNITS}
    for file, text in texts.items():
        (tables.folder / file).write_text(text.replace(old, new) if file == name else text)
    done = database.call("catalogue", tables.folder, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "unexpected" not in done.stderr
    left = {each["session_id"] for each in database.json("sessions")}
    assert left == ({ids[1]} if "column" in words else set(ids))  # of a row cut short nothing is believed


def test_the_width_that_only_the_tables_know_is_a_column_of_every_unit(
    registered: Any, tables: Tables, ids: list[int]
) -> None:
    """No unit is lost where the tables do not list it, or are not entered."""
    from schemas import ecephys, queries
    from schemas.rows.fetch import fetch_frame

    n_units = len(ecephys.Recording.Unit())
    assert set(fetch_frame(queries.units())["waveform_halfwidth"].isna()) == {True}
    (known, other, *_) = sorted(ecephys.Recording.Unit.to_arrays("unit_id").tolist())
    (tables.folder / "units.csv").write_text(
        f"unit_id,ecephys_session_id,waveform_halfwidth\n{known},{ids[0]},0.15\n{other},{ids[0]},\n"
    )
    registered.json("catalogue", tables.folder)
    frame = fetch_frame(queries.units()).set_index("unit_id")
    assert len(frame) == frame.index.nunique() == n_units
    assert frame["waveform_halfwidth"].dropna().to_dict() == {known: 0.15}
    assert len(queries.units(where="waveform_halfwidth > 0.1")) == 1
    assert queries.units().primary_key == ecephys.Recording.Unit.primary_key
    printed = registered.call(
        "query", "units", "--where", "waveform_halfwidth > 0.1", "--format", "csv"
    ).stdout
    assert "waveform_halfwidth" in printed.splitlines()[0]


def test_a_disagreement_of_two_catalogues_stops_its_session_only(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    database.call("register", *synthetic_files, "--catalogue", tables.folder)
    tables.change(RECORDINGS, ids[0], experience_level="Novel").change(RECORDINGS, ids[1], **FLAGS)
    done = database.call("catalogue", tables.folder, check=False)
    assert done.returncode == 1
    assert f"Session {ids[0]}: the catalogue disagrees with the database in experience_level" in done.stderr
    assert session_row(ids[1])["abnormal_activity"] == [212, 433]


def test_an_id_of_another_session_stops_its_session_only(
    database: Any, tables: Tables, ids: list[int]
) -> None:
    write_parts(tables, ids[:1])
    database.call("catalogue", tables.folder)
    write_parts(tables, ids[:1])
    units = (tables.folder / "units.csv").read_text().replace(f",{ids[0]}", f",{ids[1]}")
    (tables.folder / "units.csv").write_text(units)
    done = database.call("catalogue", tables.folder, check=False)
    assert done.returncode == 1
    assert (
        f"Session {ids[1]}: another session has the id of one of its probes, channels or units" in done.stderr
    )
    assert "unexpected" not in done.stderr


def whole_sessions(ids: list[int], n: int) -> set[int]:
    """Return the listed sessions; each must have all of its parts."""
    from schemas import session

    listed = set(session.CatalogueSession.to_arrays("catalogue_session_id").tolist())
    for table, number in (
        (session.CatalogueProbe, 1),
        (session.CatalogueChannel, n),
        (session.CatalogueUnit, n),
    ):
        held = table.to_arrays("catalogue_session_id").tolist()
        assert {one: held.count(one) for one in listed & set(ids)} == dict.fromkeys(listed & set(ids), number)
    return listed


def test_an_interrupted_catalogue_leaves_whole_sessions(
    database: Any, tables: Tables, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each statement in turn, as Ctrl-C does it."""
    from populate.registration import catalogue

    write_parts(tables, ids)
    calls = {"left": 0}
    insert_rows = catalogue.insert_rows

    def interrupted(table: Any, rows: Any) -> None:
        if calls["left"] == 0:
            raise KeyboardInterrupt
        calls["left"] -= 1
        insert_rows(table, rows)

    monkeypatch.setattr(catalogue, "insert_rows", interrupted)
    seen = []
    for number in range(6):  # three tables of parts for each of two sessions
        calls["left"] = number
        assert database.call("catalogue", tables.folder, check=False).returncode != 0
        seen.append(whole_sessions(ids, 3))
        for one in seen[-1]:  # begin anew
            forget_session(one)
    assert seen == [set(), set(), set(), {ids[0]}, {ids[0]}, {ids[0]}]
    monkeypatch.undo()
    database.call("catalogue", tables.folder)
    assert whole_sessions(ids, 3) == set(ids)


def forget_session(session_id: int) -> None:
    from schemas import session

    key = {"catalogue_session_id": session_id}
    for table in (
        session.CatalogueUnit,
        session.CatalogueChannel,
        session.CatalogueProbe,
        session.CatalogueSession,
    ):
        (table & key).delete_quick()


def test_a_killed_catalogue_leaves_whole_sessions(database: Any, tables: Tables, ids: list[int]) -> None:
    """Killed in the middle, and entered again: nothing is missing and nothing is there twice."""
    path = tables.folder / RECORDINGS
    first = pd.read_csv(path).iloc[0].to_dict()
    many = list(range(5001, 5041))
    more = pd.DataFrame(
        [first | {"ecephys_session_id": one, "behavior_session_id": 10_000 + one} for one in many]
    )
    more.to_csv(path, index=False)
    write_parts(tables, many, n=200)
    from schemas import session

    process = database.start("catalogue", tables.folder)
    while process.poll() is None and len(session.CatalogueSession()) < 7:
        pass
    process.kill()
    process.communicate()
    assert whole_sessions(many, 200)
    database.call("catalogue", tables.folder)
    assert whole_sessions(many, 200) >= set(many)


def test_tables_entered_again_by_register_are_those_of_catalogue(
    database: Any, tables: Tables, ids: list[int], synthetic_files: list[Path]
) -> None:
    """Both commands fill the same rows."""
    write_parts(tables, ids)
    contents = []
    for steps in (
        [("register", *synthetic_files, "--catalogue", tables.folder)],
        [("register", *synthetic_files), ("catalogue", tables.folder)],
    ):
        database.empty()
        for step in steps:
            database.call(*step)
        contents.append(database.contents())
    assert contents[0] == contents[1]


@pytest.mark.corpus
def test_the_real_tables_are_entered_without_a_word(database: Any) -> None:
    from schemas import session

    folder = os.environ.get("VBN_REAL_RELEASE")
    if not folder:
        pytest.skip("VBN_REAL_RELEASE names no folder with the release's tables")
    done = database.call("catalogue", folder)
    assert done.stderr == ""
    assert "82 rows added to CatalogueSession, 112 rows added to CatalogueProbe" in done.stdout
    assert "793 rows of probes.csv are left out" in done.stdout
    counted = [row["unit_count"] for row in session.CatalogueProbe.to_arrays("catalogue_probe_row")]
    listed = [row["catalogue_row"].get("unit_count") for row in session.CatalogueSession.to_dicts()]
    assert sum(counted) > 0
    assert len([number for number in listed if number]) == 19
    again = database.json("catalogue", folder)
    assert set(again["added"].values()) == {0}
