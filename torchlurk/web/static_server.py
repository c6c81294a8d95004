"""A local HTTP server: of one folder, or of the files that a function finds. It sends ranges of bytes."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from torchlurk.errors import LurkError, Option
from torchlurk.web.byte_ranges import UnsatisfiableRangeError, parse_range
from torchlurk.web.page import CSP

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}


@dataclass(frozen=True)
class FileContent:
    """The content of a file.

    Attributes:
        data: The bytes.
        suffix: Suffix of the file's name, which determines the content type.
    """

    data: bytes
    suffix: str


Resolver = Callable[[tuple[str, ...]], FileContent | None]
"""Takes the parts of a path, none of them empty, hidden or `..`; returns the file, or `None`."""


def read_inside(root: Path, parts: tuple[str, ...]) -> FileContent | None:
    """Return a file of a folder; `None` if it does not exist, or if a link leads out of the folder.

    Args:
        root: The folder, as an absolute path without links.
        parts: Parts of the path in the folder.
    """
    try:
        path = root.joinpath(*parts).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return None
        return FileContent(path.read_bytes(), path.suffix)
    except (OSError, RuntimeError, ValueError):  # deleted meanwhile, a link to itself, or an invalid name
        return None


class _Handler(BaseHTTPRequestHandler):
    """Answer GET and HEAD requests with the files that the resolver finds."""

    protocol_version = "HTTP/1.1"
    server_version = "torchlurk"
    sys_version = ""
    timeout = 30
    resolver: Resolver

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send the headers that GET would."""
        self._answer(body=False)

    def parse_request(self) -> bool:
        """Parse the request; reject HTTP/0.9, whose responses have no headers."""
        if not super().parse_request():
            return False
        if self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Send a status with the usual headers, and nothing of the request."""
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"
        status = HTTPStatus(code)
        data = f"{status.value} {status.phrase}\n".encode() if self.command == "GET" else b""
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("Content-Type", _TYPES[".txt"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the base class's name
        """Log nothing."""

    def end_headers(self) -> None:
        """Add the headers of every response."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", f"{CSP}; frame-ancestors 'self'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def _answer(self, body: bool) -> None:
        # The body of a request is not read, and must not be taken for the next request.
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True
        parts = _parts(self.path)
        content = type(self).resolver(parts) if parts else None
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        # A digest of the content, not its time, so that a page loads again only what has changed.
        tag = f'"{hashlib.blake2b(content.data, digest_size=16).hexdigest()}"'
        if tag in self.headers.get("If-None-Match", ""):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        try:
            requested = self._requested_range(tag, len(content.data)) if body else None
        except UnsatisfiableRangeError:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{len(content.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, stop = requested or (0, len(content.data))
        self.send_response(HTTPStatus.PARTIAL_CONTENT if requested else HTTPStatus.OK)
        if requested:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content.data)}")
        self.send_header("ETag", tag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", _TYPES.get(content.suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if body:
            self.wfile.write(memoryview(content.data)[start:stop])

    def _requested_range(self, tag: str, size: int) -> tuple[int, int] | None:
        """Return the range of bytes that the request asks for; `None` for the whole file."""
        # A part of this version does not complete what the browser has of another one.
        if self.headers.get("If-Range", tag) != tag:
            return None
        return parse_range(self.headers.get("Range", ""), size)


def _parts(url: str) -> tuple[str, ...] | None:
    """Return the parts of the requested path; `None` if no served file can have it."""
    try:
        name = unquote_to_bytes(urlsplit(url).path).decode("utf-8")
    except ValueError:
        return None
    parts = name.split("/")[1:]
    if not name.startswith("/") or "\0" in name or "\\" in name:
        return None
    if any(part.startswith(".") for part in parts) or "" in parts[:-1]:
        return None
    if parts[-1] == "":
        parts[-1] = "index.html"
    return tuple(parts)


class _Server(ThreadingHTTPServer):
    """Handle each connection in a thread; closing the server also ends those that a browser keeps open."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Accept no more connections, and end the open ones."""
        super().server_close()
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the browser closes, as it does when a visitor leaves the page."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 8000) -> ThreadingHTTPServer:
    """Return a server of one folder; it does not run yet.

    Args:
        folder: The folder.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.

    Raises:
        LurkError: `folder` is not a folder, or the address is not available.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise LurkError(f"{str(folder)!r} is not a folder", "build a site there with torchlurk site")
    return listen(lambda parts: read_inside(root, parts), host, port)


def listen(resolver: Resolver, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server of the files that a function finds; it does not run yet.

    Args:
        resolver: Finds the files.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.

    Raises:
        LurkError: The address is not available.
    """
    if not isinstance(port, int):
        raise LurkError(
            "not an integer", "use a port number, or 0 for any free port", Option("port", repr(port))
        )
    handler = type("Handler", (_Handler,), {"resolver": staticmethod(resolver)})
    try:
        return _Server((host, port), handler)
    except (OSError, OverflowError) as problem:
        raise LurkError(
            f"cannot listen on {host}:{port} ({problem})", ("choose another ", Option("port"))
        ) from problem


@contextmanager
def serve_in_thread(server: ThreadingHTTPServer) -> Iterator[str]:
    """Run a server in a thread within the context, and release its port afterwards.

    Args:
        server: The server.

    Yields:
        Its URL, for a browser on this machine.
    """
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="torchlurk-server", daemon=True)
    thread.start()
    try:
        host = str(server.server_address[0])
        yield f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
