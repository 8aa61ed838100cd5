"""``vbn release``: choosing from and downloading a small release that is served on this machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.files

PROJECT, VERSION = "visual-behavior-neuropixels", "0.5.0"
MANIFEST = f"{PROJECT}_project_manifest_v{VERSION}.json"
AMAZON = f"https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com/{PROJECT}"
TABLES = ("ecephys_sessions", "behavior_sessions", "probes", "channels", "units")


@pytest.fixture(scope="module")
def bucket(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, laid out as the bucket is, with a manifest."""
    folder = tmp_path_factory.mktemp("bucket")
    data = folder / PROJECT
    for path in [*corpus.rglob("*.nwb"), *(corpus / "project_metadata").glob("*.csv")]:
        target = data / path.relative_to(corpus)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    listed = dict(_data_files(corpus))
    manifest = {
        "project_name": PROJECT,
        "manifest_version": VERSION,
        "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": ""}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {name: _entry(data, f"project_metadata/{name}.csv") for name in TABLES},
        "data_files": {key: _entry(data, path) for key, path in listed.items()},
    }
    (data / "manifests").mkdir()
    (data / "manifests" / MANIFEST).write_text(json.dumps(manifest))
    return folder


def _data_files(corpus: Path) -> list[tuple[str, str]]:
    """File id -> relative path, of the files that are there."""
    tables = {name: pd.read_csv(corpus / "project_metadata" / f"{name}.csv") for name in TABLES[:3]}
    found = [
        (row.file_id, f"behavior_ecephys_sessions/{row.Index}/ecephys_session_{row.Index}.nwb")
        for row in tables["ecephys_sessions"].set_index("ecephys_session_id").itertuples()
    ]
    found += [
        (row.file_id, f"behavior_only_sessions/{row.Index}/behavior_session_{row.Index}.nwb")
        for row in tables["behavior_sessions"].set_index("behavior_session_id").itertuples()
    ]
    probes = tables["probes"][tables["probes"]["has_lfp_data"]]
    found += [
        (row.file_id, f"behavior_ecephys_sessions/{row.ecephys_session_id}/probe_{row.name}_lfp.nwb")
        for row in probes.itertuples()
    ]
    return [(str(int(key)), path) for key, path in found if (corpus / path).is_file()]


def _entry(data: Path, path: str) -> dict[str, str]:
    digest = hashlib.blake2b((data / path).read_bytes()).hexdigest()
    return {"url": f"{AMAZON}/{path}", "version_id": "abc", "file_hash": digest}


@pytest.fixture
def site(bucket: Path, serve: Callable[[Path], Any]) -> Any:
    return serve(bucket)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "allen"


@pytest.fixture
def release(shared_database: Any, site: Any, cache: Path) -> Callable[..., Any]:
    """``vbn release SUBCOMMAND`` on the served release; it needs no database."""

    def run(command: str, *arguments: object, check: bool = True) -> Any:
        where = ("--from-url", site.url, "--cache", cache)
        return shared_database.call("release", command, *where, *arguments, check=check)

    return run


@pytest.fixture
def data(cache: Path) -> Path:
    return cache / f"{PROJECT}-{VERSION}"


@pytest.fixture
def recordings(bucket: Path) -> pd.DataFrame:
    table = pd.read_csv(bucket / PROJECT / "project_metadata" / "ecephys_sessions.csv")
    return table.set_index("ecephys_session_id")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.nwb*")}


def listed(release: Callable[..., Any], *arguments: object) -> set[int]:
    return {row["session_id"] for row in json.loads(release("list", "--json", *arguments).stdout)}


def test_sessions_are_chosen_by_what_the_tables_say(
    release: Callable[..., Any], recordings: pd.DataFrame
) -> None:
    assert listed(release) == set(recordings.index)
    for option, column in (("--experience", "experience_level"), ("--mouse", "mouse_id")):
        for value in recordings[column].unique():
            assert listed(release, option, value) == set(recordings.index[recordings[column] == value])
    with_ca1 = recordings.index[recordings["structure_acronyms"].str.contains("'CA1'")]
    assert listed(release, "--structure", "CA1") == set(with_ca1)
    assert listed(release, "--structure", "VIS*") == set(recordings.index)
    both = listed(release, "--structure", "CA1", "--experience", "Novel")
    assert both == set(with_ca1) & set(recordings.index[recordings["experience_level"] == "Novel"])


