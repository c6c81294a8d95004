"""A site of stores of any format, as `torchlurk site` writes it; and servers of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from torchlurk.runtime.resources import site_folder
from torchlurk.store.previews import choose_previews, read_preview_layer
from torchlurk.web.page import STORES_FOLDER, render_page, static_files

from .packed import find_thumb


def publish(folders: list[Path], out: Path) -> None:
    """Write a site of stores and comparisons."""
    source = site_folder()
    names = static_files(source)
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, out / name)
    (out / "index.html").write_text(render_page(source, names), encoding="utf-8")
    networks, comparisons = [], []
    for folder in folders:
        kind = "comparison" if (folder / "comparison.json").is_file() else "network"
        record = json.loads((folder / f"{kind}.json").read_text("utf-8"))
        target = out / STORES_FOLDER / record["name"]
        shutil.copytree(folder, target)
        entry = {"name": record["name"], "title": record["title"], "path": record["name"]}
        (comparisons if kind == "comparison" else networks).append(entry)
        if kind == "network":
            _write_previews(target, record)
    root = out / STORES_FOLDER
    (root / "index.json").write_text(json.dumps({"format": 1, "networks": networks}))
    comparisons.sort(key=lambda entry: entry["name"])
    (root / "comparisons.json").write_text(json.dumps({"format": 1, "comparisons": comparisons}))


def _write_previews(store: Path, manifest: dict) -> None:
    layers, data = {}, b""
    for layer in manifest["layers"]:
        try:
            record = json.loads((store / layer["data"]).read_text("utf-8"))
            chosen = choose_previews(read_preview_layer(store / layer["data"]).filters)
        except ValueError:
            continue
        entries = []
        for one in chosen:
            found = find_thumb(record, one.channel)
            place = None
            if found:
                with (store / found["path"]).open("rb") as file:
                    file.seek(found["offset"])
                    part = file.read(found["length"])
                place = {"path": "previews.bin", "offset": len(data), "length": len(part)}
                data += part
            entry = {"channel": one.channel, "image": one.image, "position": one.position, "box": one.box}
            entries.append({**entry, "thumb": place} if manifest["format"] == 2 else entry)
        layers[layer["name"]] = entries
    (store / "previews.json").write_text(json.dumps({"format": manifest["format"], "layers": layers}))
    if data:
        (store / "previews.bin").write_bytes(data)


class RangeHandler(SimpleHTTPRequestHandler):
    """Answers requests for a range of bytes, which the base class does not."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        if start >= end:
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(data[start:end])


class PlainHandler(SimpleHTTPRequestHandler):
    """Python's own server, which sends whole files only."""

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing of a browser that has closed its connection."""


@contextmanager
def serve_with(handler: type[SimpleHTTPRequestHandler], folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its URL."""
    server = _Server(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
