"""Asking web servers: addresses, connections, proxies, and when to give up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from vbn.errors import NotReadableError
from vbn.web import client as web
from vbn.web.client import Patience, Transient, http_url, is_url, read_all, with_retries
from vbn.web.ranges import RangeReader, Version

QUICK = Patience(tries=3, timeout_s=0.5, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A function that starts a server of raw bytes: it is handed each connection, after one request."""
    sockets: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    connection.recv(65536)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/f"

    yield start
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/a/b.nwb", "https://host/a/b.nwb"),
        ("HTTP://host/a b.nwb#part", "HTTP://host/a%20b.nwb"),
        ("https://host/a%20b.nwb?x=1&y=2", "https://host/a%20b.nwb?x=1&y=2"),
        ("s3://bucket/a/b c#1.nwb", "https://bucket.s3.amazonaws.com/a/b%20c%231.nwb"),
        ("s3://dotted.bucket/b.nwb", "https://s3.amazonaws.com/dotted.bucket/b.nwb"),
        (
            "s3://visual-behavior-neuropixels-data/b.nwb",
            "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com/b.nwb",
        ),
    ],
)
def test_addresses_are_those_that_servers_understand(url, expected, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert http_url(url) == expected


def test_urls_are_told_from_paths():
    assert all(map(is_url, ("http://h/f", "HTTPS://h/f", "s3://b/k")))
    assert not any(map(is_url, ("/data/f.nwb", "C:\\f.nwb", "http:f", "file:///f", "")))


def test_versions_differ_only_in_what_both_know():
    version = Version(5, '"a"', "Monday")
    assert version.difference(Version(5)) == ""
    assert version.difference(Version(5, '"a"', "Monday")) == ""
    assert "ETag" in version.difference(Version(5, '"b"'))
    assert "Last-Modified" in version.difference(Version(5, "", "Tuesday"))
    assert version.difference(Version(6, '"a"')) == "5 bytes became 6"


def test_waits_double_up_to_a_bound_and_follow_the_server():
    patience = Patience(first_wait_s=1, longest_wait_s=5)
    assert [patience.wait_s(failures, None) for failures in (1, 2, 3, 4)] == [1, 2, 4, 5]
    assert patience.wait_s(1, 3.0) == 3
    assert patience.wait_s(3, 1.0) == 4
    assert patience.wait_s(1, 100.0) == 5


def test_only_failures_in_a_row_count():
    outcomes = iter([False, False, True, False, False, True, None])
    waits: list[float] = []

    def action() -> str:
        outcome = next(outcomes)
        if outcome is None:
            return "done"
        raise Transient("broken", progressed=outcome)

    assert (
        with_retries(action, "u", Patience(tries=4, first_wait_s=1, longest_wait_s=9), waits.append) == "done"
    )
    assert waits == [1, 2, 1, 2, 4, 1]


def test_a_server_that_closes_idle_connections_costs_no_try(answering):
    """Every answer promises to keep the connection, and the server closes it nevertheless."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 206 X\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/1\r\n\r\nx")

    url = answering(answer)
    got: list[bytes] = []
    with RangeReader(url, Patience(tries=1, timeout_s=1)) as reader:
        for _ in range(4):
            reader.read(0, 1, got.append)
    assert got == [b"x"] * 4


def test_a_server_that_trickles_is_given_up(answering, monkeypatch):
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.1)
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not stop.wait(0.02):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    url = answering(answer)
    with pytest.raises(NotReadableError, match=r"only \d+ bytes came"):
        read_all(url, Patience(tries=2, timeout_s=1, first_wait_s=0.001))
    stop.set()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 206 X\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/*\r\n\r\nabcde",
        b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 1-5/9\r\n\r\nabcde",
        b"HTTP/1.1 206 X\r\nContent-Length: 4\r\nContent-Range: bytes 0-4/9\r\n\r\nabcd",
        b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/9\r\n\r\nabcd",
        b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/9\r\n\r\nabcd",
        b"HTTP/1.1 416 X\r\nContent-Length: 0\r\nContent-Range: bytes */9\r\n\r\n",
        b"HTTP/1.1 416 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 X\r\n\r\n",
        b"HTTP/1.1 304 X\r\n\r\n",
        b"HTTP/1.1 302 X\r\nLocation: ftp://host/f\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answers_that_are_not_what_was_asked_for_are_errors_of_ours(answering, reply):
    url = answering(lambda connection: connection.sendall(reply))
    got = bytearray()
    with RangeReader(url, QUICK) as reader, pytest.raises(NotReadableError):
        reader.read(0, 5, got.extend)
    assert bytes(got) in (b"", b"abcd")  # the bytes before a broken end are right, and counted by the reader


def test_more_bytes_than_were_asked_for_are_not_handed_on(answering):
    """Behind a chunked answer there may stand anything."""
    reply = (
        b"HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-4/9\r\n\r\n"
        b"9\r\nabcdefghi\r\n0\r\n\r\n"
    )
    url = answering(lambda connection: connection.sendall(reply))
    got = bytearray()
    with RangeReader(url, QUICK) as reader:
        reader.read(0, 5, got.extend)
    assert bytes(got) == b"abcde"


def test_a_proxy_is_asked_for_the_whole_address_by_name(site, monkeypatch):
    """The test's own server plays the proxy: it sees the foreign host in the address."""
    site.files["/f"] = b"from the proxy"
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//user:pass@"))
    assert read_all("http://some.host.invalid/f", QUICK) == b"from the proxy"
    assert site.requests[0].path == "http://some.host.invalid/f"


def test_an_answer_without_end_is_refused(site):
    site.files["/f"] = b"x" * 1000
    assert read_all(f"{site.url}/f", QUICK, maximum_bytes=1000) == b"x" * 1000
    with pytest.raises(NotReadableError, match="longer than 999"):
        read_all(f"{site.url}/f", QUICK, maximum_bytes=999)


def test_absence_may_be_an_answer(site):
    assert read_all(f"{site.url}/none", QUICK, absent=True) is None
    with pytest.raises(NotReadableError, match="no such file"):
        read_all(f"{site.url}/none", QUICK)


def test_a_redirect_never_leaves_https():
    with pytest.raises(NotReadableError, match="not safe"):
        web._redirected("https://host/a", "https://host/a", "http://host/b")
    assert web._redirected("https://host/a", "https://host/a", "/b") == "https://host/b"
