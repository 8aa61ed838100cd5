"""Asking web servers: addresses, connections, proxies, and when to give up."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.certificates import self_signed_certificate
from vbn.errors import AbsentError, NotReadableError
from vbn.web import connections as web
from vbn.web.client import Patience, Transient, Version, http_url, is_url, read_all, with_retries
from vbn.web.ranges import RangeReader
from vbn.web.remote_file import RemoteFile

PART = b"HTTP/1.1 206 X\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\n\r\nx"
QUICK = Patience(tries=3, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A function that starts a server of raw bytes: it is handed each connection, after one request.

    With a context it speaks TLS; the requests are added to ``asked``. It is handed one after another, or
    all at once.
    """
    sockets: list[socket.socket] = []

    def start(
        answer: Callable[[socket.socket], None],
        context: ssl.SSLContext | None = None,
        asked: list[bytes] | None = None,
        at_once: bool = False,
    ) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                if at_once:
                    threading.Thread(target=serve_one, args=(connection,), daemon=True).start()
                else:
                    serve_one(connection)

        def serve_one(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:  # the reader may go
                stack.enter_context(connection)
                if context:
                    connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
                request = connection.recv(65536)
                if asked is not None:
                    asked.append(request)
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}/f"

    yield start
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/a/b.nwb", "https://host/a/b.nwb"),
        ("HTTP://host/a b.nwb#part", "http://host/a%20b.nwb"),
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
    reader = RangeReader(url, Patience(tries=1, timeout_s=10))
    assert [reader.read_bytes(0, 1) for _ in range(4)] == [b"x"] * 4


def test_connections_that_died_unnoticed_cost_one_try(answering):
    """As behind a router that forgets idle connections: nothing tells, and nothing ever comes."""
    answered, begun = threading.Barrier(4), []

    def answer(connection: socket.socket) -> None:
        begun.append(connection)
        if len(begun) <= 4:
            answered.wait(10)  # so that all are open at once
        connection.sendall(PART)
        threading.Thread(target=hold, args=(connection.dup(),), daemon=True).start()

    def hold(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while connection.recv(65536):
                pass

    url = answering(answer, at_once=True)
    with ThreadPoolExecutor(4) as pool:
        readers = [RangeReader(url, QUICK) for _ in range(4)]
        assert list(pool.map(lambda reader: reader.read_bytes(0, 1), readers)) == [b"x"] * 4
    assert RangeReader(url, replace(QUICK, tries=2, timeout_s=0.3)).read_bytes(0, 1) == b"x"
    assert len(begun) == 5


def test_a_forked_process_reads_through_connections_of_its_own(site):
    site.files["/f"] = b"abcdefghi"
    script = (
        "import os, sys; from vbn.web.ranges import RangeReader\n"
        "reader = RangeReader(sys.argv[1]); reader.read_bytes(0, 1)\n"
        "child = os.fork()\n"
        "print(end=reader.read_bytes(2, 5).decode(), flush=True)\n"
        "if child: os.waitpid(child, 0)\n"
    )
    command = [sys.executable, "-c", script, f"{site.url}/f"]
    assert sorted(subprocess.check_output(command, text=True)) == sorted("cdecde")
    assert site.connections == 2


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
        read_all(url, Patience(tries=2, timeout_s=10, first_wait_s=0.001))
    stop.set()


def test_a_pause_is_not_slowness(answering, monkeypatch):
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.1)

    def answer(connection: socket.socket) -> None:
        time.sleep(0.2)
        connection.sendall(PART[:-1])
        time.sleep(0.2)
        connection.sendall(PART[-1:])

    assert RangeReader(answering(answer), Patience(tries=1, timeout_s=10)).read_bytes(0, 1) == b"x"


