"""Requests that no browser sends, byte by byte: what comes back, and that nothing is left over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torchlurk.web.static_server import make_server

Send = Callable[[bytes], bytes]


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Send]:
    """Sends bytes to a server, and gives all that comes back until it ends."""
    (tmp_path / "index.html").write_text("page")
    (tmp_path / "other.txt").write_text("other")
    server = make_server(tmp_path, port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def ask(data: bytes) -> bytes:
        with socket.create_connection(server.server_address, timeout=5) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    yield ask
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /<b>nobody HTTP/1.1\r\n\r\n", b"404 Not Found", b"404 Not Found\n"),
        (b"HEAD /nobody HTTP/1.1\r\n\r\n", b"404 Not Found", b""),
        (b"<b> / HTTP/1.1\r\n\r\n", b"501 Not Implemented", b""),
        (b"POST / HTTP/1.1\r\n\r\n", b"501 Not Implemented", b""),
        (b"GET / HTTP/0.9\r\n\r\n", b"505 HTTP Version", b"505 HTTP Version Not Supported\n"),
        (b"GET /\r\n\r\n", b"505 HTTP Version", b"505 HTTP Version Not Supported\n"),
        (b"GET / HTTP/9\r\n\r\n", b"400 Bad Request", b""),
        (b"GET /" + b"a" * 65_532, b"414 ", b""),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 65_534, b"431 ", None),
        (b"\0\xff <b>\r\n\r\n", b"400 Bad Request", b""),
    ],
)
def test_a_refusal_has_the_headers_of_all_answers_and_nothing_of_the_request(
    send: Send, request_: bytes, status: bytes, body: bytes | None
) -> None:
    head, _, found = send(request_).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
    assert b"X-Content-Type-Options: nosniff\r\n" in head
    assert b"Content-Security-Policy: default-src 'self'" in head
    assert b"<b>" not in head + found
    assert body is None or found == body


@pytest.mark.parametrize("header", [b"Content-Length: 28", b"Transfer-Encoding: chunked"])
def test_a_body_that_comes_with_a_request_is_no_request(send: Send, header: bytes) -> None:
    answer = send(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\nGET /other.txt HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"page")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_one_after_the_other_are_answered_on_one_connection(send: Send) -> None:
    answer = send(b"GET / HTTP/1.1\r\n\r\n" + b"GET /other.txt HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"other")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
