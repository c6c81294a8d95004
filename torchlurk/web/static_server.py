"""A local server of one folder, or of what a function finds, and nothing outside it."""

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

from torchlurk.errors import LurkError
from torchlurk.web.publish import CSP

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
    """What is sent.

    Attributes:
        data: all of it.
        suffix: of the file that it is, which says its kind.
    """

    data: bytes
    suffix: str


Resolver = Callable[[tuple[str, ...]], FileContent | None]
"""Takes the parts of a path, none of which is empty, hidden or `..`; gives what lies there, if anything."""


def read_inside(root: Path, parts: tuple[str, ...]) -> FileContent | None:
    """A file of a folder; `None` when there is none, or when a link leads out of the folder.

    Args:
        root: the folder, resolved.
        parts: of the path in it.
    """
    try:
        path = root.joinpath(*parts).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return None
        return FileContent(path.read_bytes(), path.suffix)
    except (OSError, RuntimeError, ValueError):  # gone, or a link to itself, or no name at all
        return None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with what is found."""

    protocol_version = "HTTP/1.1"
    server_version = "torchlurk"
    sys_version = ""
    timeout = 30
    look: Resolver

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what GET would, without the file."""
        self._answer(body=False)

    def parse_request(self) -> bool:
        """Read the request; one of HTTP/0.9, whose answers have no headers, is refused."""
        if not super().parse_request():
            return False
        if self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Send a status with the headers of all answers; nothing of the request comes back."""
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
        """Stay quiet."""

    def end_headers(self) -> None:
        """Add the headers that every answer has."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", f"{CSP}; frame-ancestors 'self'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def _answer(self, body: bool) -> None:
        # What comes with a request is not read, and must not be taken for the next one.
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True
        parts = _parts(self.path)
        found = type(self).look(parts) if parts else None
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        # Of the bytes and not of the file's time, so that a page asks again for what has changed alone.
        tag = f'"{hashlib.blake2b(found.data, digest_size=16).hexdigest()}"'
        if tag in self.headers.get("If-None-Match", ""):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("ETag", tag)
        self.send_header("Content-Type", _TYPES.get(found.suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(len(found.data)))
        self.end_headers()
        if body:
            self.wfile.write(found.data)


def _parts(url: str) -> tuple[str, ...] | None:
    """The parts of the path that is asked for; `None` if it is one that no file of ours can have."""
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
    """Answers each connection in a thread; closed, it ends those that a browser keeps open too."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer, in a thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Take no more connections, and end those that there are."""
        super().server_close()
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a browser hangs up, as it does when a visitor moves on."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 8000) -> ThreadingHTTPServer:
    """A server of one folder, not yet running; port 0 takes any free one.

    Raises:
        LurkError: `folder` is no folder, or the address cannot be had.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise LurkError(f"{folder}: is no folder; build a site there with `torchlurk site`")
    return listen(lambda parts: read_inside(root, parts), host, port)


def listen(look: Resolver, host: str, port: int) -> ThreadingHTTPServer:
    """A server of what `look` finds, not yet running.

    Raises:
        LurkError: the address cannot be had.
    """
    if not isinstance(port, int):
        raise LurkError(f"port={port!r}: give a number, 0 for any that is free")
    handler = type("Handler", (_Handler,), {"look": staticmethod(look)})
    try:
        return _Server((host, port), handler)
    except (OSError, OverflowError) as error:
        raise LurkError(f"{host}:{port}: cannot listen there ({error}); choose another --port") from error


@contextmanager
def serve_in_thread(server: ThreadingHTTPServer) -> Iterator[str]:
    """Answer from a thread of its own until the context ends, then give the port back.

    Args:
        server: not yet running.

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