@pytest.mark.parametrize("asked", ["0", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1", "\xb2", "9" * 5000])
def test_a_server_that_asks_to_wait_is_asked_again_whatever_it_writes(answering, asked):
    busy = f"HTTP/1.1 503 X\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    answers = iter([busy, whole(b"x")])
    url = answering(lambda connection: connection.sendall(next(answers)))
    assert read_all(url, QUICK) == b"x"


def test_a_server_may_name_the_time_to_come_back(answering):
    at = email.utils.formatdate(time.time() + 3600, usegmt=True)
    busy = f"HTTP/1.1 503 X\r\nRetry-After: {at}\r\nContent-Length: 0\r\n\r\n".encode()
    answers = iter([busy, PART])
    waits: list[float] = []
    url = answering(lambda connection: connection.sendall(next(answers)))
    patience = Patience(tries=2, timeout_s=10, first_wait_s=0.001, longest_wait_s=100)
    assert RangeReader(url, patience, sleep=waits.append).read_bytes(0, 1) == b"x"
    assert waits == [100]


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
        b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/" + b"9" * 5000 + b"\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nabcde",
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
    with pytest.raises(NotReadableError):
        RangeReader(url, QUICK, allow_whole=True).read(0, 5, lambda _, chunk: got.extend(chunk))
    assert bytes(got) in (b"", b"abcd")  # the bytes before a broken end are right, and counted by the reader


def test_more_bytes_than_were_asked_for_are_not_handed_on(answering):
    """Behind a chunked answer there may stand anything."""
    reply = (
        b"HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-4/9\r\n\r\n"
        b"9\r\nabcdefghi\r\n0\r\n\r\n"
    )
    url = answering(lambda connection: connection.sendall(reply))
    assert RangeReader(url, QUICK).read_bytes(0, 5) == b"abcde"


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


def test_absence_is_an_error_of_its_own(site):
    with pytest.raises(AbsentError, match="no such file"):
        read_all(f"{site.url}/none", QUICK)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of 127.0.0.1 shows, and the variable that makes it trusted."""
    certificate, key = self_signed_certificate()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "certificate.pem").write_bytes(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context


def whole(content: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(content), headers, content)


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_certificate_that_is_not_trusted_is_an_error_at_once(answering, tls, monkeypatch):
    connections: list[socket.socket] = []
    url = answering(connections.append, tls)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotReadableError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
        read_all(url, QUICK)
    assert not connections


def test_a_certificate_of_another_host_is_an_error_at_once(answering, tls):
    url = answering(lambda connection: connection.sendall(whole(b"x")), tls)
    assert read_all(url, QUICK) == b"x"
    with pytest.raises(NotReadableError, match=r"certificate is not trusted \(Hostname mismatch"):
        read_all(url.replace("127.0.0.1", "localhost"), QUICK)


SECRET = "hidden"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx",
        b"HTTP/1.1 302 X\r\nLocation: ftp://me:hidden@host/f?hidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 X\r\nLocation: /g?hidden\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_passwords_and_tokens_are_in_no_error(answering, answer):
    url = answering(lambda connection: connection.sendall(answer))
    secret = url.replace("//", f"//me:{SECRET}@") + f"?token={SECRET}"
    for read in (RemoteFile, lambda url, patience: read_all(url, patience, maximum_bytes=0)):
        with pytest.raises(NotReadableError) as caught:
            read(secret, QUICK)
        assert caught.value.path == f"{url}?..."
        assert SECRET not in str(caught.value)


def test_passwords_and_tokens_are_in_no_error_of_addresses(monkeypatch):
    with pytest.raises(ValueError, match="was expected") as caught:
        http_url(f"https://me:{SECRET}@[x/f?token={SECRET}")
    assert SECRET not in str(caught.value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@[x")
    with pytest.raises(NotReadableError) as unreadable:
        read_all("http://some.host.invalid/f", QUICK)
    assert SECRET not in str(unreadable.value)


def test_a_redirect_never_leaves_https(answering, tls):
    plain = answering(lambda connection: connection.sendall(whole(b"from http")))
    down = answering(lambda connection: connection.sendall(redirect(plain)), tls)
    up_and_down = answering(lambda connection: connection.sendall(redirect(down)))
    for url in (down, up_and_down):
        with pytest.raises(NotReadableError, match=r"redirects to 'http://.*not safe"):
            read_all(url, QUICK)
    secure = answering(lambda connection: connection.sendall(whole(b"from https")), tls)
    up = answering(lambda connection: connection.sendall(redirect(secure)))
    assert read_all(up, QUICK) == b"from https"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/hostname", "ftp://host/f", "s3://bucket/f", "http://[x/f", "http://h:x/"],
)
def test_a_redirect_to_what_is_no_web_server_is_not_followed(answering, location):
    url = answering(lambda connection: connection.sendall(redirect(location)))
    with pytest.raises(NotReadableError, match="which is not safe to follow"):
        read_all(url, QUICK)


def test_a_body_that_does_not_end_is_left_when_the_part_is_complete(answering):
    """A server that says which part it sends, and goes on sending."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-4/9\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # the reader has gone
            while True:
                connection.sendall(b"9\r\nabcdefghi\r\n")

    assert RangeReader(answering(answer), QUICK).read_bytes(0, 5) == b"abcde"


@pytest.mark.parametrize(
    ("beginning", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 9999),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["many", "long", "interim"],
)
def test_a_head_without_end_is_given_up(answering, monkeypatch, beginning, again):
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.1)

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(beginning)
            while True:
                connection.sendall(again)

    with pytest.raises(NotReadableError, match="2 tries failed"):
        read_all(answering(answer), Patience(tries=2, timeout_s=0.3, first_wait_s=0.001))


@pytest.mark.parametrize("secure", [False, True])
def test_a_head_that_trickles_is_given_up(answering, tls, monkeypatch, secure):
    """Each byte comes long before the timeout, so that only the time in all tells."""
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.1)
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.01):
                connection.sendall(b"H")

    with pytest.raises(NotReadableError, match="2 tries failed"):
        read_all(
            answering(answer, tls if secure else None), Patience(tries=2, timeout_s=0.3, first_wait_s=0.001)
        )
    stop.set()


