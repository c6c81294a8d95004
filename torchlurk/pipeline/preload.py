"""Decode the images of a stage in several processes before it begins.

A run that scans keeps what it decodes. One that computes only pictures, on a GPU, would wait for each image
to be decoded in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from torchlurk.datasets.batches import batches
from torchlurk.pipeline.stages.context import (
    REQUIRED_PICTURES,
    RunContext,
    missing,
    read_layer_files,
    requested_channels,
)
from torchlurk.store import schema
from torchlurk.store.schema import Manifest

_BATCH_SIZE = 32


def images_without_pictures(context: RunContext, manifest: Manifest, stage: str) -> Iterator[int]:
    """Yield the ids of the images, some several times, of the filters that lack pictures of a stage.

    Args:
        context: The run.
        manifest: The manifest of the store.
        stage: Name of the stage.
    """
    files, channels = read_layer_files(context, manifest), requested_channels(context)
    for kind in REQUIRED_PICTURES[stage]:
        for layer, numbers in missing(channels, files, kind).items():
            for channel in numbers:
                yield from schema.referenced_images(files[layer].filters[channel])


def preload_images(context: RunContext, needed: Iterable[int]) -> None:
    """Decode images while there is room in memory.

    With fewer than two decoding processes nothing would be gained, so nothing is done.

    Args:
        context: The run.
        needed: Ids of the images.
    """
    if context.config.workers < 2 or context.network.preprocess.resize_crop is None:
        return
    images = sorted(set(needed) - context.source.in_memory())
    if not images:
        return
    folder, workers = context.images.take(images), context.config.workers
    with (
        context.reporter.bar("decoding", len(images), "image") as advance,
        closing(
            batches(folder, context.network.preprocess, batch_size=_BATCH_SIZE, workers=workers)
        ) as decoded,
    ):
        for batch in decoded:
            if not context.source.remember([images[index] for index in batch.indices], batch.pixels):
                return
            advance(len(batch.indices) + len(batch.skipped))
