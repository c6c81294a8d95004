"""The images that gradient ascent finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
import torch
from torch import Tensor

from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.ascent.optimise import AscentParams, AscentResult, ascend, supported_canvas_size
from torchlurk.ascent.transforms import Jitter
from torchlurk.graph import Layer
from torchlurk.pipeline import rendering
from torchlurk.pipeline.config import config_to_record
from torchlurk.pipeline.rendering import Ascend
from torchlurk.pipeline.stages.blocks import Advance, Block, by_blocks
from torchlurk.pipeline.stages.context import (
    RunContext,
    all_made,
    chosen,
    having,
    lacking,
    layer_files,
    write_picture,
)
from torchlurk.runtime import pictures
from torchlurk.runtime.devices import BatchLimiter, retry_on_oom
from torchlurk.store import schema
from torchlurk.store.schema import Filter, Manifest

STEADY = 48
"""An image smaller than this, in pixels, is moved less between the steps of its ascent."""

BEST: Mapping[str, Callable[[Filter], float]] = MappingProxyType(
    {"mean": lambda entry: entry.avg[0].score, "position": lambda entry: entry.max[0].score}
)
"""For each objective, what the best real image reaches of it."""


WORKS: tuple[str, ...] = ("ascent",)
"""What the pieces of the stage are called."""


def run(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the images of the chosen filters that have none yet; returns the manifest with their sizes."""
    config = context.config.ascent
    wanted = chosen(context)
    find = _in_parts(context.limiter, _naive(context) if config.strategy == "naive" else _fourier(context))

    def make(block: Block, advance: Advance) -> Iterator[Filter]:
        by_channel = {entry.channel: entry for entry in block.filters}
        for made in rendering.ascent_pictures(
            block.layer,
            block.filters,
            block.wanted,
            find,
            context.source,
            config.seed,
            BEST[config.objective],
        ):
            write_picture(context, "max_activ", block.layer.name, made.channel, made.picture)
            quality = schema.Ascent(
                score=schema.round_float32(made.score),
                ratio=None if made.ratio is None else schema.round_float32(made.ratio),
                found=made.found,
            )
            advance(1)
            yield having(msgspec.structs.replace(by_channel[made.channel], ascent=quality), "max_activ")

    by_blocks(
        context, manifest, WORKS[0], config_to_record(config), lambda f: lacking(wanted, f, "max_activ"),
        make, size=config.batch_size,
    )  # fmt: skip
    # Of all layers, as an earlier run may have been stopped before it came to this.
    tiles = msgspec.structs.replace(manifest.tiles, max_activ=_sizes(context))
    return msgspec.structs.replace(manifest, tiles=tiles)


def complete(context: RunContext, manifest: Manifest) -> bool:
    """Whether all chosen filters have their image."""
    return all_made(context, layer_files(context, manifest), "ascent")


def _in_parts(limiter: BatchLimiter, find: Ascend) -> Ascend:
    """The same, in parts where all filters together do not fit into the memory."""

    def found(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> AscentResult:
        states = [generator.get_state() for generator in generators]

        def attempt(at_once: int) -> list[AscentResult]:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            starts = range(0, len(channels), at_once)
            return [find(layer, channels[i : i + at_once], generators[i : i + at_once]) for i in starts]

        parts = retry_on_oom(limiter, len(channels), attempt)
        return AscentResult(torch.cat([p.images for p in parts]), torch.cat([p.scores for p in parts]))

    return found


def _sizes(context: RunContext) -> dict[str, pictures.PixelSize]:
    """The size of the images of each layer."""
    depth, height, width = context.source.shape
    if context.config.ascent.strategy == "naive":
        return {layer.name: (height, width) for layer in context.graph.layers}
    return {
        layer.name: supported_canvas_size(context.runner, layer.name, layer.field, (height, width), depth)
        for layer in context.graph.layers
    }


def _fourier(context: RunContext) -> Ascend:
    config = context.config.ascent
    params = AscentParams(steps=config.steps, bfloat16=config.precision == "bfloat16")
    normalise, _ = _scales(context)
    depth, *extent = context.source.shape
    objective = OBJECTIVES[config.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> AscentResult:
        size = supported_canvas_size(context.runner, layer.name, layer.field, (extent[0], extent[1]), depth)
        # A small image is moved less, or its pattern would be all blur.
        moved = Jitter(shift=Jitter.shift * min(1.0, min(size) / STEADY))
        own = dataclasses.replace(params, jitter=moved)
        return ascend(
            context.runner, layer.name, channels, size, normalise, objective, own, generators, depth=depth
        )

    return find


def _naive(context: RunContext) -> Ascend:
    normalise, denormalise = _scales(context)
    depth, height, width = context.source.shape
    objective = OBJECTIVES[context.config.ascent.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> AscentResult:
        return naive_ascend(
            context.runner, layer.name, channels, (height, width), normalise, denormalise, objective,
            generators, depth=depth,
        )  # fmt: skip

    return find


Scale = Callable[[Tensor], Tensor]


def _scales(context: RunContext) -> tuple[Scale, Scale]:
    """From values in [0, 1] to what the network is fed, and back."""
    preprocess = context.network.preprocess
    mean = torch.tensor(preprocess.mean, device=context.source.device).view(-1, 1, 1)
    std = torch.tensor(preprocess.std, device=context.source.device).view(-1, 1, 1)
    return lambda images: (images - mean) / std, lambda fed: fed * std + mean