def test_a_proxy_whose_answer_does_not_end_is_given_up(answering, monkeypatch):
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.1)

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X: y\r\n")

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", answering(answer).removesuffix("/f"))
    with pytest.raises(NotReadableError, match="2 tries failed"):
        read_all("https://127.0.0.1:9/f", Patience(tries=2, timeout_s=0.3, first_wait_s=0.001))


def test_a_head_that_is_cut_is_asked_for_again(answering):
    """What is left of it reads as an answer without a place in the file."""
    head = b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\n"
    answers = iter([head[:20], head[:60], head + b"abcde"])
    url = answering(lambda connection: connection.sendall(next(answers)))
    assert RangeReader(url, QUICK).read_bytes(0, 5) == b"abcde"


def test_weak_etags_tell_versions_apart_as_well(answering):
    head = b'HTTP/1.1 206 X\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\nETag: W/"%s"\r\n\r\nx'
    answers = iter([head % tag for tag in (b"1", b"1", b"2")])
    url = answering(lambda connection: connection.sendall(next(answers)))
    reader = RangeReader(url, QUICK)
    assert [reader.read_bytes(0, 1) for _ in range(2)] == [b"x", b"x"]
    with pytest.raises(NotReadableError, match=r"changed while it was read.*W/"):
        reader.read_bytes(0, 1)


