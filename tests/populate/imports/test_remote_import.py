"""Recordings on a web server are imported in place, whatever the connection does, or not at all."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.files

BEHAVIOR = ("ChangeDetection", "Licks", "Running", "TaskParameters", "RigGeometry", "Stimulus")
EVERYTHING = (*BEHAVIOR, "Recording", "EyeTracking", "OptoStimulation", "Psth")
OF_THE_FILE = ("session.nwb_file",)


def populate(database: Any, *tables: str, **options: Any) -> dict[str, Any]:
    done = database.json("populate", *(word for table in tables for word in ("--table", table)), **options)
    done.pop("traffic", None)
    return done


def imported(database: Any) -> dict[str, Any]:
    """Everything but where the file is."""
    contents = database.contents(without=("_source_hash",))
    for name in OF_THE_FILE:
        del contents[name]
    return contents


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


@pytest.fixture(scope="module")
def local(make_database: Callable[..., Any], synthetic_files: list[Path]) -> dict[str, Any]:
    """What the import of the file on this disk gives."""
    database = make_database()
    database.json_lines("register", synthetic_files[0])
    assert populate(database, *EVERYTHING)["failures"] == []
    return imported(database)


@pytest.fixture
def site(serve: Callable[[Path], Any], synthetic_files: list[Path]) -> Any:
    return serve(synthetic_files[0].parent)


@pytest.fixture
def url(site: Any, synthetic_files: list[Path]) -> str:
    return f"{site.url}/{synthetic_files[0].name}"


@pytest.fixture
def now_and_then(fault: Any) -> Callable[[str], Any]:
    """A third of the requests fail."""
    faults = itertools.cycle([None, None, fault("drop"), None, None, fault("status", status=500)])
    return lambda _path: next(faults)


def test_a_recording_over_http_gives_the_rows_of_the_local_file(
    database: Any, site: Any, url: str, local: dict[str, Any], now_and_then: Callable[[str], Any]
) -> None:
    site.fault = now_and_then
    (outcome,) = database.json_lines("register", url)
    assert (outcome["path"], outcome["status"]) == (url, "registered")
    assert populate(database, *EVERYTHING)["failures"] == []
    assert imported(database) == local
    assert site.failures["drop"] > 0
    assert site.failures["status"] > 0


def test_a_url_is_registered_with_its_size_and_without_a_hash(
    database: Any, site: Any, url: str, synthetic_files: list[Path]
) -> None:
    from schemas import session

    database.json_lines("register", url)
    row = session.NwbFile().fetch1()
    assert (row["root"], row["relative_path"]) == ("web", url)
    assert row["size_bytes"] == synthetic_files[0].stat().st_size
    assert (row["blake2b"], row["modified_ns"]) == (None, None)
    assert [line["status"] for line in database.json_lines("verify")] == ["ok"]
    assert [line["status"] for line in database.json_lines("register", url)] == ["unchanged"]
    (listed,) = database.json("sessions")
    assert listed["has_file"]


def test_a_url_below_a_root_is_relative_to_it(
    database: Any, site: Any, url: str, synthetic_files: list[Path], tmp_path: Path
) -> None:
    """The same file is on a disk of one machine, and on the web for another."""
    from schemas import session

    near, far = (
        {"VBN_ROOTS": f'{{"data": "{synthetic_files[0].parent}"}}'},
        {"VBN_ROOTS": f'{{"data": "{site.url}"}}'},
    )
    database.json_lines("register", url, env=far)
    assert session.NwbFile().fetch1("root") == "data"
    assert session.NwbFile().fetch1("relative_path") == synthetic_files[0].name
    assert populate(database, "Licks", env=near) == {"done": 1, "failures": []}
    before = len(site.requests)
    assert populate(database, "Running", env=near) == {"done": 1, "failures": []}
    assert len(site.requests) == before
    assert populate(database, "TaskParameters", env=far) == {"done": 1, "failures": []}
    assert len(site.requests) > before


def test_importing_the_behaviour_transfers_a_part_of_the_file(
    database: Any, serve: Callable[[Path], Any], tmp_path: Path
) -> None:
    """Spikes, waveforms and pictures stay where they are."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    (path,) = write_sessions(
        tmp_path, SyntheticSettings(sessions=1, seed=3, minutes=2, units_per_probe=60, eye_tracking=False)
    )
    site = serve(path.parent)
    database.json_lines("register", f"{site.url}/{path.name}")
    tables = ("ChangeDetection", "Licks", "Running", "TaskParameters", "RigGeometry")
    assert populate(database, *tables)["failures"] == []
    transferred = site.body_bytes
    assert transferred < 0.5 * path.stat().st_size


