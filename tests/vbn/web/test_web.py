"""Asking web servers: addresses, connections, proxies, and when to give up."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.certificates import self_signed_certificate
from vbn.errors import NotReadableError
from vbn.web import connections as web
from vbn.web.client import Patience, Transient, http_url, is_url, read_all, with_retries
from vbn.web.ranges import RangeReader, Version

QUICK = Patience(tries=3, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A function that starts a server of raw bytes: it is handed each connection, after one request.

    With a context it speaks TLS; the requests are added to ``asked``.
    """
    sockets: list[socket.socket] = []

    def start(
        answer: Callable[[socket.socket], None],
        context: ssl.SSLContext | None = None,
        asked: list[bytes] | None = None,
    ) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
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
    got: list[bytes] = []
    with closing(RangeReader(url, Patience(tries=1, timeout_s=10))) as reader:
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
        read_all(url, Patience(tries=2, timeout_s=10, first_wait_s=0.001))
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
    with closing(RangeReader(url, QUICK, allow_whole=True)) as reader, pytest.raises(NotReadableError):
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
    with closing(RangeReader(url, QUICK)) as reader:
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

    got = bytearray()
    with closing(RangeReader(answering(answer), QUICK)) as reader:
        reader.read(0, 5, got.extend)
    assert bytes(got) == b"abcde"


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


def test_a_head_that_is_cut_is_asked_for_again(answering):
    """What is left of it reads as an answer without a place in the file."""
    head = b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\n"
    answers = iter([head[:20], head[:60], head + b"abcde"])
    url = answering(lambda connection: connection.sendall(next(answers)))
    got = bytearray()
    with closing(RangeReader(url, QUICK)) as reader:
        reader.read(0, 5, got.extend)
    assert bytes(got) == b"abcde"


def test_weak_etags_tell_versions_apart_as_well(answering):
    head = b'HTTP/1.1 206 X\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\nETag: W/"%s"\r\n\r\nx'
    answers = iter([head % tag for tag in (b"1", b"1", b"2")])
    url = answering(lambda connection: connection.sendall(next(answers)))
    got = bytearray()
    with closing(RangeReader(url, QUICK)) as reader:
        reader.read(0, 1, got.extend)
        reader.read(0, 1, got.extend)
        with pytest.raises(NotReadableError, match=r"changed while it was read.*W/"):
            reader.read(0, 1, got.extend)
    assert bytes(got) == b"xx"


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
