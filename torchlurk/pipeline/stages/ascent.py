"""Filter images: the inputs that maximise a filter's activation, found by gradient ascent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import torch

from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.ascent.optimise import AscentParams, AscentResult, ascend, supported_canvas_size
from torchlurk.ascent.transforms import Jitter
from torchlurk.graph import Layer
from torchlurk.pipeline import rendering
from torchlurk.pipeline.config import config_to_record
from torchlurk.pipeline.encoding import FilterResult
from torchlurk.pipeline.rendering import Ascend, AscentPicture
from torchlurk.pipeline.stages.blocks import Advance, Block, run_blocks
from torchlurk.pipeline.stages.context import (
    RunContext,
    delete_pictures,
    has_requested_pictures,
    missing,
    read_layer_files,
    requested_channels,
)
from torchlurk.runtime.devices import BatchLimiter, ascent_block, retry_on_oom
from torchlurk.runtime.jpeg import PixelSize
from torchlurk.store import schema
from torchlurk.store.schema import Filter, Manifest

TASKS: tuple[str, ...] = ("ascent",)
"""Names of the partial results of the stage."""

_FULL_JITTER_SIZE = 48
"""Short side in pixels from which an image gets the full jitter."""


def run(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the images of the requested filters that have none.

    Returns:
        The manifest with the sizes of the images; it is not written yet.
    """
    config = context.config.ascent
    channels = requested_channels(context)
    image_sizes = _image_sizes(context, manifest)
    strategy = _naive(context) if config.strategy == "naive" else _fourier(context, image_sizes)
    ranking = OBJECTIVES[config.objective].ranking
    ascend_in_parts = _split_on_oom(context.limiter, strategy)

    def compute(block: Block, advance: Advance) -> Iterator[FilterResult]:
        fetch = rendering.ascent_pictures(
            block.layer,
            block.filters,
            block.requested,
            ascend_in_parts,
            context.source,
            config.seed,
            lambda entry: _best_score(entry, ranking),
        )
        return _results(block, fetch, advance)

    run_blocks(
        context,
        manifest,
        TASKS[0],
        [config_to_record(config), image_sizes],
        lambda files: missing(channels, files, "max_activ"),
        lambda _: compute,
        size=_block_sizes(context, image_sizes),
    )
    # Sizes for all layers: an earlier run may have been interrupted before it wrote them.
    tiles = msgspec.structs.replace(manifest.tiles, max_activ=image_sizes)
    return msgspec.structs.replace(manifest, tiles=tiles)


def _results(
    block: Block, fetch: Callable[[], Iterator[AscentPicture]], advance: Advance
) -> Iterator[FilterResult]:
    """Yield the results of a block that the device may still be computing."""
    by_channel = {entry.channel: entry for entry in block.filters}
    for result in fetch():
        record = schema.Ascent(
            score=schema.round_float32(result.score),
            ratio=None if result.ratio is None else schema.round_float32(result.ratio),
            found=result.found,
        )
        advance(1)
        entry = msgspec.structs.replace(by_channel[result.channel], ascent=record)
        yield FilterResult(entry, {"max_activ": [result.picture]})


def _block_sizes(context: RunContext, image_sizes: Mapping[str, PixelSize]) -> int | dict[str, int]:
    """Return the number of filters in a block, by layer if the layers differ."""
    batch, (_, *size) = context.config.ascent.batch_size, context.source.shape
    whole = size[0], size[1]
    sizes = {
        name: ascent_block(context.source.device, batch, own, whole) for name, own in image_sizes.items()
    }
    return batch if set(sizes.values()) == {batch} else sizes


def is_complete(context: RunContext, manifest: Manifest) -> bool:
    """Return whether all requested filters have an image."""
    return has_requested_pictures(context, read_layer_files(context, manifest), "ascent")


def delete_results(context: RunContext, manifest: Manifest) -> None:
    """Delete the images of all filters."""
    delete_pictures(context, manifest, "ascent")


def _best_score(entry: Filter, ranking: Literal["max", "avg"] | None) -> float:
    """Return the highest value of the objective on an image of the data set; 0 if no top list ranks by it."""
    return getattr(entry, ranking)[0].score if ranking else 0.0


def jitter_for_size(jitter: Jitter, size: PixelSize) -> Jitter:
    """Return the jitter for images of a size: small ones are shifted less, as their patterns would blur.

    Args:
        jitter: The jitter for large images.
        size: Height and width of the images, in pixels.
    """
    return dataclasses.replace(jitter, shift=jitter.shift * min(1.0, min(size) / _FULL_JITTER_SIZE))


def _split_on_oom(limiter: BatchLimiter, ascend_all: Ascend) -> Ascend:
    """Return a function that splits its filters into parts if they do not fit into memory together."""

    def ascend_in_parts(
        layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]
    ) -> AscentResult:
        states = [generator.get_state() for generator in generators]

        def attempt(limit: int) -> list[AscentResult]:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            starts = range(0, len(channels), limit)
            return [ascend_all(layer, channels[i : i + limit], generators[i : i + limit]) for i in starts]

        parts = retry_on_oom(limiter, len(channels), attempt)
        return AscentResult(torch.cat([p.images for p in parts]), torch.cat([p.scores for p in parts]))

    return ascend_in_parts


def _image_sizes(context: RunContext, manifest: Manifest) -> dict[str, PixelSize]:
    """Return height and width of the images of each layer; those of a layer that has images are kept."""
    depth, height, width = context.source.shape
    if context.config.ascent.strategy == "naive":
        return {layer.name: (height, width) for layer in context.graph.layers}
    files = read_layer_files(context, manifest)
    return {
        layer.name: manifest.tiles.max_activ[layer.name]
        if any("max_activ" in entry.pictures for entry in files[layer.name].filters)
        else supported_canvas_size(context.runner, layer.name, layer.field, (height, width), depth)
        for layer in context.graph.layers
    }


def _fourier(context: RunContext, image_sizes: Mapping[str, PixelSize]) -> Ascend:
    """Return the ascent in Fourier space (Olah et al. 2017), with images of these sizes by layer."""
    preprocess = context.network.preprocess
    config = context.config.ascent
    params = AscentParams(
        steps=config.steps, resolutions=config.resolutions, bfloat16=config.precision == "bfloat16"
    )
    depth = context.source.shape[0]
    objective = OBJECTIVES[config.objective].score

    def ascend_fourier(
        layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]
    ) -> AscentResult:
        size = image_sizes[layer.name]
        sized = dataclasses.replace(params, jitter=jitter_for_size(Jitter(), size))
        return ascend(
            context.runner,
            layer.name,
            channels,
            size,
            preprocess.normalise,
            objective,
            sized,
            generators,
            depth=depth,
        )

    return ascend_fourier


def _naive(context: RunContext) -> Ascend:
    """Return the ascent on plain pixels (Erhan et al. 2009)."""
    preprocess = context.network.preprocess
    depth, height, width = context.source.shape
    objective = OBJECTIVES[context.config.ascent.objective].score

    def ascend_naive(
        layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]
    ) -> AscentResult:
        return naive_ascend(
            context.runner, layer.name, channels, (height, width), preprocess.normalise,
            preprocess.denormalise, objective, generators, depth=depth,
        )  # fmt: skip

    return ascend_naive