def test_behaviour_only_sessions_are_chosen_by_their_kind(
    release: Callable[..., Any], bucket: Path, recordings: pd.DataFrame
) -> None:
    everything = listed(release, "--kind", "recording", "--kind", "behavior_only")
    table = pd.read_csv(bucket / PROJECT / "project_metadata" / "behavior_sessions.csv")
    alone = table[~table["behavior_session_id"].isin(recordings["behavior_session_id"])]
    assert everything == set(recordings.index) | set(alone["behavior_session_id"])


def test_the_list_is_readable(release: Callable[..., Any], recordings: pd.DataFrame) -> None:
    lines = release("list").stdout.splitlines()
    assert lines[-1] == f"{len(recordings)} sessions of version {VERSION}."
    for session_id in recordings.index:
        assert sum(str(session_id) in line.split() for line in lines) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("--session", 5), ("--mouse", "nobody"), ("--experience", "Novl"), ("--structure", "VISq")],
)
def test_unknown_values_are_told(release: Callable[..., Any], option: str, value: object) -> None:
    done = release("list", option, value, check=False)
    assert done.returncode == 1
    assert str(value) in done.stderr
    assert "unexpected" not in done.stderr


def test_info_tells_files_and_bytes_before_and_after(
    release: Callable[..., Any], bucket: Path, recordings: pd.DataFrame
) -> None:
    number = recordings.index[0]
    size = (
        (bucket / PROJECT / "behavior_ecephys_sessions" / str(number) / f"ecephys_session_{number}.nwb")
        .stat()
        .st_size
    )
    text = release("info", "--session", number).stdout
    wanted = f"1 files, {size / 1e9:.2f} GB, of which {size / 1e9:.2f} GB are missing"
    assert text.startswith(f"version {VERSION}: {wanted}")
    with_lfp = release("info", "--session", number, "--lfp").stdout
    assert with_lfp.startswith(f"version {VERSION}: 2 files")
    release("get", "--session", number, "--no-tables")
    assert "of which 0.00 GB are missing" in release("info", "--session", number).stdout


def test_files_are_downloaded_into_allensdks_cache_folder(
    release: Callable[..., Any], bucket: Path, cache: Path, data: Path
) -> None:
    done = release("get", "--lfp", "--kind", "recording", "--kind", "behavior_only")
    assert "0 failed" in done.stdout
    there = files(bucket / PROJECT)
    assert files(data) == there
    for path in there:
        assert (data / path).read_bytes() == (bucket / PROJECT / path).read_bytes()
    assert {path.stem for path in (data / "project_metadata").glob("*.csv")} == set(TABLES)
    assert (cache / MANIFEST).is_file()
    assert not list(cache.rglob("*.part"))


def test_downloading_again_asks_for_no_file(
    release: Callable[..., Any], site: Any, recordings: pd.DataFrame
) -> None:
    release("get", "--session", recordings.index[0])
    asked = [request for request in site.requests if request.path.endswith((".nwb", ".csv"))]
    done = release("get", "--session", recordings.index[0])
    assert done.stdout.startswith("0 files downloaded, 6 were present, 0 failed: ")
    assert [request for request in site.requests if request.path.endswith((".nwb", ".csv"))] == asked


def test_lfp_files_alone_can_be_had(
    release: Callable[..., Any], data: Path, recordings: pd.DataFrame
) -> None:
    done = release("get", "--lfp", "--no-files", "--no-tables")
    assert "0 failed" in done.stdout
    assert {path.rpartition("/")[2].split("_")[0] for path in files(data)} == {"probe"}


def test_dropped_connections_and_failing_servers_are_overcome(
    release: Callable[..., Any], site: Any, bucket: Path, data: Path, recordings: pd.DataFrame, fault: Any
) -> None:
    faults = itertools.cycle([None, fault("drop"), None, None, fault("status", status=500)])
    site.fault = lambda _path: next(faults)
    release("get", "--session", recordings.index[0], "--lfp")
    assert site.failures["drop"] > 0
    assert site.failures["status"] > 0
    for path in files(data):
        assert (data / path).read_bytes() == (bucket / PROJECT / path).read_bytes()


