"""A second session with known ids of probes, channels or units: refused in words, and nothing of it stays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from vbn.errors import ConflictError

ELECTRODES = "general/extracellular_ephys/electrodes"
COLUMNS = {
    "unit_id": "_recording__unit",
    "channel_id": "_recording__channel",
    "probe_id": "_recording__probe",
}


@pytest.fixture
def copy_of(
    synthetic_files: list[Path], open_folder: Path, own_ids: Callable[[h5py.File, int], None]
) -> Callable[..., Path]:
    """A copy under a number of its own, which shares only what it is told to share with the original."""

    def copy(session_id: int, *shared: str) -> Path:
        path = open_folder / f"shares_{'_'.join(shared)}_{session_id}.nwb"
        shutil.copyfile(synthetic_files[0], path)
        with h5py.File(path, "r+") as file, h5py.File(synthetic_files[0]) as original:
            del file["identifier"]
            file["identifier"] = str(session_id)
            own_ids(file, session_id % 1000)
            for name in shared:
                SHARING[name](file, original)
        return path

    return copy


def share_units(file: h5py.File, original: h5py.File) -> None:
    file["units/id"][:3] = original["units/id"][:3]


def share_channels(file: h5py.File, original: h5py.File) -> None:
    file[f"{ELECTRODES}/id"][...] = original[f"{ELECTRODES}/id"][:]
    file["units/peak_channel_id"][...] = original["units/peak_channel_id"][:]


def share_probes(file: h5py.File, original: h5py.File) -> None:
    file[f"{ELECTRODES}/probe_id"][...] = original[f"{ELECTRODES}/probe_id"][:]
    for place in ("general/extracellular_ephys", "general/devices"):
        for name, item in file[place].items():
            if "probe_id" in item.attrs:
                item.attrs["probe_id"] = original[f"{place}/{name}"].attrs["probe_id"]


SHARING: dict[str, Callable[[h5py.File, h5py.File], None]] = {
    "unit_id": share_units,
    "channel_id": share_channels,
    "probe_id": share_probes,
}
IMPORT = ("populate", "--table", "Recording", "--table", "Licks")


def counts(database: Any, session_id: int) -> dict[str, int]:
    return {name: n for name, n in database.row_counts(session_id).items() if n}


@pytest.mark.parametrize("shared", SHARING)
def test_known_ids_are_refused_at_the_import_and_the_others_go_on(
    database: Any, synthetic_files: list[Path], copy_of: Callable[..., Path], shared: str
) -> None:
    """Registered before the first is imported, so that only the import can know."""
    paths = [copy_of(9600000001, shared), copy_of(9600000002)]
    database.json_lines("register", synthetic_files[0], *paths)
    done = database.call(*IMPORT, "--session", "9000000001")
    assert done.returncode == 0
    done = database.json(*IMPORT, check=False)
    ((table, message),) = [(one["table"], one["error"]) for one in done["failures"]]
    assert table == "Recording"
    assert message.startswith(
        f"{paths[0]}: session 9600000001 has ids that already belong to another session: "
    )
    assert f"({shared}) of session 9000000001" in message
    assert "vbn delete --session" in message
    assert counts(database, 9600000001).keys() == {"behavior._licks"}
    assert counts(database, 9600000002)["ecephys._recording"] == 1
    assert database.stored_files() == database.referenced_files()


def test_known_ids_are_refused_at_registering_when_they_are_known(
    database: Any, synthetic_files: list[Path], copy_of: Callable[..., Path]
) -> None:
    database.call("register", synthetic_files[0])
    database.call(*IMPORT)
    path = copy_of(9600000003, "unit_id", "channel_id")
    (line,) = database.json_lines("register", path, check=False)
    assert line["status"] == "failed"
    assert "3: 930" in line["message"]
    of_session = "of session 9000000001 of the project vbn-release"
    assert f"(unit_id) {of_session}. " in line["message"]
    assert f"(channel_id) {of_session}; " in line["message"]
    assert len(database.json("sessions")) == 1
    # the session itself is no stranger to its own ids
    assert database.json_lines("register", synthetic_files[0])[0]["status"] == "unchanged"


def test_an_imported_session_can_be_imported_again(database: Any, synthetic_files: list[Path]) -> None:
    from schemas import ecephys

    database.call("register", synthetic_files[0])
    database.call(*IMPORT)
    database.connect()
    before = len(ecephys.Recording.Unit())
    key = ecephys.Recording.fetch1("KEY")
    ecephys.Recording.update1({**key, "recording_method_version": 0})
    database.call("recompute", "--yes", check=False)
    assert len(ecephys.Recording.Unit()) == before
    assert database.json("stale") == []


@pytest.mark.parametrize("shared", SHARING)
def test_two_workers_at_once_import_one_of_two(
    database: Any, synthetic_files: list[Path], copy_of: Callable[..., Path], shared: str, monkeypatch: Any
) -> None:
    """Neither sees the other's ids before both insert: the server decides."""
    from schemas import ecephys

    database.call("register", synthetic_files[0], copy_of(9600000004, shared))
    monkeypatch.setattr(ecephys, "require_own_ids", lambda *_: None)
    done = database.json(*IMPORT, check=False)
    ((table, message),) = [(one["table"], one["error"]) for one in done["failures"]]
    assert table == "Recording"
    assert "which was imported at the same time" in message
    assert "vbn retry" in message
    assert len(ecephys.Recording()) == 1
    assert database.stored_files() == database.referenced_files()


