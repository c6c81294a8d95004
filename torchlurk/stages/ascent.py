"""The images that gradient ascent finds."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import torch
from torch import Tensor

from torchlurk import portraits
from torchlurk.ascent.optimise import Recipe
from torchlurk.stages.job import Job, first, having, layer_files, replace, write_picture
from torchlurk.store import schema
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_json


def run(job: Job, manifest: Manifest) -> None:
    """Write the image of each of the chosen filters of each layer."""
    config = job.config.ascent
    files = layer_files(job, manifest)
    total = sum(len(first(file, config.filters)) for file in files.values())
    recipe = Recipe(steps=config.steps, bfloat16=config.precision == "bfloat16")
    with job.terminal.bar("ascent", total, "filter") as advance:
        for layer in job.graph.layers:
            file = files[layer.name]
            chosen = first(file, config.filters)
            by_channel = {entry.channel: entry for entry in chosen}
            for made in portraits.ascent_pictures(
                job.model, layer, chosen, job.source, _normaliser(job), recipe, config.seed,
                at_once=config.batch_size,
            ):  # fmt: skip
                write_picture(job, "max_activ", layer.name, made.channel, made.picture)
                quality = schema.Ascent(
                    score=schema.number(made.score),
                    ratio=None if made.ratio is None else schema.number(made.ratio),
                    found=made.found,
                )
                entry = msgspec.structs.replace(by_channel[made.channel], ascent=quality)
                by_channel[made.channel] = having(entry, "max_activ")
                advance(1)
            write_json(job.out / schema.layer_path(layer.name), replace(file, by_channel))


def _normaliser(job: Job) -> Callable[[Tensor], Tensor]:
    preprocess = job.network.preprocess
    mean = torch.tensor(preprocess.mean, device=job.source.device).view(-1, 1, 1)
    std = torch.tensor(preprocess.std, device=job.source.device).view(-1, 1, 1)
    return lambda images: (images - mean) / std