@pytest.mark.parametrize(
    "told",
    [
        (b"Last-Modified: Mon", b"Last-Modified: Tue"),
        (b"X: y", b'ETag: "1"', b"X: y", b'ETag: "2"'),  # not all answers say it
    ],
)
def test_versions_are_told_apart_by_what_the_server_says(answering, told):
    answers = iter([PART.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n") for line in told])
    url = answering(lambda connection: connection.sendall(next(answers)))
    reader = RangeReader(url, QUICK)
    for _ in told[1:]:
        reader.read_bytes(0, 1)
    with pytest.raises(NotReadableError, match="changed while it was read"):
        reader.read_bytes(0, 1)


def test_a_file_of_another_size_than_expected_is_refused(site):
    site.files["/f"] = b"abcde"
    with pytest.raises(NotReadableError, match="6 bytes became 5"):
        RangeReader(f"{site.url}/f", QUICK, Version(6)).read_bytes(0, 5)
    assert RangeReader(f"{site.url}/f", QUICK, Version(5)).read_bytes(0, 5) == b"abcde"


def test_a_small_file_that_is_packed_is_not_taken_for_its_content(answering):
    url = answering(lambda connection: connection.sendall(whole(b"\x1f\x8b", b"Content-Encoding: gzip\r\n")))
    with pytest.raises(NotReadableError, match=r"compressed \(Content-Encoding: gzip\)"):
        read_all(url, QUICK)


def test_a_length_that_contradicts_itself_is_not_believed(answering):
    url = answering(lambda connection: connection.sendall(whole(b"abcde", b"Content-Length: 3\r\n")))
    with pytest.raises(NotReadableError, match="Content-Length"):
        read_all(url, QUICK)


def test_letters_beyond_ascii_are_escaped(site):
    site.files["/Mäuse/f"] = b"x"
    assert read_all(f"{site.url}/Mäuse/f", QUICK) == b"x"


def test_a_proxy_is_told_who_asks(answering, monkeypatch):
    asked: list[bytes] = []
    proxy = answering(lambda connection: connection.sendall(whole(b"x")), asked=asked).removesuffix("/f")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.replace("http://", "us%40er:pa:%D0%B9@"))
    assert read_all("http://some.host.invalid/f", QUICK) == b"x"
    assert base64.b64encode("us@er:pa:й".encode()) in asked[0]
    assert b"Host: some.host.invalid\r\n" in asked[0]


def test_a_secure_server_is_reached_through_a_tunnel(answering, tls, monkeypatch):
    """The proxy is asked to connect, by name and password, and sees nothing of what follows."""
    asked: list[bytes] = []

    def tunnel(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with tls.wrap_socket(connection, server_side=True) as inner:
            asked.append(inner.recv(65536))
            inner.sendall(whole(b"x"))

    proxy = answering(tunnel, asked=asked).removesuffix("/f")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", proxy.replace("//", "//user:pass@"))
    assert read_all("https://127.0.0.1:9/f", QUICK) == b"x"
    assert asked[0].startswith(b"CONNECT 127.0.0.1:9 ")
    assert base64.b64encode(b"user:pass") in asked[0]
    assert b"Authorization" not in asked[1]


def test_a_proxy_that_cannot_be_used_is_an_error(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for proxy in ("socks5://127.0.0.1:9", "http://[x", "http://host:x"):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(NotReadableError, match=r"cannot be requested.*Check the URL or proxy"):
            read_all("http://some.host.invalid/f", QUICK)


def test_the_library_is_imported_only_when_something_is_asked_for():
    script = "import sys, vbn.nwb, vbn.release; print('urllib3' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"


@pytest.mark.parametrize(
    ("here", "there", "is_followed"),
    [
        ("http://example.org/a", "http://127.0.0.1/", False),
        ("http://example.org/a", "http://2130706433/", False),
        ("http://example.org/a", "http://127.1/", False),
        ("http://example.org/a", "http://[::1]/", False),
        ("http://example.org/a", "http://169.254.169.254/latest", False),
        ("http://example.org/a", "http://10.0.0.1/", False),
        ("https://example.org/a", "https://localhost/", False),
        ("https://example.org/a", "https://db.internal/", False),
        ("https://example.org/a", "file:///etc/passwd", False),
        ("https://example.org/a", "http://example.org/a", False),
        ("https://example.org/a", "https://files.example.org/a?sig=1", True),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:9000/a", True),
        ("http://127.0.0.1:8000/a", "https://example.org/a", True),
    ],
)
def test_redirects_lead_into_no_private_network(here: str, there: str, is_followed: bool) -> None:
    if is_followed:
        assert web._redirected(here, here, there) == there
        return
    with pytest.raises(NotReadableError, match="not safe to follow"):
        web._redirected(here, here, there)