def indexes(database: Any, column: str) -> list[bool]:
    """Tell of each index on a column alone whether it is unique."""
    from schemas.bases import unique_ids

    connected = database.connect()
    return [
        unique
        for unique in (True, False)
        for _ in unique_ids._indexes(connected, COLUMNS[column], column, unique=unique)
    ]


def share_by_hand(database: Any, columns: tuple[str, ...]) -> None:
    """Make the database one of an earlier version, in which two sessions share ids."""
    from schemas.bases import unique_ids

    connected = database.connect()
    for column in columns:
        table = COLUMNS[column]
        (name,) = unique_ids._indexes(connected, table, column, unique=True)
        full = unique_ids._full_name(connected, table)
        connected.connection.query(unique_ids._drop_index(connected, full, name))
    schema = f"{database.prefix}ecephys"
    if "unit_id" in columns:
        database.server.query(f'CREATE INDEX unit_id ON "{schema}"."_recording__unit" (unit_id)')


def test_a_database_in_which_sessions_share_ids_is_upgraded_and_says_so(
    make_database: Callable[..., Any],
    synthetic_files: list[Path],
    copy_of: Callable[..., Path],
    monkeypatch: Any,
) -> None:
    from schemas import ecephys

    database, columns = make_database(), tuple(COLUMNS)
    share_by_hand(database, columns)
    database.call("register", synthetic_files[0])
    twin = copy_of(9600000005, *columns)
    database.call("register", twin)
    with monkeypatch.context() as patch:
        patch.setattr(ecephys, "require_own_ids", lambda *_: None)
        assert database.json(*IMPORT)["failures"] == []
    database.server.query(f'DELETE FROM "{database.prefix}administration"."migration" WHERE migration = 4')

    deployed = database.vbn("deploy").stdout
    assert "Change 4 of the layout" in deployed
    said = "Sessions 9000000001 and 9600000005 share 3 of their unit_ids"
    assert said in deployed
    assert "vbn delete --session 9600000005" in deployed
    assert indexes(database, "unit_id") == [False]
    checked = database.vbn("deploy", "--check", check=False)
    assert checked.returncode == 1
    assert said in checked.stdout
    assert database.vbn("status").returncode == 0

    database.vbn("delete", "--session", "9600000005", "--reason", "a twin", "--yes")
    assert "share" not in database.vbn("deploy").stdout
    assert all(indexes(database, column) == [True] for column in COLUMNS)
    assert database.vbn("deploy", "--check").returncode == 0
    database.drop()


def test_a_message_names_a_few_of_many_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a folder of copies under numbers of their own."""
    from schemas.bases import unique_ids

    monkeypatch.setattr(unique_ids, "_owners", lambda *_: {owner: [1, 2, 3] for owner in range(500)})
    monkeypatch.setattr(unique_ids, "_project_of", lambda _session_id: "vbn-release")
    with pytest.raises(ConflictError, match="; and 495 more") as refusal:
        unique_ids.require_own_ids(7, "a.nwb", {"unit_id": [1, 2, 3]})
    assert len(str(refusal.value)) < 1000
