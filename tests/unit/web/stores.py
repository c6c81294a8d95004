"""Stores as far as publishing and serving read them, and requests to a server of them."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from pathlib import Path

from torchlurk.web.live_server import LiveServer


def manifest_of(name: str, **changes: object) -> str:
    """The manifest of the format document's example, under another name."""
    text = next((Path(__file__).parents[3] / "docs").rglob("format.md")).read_text("utf-8")
    example = json.loads(re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1])
    return json.dumps({**example["toy/network.json"], "name": name, "title": name.upper(), **changes})


def make_store(folder: Path, name: str = "toy", **manifest: object) -> Path:
    """A store as far as publishing looks, and some files that do not belong to it."""
    store = folder / name
    files = {
        "network.json": manifest_of(name, **manifest),
        "images.json": "{}",
        "classes.json": "{}",
        "images/0.0123456789ab.bin": "picture",
        "layers/a.json": "{}",
        "circuits/a.json": "{}",
        "pictures/a%20b/0.0123456789ab.bin": "crop",
        "thumbs/a/max_activ-64.0123456789ab.bin": "made",
        # as in format 1
        "images/0.jpg": "old picture",
        "cropped/a%20b/0.jpg": "old crop",
        "shards/0.pt": "not to be published",
        "partial/crops/a/00000-0.block": "nor this",
        "pictures/a%20b/0.0123456789ab.bin.tmp": "nor this",
        "pictures/a%20b/.16.0123456789ab.bin-x.part": "nor this",
        "pictures/a%20b/.16.0123456789ab.bin": "nor this",
        "SHA256SUMS": "nor this",
    }
    for path, text in files.items():
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text(text)
    return store


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


Ask = Callable[..., tuple[int, http.client.HTTPMessage, bytes]]


def asking(server: LiveServer) -> Ask:
    address = server.url.removeprefix("http://").rstrip("/")

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    return ask
