"""Stores with a layer of many filters, which repeat those of a real store: what the page is measured with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchlurk.comparing.assemble import NetworkResults, assemble
from torchlurk.comparing.compatibility import open_stores
from torchlurk.comparing.files import write_comparison

Record = dict[str, Any]

PACK_SIZES = {"pictures": 16, "thumbs": 64}
"""Number of filters in a pack, as in docs/reference/format.md."""


def read_json(path: Path) -> Record:
    record: Record = json.loads(path.read_text("utf-8"))
    return record


def layers_of(store: Path) -> list[Record]:
    return list(read_json(store / "network.json")["layers"])


def widened(store: Path, count: int, out: Path) -> Path:
    """Write a store with one layer of `count` filters, which repeats the filters of the widest layer."""
    widest = max(layers_of(store), key=lambda layer: int(layer["channels"]))
    channels = len(read_json(store / widest["data"])["filters"])
    return _rearranged(store, widest, [i % channels for i in range(count)], out)


def compared(wide: Path) -> tuple[Path, Path]:
    """Write the same store with its filters reversed, and the comparison of the two; return both."""
    (layer,) = layers_of(wide)
    count = int(layer["channels"])
    twin = _rearranged(wide, layer, range(count)[::-1], wide.parent / f"{wide.name}-after")
    out = wide.parent / f"{wide.name}-compared"
    out.mkdir()
    write_comparison(assemble(out.name, open_stores([wide, twin]), NetworkResults()), out)
    return twin, out


def _rearranged(store: Path, layer: Record, order: Sequence[int], out: Path) -> Path:
    """Write a store with one layer; its filter `i` is the filter `order[i]` of a layer of another store."""
    count = len(order)
    data = read_json(store / layer["data"])
    filters = [{**data["filters"][old], "channel": new} for new, old in enumerate(order)]
    record = {**data, "channels": count, "filters": filters}
    (out / layer["data"]).parent.mkdir(parents=True)
    if "packs" in data:
        packs = data["packs"]
        record["packs"] = {
            name: _repack(store, packs[name], order, size, out) for name, size in PACK_SIZES.items()
        }
    else:
        _link_pictures(store, Path(layer["data"]).stem, filters, order, out)
    (out / layer["data"]).write_text(json.dumps(record), "utf-8")
    manifest = read_json(store / "network.json")
    wide = {**layer, "channels": count, "shape": [count, *layer["shape"][1:]]}
    # Without what refers to all layers of the store, or to all its filters.
    stages = {name: stage for name, stage in manifest["stages"].items() if name != "circuits"}
    changed = {"name": out.name, "title": out.name, "layers": [wide], "edges": [], "stages": stages}
    changed |= {"expanded": [], "activations": False, "spectra": False}
    (out / "network.json").write_text(json.dumps({**manifest, **changed}), "utf-8")
    os.link(store / "images.json", out / "images.json")
    shutil.copytree(store / "images", out / "images", copy_function=os.link)
    return out


def _link_pictures(store: Path, folder: str, filters: list[Record], order: Sequence[int], out: Path) -> None:
    for one, old in zip(filters, order, strict=True):
        for kind in one["pictures"]:
            target = out / kind / folder / f"{one['channel']}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(store / kind / folder / f"{old}.jpg", target)


def _repack(store: Path, packs: list[Record], order: Sequence[int], size: int, out: Path) -> list[Record]:
    """Write packs of `size` filters each, from packs of the filters that they repeat."""
    written: list[Record] = []
    for kinds in dict.fromkeys(tuple(pack["kinds"]) for pack in packs):
        some = [pack for pack in packs if tuple(pack["kinds"]) == kinds]
        rows = {channel: row for pack in some for channel, row in _rows(store, pack).items()}
        start = re.sub(r"\d+\.[0-9a-f]+\.bin$", "", some[0]["path"])
        for first in range(0, len(order), size):
            block = range(first, min(first + size, len(order)))
            items = [new for new in block if order[new] in rows]
            if not items:
                continue
            content = b"".join(rows[order[new]][1] for new in items)
            path = f"{start}{items[0]}.{hashlib.sha256(content).hexdigest()[:12]}.bin"
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(content)
            lengths = [rows[order[new]][0] for new in items]
            written.append({"path": path, "items": items, "kinds": list(kinds), "lengths": lengths})
    return written


def _rows(store: Path, pack: Record) -> dict[int, tuple[list[int], bytes]]:
    """Return the lengths and the bytes of each item of a pack."""
    content = (store / pack["path"]).read_bytes()
    rows: dict[int, tuple[list[int], bytes]] = {}
    start = 0
    for item, lengths in zip(pack["items"], pack["lengths"], strict=True):
        rows[item] = (lengths, content[start : start + sum(lengths)])
        start += sum(lengths)
    return rows
