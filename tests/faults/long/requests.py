"""Malformed and hostile requests: a server sends only files from its folder."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import quote

from tests.faults.long.commands import tree
from tests.faults.long.harness import Kind, Row, Trial
from tests.golden.run import EXPECTED
from torchlurk.runtime.resources import site_folder
from torchlurk.web.live_server import live_files
from torchlurk.web.page import CSP
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores
from torchlurk.web.static_server import listen, make_server

SITE = "request to the site server: encoded paths, absolute paths, links out of the folder, garbage"
LIVE = "request to the live server: the same kinds"
SECRET = b"outside the folder"
TIMEOUT = 5
"""Seconds to wait for the end of a response."""
STATUSES = {100, 200, 206, 304, 400, 404, 405, 408, 414, 416, 431, 501, 505}

UP = ("..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..;", "%c0%ae%c0%ae", "%uff0e%uff0e", "..%00", "...",
      ".", "")  # fmt: skip
SLASH = ("/", "//", "%2f", "%2F", "\\", "%5c", "/./", "%252f", "%c0%af", "/%00/", "\t/", "%0d%0a/")
TARGETS = ("secret.json", "etc/passwd", "proc/self/environ", "out.json", "away/0.jpg", ".git/config",
           "~root/x")  # fmt: skip
PREFIXES = ("", "/", "//", "///", "http://127.0.0.1/", "http://x/", "file:///", "/saved_model/", "/js/",
              "/%2f", "/saved_model/toy/", "/saved_model/branching/", "/saved_model/branching/layers/",
              "/?", "/#", "*")  # fmt: skip
METHODS = ("GET",) * 40 + ("HEAD",) * 3 + ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH",
           "get", "G\0T", "GET" * 100, "<script>", "")  # fmt: skip
VERSIONS = ("HTTP/1.1",) * 40 + (
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.1.1",
    "HTTP/9999999999.1",
    "HTP",
    "",
)
HEADERS = (
    "Host: x", "Host: ", "Host: ../..", "Range: bytes=0-9999999999", "Range: bytes=-1", "Range: bytes=1-0",
    "Range: bytes=9-99", "Range: bytes=0-1,5-6", "Range: bytes=9999999999-", 'If-Range: "x"',
    "If-None-Match: *", 'If-None-Match: "x"', "Content-Length: 5", "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close", "Connection: upgrade",
    "Upgrade: websocket", "Accept-Encoding: gzip", "Origin: null", "X: " + "y" * 1000, "X: " + "y" * 70_000,
    "nonsense", ": empty", "X-\0: z", "X: \x80\xff", "X-Original-URL: /../secret.json", "X-Forwarded-For: x",
)  # fmt: skip


def seed_paths(files: list[str]) -> list[str]:
    """Return valid paths from which random paths are derived."""
    return ["/", "/index.html", *("/" + quote(name) for name in files)]


def random_path(random: Random, paths: list[str]) -> str:
    """Return a random path: valid, out of the folder, or garbage."""
    choice = random.randrange(6)
    if choice == 0:
        return random.choice(paths)
    if choice == 1:
        path = list(random.choice(paths))
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(path) + 1)
            piece = random.choice((*UP, *SLASH, "%", "%zz", "é", "\xff", "?", "#", "&", "%0a", "<", '"'))
            path[at : at + random.randrange(2)] = piece
        return "".join(path)
    if choice == 2:
        return "".join(
            chr(random.choice((random.randrange(33, 127), random.randrange(1, 256))))
            for _ in range(random.randrange(60))
        )
    if choice == 3:
        return "/" + random.choice(("a", "../", "%2e%2e/", "/")) * random.choice((10, 1000, 30_000, 70_000))
    ups = "".join(random.choice(UP) + random.choice(SLASH) for _ in range(random.randrange(1, 9)))
    return random.choice(PREFIXES) + ups + random.choice(TARGETS)


def random_request(random: Random, paths: list[str]) -> bytes:
    """Return a random request, usually malformed."""
    if random.random() < 0.03:
        return random.randbytes(random.randrange(1, 400)) + b"\r\n\r\n"
    line = f"{random.choice(METHODS)} {random_path(random, paths)} {random.choice(VERSIONS)}"
    headers = random.choices(HEADERS, k=random.choice((0, 0, 1, 1, 2, 5)))
    if random.random() < 0.01:
        headers += [f"H{number}: v" for number in range(200)]
    end = random.choice(("\r\n",) * 9 + ("\n",))
    body = random.choice(
        ("",) * 4 + ("GET /index.html HTTP/1.1\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "x" * 9999)
    )
    return (end.join([line, *headers]) + end + end + body).encode("latin-1", "replace")


def send(address: Any, data: bytes) -> bytes:
    """Send a request, close the sending side and return all that the server sends."""
    received = bytearray()
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            pass  # the server closed the connection early
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                received += piece
    return bytes(received)


def parse_responses(data: bytes) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """Yield the status, headers in lower case and body of each response.

    Raises:
        ValueError: the data is not a sequence of HTTP responses.
    """
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3}) .*", lines[0])
        if not match or not separator:
            raise ValueError(f"no HTTP response: {head[:80]!r}")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        # A response to HEAD has a length and no body: the next response follows immediately, or nothing.
        length = int(headers.get("content-length", 0))
        body = b"" if not data or data.startswith(b"HTTP/1.") else data[:length]
        data = data[len(body) :]
        yield int(match[1]), headers, body


def find_problem(sent: bytes, data: bytes, allowed: set[bytes]) -> str:
    """Return what is wrong with a response; "" if nothing is."""
    if SECRET in data or b"root:x:" in data or b"PATH=" in data:
        return "sends content from outside the folder"
    try:
        responses = list(parse_responses(data))
    except ValueError as problem:
        return str(problem)
    for status, headers, body in responses:
        if status not in STATUSES:
            return f"status {status}"
        if headers.get("x-content-type-options") != "nosniff":
            return f"no nosniff with {status}"
        if not headers.get("content-security-policy", "").startswith(CSP):
            return f"no policy with {status}"
        if status == 200 and body not in allowed:
            return f"sends {body[:60]!r}, which is not a file of the folder"
        if status == 206 and not any(body in file for file in allowed):
            return f"sends {body[:60]!r}, which is not a part of a file of the folder"
        if status in (200, 206) and not re.match(rb"(GET|HEAD) ", sent):
            return "answers a method other than GET and HEAD"
    if sent.startswith(b"HEAD ") and any(body for _, _, body in responses[:1]):
        return "sends a body for HEAD"
    return ""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[list[str]]:
    """Run a server in a thread; yield its exceptions as lines."""
    failures: list[str] = []
    original = server.handle_error

    def record(request: Any, address: Any) -> None:
        problem = sys.exception()
        if not isinstance(problem, ConnectionError | TimeoutError):
            failures.append(f"{type(problem).__name__}: {problem}"[:200])
        else:
            original(request, address)

    server.handle_error = record  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield failures
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _fuzz(
    fault: str, server: ThreadingHTTPServer, trial: Trial, paths: list[str], allowed: set[bytes]
) -> Row:
    wrong: list[str] = []
    files = 0
    with serving(server) as failures:
        for number in range(trial.count):
            data = random_request(trial.random, paths)
            try:
                received = send(server.server_address, data)
            except TimeoutError:
                wrong.append(f"{number}: no complete response to {data[:120]!r}")
                continue
            files += b" 200 " in received.split(b"\r\n")[0]
            if problem := find_problem(data, received, allowed):
                wrong.append(f"{number}: {problem}: {data[:120]!r}")
        if b" 200 OK" not in send(server.server_address, b"GET / HTTP/1.1\r\n\r\n"):
            wrong.append("the server no longer responds")
    measured = f"{files:,} answered with a file"
    lines = (*wrong, *failures)
    return Row(fault, trial.count, max(0, trial.count - len(lines)), None, len(failures), measured, lines)


def fuzz_servers(trial: Trial) -> list[Row]:
    """Send random requests to both servers, whose folders have links to secret files outside."""
    store = trial.folder / "stores/branching"
    shutil.copytree(EXPECTED / "branching", store)
    site = trial.folder / "host/site"
    build_site([store], site)
    for directory in (trial.folder, trial.folder / "host", store.parent):
        (directory / "secret.json").write_bytes(SECRET)
        (directory / "0.jpg").write_bytes(SECRET)
        (directory / "0.0123456789ab.bin").write_bytes(SECRET)
    inside = site / "saved_model/branching"
    for folder in (store, inside):
        (folder / "layers/out.json").symlink_to(trial.folder / "secret.json")
        (folder / "pictures/away").symlink_to(trial.folder)
        (folder / "images/77.0123456789ab.bin").symlink_to(folder / "images/77.0123456789ab.bin")
        (folder / ".hidden.json").write_bytes(SECRET)
    files = {name: data for name, data in tree(site).items() if SECRET not in data}
    before = tree(trial.folder)
    outside = [
        "layers/out.json",
        "pictures/away/0.0123456789ab.bin",
        "pictures/away/secret.json",
        "images/77.0123456789ab.bin",
        ".hidden.json",
    ]
    paths = seed_paths([*files, *(f"saved_model/branching/{name}" for name in outside * 20)])
    allowed = {*files.values(), b""}
    rows = [_fuzz(SITE, make_server(site, port=0), trial, paths, allowed)]
    lookup = live_files(watch_stores([store]), site_folder())
    generated = (
        ("index.html",),
        ("saved_model", "index.json"),
        ("saved_model", "comparisons.json"),
        ("saved_model", "live.json"),
    )
    allowed |= {file.data for parts in generated if (file := lookup(parts)) is not None}
    paths += ["/saved_model/live.json", "/saved_model/comparisons.json"]
    rows.append(_fuzz(LIVE, listen(lookup, "127.0.0.1", 0), trial, paths, allowed))
    assert tree(trial.folder) == before
    return rows


KIND = Kind("requests", (SITE, LIVE), fuzz_servers, long=20_000, short=1000)
