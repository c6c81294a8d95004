"""Previews: a few filters of each layer with their best image, which a page shows before it loads a layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from torchlurk.store.schema import FORMAT, Manifest, Preview, Previews

PREVIEWS = "previews.json"
"""Name of the file in a site, beside the files of a store."""

PREVIEWS_PER_LAYER = 8
"""Largest number of filters of a layer."""


class PreviewImage(msgspec.Struct, frozen=True):
    """The part of a `MaxEntry` that previews need."""

    image: int
    position: tuple[int, int]
    box: tuple[int, int, int, int]


class PreviewFilter(msgspec.Struct, frozen=True):
    """The part of a `Filter` that previews need."""

    channel: int
    pictures: list[str]
    max: list[PreviewImage] = msgspec.field(default_factory=list)


class PreviewLayer(msgspec.Struct, frozen=True):
    """The part of a `LayerFile` that previews need; the files are large, and decoding all is slow."""

    filters: list[PreviewFilter]


def read_preview_layer(path: Path) -> PreviewLayer:
    """Read what previews need of a layer's file.

    Raises:
        OSError: The file cannot be read.
        msgspec.DecodeError: It is not the file of a layer.
        UnicodeDecodeError: It is not UTF-8.
        RecursionError: It is nested too deeply.
    """
    return msgspec.json.decode(path.read_bytes(), type=PreviewLayer)


def choose_previews(filters: Sequence[PreviewFilter], limit: int = PREVIEWS_PER_LAYER) -> list[Preview]:
    """Return the best image of filters that are spread evenly over the channels.

    Args:
        filters: All filters of a layer.
        limit: Largest number of filters. Those without images are left out.
    """
    count = min(limit, len(filters))
    chosen = (filters[i * len(filters) // count] for i in range(count))
    return [
        Preview(channel=entry.channel, image=best.image, position=best.position, box=best.box)
        for entry in chosen
        for best in entry.max[:1]
    ]


def make_previews(store: Path, manifest: Manifest) -> Previews:
    """Return the previews of all layers of a store, without layers whose file is missing or damaged."""
    layers: dict[str, list[Preview]] = {}
    for layer in manifest.layers:
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            layers[layer.name] = choose_previews(read_preview_layer(store / layer.data).filters)
    return Previews(format=FORMAT, layers=layers)
