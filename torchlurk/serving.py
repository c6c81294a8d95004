"""A local server of one folder: a built site, and nothing outside it."""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from torchlurk.errors import LurkError
from torchlurk.publish import CSP

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


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with files of one folder."""

    protocol_version = "HTTP/1.1"
    server_version = "torchlurk"
    sys_version = ""
    timeout = 30
    root: Path

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what GET would, without the file."""
        self._answer(body=False)

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
        path = self._find()
        try:
            data = path.read_bytes() if path else None
        except OSError:
            data = None
        if path is None or data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _find(self) -> Path | None:
        """The file that is asked for; None when there is none, or when it is not in the folder."""
        try:
            name = unquote_to_bytes(urlsplit(self.path).path).decode("utf-8")
        except ValueError:
            return None
        parts = name.split("/")[1:]
        if not name.startswith("/") or "\0" in name or "\\" in name:
            return None
        if any(part in (".", "..") or part.startswith(".") for part in parts) or "" in parts[:-1]:
            return None
        if parts[-1] == "":
            parts[-1] = "index.html"
        path = self.root.joinpath(*parts).resolve()
        return path if path.is_relative_to(self.root) and path.is_file() else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

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
    handler = type("Handler", (_Handler,), {"root": root})
    try:
        return _Server((host, port), handler)
    except (OSError, OverflowError) as error:
        raise LurkError(
            f"{host}:{port}: cannot listen there ({error}); choose another with --port"
        ) from error
