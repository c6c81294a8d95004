"""The units whose contributions are averaged, and their images, in shards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.circuits.contributions import Units, strongest_units
from torchlurk.pipeline.preload import preload_images
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.pipeline.stages.scan_shards import load_batches
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.store.schema import Filter, LayerFile

_TOP_SHARD_SIZE = 64
"""Largest number of images in a shard for the units of lists: their contributions are in memory together."""

_MAX_SHARDS = 256
"""Largest number of shards for all images: each holds the sums of all layers."""


@dataclass(frozen=True)
class ImageBatch:
    """Images that run together.

    Attributes:
        shard: Number of their shard.
        images: Their ids, ascending.
        x: `(N, C, H, W)`, the images as the network's input.
        skipped: Number of images that could not be read, and are not among them.
    """

    shard: int
    images: tuple[int, ...]
    x: Tensor
    skipped: int = 0

    def part(self, rows: slice) -> ImageBatch:
        """Return the batch of some of the images."""
        return ImageBatch(self.shard, self.images[rows], self.x[rows])


@dataclass(frozen=True)
class UnitSelection:
    """Which units to average over.

    Attributes:
        images: Ids of the images, ascending.
        shard_size: Images per shard.
        load: Yields the batches of some shards, one shard after the other.
        find: Returns the units in a batch, by layer; layers without units are left out.
    """

    images: Sequence[int]
    shard_size: int
    load: Callable[[Sequence[int]], Generator[ImageBatch, None, None]]
    find: Callable[[ImageBatch], Mapping[str, Units]]


def listed_units(context: RunContext, files: Mapping[str, LayerFile]) -> UnitSelection:
    """Select the units of the `max` lists of all filters.

    Args:
        context: The run.
        files: The layers' files, by layer.
    """
    tables = {
        name: _unit_table(file.filters)
        for name, file in files.items()
        if any(entry.max for entry in file.filters)
    }
    images = sorted({image for table in tables.values() for image in table[:, 0].tolist()})
    shard_size = min(context.config.scan.shard_size, _TOP_SHARD_SIZE)

    def load(shards: Sequence[int]) -> Generator[ImageBatch, None, None]:
        by_shard = {number: images[number * shard_size :][:shard_size] for number in shards}
        preload_images(context, (image for ids in by_shard.values() for image in ids))
        for number, ids in by_shard.items():
            for start in range(0, len(ids), context.config.scan.batch_size):
                batch = tuple(ids[start : start + context.config.scan.batch_size])
                yield ImageBatch(number, batch, torch.stack(context.source.inputs(batch)))

    def find(batch: ImageBatch) -> dict[str, Units]:
        ids = torch.tensor(batch.images)
        found: dict[str, Units] = {}
        for name, table in tables.items():
            # Both are sorted, and no image of another batch lies between those of this one.
            start, stop = torch.searchsorted(table[:, 0].contiguous(), ids[[0, -1]] + torch.tensor([0, 1]))
            rows = table[start:stop]
            if len(rows):
                columns = (torch.searchsorted(ids, rows[:, 0].contiguous()), *rows[:, 1:].unbind(1))
                found[name] = Units(*columns)
        return found

    return UnitSelection(images, shard_size, load, find)


def _unit_table(filters: Sequence[Filter]) -> Tensor:
    """Return the units of lists as rows `(image, channel, row, column)`, sorted."""
    rows = sorted((e.image, entry.channel, *e.position) for entry in filters for e in entry.max)
    return torch.tensor(rows, dtype=torch.int64)


def all_units(context: RunContext) -> UnitSelection:
    """Select the strongest unit of every filter in every image."""
    images = range(len(context.images.paths))
    shard_size = max(context.config.scan.shard_size, -(-len(images) // _MAX_SHARDS))
    device = context.source.device

    def load(shards: Sequence[int]) -> Generator[ImageBatch, None, None]:
        with closing(load_batches(context, images, shards, shard_size)) as loaded:
            for batch in loaded:
                pixels = copy_to_device(batch.pixels, device)
                x = context.network.preprocess.to_input(pixels)
                yield ImageBatch(batch.shard, batch.indices, x, len(batch.skipped))

    def find(batch: ImageBatch) -> Mapping[str, Units]:
        return strongest_units(context.runner, context.graph.layers, batch.x)

    return UnitSelection(images, shard_size, load, find)
