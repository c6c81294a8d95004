"""Format 2 from format 1, as docs/reference/format.md describes it; an own version, for the tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image

KINDS = ("cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ")
"""The kinds of pictures of a filter, in the order of a pack."""

THUMB = 80
"""The longest side of a thumb."""

Picture = Callable[[int, str], bytes]
"""Returns the picture of an item of a kind; empty if there is none."""


def write_packs(
    store: Path, name: str, items: Iterable[int], kinds: Iterable[str], size: int, picture: Picture
) -> list[dict]:
    """Write pictures as files of `size` items each, and return their records.

    `name` is the start of the files' names, to which the first item and the digest are appended.
    """
    items, kinds, packs = list(items), list(kinds), []
    for at in range(0, len(items), size):
        some = items[at : at + size]
        rows = [[picture(item, kind) for kind in kinds] for item in some]
        data = b"".join(b"".join(row) for row in rows)
        if data:
            path = f"{name}{some[0]}.{hashlib.sha256(data).hexdigest()[:12]}.bin"
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            (store / path).write_bytes(data)
            lengths = [[len(part) for part in row] for row in rows]
            packs.append({"path": path, "items": some, "kinds": kinds, "lengths": lengths})
    return packs


def thumb(data: bytes, width: int | None = None) -> bytes:
    """Return a small picture of the first tile, `width` pixels wide, of a strip, or of a whole picture."""
    with Image.open(BytesIO(data)) as image:
        tile = image.crop((0, 0, width or image.width, image.height)).convert("RGB")
    tile.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    tile.save(buffer, "JPEG", quality=78)
    return buffer.getvalue()


def pack_store(store: Path) -> Path:
    """Turn a store of format 1 into one of format 2, in place, and return it."""
    manifest = json.loads((store / "network.json").read_text("utf-8"))
    images = json.loads((store / "images.json").read_text("utf-8"))
    for layer in manifest["layers"]:
        _pack_layer(store, manifest, layer)
    whole = write_packs(store, "images/", sorted(map(int, images)), ["image"], 32, _file(store, "images"))
    _write(store / "images.json", {"format": 2, "images": images, "packs": whole})
    _write(store / "network.json", {**manifest, "format": 2})
    for path in store.rglob("*.jpg"):
        path.unlink()
    return store


def _pack_layer(store: Path, manifest: dict, layer: dict) -> None:
    path = store / layer["data"]
    folder = path.stem
    record = json.loads(path.read_text("utf-8"))
    filters = {one["channel"]: one for one in record["filters"]}
    named = {kind: _file(store, f"{kind}/{folder}") for kind in KINDS}

    def strip(channel: int, kind: str) -> bytes:
        return named[kind](channel, kind) if kind in filters[channel]["pictures"] else b""

    def small(channel: int, kind: str) -> bytes:
        one = filters[channel]
        if kind == "image":
            best = one["max"][:1]
            data = _file(store, "images")(best[0]["image"], kind) if best else b""
            return thumb(data) if data else b""
        crops = layer["name"] in manifest["tiles"]["cropped"]
        source = ("cropped_grad" if crops else "max_grads") if kind == "gradient" else kind
        data = strip(channel, source)
        size = manifest["tiles"][source].get(layer["name"])
        return thumb(data, size[1] if size else None) if data else b""

    pictures = write_packs(store, f"pictures/{folder}/", filters, KINDS, 16, strip)
    thumbs = [
        pack
        for kind in ("cropped", "gradient", "max_activ", "image")
        for pack in write_packs(store, f"thumbs/{folder}/{kind}-", filters, [kind], 64, small)
    ]
    _write(path, {**record, "format": 2, "packs": {"pictures": pictures, "thumbs": thumbs}})


def _file(store: Path, folder: str) -> Picture:
    def read(item: int, _: str) -> bytes:
        path = store / folder / f"{item}.jpg"
        return path.read_bytes() if path.is_file() else b""

    return read


def _write(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, sort_keys=True), "utf-8")


def find_thumb(record: dict, channel: int) -> dict | None:
    """Return where the thumb of a filter's best crop is, or of its best image; `None` if there is none."""
    for kind in ("cropped", "image"):
        for pack in record.get("packs", {}).get("thumbs", []):
            if pack["kinds"] == [kind] and channel in pack["items"]:
                row = pack["items"].index(channel)
                lengths = [length for (length,) in pack["lengths"]]
                if lengths[row]:
                    return {"path": pack["path"], "offset": sum(lengths[:row]), "length": lengths[row]}
    return None
