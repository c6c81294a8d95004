"""Format 2 from format 1, as docs/reference/format.md describes it; an own version, for the tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
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
    manifest = read_json(store / "network.json")
    records = {layer["data"]: pack_layer(store, store, layer) for layer in manifest["layers"]}
    records["images.json"] = pack_images(store, store)
    for name, record in {**records, "network.json": {**manifest, "format": 2}}.items():
        (store / name).write_text(json.dumps(record, sort_keys=True), "utf-8")
    for path in store.rglob("*.jpg"):
        path.unlink()
    return store


def pack_images(source: Path, target: Path) -> dict:
    """Write the packs of the images of a store of format 1; return images.json of format 2."""
    images = read_json(source / "images.json")
    packs = write_packs(target, "images/", sorted(map(int, images)), ["image"], 32, _file(source, "images"))
    return {"format": 2, "images": images, "packs": packs}


def pack_layer(source: Path, target: Path, layer: dict, chosen: Collection[str] = KINDS) -> dict:
    """Write the packs of a layer of a store of format 1; return the layer's file of format 2.

    Filters have pictures of the chosen kinds only.
    """
    tiles = read_json(source / "network.json")["tiles"]
    record = read_json(source / layer["data"])
    folder = Path(layer["data"]).stem
    for one in record["filters"]:
        one["pictures"] = [kind for kind in one["pictures"] if kind in chosen]
        one["ascent"] = one["ascent"] if "max_activ" in chosen else None
    filters = {one["channel"]: one for one in record["filters"]}
    files = {kind: _file(source, f"{kind}/{folder}") for kind in KINDS}
    image = _file(source, "images")

    def strip(channel: int, kind: str) -> bytes:
        return files[kind](channel, kind) if kind in filters[channel]["pictures"] else b""

    def small(channel: int, kind: str) -> bytes:
        if kind == "image":
            best = filters[channel]["max"][:1]
            data = image(best[0]["image"], kind) if best else b""
            return thumb(data) if data else b""
        crops = layer["name"] in tiles["cropped"]
        shown = ("cropped_grad" if crops else "max_grads") if kind == "gradient" else kind
        data = strip(channel, shown)
        size = tiles[shown].get(layer["name"])
        return thumb(data, size[1] if size else None) if data else b""

    packs = {
        "pictures": write_packs(target, f"pictures/{folder}/", filters, KINDS, 16, strip),
        "thumbs": [
            pack
            for kind in ("cropped", "gradient", "max_activ", "image")
            for pack in write_packs(target, f"thumbs/{folder}/{kind}-", filters, [kind], 64, small)
        ],
    }
    return {**record, "format": 2, "packs": packs}


def read_json(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def _file(store: Path, folder: str) -> Picture:
    def read(item: int, _: str) -> bytes:
        path = store / folder / f"{item}.jpg"
        return path.read_bytes() if path.is_file() else b""

    return read
