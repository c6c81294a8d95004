"""A few filters of each layer with their best image: what a page shows before it opens a layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from torchlurk.store.schema import FORMAT, Manifest, Preview, Previews

PREVIEWS = "previews.json"
"""The file in a site, beside a store's own."""

PREVIEWS_PER_LAYER = 8
"""How many filters of a layer."""


class PreviewImage(msgspec.Struct, frozen=True):
    """Of an entry of `max`, only what is wanted here."""

    image: int
    position: tuple[int, int]
    box: tuple[int, int, int, int]


class PreviewFilter(msgspec.Struct, frozen=True):
    """Of a filter, only what is wanted here."""

    channel: int
    pictures: list[str]
    max: list[PreviewImage] = []


class PreviewLayer(msgspec.Struct, frozen=True):
    """Of a layer's file, only what is wanted here: they are large."""

    filters: list[PreviewFilter]


def read_preview_layer(path: Path) -> PreviewLayer:
    """What a layer's file says of its filters, in so far as it is wanted here.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is not the file of a layer.
        UnicodeDecodeError, RecursionError: likewise.
    """
    return msgspec.json.decode(path.read_bytes(), type=PreviewLayer)


def choose_previews(filters: Sequence[PreviewFilter], most: int = PREVIEWS_PER_LAYER) -> list[Preview]:
    """Filters spread evenly over a layer's channels, without those that no image is known of."""
    count = min(most, len(filters))
    chosen = (filters[i * len(filters) // count] for i in range(count))
    return [
        Preview(channel=one.channel, image=best.image, position=best.position, box=best.box)
        for one in chosen
        for best in one.max[:1]
    ]


def make_previews(store: Path, manifest: Manifest) -> Previews:
    """A few filters of all layers of a store; layers whose file is missing or damaged are left out."""
    layers: dict[str, list[Preview]] = {}
    for layer in manifest.layers:
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            layers[layer.name] = choose_previews(read_preview_layer(store / layer.data).filters)
    return Previews(format=FORMAT, layers=layers)
