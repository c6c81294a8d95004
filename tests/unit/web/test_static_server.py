"""The server of one folder: what it serves, what it does not, and requests that no browser sends."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torchlurk.errors import LurkError
from torchlurk.web.publish import SITE_MARKER, build_site
from torchlurk.web.static_server import make_server, serve_in_thread


@pytest.fixture
def served(store, tmp_path):
    """Asks a server of a site: `(status, headers, body)` for a path sent as it is."""
    out = tmp_path / "site"
    build_site([store], out)
    (tmp_path / "secret.txt").write_text("secret")
    (out / "way-out.txt").symlink_to(tmp_path / "secret.txt")
    server = make_server(out, port=0)

    def ask(path: str, method: str = "GET", **headers: str):
        connection = http.client.HTTPConnection(*server.server_address, timeout=5)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    with serve_in_thread(server):
        yield ask


def test_serves_files(served):
    status, headers, body = served("/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert b"<main" in body
    status, headers, body = served("/saved_model/toy/cropped/a%2520b/0.jpg?x=1")
    assert (status, headers["Content-Type"], body) == (200, "image/jpeg", b"old crop")
    status, headers, body = served("/saved_model/toy/pictures/a%2520b/0.0123456789ab.bin")
    assert (status, headers["Content-Type"], body) == (200, "application/octet-stream", b"crop")
    assert headers["Accept-Ranges"] == "bytes"
    assert served("/dist/app.js")[1]["Content-Type"].startswith("text/javascript")


PACK = "/saved_model/toy/images/0.0123456789ab.bin"
DATA = b"picture"


@pytest.mark.parametrize(
    ("range_", "part", "content_range"),
    [
        ("bytes=0-0", b"p", "bytes 0-0/7"),
        ("bytes=2-4", b"ctu", "bytes 2-4/7"),
        ("bytes=4-", b"ure", "bytes 4-6/7"),
        ("bytes=4-99", b"ure", "bytes 4-6/7"),
        ("bytes=-2", b"re", "bytes 5-6/7"),
        ("bytes=-99", DATA, "bytes 0-6/7"),
        ("bytes=0-6", DATA, "bytes 0-6/7"),
    ],
)
def test_a_range_of_bytes_is_sent_alone(served, range_, part, content_range):
    status, headers, body = served(PACK, Range=range_)
    assert (status, body, headers["Content-Range"]) == (206, part, content_range)
    assert headers["Content-Length"] == str(len(part))
    assert headers["ETag"] == served(PACK)[1]["ETag"]


@pytest.mark.parametrize(
    "range_",
    ["bytes=4-2", "bytes=0-1,3-4", "bytes=-", "bytes=a-b", "lines=0-1", "bytes", "bytes=0-" + "9" * 5000],
)
def test_a_range_that_is_not_understood_is_ignored(served, range_):
    status, headers, body = served(PACK, Range=range_)
    assert (status, body) == (200, DATA)
    assert "Content-Range" not in headers


@pytest.mark.parametrize("range_", ["bytes=7-", "bytes=99-100", "bytes=-0"])
def test_a_range_after_the_end_is_refused(served, range_):
    status, headers, body = served(PACK, Range=range_)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */7")


def test_a_range_of_another_version_is_not_sent(served):
    tag = served(PACK)[1]["ETag"]
    assert served(PACK, Range="bytes=0-1", If_Range=tag)[::2] == (206, b"pi")
    assert served(PACK, Range="bytes=0-1", If_Range='"another"')[::2] == (200, DATA)
    assert served(PACK, Range="bytes=0-1", If_None_Match=tag)[::2] == (304, b"")


def test_head_ignores_a_range(served):
    status, headers, body = served(PACK, "HEAD", Range="bytes=0-1")
    assert (status, body, headers["Content-Length"]) == (200, b"", "7")


def test_head_has_no_body(served):
    status, headers, body = served("/index.html", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 500


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(served, method):
    assert served("/index.html", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/js/..%2f..%2fsecret.txt",
        "/js/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/..%5csecret.txt",
        "/way-out.txt",
        "/js",
        "/js/",
        "/saved_model/",
        "/nothing.html",
        "/index.html%00.jpg",
        "/%ff",
        "/" + SITE_MARKER,
        "index.html",
    ],
)
def test_files_outside_the_folder_are_not_served(served, path):
    status, _, body = served(path)
    assert status == 404
    assert b"secret" not in body
    assert b"root:" not in body


def test_a_missing_folder_and_a_used_port_are_rejected(tmp_path):
    with pytest.raises(LurkError, match="is not a folder"):
        make_server(tmp_path / "nothing")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LurkError, match="another port="):
            make_server(tmp_path, port=taken.getsockname()[1])


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
def test_an_error_has_the_usual_headers_and_nothing_of_the_request(
    send: Send, request_: bytes, status: bytes, body: bytes | None
) -> None:
    head, _, found = send(request_).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
    assert b"X-Content-Type-Options: nosniff\r\n" in head
    assert b"Content-Security-Policy: default-src 'self'" in head
    assert b"<b>" not in head + found
    assert body is None or found == body


@pytest.mark.parametrize("header", [b"Content-Length: 28", b"Transfer-Encoding: chunked"])
def test_the_body_of_a_request_is_not_taken_for_a_request(send: Send, header: bytes) -> None:
    answer = send(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\nGET /other.txt HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"page")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_one_connection_serves_several_requests(send: Send) -> None:
    answer = send(b"GET / HTTP/1.1\r\n\r\n" + b"GET /other.txt HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"other")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
