"""The images that gradient ascent finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec
import torch
from torch import Tensor

from torchlurk import pictures, portraits
from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.ascent.optimise import Found, Recipe, ascend, canvas_for
from torchlurk.ascent.transforms import Wobble
from torchlurk.graph import Layer
from torchlurk.portraits import Ascend
from torchlurk.stages.job import Job, having, lacking, layer_files, replace, write_picture
from torchlurk.store import schema
from torchlurk.store.schema import Filter, Manifest
from torchlurk.store.write import write_json

STEADY = 48
"""An image smaller than this, in pixels, is moved less between the steps of its ascent."""

BEST: Mapping[str, Callable[[Filter], float]] = MappingProxyType(
    {"mean": lambda entry: entry.avg[0].score, "position": lambda entry: entry.max[0].score}
)
"""For each objective, what the best real image reaches of it."""


def run(job: Job, manifest: Manifest) -> Manifest:
    """Write the images of the chosen filters that have none yet; returns the manifest with their sizes."""
    config = job.config.ascent
    files = layer_files(job, manifest)
    todo = lacking(job, files, "ascent")
    total = sum(len(filters) for filters in todo.values())
    find = _naive(job) if config.way == "naive" else _fourier(job)
    with job.terminal.bar("ascent", total, "filter") as advance:
        for name, filters in todo.items():
            layer = job.graph.layer(name)
            by_channel = {entry.channel: entry for entry in filters}
            for made in portraits.ascent_pictures(
                layer,
                files[name].filters,
                by_channel.keys(),
                find,
                job.source,
                config.seed,
                BEST[config.objective],
                at_once=config.batch_size,
            ):
                write_picture(job, "max_activ", layer.name, made.channel, made.picture)
                quality = schema.Ascent(
                    score=schema.number(made.score),
                    ratio=None if made.ratio is None else schema.number(made.ratio),
                    found=made.found,
                )
                entry = msgspec.structs.replace(by_channel[made.channel], ascent=quality)
                by_channel[made.channel] = having(entry, "max_activ")
                advance(1)
            job.writers.finish()
            write_json(job.out / schema.layer_path(layer.name), replace(files[name], by_channel))
    # Of all layers, as an earlier run may have been stopped before it came to this.
    tiles = msgspec.structs.replace(manifest.tiles, max_activ=_sizes(job))
    return msgspec.structs.replace(manifest, tiles=tiles)


def complete(job: Job, manifest: Manifest) -> bool:
    """Whether all chosen filters have their image."""
    return not lacking(job, layer_files(job, manifest), "ascent")


def _sizes(job: Job) -> dict[str, pictures.Size]:
    """The size of the images of each layer."""
    depth, height, width = job.source.shape
    if job.config.ascent.way == "naive":
        return {layer.name: (height, width) for layer in job.graph.layers}
    return {
        layer.name: canvas_for(job.model, layer.name, layer.field, (height, width), depth)
        for layer in job.graph.layers
    }


def _fourier(job: Job) -> Ascend:
    config = job.config.ascent
    recipe = Recipe(steps=config.steps, bfloat16=config.precision == "bfloat16")
    normalise, _ = _scales(job)
    depth, *extent = job.source.shape
    objective = OBJECTIVES[config.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> Found:
        size = canvas_for(job.model, layer.name, layer.field, (extent[0], extent[1]), depth)
        # A small image is moved less, or its pattern would be all blur.
        moved = Wobble(shift=Wobble.shift * min(1.0, min(size) / STEADY))
        own = dataclasses.replace(recipe, wobble=moved)
        return ascend(
            job.model, layer.name, channels, size, normalise, objective, own, generators, depth=depth
        )

    return find


def _naive(job: Job) -> Ascend:
    normalise, denormalise = _scales(job)
    depth, height, width = job.source.shape
    objective = OBJECTIVES[job.config.ascent.objective]

    def find(layer: Layer, channels: Sequence[int], generators: Sequence[torch.Generator]) -> Found:
        return naive_ascend(
            job.model, layer.name, channels, (height, width), normalise, denormalise, objective,
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
