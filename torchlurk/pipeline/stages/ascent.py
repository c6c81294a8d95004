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
from torchlurk.ascent.optimise import Found, Recipe, ascend, canvas_for
from torchlurk.ascent.transforms import Wobble
from torchlurk.graph import Layer
from torchlurk.pipeline import rendering
from torchlurk.pipeline.config import recorded
from torchlurk.pipeline.rendering import Ascend
from torchlurk.pipeline.stages.blocks import Advance, Block, by_blocks
from torchlurk.pipeline.stages.context import (
    Job,
    all_made,
    chosen,
    having,
    lacking,
    layer_files,
    write_picture,
)
from torchlurk.runtime import pictures
from torchlurk.runtime.devices import Room, fitting
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


def run(job: Job, manifest: Manifest) -> Manifest:
    """Write the images of the chosen filters that have none yet; returns the manifest with their sizes."""
    config = job.config.ascent
    wanted = chosen(job)
    find = _in_parts(job.room, _naive(job) if config.way == "naive" else _fourier(job))

    def make(block: Block, advance: Advance) -> Iterator[Filter]:
        by_channel = {entry.channel: entry for entry in block.filters}
        for made in rendering.ascent_pictures(
            block.layer, block.filters, block.wanted, find, job.source, config.seed, BEST[config.objective]
        ):
            write_picture(job, "max_activ", block.layer.name, made.channel, made.picture)
            quality = schema.Ascent(
                score=schema.number(made.score),
                ratio=None if made.ratio is None else schema.number(made.ratio),
                found=made.found,
            )
            advance(1)
            yield having(msgspec.structs.replace(by_channel[made.channel], ascent=quality), "max_activ")

    by_blocks(
        job, manifest, WORKS[0], recorded(config), lambda f: lacking(wanted, f, "max_activ"), make,
        size=config.batch_size,
    )  # fmt: skip
    # Of all layers, as an earlier run may have been stopped before it came to this.
    tiles = msgspec.structs.replace(manifest.tiles, max_activ=_sizes(job))
    return msgspec.structs.replace(manifest, tiles=tiles)


def complete(job: Job, manifest: Manifest) -> bool:
    """Whether all chosen filters have their image."""
    return all_made(job, layer_files(job, manifest), "ascent")


def _in_parts(room: Room, find: Ascend) -> Ascend:
    """The same, in parts where all filters together do not fit into the memory."""

    def found(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> Found:
        states = [generator.get_state() for generator in generators]

        def attempt(at_once: int) -> list[Found]:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            starts = range(0, len(channels), at_once)
            return [find(layer, channels[i : i + at_once], generators[i : i + at_once]) for i in starts]

        parts = fitting(room, len(channels), attempt)
        return Found(torch.cat([p.images for p in parts]), torch.cat([p.scores for p in parts]))

    return found


def _sizes(job: Job) -> dict[str, pictures.Size]:
    """The size of the images of each layer."""
    depth, height, width = job.source.shape
    if job.config.ascent.way == "naive":
        return {layer.name: (height, width) for layer in job.graph.layers}
    return {
        layer.name: canvas_for(job.runner, layer.name, layer.field, (height, width), depth)
        for layer in job.graph.layers
    }


def _fourier(job: Job) -> Ascend:
    config = job.config.ascent
    recipe = Recipe(steps=config.steps, bfloat16=config.precision == "bfloat16")
    normalise, _ = _scales(job)
    depth, *extent = job.source.shape
    objective = OBJECTIVES[config.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> Found:
        size = canvas_for(job.runner, layer.name, layer.field, (extent[0], extent[1]), depth)
        # A small image is moved less, or its pattern would be all blur.
        moved = Wobble(shift=Wobble.shift * min(1.0, min(size) / STEADY))
        own = dataclasses.replace(recipe, wobble=moved)
        return ascend(
            job.runner, layer.name, channels, size, normalise, objective, own, generators, depth=depth
        )

    return find


def _naive(job: Job) -> Ascend:
    normalise, denormalise = _scales(job)
    depth, height, width = job.source.shape
    objective = OBJECTIVES[job.config.ascent.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> Found:
        return naive_ascend(
            job.runner, layer.name, channels, (height, width), normalise, denormalise, objective,
            generators, depth=depth,
        )  # fmt: skip

    return find


Scale = Callable[[Tensor], Tensor]


def _scales(job: Job) -> tuple[Scale, Scale]:
    """From values in [0, 1] to what the network is fed, and back."""
    preprocess = job.network.preprocess
    mean = torch.tensor(preprocess.mean, device=job.source.device).view(-1, 1, 1)
    std = torch.tensor(preprocess.std, device=job.source.device).view(-1, 1, 1)
    return lambda images: (images - mean) / std, lambda fed: fed * std + mean
