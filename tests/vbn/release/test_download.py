"""Downloads that break, stall, lie and are interrupted: the right file in the end, or none."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vbn.errors import NotReadableError, SettingError, VbnError
from vbn.release import Download, Progress, download, missing_bytes
from vbn.web.client import TRAFFIC, Patience, Traffic

CONTENT = np.random.default_rng(5).bytes(700_001)
QUICK = Patience(tries=4, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture
def served(site: Any) -> Any:
    for number in range(6):
        (site.folder / f"f{number}.nwb").write_bytes(content(number))
    return site


def content(number: int) -> bytes:
    return CONTENT[number:]


@pytest.fixture
def job(served: Any, tmp_path: Path) -> Any:
    """A function that plans the download of the n-th file."""

    def plan(number: int = 0, **changes: Any) -> Download:
        own = content(number)
        values = {
            "url": f"{served.url}/f{number}.nwb",
            "target": tmp_path / "out" / str(number) / f"f{number}.nwb",
            "size_bytes": len(own),
            "blake2b": hashlib.blake2b(own).hexdigest(),
        }
        return Download(**{**values, **changes})

    return plan


def get(*jobs: Download, **options: Any) -> list[Progress]:
    return download(jobs, **{"patience": QUICK, **options})


def assert_complete(job: Download) -> None:
    found = job.target.read_bytes()
    assert hashlib.blake2b(found).hexdigest() == job.blake2b
    assert not job.part.exists()


def test_files_are_downloaded_in_parallel_and_reported_in_order(job):
    jobs = [job(number) for number in range(6)]
    results = get(*jobs, workers=3)
    assert [result.download for result in results] == jobs
    assert all((result.status, result.error) == ("downloaded", None) for result in results)
    for each in jobs:
        assert_complete(each)


def test_a_file_that_is_there_is_not_downloaded_again(job, served):
    get(job())
    asked = len(served.requests)
    (result,) = get(job())
    assert result.status == "present"
    assert len(served.requests) == asked


def test_the_record_spares_the_hash_and_without_it_every_file_is_checked(job, tmp_path):
    """A file whose content changed, not its length: noticed without a record, or when that is removed."""
    cache = tmp_path / "out"
    get(job(), cache_folder=cache)
    damaged = b"x" * len(CONTENT)
    job().target.write_bytes(damaged)
    assert get(job(), cache_folder=cache)[0].status == "present"
    assert get(job())[0].status == "downloaded"
    assert_complete(job())
    job().target.write_bytes(damaged)
    (cache / "_downloaded_data.json").unlink()
    assert get(job(), cache_folder=cache)[0].status == "downloaded"
    assert_complete(job())


@pytest.mark.parametrize("kind", ["drop", "status", "stall", "shift", "short", "ignore_ranges"])
def test_passing_failures_do_not_hinder(job, served, fault, kind):
    served.faults.extend([fault(kind), fault("drop"), fault(kind, part=0.1)])
    (result,) = get(job(), patience=replace(QUICK, timeout_s=0.3) if kind == "stall" else QUICK)
    assert result.status == "downloaded"
    assert_complete(job())


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("there", [1, 300_000, len(CONTENT) - 1, len(CONTENT)])
def test_an_interrupted_download_goes_on_where_it_stopped(job, served, there, ranges):
    served.ranges = ranges
    job().part.parent.mkdir(parents=True)
    job().part.write_bytes(CONTENT[:there])
    (result,) = get(job())
    assert result.status == "downloaded"
    assert_complete(job())
    if ranges:
        assert served.body_bytes == len(CONTENT) - there


@pytest.mark.parametrize("part", [b"\0" * 300_000, CONTENT[:300_000] + b"!", CONTENT + b"too long"])
def test_an_old_part_that_is_wrong_is_thrown_away(job, part):
    job().part.parent.mkdir(parents=True)
    job().part.write_bytes(part)
    assert get(job())[0].status == "downloaded"
    assert_complete(job())


def test_a_byte_that_changed_on_the_way_is_noticed_and_the_download_repeated(job, served, fault):
    served.faults.append(fault("corrupt"))
    (result,) = get(job())
    assert result.status == "downloaded"
    assert served.body_bytes == 2 * len(CONTENT)
    assert_complete(job())


def test_a_content_that_stays_wrong_is_an_error_and_leaves_nothing(job, served):
    (served.folder / "f0.nwb").write_bytes(CONTENT[::-1])
    (result,) = get(job())
    assert result.status == "failed"
    assert isinstance(result.error, NotReadableError)
    assert "not what the manifest says" in str(result.error)
    assert served.body_bytes == 2 * len(CONTENT)
    assert list(job().target.parent.iterdir()) == []


def test_the_file_under_the_name_stays_until_its_successor_is_complete(job, served):
    job().target.parent.mkdir(parents=True)
    job().target.write_bytes(b"AllenSDK was interrupted here")
    (served.folder / "f0.nwb").write_bytes(CONTENT[::-1])
    assert get(job())[0].status == "failed"
    assert job().target.read_bytes() == b"AllenSDK was interrupted here"
    (served.folder / "f0.nwb").write_bytes(CONTENT)
    assert get(job())[0].status == "downloaded"
    assert_complete(job())


def test_one_file_that_fails_does_not_hinder_the_others(job, served):
    (served.folder / "f1.nwb").unlink()
    results = get(job(0), job(1), job(2), workers=2)
    assert [result.status for result in results] == ["downloaded", "failed", "downloaded"]
    assert "there is no such file" in str(results[1].error)


def test_a_server_that_fails_again_and_again_leaves_the_part(job, served, fault):
    served.faults.append(fault("drop", part=0.5))
    served.fault = lambda _: fault("status")
    (result,) = get(job())
    assert result.status == "failed"
    assert "tries failed" in str(result.error)
    assert 0 < job().part.stat().st_size < len(CONTENT)
    assert not job().target.exists()
    served.fault = lambda _: None
    served.requests.clear()
    assert get(job())[0].status == "downloaded"
    assert served.body_bytes < 0.6 * len(CONTENT)
    assert_complete(job())


def test_a_file_that_changes_during_the_download_is_an_error(job, served, fault):
    served.faults.extend([fault("drop"), fault("etag")])
    (result,) = get(job())
    assert result.status == "failed"
    assert "changed while it was read" in str(result.error)
    assert not job().target.exists()


def test_a_file_of_another_length_is_refused_before_it_is_read(job, served):
    (served.folder / "f0.nwb").write_bytes(CONTENT[1:])
    before = replace(TRAFFIC)
    (result,) = get(job())
    assert "changed while it was read (700001 bytes became 700000)" in str(result.error)
    assert TRAFFIC.since(before) == Traffic(requests=1, bytes=0)
    assert list(job().target.parent.iterdir()) == []


def test_the_disk_is_asked_for_room_before_anything_is_downloaded(job, served, monkeypatch):
    usage = shutil.disk_usage(job().target.anchor)
    monkeypatch.setattr(sys.modules["vbn.release.download"], "MARGIN_BYTES", 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    with pytest.raises(SettingError, match=r"0\.00 GB are to be downloaded|are to be downloaded"):
        get(job(0), job(1), job(2))
    assert not served.requests
    get(job(0))
    assert missing_bytes([job(0), job(1), job(2)]) == len(content(1)) + len(content(2))
    assert [result.status for result in get(job(0), job(1), job(2))] == [
        "present",
        "downloaded",
        "downloaded",
    ]


def test_a_disk_that_cannot_be_written_is_named(job):
    job().target.parent.mkdir(parents=True)
    job().part.mkdir()
    (result,) = get(job())
    assert result.status == "failed"
    assert "cannot be written" in str(result.error)
    assert isinstance(result.error, VbnError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_told_in_words(job):
    job().part.parent.mkdir(parents=True)
    job().part.symlink_to("/dev/full")
    (result,) = get(job())
    assert result.status == "failed"
    assert "cannot be written (No space left on device). Check the disk's space" in str(result.error)
    assert not job().target.exists()


def test_progress_grows_and_ends_with_the_status(job, served, fault):
    seen: list[Progress] = []
    served.faults.append(fault("drop", part=0.9))
    get(job(0), job(1), workers=2, progress=seen.append)
    for each in (job(0), job(1)):
        own = [progress for progress in seen if progress.download == each]
        assert own[-1] == Progress(each, "downloaded", each.size_bytes)
        done = [progress.done_bytes for progress in own if progress.status == "downloading"]
        assert done == sorted(done)
    assert Counter(progress.status for progress in seen)["downloaded"] == 2


def test_progress_begins_anew_with_a_download_that_is_repeated(job, served, fault, monkeypatch):
    monkeypatch.setattr(sys.modules["vbn.release.download"], "REPORT_S", 0)
    served.faults.append(fault("corrupt"))
    seen: list[Progress] = []
    get(job(), progress=seen.append)
    done = [progress.done_bytes for progress in seen if progress.status == "downloading"]
    assert done.count(0) == 2
    assert max(done) < job().size_bytes


def test_an_error_in_the_progress_is_the_callers(job):
    def fail(progress: Progress) -> None:
        raise RuntimeError("the bar broke")

    with pytest.raises(RuntimeError, match="the bar broke"):
        get(job(), progress=fail)


def test_arguments_that_make_no_sense_are_refused(job):
    with pytest.raises(ValueError, match="same target"):
        get(job(), job())
    with pytest.raises(ValueError, match="workers"):
        get(job(), workers=0)
    assert get() == []


def test_a_folder_is_copied_as_a_server_is_read(job, served):
    local = job(url=str(served.folder / "f0.nwb"))
    assert get(local)[0].status == "downloaded"
    assert_complete(local)
    absent = job(1, url=str(served.folder / "none.nwb"))
    assert "cannot be read" in str(get(absent)[0].error)


def test_two_processes_do_not_write_the_same_part(job):
    fcntl = pytest.importorskip("fcntl")
    job().part.parent.mkdir(parents=True)
    with job().part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (result,) = get(job())
    assert "another process is downloading" in str(result.error)
    assert get(job())[0].status == "downloaded"


def test_ctrl_c_ends_at_once_and_the_next_call_goes_on(job, served, fault, tmp_path):
    """The server stalls in the middle of the file; the program ends although no byte comes."""
    script = tmp_path / "get.py"
    script.write_text(
        "import sys; from pathlib import Path; from vbn.release import Download, download\n"
        "url, target, size, blake2b = sys.argv[1:]\n"
        "job = Download(url, Path(target), int(size), blake2b)\n"
        "download([job], progress=lambda p: print(p.done_bytes, flush=True))\n"
    )
    wanted = job()
    served.faults.append(fault("hang", part=0.5))
    arguments = [wanted.url, str(wanted.target), str(wanted.size_bytes), wanted.blake2b]
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        while not (wanted.part.exists() and wanted.part.stat().st_size) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()  # while the server still holds back the rest
    assert "KeyboardInterrupt" in errors
    there = wanted.part.stat().st_size
    assert 0 < there < wanted.size_bytes
    assert wanted.part.read_bytes() == CONTENT[:there]
    served.release.set()
    served.requests.clear()
    get(wanted)
    assert served.body_bytes == wanted.size_bytes - there
    assert_complete(wanted)


def test_workers_that_wait_for_a_server_end_when_the_caller_does(job, served, fault):
    served.fault = lambda _: fault("status", retry_after_s=3600)
    patient = Patience(tries=9, timeout_s=1, first_wait_s=3600, longest_wait_s=3600)
    before = threading.active_count()

    def fail(progress: Progress) -> None:
        raise RuntimeError("enough")

    job(1).target.parent.mkdir(parents=True)
    job(1).target.write_bytes(content(1))
    with pytest.raises(RuntimeError, match="enough"):  # and not after an hour
        get(job(0), job(1), workers=2, patience=patient, progress=fail)
    assert threading.active_count() <= before + 1  # the server's own threads may come and go