def test_an_interrupted_download_goes_on_where_it_stopped(
    release: Callable[..., Any], site: Any, bucket: Path, data: Path, recordings: pd.DataFrame, fault: Any
) -> None:
    number = recordings.index[0]
    path = f"behavior_ecephys_sessions/{number}/ecephys_session_{number}.nwb"
    size = (bucket / PROJECT / path).stat().st_size

    def goes_away(asked: str) -> Any:
        """The first large piece of the file comes by half, then nothing."""
        if not asked.endswith(path):
            return None
        return fault("status", status=500) if site.failures["drop"] else fault("drop", least_bytes=1000)

    site.fault = goes_away
    done = release("get", "--session", number, "--no-tables", check=False)
    assert done.returncode == 1
    assert f"{path}: it cannot be read: " in done.stderr
    assert "1 failed" in done.stdout
    assert not (data / path).exists()
    (part,) = data.rglob("*.part")
    got = part.stat().st_size
    assert 0 < got < size
    site.fault = lambda _path: None
    site.requests.clear()
    release("get", "--session", number, "--no-tables")
    assert (data / path).read_bytes() == (bucket / PROJECT / path).read_bytes()
    transferred = sum(request.body_bytes for request in site.requests if request.path.endswith(path))
    assert transferred < size - got + 100  # a byte or two to learn the size
    assert not list(data.rglob("*.part"))


def test_a_corrupted_download_is_refused_and_the_next_one_is_right(
    release: Callable[..., Any], site: Any, bucket: Path, data: Path, recordings: pd.DataFrame, fault: Any
) -> None:
    number = recordings.index[0]
    path = f"behavior_ecephys_sessions/{number}/ecephys_session_{number}.nwb"
    site.fault = lambda asked: fault("corrupt") if asked.endswith(path) else None
    done = release("get", "--session", number, "--no-tables", check=False)
    assert done.returncode == 1
    assert path in done.stderr
    assert "unexpected" not in done.stderr
    assert not (data / path).exists()
    site.fault = lambda _path: None
    release("get", "--session", number, "--no-tables")
    assert (data / path).read_bytes() == (bucket / PROJECT / path).read_bytes()


def test_a_server_that_is_away_is_an_error_in_words(release: Callable[..., Any], site: Any) -> None:
    site.stop()
    for command in ("list", "info", "get"):
        done = release(command, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"vbn: {site.url}")
        assert "unexpected" not in done.stderr


def test_a_source_without_a_release_and_an_unknown_version_are_told(
    shared_database: Any, release: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    where = ("--from-url", tmp_path / "empty", "--cache", tmp_path / "cache")
    done = shared_database.call("release", "list", *where, check=False)
    assert done.returncode == 1
    assert "there is no manifest" in done.stderr
    done = release("list", "--version", "9.9", check=False)
    assert done.returncode == 1
    assert f"There is no version '9.9' of the release; there are {VERSION}." in done.stderr


def test_a_downloaded_release_is_registered_as_it_is(
    release: Callable[..., Any], database: Any, cache: Path, data: Path, recordings: pd.DataFrame
) -> None:
    """The cache folder as a whole, with the tables in the folder of the version."""
    release("get", "--lfp")
    outcomes = database.json_lines("register", cache, "--catalogue", data)
    assert {outcome["status"] for outcome in outcomes} == {"registered"}
    rows = database.json("sessions")
    assert {row["session_id"] for row in rows if row["has_file"]} == set(recordings.index)
    assert sum(row["lfp_files"] for row in rows) == 1
    from schemas import session

    levels = session.Session.to_arrays("experience_level")
    assert set(levels) == set(recordings["experience_level"])
    manifest = json.loads((cache / MANIFEST).read_text())
    known = {entry["file_hash"] for entry in manifest["data_files"].values()}
    assert set(session.NwbFile.to_arrays("blake2b")) <= known
    assert database.json("populate", "--table", "TaskParameters")["failures"] == []
