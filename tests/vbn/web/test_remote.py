"""Files on a web server, read in place: the same bytes, or an error, whatever the server does."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vbn.errors import NotReadableError
from vbn.web import remote_file as remote
from vbn.web.client import Patience
from vbn.web.remote_file import RemoteFile

BLOCK = 1024
CONTENT = np.random.default_rng(1).bytes(100 * BLOCK + 321)
QUICK = Patience(tries=4, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture
def served(site: Any) -> Any:
    """A server of random bytes at ``/f.nwb``."""
    site.files["/f.nwb"] = CONTENT
    return site


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(remote, "CACHE_BYTES", 16 * BLOCK)


@pytest.fixture
def open_served(served: Any) -> Iterator[Callable[..., RemoteFile]]:
    opened: list[RemoteFile] = []

    def open_file(patience: Patience = QUICK) -> RemoteFile:
        opened.append(RemoteFile(f"{served.url}/f.nwb", patience))
        return opened[-1]

    yield open_file
    for file in opened:
        file.close()


def read_at(file: RemoteFile, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


@given(reads=st.lists(st.tuples(st.integers(0, len(CONTENT) + 50), st.integers(0, 40 * BLOCK)), max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_reads_gives_what_a_local_file_gives(open_served, reads):
    with open_served() as file:
        local = io.BytesIO(CONTENT)
        for start, count in reads:
            local.seek(start)
            assert read_at(file, start, count) == local.read(count)
            assert file.tell() == local.tell()


def test_seek_knows_all_three_origins_and_refuses_places_before_the_beginning(open_served):
    file = open_served()
    assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert file.read() == CONTENT[-5:]
    assert file.seek(10) == 10
    assert file.seek(5, io.SEEK_CUR) == 15
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 3)


def test_it_is_readable_and_seekable_but_not_writable(open_served):
    file = open_served()
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)


def test_opening_takes_one_request_for_one_block(open_served, served):
    file = open_served()
    assert file.size_bytes == len(CONTENT)
    assert file.reader.read_version().etag
    assert [(request.range, request.body_bytes) for request in served.requests] == [((0, BLOCK), BLOCK)]


def test_all_requests_travel_on_one_connection(open_served, served):
    file = open_served()
    for start in (50 * BLOCK, 10 * BLOCK, 90 * BLOCK):
        read_at(file, start, 10)
    assert len(served.requests) == 4
    assert served.connections == 1


def test_a_block_that_was_read_is_not_asked_for_again(open_served, served):
    file = open_served()
    for _ in range(3):
        assert read_at(file, 5 * BLOCK + 3, 100) == CONTENT[5 * BLOCK + 3 :][:100]
    assert len(served.requests) == 2


def test_neighbouring_blocks_are_asked_for_at_once(open_served, served):
    file = open_served()
    assert read_at(file, 20 * BLOCK, 6 * BLOCK) == CONTENT[20 * BLOCK : 26 * BLOCK]
    assert len(served.requests) == 2


def test_the_longer_a_read_goes_straight_on_the_more_is_asked_for(open_served, served, monkeypatch):
    monkeypatch.setattr(remote, "CACHE_BYTES", 64 * BLOCK)
    file = open_served()
    for index in range(1, 60):
        assert read_at(file, index * BLOCK, BLOCK) == CONTENT[index * BLOCK : (index + 1) * BLOCK]
    assert len(served.requests) < 10


def test_the_cache_stays_within_its_bound(open_served, monkeypatch):
    monkeypatch.setattr(remote, "CACHE_BYTES", 8 * BLOCK)
    file = open_served()
    for start in np.random.default_rng(0).integers(0, len(CONTENT), 100):
        read_at(file, int(start), 700)
        assert sum(map(len, file._blocks.values())) <= 8 * BLOCK


def test_a_large_read_goes_past_the_cache_and_is_exact(open_served, served, monkeypatch):
    monkeypatch.setattr(remote, "DIRECT_BYTES", 10 * BLOCK)
    file = open_served()
    cached = set(file._blocks)
    assert read_at(file, 5, 50 * BLOCK) == CONTENT[5 : 5 + 50 * BLOCK]
    assert set(file._blocks) == cached
    assert [request.body_bytes for request in served.requests] == [BLOCK, 50 * BLOCK]


@pytest.mark.parametrize("kind", ["drop", "status", "stall", "shift", "short"])
def test_passing_failures_are_repeated_and_change_no_byte(open_served, served, fault, kind):
    file = open_served(patience=replace(QUICK, timeout_s=0.3) if kind == "stall" else QUICK)
    served.faults.extend([fault(kind), fault(kind, part=0.0)])
    assert read_at(file, 30 * BLOCK, 3 * BLOCK) == CONTENT[30 * BLOCK : 33 * BLOCK]
    assert len(served.requests) == 4
    assert not served.faults


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_server_is_asked_again(open_served, served, fault, status):
    served.faults.append(fault("status", status=status))
    assert read_at(open_served(), 0, 10) == CONTENT[:10]


def test_a_server_that_names_a_wait_is_given_it(open_served, served, fault):
    served.faults.append(fault("status", retry_after_s=1))
    started = time.monotonic()
    open_served(patience=Patience(tries=2, timeout_s=10, first_wait_s=0, longest_wait_s=0.2))
    assert time.monotonic() - started >= 0.2  # of the second that it asks for, our bound


def test_a_connection_that_breaks_on_every_try_still_brings_the_file(open_served, served, fault, monkeypatch):
    """Each try goes on where the last one stopped, and only tries that bring next to nothing count."""
    monkeypatch.setattr("vbn.web.ranges.PROGRESS_BYTES", 1)
    file = open_served()
    served.faults.extend([fault("drop")] * 12)
    assert read_at(file, 10 * BLOCK, 50 * BLOCK) == CONTENT[10 * BLOCK : 60 * BLOCK]
    assert not served.faults
    assert len(served.requests) > 3 * QUICK.tries


def test_a_server_that_fails_again_and_again_is_given_up(open_served, served, fault):
    file = open_served()
    served.fault = lambda _: fault("status", status=500)
    with pytest.raises(NotReadableError, match=r"4 tries failed.*500"):
        read_at(file, 50 * BLOCK, 1)
    asked = len(served.requests)
    with pytest.raises(NotReadableError, match="4 tries failed"):
        read_at(file, 0, 1)  # although this block is there: nothing may be read past a failure
    assert len(served.requests) == asked


def test_a_file_that_changes_is_noticed_by_its_etag(open_served, served, fault):
    file = open_served()
    served.faults.append(fault("etag"))
    with pytest.raises(NotReadableError, match=r"changed while it was read.*ETag"):
        read_at(file, 50 * BLOCK, 1)


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[: 40 * BLOCK]], ids=["longer", "shorter"])
def test_a_file_that_changes_is_noticed_by_its_length(open_served, served, content):
    file = open_served()
    served.files["/f.nwb"] = content
    with pytest.raises(NotReadableError, match=r"changed while it was read.*bytes became"):
        read_at(file, 50 * BLOCK, 1)


def test_a_server_that_ignores_ranges_is_refused_without_reading_the_file(served, open_served):
    served.ranges = False
    with pytest.raises(NotReadableError, match=r"ignores ranges.*Download it first"):
        open_served()


def test_a_server_that_stops_honouring_ranges_is_refused(open_served, served, fault):
    file = open_served()
    served.faults.append(fault("ignore_ranges"))
    with pytest.raises(NotReadableError, match="ignores ranges"):
        read_at(file, 50 * BLOCK, 1)


def test_packed_answers_are_refused(open_served, served, fault):
    served.faults.append(fault("gzip"))
    with pytest.raises(NotReadableError):
        open_served()


def test_an_absent_file_is_named(served):
    with pytest.raises(NotReadableError, match=r"there is no such file .*404") as caught:
        RemoteFile(f"{served.url}/none.nwb", patience=QUICK)
    assert caught.value.path == f"{served.url}/none.nwb"


def test_a_forbidden_file_is_named(open_served, served, fault):
    served.faults.append(fault("status", status=403))
    with pytest.raises(NotReadableError, match="permission"):
        open_served()


def test_an_empty_file_is_refused(open_served, served):
    served.files["/f.nwb"] = b""
    with pytest.raises(NotReadableError, match="empty"):
        open_served()


def test_a_server_that_is_not_there_is_given_up():
    with pytest.raises(NotReadableError, match="tries failed"):
        RemoteFile("http://127.0.0.1:9/f.nwb", patience=QUICK)


@pytest.mark.parametrize("url", ["/a/path.nwb", "ftp://host/f.nwb", "http://", "C:/f.nwb"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match=r"a URL .* was expected"):
        RemoteFile(url)


def test_a_closed_file_is_not_read(open_served):
    file = open_served()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_redirects_are_followed(served):
    served.redirects["/here.nwb"] = "/f.nwb"
    with RemoteFile(f"{served.url}/here.nwb", patience=QUICK) as file:
        assert read_at(file, 7, 9) == CONTENT[7:16]


def test_redirects_without_end_are_refused(served):
    served.redirects["/a.nwb"] = "/a.nwb"
    with pytest.raises(NotReadableError, match="redirected more than"):
        RemoteFile(f"{served.url}/a.nwb", patience=QUICK)


def test_threads_may_share_a_file(open_served):
    """Each reads into its own buffer under one lock; `readinto` alone is atomic, so one seeks and reads."""
    file = open_served()
    lock, wrong = threading.Lock(), []

    def work(seed: int) -> None:
        for start in np.random.default_rng(seed).integers(0, len(CONTENT) - 100, 40):
            with lock:
                found = read_at(file, int(start), 100)
            if found != CONTENT[start : start + 100]:
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_h5py_reads_through_it(site, tmp_path):
    values = np.random.default_rng(2).normal(size=(2000, 7))
    with h5py.File(site.folder / "a.h5", "w") as file:
        file.create_dataset("g/packed", data=values, chunks=(100, 7), compression="gzip")
        file["g/plain"] = values
    with (
        RemoteFile(f"{site.url}/a.h5", patience=QUICK) as opened,
        h5py.File(opened) as file,
    ):
        np.testing.assert_array_equal(file["g/packed"][:], values)
        np.testing.assert_array_equal(file["g/plain"][100:150], values[100:150])


def test_a_failure_that_a_library_hides_is_raised_at_the_end(site, fault, monkeypatch):
    """h5py answers 'not in the file' when it cannot read; that must not be believed."""
    with h5py.File(site.folder / "a.h5", "w") as file:
        for number in range(3000):
            file.create_group(f"group_{number}/{'x' * 50}")

    monkeypatch.setattr(remote, "CACHE_BYTES", 2 * BLOCK)
    url, name = f"{site.url}/a.h5", f"group_1500/{'x' * 50}"

    def look() -> bool:
        with RemoteFile(url, QUICK) as opened, h5py.File(opened) as file:
            site.fault = lambda _: fault("status")
            with contextlib.suppress(Exception):  # whatever the library makes of it
                return name in file
            return False

    with pytest.raises(NotReadableError, match="tries failed"):
        look()


def test_s3_urls_are_read_from_the_endpoint_that_is_set(served, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
    served.files["/some-bucket/a b/f.nwb"] = CONTENT
    with RemoteFile("s3://some-bucket/a b/f.nwb", patience=QUICK) as file:
        assert read_at(file, 100, 5) == CONTENT[100:105]