def test_a_server_that_is_not_there_is_an_error_in_words(database: Any, site: Any, url: str) -> None:
    site.stop()
    (outcome,) = database.json_lines("register", url, check=False)
    assert outcome["status"] == "failed"
    assert outcome["message"].startswith(f"{url}: it cannot be read: 4 tries failed")
    assert database.json("sessions") == []


@pytest.mark.parametrize("path", ["nothing.nwb", ""])
def test_a_url_without_a_file_is_an_error_in_words(database: Any, site: Any, path: str) -> None:
    done = database.call("register", f"{site.url}/{path}", check=False)
    assert done.returncode == 1
    assert f"vbn: {site.url}/{path}: " in done.stderr
    assert "unexpected" not in done.stderr


def test_a_password_or_token_in_a_url_is_in_no_error(database: Any, site: Any, url: str, fault: Any) -> None:
    site.fault = lambda _path: fault("status")
    for place, problem in {f"{site.url}/nothing.nwb": "no such file", url: "tries failed"}.items():
        secret = place.replace("//", "//me:hidden@") + "?token=hidden"
        done = database.call("register", secret, check=False)
        assert done.returncode == 1
        assert f"{place}?...: " in done.stderr
        assert problem in done.stderr
        assert "hidden" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_server_that_goes_away_leaves_nothing_and_the_import_goes_on_when_it_is_back(
    database: Any, site: Any, url: str, local: dict[str, Any], fault: Any
) -> None:
    database.json_lines("register", url)
    # It goes away in the middle of the first import, with its file open.
    site.faults.extend([None] * 3)
    site.fault = lambda _path: fault("drop")
    port = site.port
    done = populate(database, "Recording", "Running", check=False)
    assert [failure["table"] for failure in done["failures"]] == ["Recording", "Running"]
    site.stop()
    later = populate(database, "Licks", check=False)
    for failure in done["failures"] + later["failures"]:
        assert failure["error"].startswith(f"{url}: it cannot be read: ")
        assert "Error" not in failure["error"].split("because")[0]
    (number,) = {failure["key"]["session_id"] for failure in done["failures"]}
    counts = database.row_counts(number)
    assert not any(counts.values())
    assert database.stored_files() == database.referenced_files() == set()
    site.fault = lambda _path: None
    site.start(port)
    database.call("retry")
    assert populate(database, *EVERYTHING)["failures"] == []
    assert imported(database) == local


def test_a_file_that_changes_on_the_server_is_refused(
    database: Any, serve: Callable[[Path], Any], synthetic_files: list[Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copyfile(synthetic_files[0], tmp_path / "session.nwb"))
    site = serve(tmp_path)
    database.json_lines("register", f"{site.url}/session.nwb")
    copy.write_bytes(copy.read_bytes() + b"more")
    (failure,) = populate(database, "Licks", check=False)["failures"]
    assert f"has {copy.stat().st_size} bytes, but had" in failure["error"]
    (line,) = database.json_lines("verify", check=False)
    assert line["status"] == "problem"


def test_an_lfp_file_over_http_is_read_in_place(
    database: Any, serve: Callable[[Path], Any], lfp_file: Path
) -> None:
    from schemas import ecephys

    (recording,) = lfp_file.parent.glob("ecephys_session_*.nwb")
    site = serve(lfp_file.parent)
    urls = [f"{site.url}/{path.name}" for path in (recording, lfp_file)]
    assert [line["status"] for line in database.json_lines("register", *urls)] == ["registered"] * 2
    done = populate(database, "Recording", "Lfp", "CurrentSourceDensity")
    assert done == {"done": 3, "failures": []}
    times, samples = ecephys.lfp_samples(ecephys.Lfp().fetch1("KEY"), stop_s=185.0)
    assert len(times) == len(samples) > 0
