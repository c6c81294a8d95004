"""The pictures of a store, read as docs/reference/format.md says, without the package."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Place:
    """A range of bytes of a file."""

    path: Path
    start: int
    length: int

    def read(self) -> bytes:
        data = self.path.read_bytes()[self.start : self.start + self.length]
        assert len(data) == self.length
        return data

    def spoil(self) -> None:
        """Overwrite the bytes in place, so that they are no picture any more."""
        data = bytearray(self.path.read_bytes())
        data[self.start : self.start + self.length] = b"no picture".ljust(self.length, b".")[: self.length]
        self.path.write_bytes(data)


def places_in(store: Path, pack: dict[str, Any]) -> Iterator[tuple[int, str, Place]]:
    """Yield item, kind and place of the pictures of a pack: the offset is the running sum of the lengths."""
    offset = 0
    for item, row in zip(pack["items"], pack["lengths"], strict=True):
        for kind, length in zip(pack["kinds"], row, strict=True):
            if length:
                yield item, kind, Place(store / pack["path"], offset, length)
            offset += length


def places(store: Path) -> dict[str, Place]:
    """Return the pictures of a store of format 2 by the names of their files in format 1; with thumbs.

    The thumb `cropped` of filter 3 of layer `stem` is `thumbs/cropped/stem/3.jpg`.
    """
    found: dict[str, Place] = {}
    for layer in json.loads((store / "network.json").read_text())["layers"]:
        name = Path(layer["data"]).stem
        packs = json.loads((store / layer["data"]).read_text())["packs"]
        for kind_of_pack, prefix in (("pictures", ""), ("thumbs", "thumbs/")):
            for pack in packs[kind_of_pack]:
                for channel, kind, place in places_in(store, pack):
                    found[f"{prefix}{kind}/{name}/{channel}.jpg"] = place
    for pack in json.loads((store / "images.json").read_text())["packs"]:
        for image, _, place in places_in(store, pack):
            found[f"images/{image}.jpg"] = place
    return found


def unpacked(store: Path) -> dict[str, bytes]:
    """Return the JPEG files of a store of format 2, by the names that `places` gives them."""
    contents: dict[Path, bytes] = {}
    result: dict[str, bytes] = {}
    for name, place in places(store).items():
        data = contents.setdefault(place.path, b"") or place.path.read_bytes()
        contents[place.path] = data
        result[name] = data[place.start : place.start + place.length]
    return result


def picture(store: Path, name: str) -> Image.Image:
    """Return a picture of a store of format 2, by the name that `places` gives it."""
    with Image.open(io.BytesIO(places(store)[name].read())) as image:
        image.load()
        return image.copy()
