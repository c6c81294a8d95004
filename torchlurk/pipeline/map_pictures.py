"""Pictures of the gradients of feature maps, for all blocks of a run.

A forward pass is half of the cost of such a gradient. So the entries of the top lists that name the same
image share one, also entries of later blocks and of the next layers; their tiles wait in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from torchlurk.attribution import gradients
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.graph import Layer
from torchlurk.models.runner import Runnable, as_runner
from torchlurk.pipeline.image_source import ImageSource
from torchlurk.pipeline.rendering import DrawnTiles, draw_tiles
from torchlurk.runtime.devices import BatchLimiter, images_at_once, retry_on_oom
from torchlurk.runtime.jpeg import Pixels
from torchlurk.runtime.pictures import tile_size
from torchlurk.runtime.transfer import ahead, batches_in_flight
from torchlurk.store.schema import Filter

_Entry = tuple[str, int, int]
"""An entry of a top list: a layer, a channel, and the rank in its list."""

_MAPS_PER_FORWARD = 8
"""Entries of an image that share a forward pass in a batch of several images."""


def tiles_in_memory(device: torch.device) -> int:
    """Return the number of pictures that may wait in memory for others of their block.

    Those of 112 x 112 pixels take 230 MB; on CUDA, where the images are in memory too, 900 MB. An
    interruption loses the pictures whose block is not finished: for VGG16, up to seven minutes of work on two
    cores, and a quarter of a minute on a GPU.
    """
    return 6144 if device.type != "cuda" else 24_576


class MapPictures:
    """Draws the gradients of the `avg` entries of filters, block by block.

    The tiles are those of each block computed alone.
    """

    def __init__(
        self,
        model: Runnable,
        source: ImageSource,
        rule: ReluRule,
        limiter: BatchLimiter,
        blocks: Sequence[tuple[Layer, Sequence[Filter]]],
        *,
        bfloat16: bool = False,
    ) -> None:
        """Find out which entries share forward passes; nothing is computed yet.

        Args:
            model: The network, isolated.
            source: Loads the images.
            rule: Rule for the backward pass of ReLUs.
            limiter: Limits the images in one forward pass.
            blocks: The filters of all blocks that are going to be drawn, with their layers, in their order.
            bfloat16: Whether the backward pass of convolutions is computed in bfloat16.
        """
        self._model = model
        self._source = source
        self._rule = rule
        self._limiter = limiter
        self._bfloat16 = bfloat16
        self._at_once = 1 if as_runner(model).one_by_one else images_at_once(source.device)
        self._size = tile_size(source.shape[1:])  # a tile shows the whole input
        layers = dict.fromkeys(layer.name for layer, _ in blocks)
        self._depths = {name: depth for depth, name in enumerate(layers)}
        groups = _group_blocks(blocks, tiles_in_memory(source.device))
        self._group_of: dict[tuple[str, int], int] = {}
        self._pending: dict[tuple[int, int], list[_Entry]] = {}
        for (layer, filters), group in zip(blocks, groups, strict=True):
            self._group_of[_block_key(layer, filters)] = group
            for image, entry in _entries(layer, filters):
                self._pending.setdefault((group, image), []).append(entry)
        self._tiles: dict[_Entry, Pixels] = {}

    def draw(self, layer: Layer, filters: Sequence[Filter]) -> Iterator[tuple[int, list[Pixels]]]:
        """Yield the channel of each filter of a block, and the tiles of its entries, when all are drawn.

        Args:
            layer: The layer of the block.
            filters: The filters of the block, as in `blocks`; each is drawn once.
        """
        remaining = {
            entry.channel: {(layer.name, entry.channel, rank) for rank in range(len(entry.avg))}
            for entry in filters
            if entry.avg
        }
        group = self._group_of[_block_key(layer, filters)]
        # In the filters' order, so that those of a block are finished one after the other.
        images = dict.fromkeys(image for image, _ in _entries(layer, filters))
        parts = [
            _SharedForward(i, self._pending.pop((group, i))) for i in images if (group, i) in self._pending
        ]
        started = (self._start(batch) for batch in _batches(parts, self._at_once, self._depths))
        finished = ahead(started, batches_in_flight(self._source.device))
        for drawn in chain([[]], finished):
            for tiles in drawn:
                self._tiles |= tiles.fetch()
            for channel in [c for c, entries in remaining.items() if entries <= self._tiles.keys()]:
                yield channel, [self._tiles.pop(entry) for entry in sorted(remaining.pop(channel))]

    def _start(self, batch: Sequence[_SharedForward]) -> list[DrawnTiles[_Entry]]:
        """Start to draw all entries of some images, in as many parts as the memory requires."""

        def attempt(limit: int) -> list[DrawnTiles[_Entry]]:
            parts = (batch[start : start + limit] for start in range(0, len(batch), limit))
            return [drawn for part in parts for drawn in self._start_together(part)]

        return retry_on_oom(self._limiter, len(batch), attempt)

    def _start_together(self, batch: Sequence[_SharedForward]) -> Iterator[DrawnTiles[_Entry]]:
        images = torch.stack(self._source.inputs([one.image for one in batch]))
        maps = [[(layer, channel) for layer, channel, _ in one.entries] for one in batch]
        found = gradients.gradients_of_maps(self._model, images, maps, self._rule, bfloat16=self._bfloat16)
        for position, of_position in enumerate(found):
            entries = [one.entries[position] for one in batch if len(one.entries) > position]
            yield draw_tiles(self._source, dict(zip(entries, of_position, strict=True)), self._size)


@dataclass(frozen=True)
class _SharedForward:
    """Entries of top lists that name the same image, and share a forward pass."""

    image: int
    entries: Sequence[_Entry]


def _entries(layer: Layer, filters: Sequence[Filter]) -> Iterator[tuple[int, _Entry]]:
    """Yield the `avg` entries of some filters, each with its image."""
    for entry in filters:
        for rank, e in enumerate(entry.avg):
            yield e.image, (layer.name, entry.channel, rank)


def _block_key(layer: Layer, filters: Sequence[Filter]) -> tuple[str, int]:
    """Return what identifies a block: its layer and its first channel."""
    return layer.name, filters[0].channel


def _group_blocks(blocks: Sequence[tuple[Layer, Sequence[Filter]]], capacity: int) -> list[int]:
    """Return the number of the group of each block; consecutive blocks of a group share forward passes.

    Args:
        blocks: The blocks, in their order.
        capacity: The largest number of entries in a group of several blocks.
    """
    groups: list[int] = []
    held = 0
    for _, filters in blocks:
        count = sum(len(entry.avg) for entry in filters)
        if not groups:
            groups.append(0)
        elif held + count > capacity:
            groups.append(groups[-1] + 1)
            held = 0
        else:
            groups.append(groups[-1])
        held += count
    return groups


def _batches(
    parts: Sequence[_SharedForward], at_once: int, depths: Mapping[str, int]
) -> Iterator[Sequence[_SharedForward]]:
    """Yield the images that share a batch; a batch of one image has all its entries.

    Each image of a batch takes part in as many backward passes as the one with most entries, and in a forward
    pass as far as the deepest layer. So an image with many entries is in a batch several times, and images
    with equally many, in equally deep layers, are together.

    Args:
        parts: The images, with their entries from shallow to deep layers.
        at_once: Number of images in a batch.
        depths: The positions of the layers in their order.
    """
    if at_once == 1:
        yield from ([part] for part in parts)
        return
    divided = [
        _SharedForward(part.image, part.entries[start : start + _MAPS_PER_FORWARD])
        for part in parts
        for start in range(0, len(part.entries), _MAPS_PER_FORWARD)
    ]
    divided.sort(key=lambda part: (-len(part.entries), depths[part.entries[-1][0]]))
    yield from (divided[start : start + at_once] for start in range(0, len(divided), at_once))
