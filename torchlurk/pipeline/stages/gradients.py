"""The gradients of the winning units and maps, and the certificates of the crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.config import recorded
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
from torchlurk.runtime.devices import fitting
from torchlurk.store.schema import Filter, LayerFile, Manifest

CERTIFIED = 1e-3
"""The relative difference above which a crop does not explain its score."""

WORKS: tuple[str, ...] = ("max gradients", "avg gradients", "certificates")
"""What the pieces of the stage are called."""

MAPS_AT_ONCE = 64
"""Filters whose maps' gradients are one block: they share the forwards of the images that they share."""


def run(job: Job, manifest: Manifest) -> Manifest:
    """Write the gradients that chosen filters lack; say so if a crop does not explain its score."""
    config = job.config.gradients
    wanted = chosen(job)
    decides = recorded(config)
    at_once = max(1, config.batch_size // job.config.scan.k)

    by_blocks(
        job,
        manifest,
        WORKS[0],
        decides,
        lambda f: lacking(wanted, f, "max_grads"),
        partial(_units, job),
        size=at_once,
    )
    by_blocks(
        job,
        manifest,
        WORKS[1],
        decides,
        lambda f: lacking(wanted, f, "avg_grads"),
        partial(_maps, job),
        size=MAPS_AT_ONCE,
    )
    files = by_blocks(
        job,
        manifest,
        WORKS[2],
        decides,
        lambda f: _uncertified(job, f),
        partial(_certified, job),
        size=CROPS_AT_ONCE,
    )
    if job.team.first:
        _report(job, files)
    return manifest


CROPS_AT_ONCE = 64
"""Filters whose crops are certified as one block; they share forwards."""


def complete(job: Job, manifest: Manifest) -> bool:
    """Whether all chosen filters have gradients, and all crops the certificates that they are to have."""
    files = layer_files(job, manifest)
    return all_made(job, files, "gradients") and not _uncertified(job, files)


def _uncertified(job: Job, files: Mapping[str, LayerFile]) -> dict[str, list[int]]:
    """The filters with a crop without a certificate, by layer, where all are to have one."""
    if job.config.gradients.certify != "all":
        return {}
    found = {
        layer: [f.channel for f in files[layer].filters if any(e.certificate is None for e in f.max)]
        for layer in chosen(job)
    }
    return {layer: channels for layer, channels in found.items() if channels}


def _units(job: Job, block: Block, advance: Advance) -> Iterator[Filter]:
    """The gradients of the `max` entries of a block, which all run together."""
    config, layer = job.config.gradients, block.layer
    made = fitting(
        job.room,
        config.batch_size,
        lambda at_once: list(
            rendering.unit_pictures(
                job.runner, layer, block.filters, job.source, config.method, at_once=at_once
            )
        ),
    )
    for entry, found in zip(block.filters, made, strict=True):
        if entry.channel not in block.wanted:
            continue
        write_picture(job, "max_grads", layer.name, entry.channel, found.whole)
        if not layer.sees_all:
            write_picture(job, "cropped_grad", layer.name, entry.channel, found.cropped)
        certified = [
            records.with_certificate(e, again) for e, again in zip(entry.max, found.scores, strict=True)
        ]
        kinds = ["max_grads"] if layer.sees_all else ["max_grads", "cropped_grad"]
        advance(1)
        yield having(msgspec.structs.replace(entry, max=certified), *kinds)


def _maps(job: Job, block: Block, advance: Advance) -> Iterator[Filter]:
    """The gradients of the `avg` entries of the wanted filters of a block."""
    layer = block.layer
    by_channel = {entry.channel: entry for entry in block.filters if entry.channel in block.wanted}
    wanted = list(by_channel.values())
    for channel, strip in rendering.map_pictures(
        job.runner, layer, wanted, job.source, job.config.gradients.method
    ):
        write_picture(job, "avg_grads", layer.name, channel, strip)
        advance(1)
        yield having(by_channel[channel], "avg_grads")


def _certified(job: Job, block: Block, advance: Advance) -> Iterator[Filter]:
    """The wanted filters of a block, with certificates for the crops that no gradient was computed for."""
    scores: dict[int, dict[int, float]] = {entry.channel: {} for entry in block.filters}

    def again(at_once: int) -> list[list[tuple[int, int, float]]]:
        # All of the block, so that digits do not depend on which of them had gradients before.
        return list(
            rendering.scores_of_crops(job.runner, block.layer, block.filters, job.source, at_once=at_once)
        )

    for found in fitting(job.room, job.config.gradients.batch_size, again):
        for channel, rank, score in found:
            scores[channel][rank] = score
    for entry in block.filters:
        if entry.channel in block.wanted:
            certified = [
                records.with_certificate(e, scores[entry.channel][rank]) if e.certificate is None else e
                for rank, e in enumerate(entry.max)
            ]
            advance(1)
            yield msgspec.structs.replace(entry, max=certified)


def _report(job: Job, files: Mapping[str, LayerFile]) -> None:
    """Say so if some crops do not explain their scores."""
    beyond = sorted(
        (
            (e.certificate, name, f.channel)
            for name, file in files.items()
            for f in file.filters
            for e in f.max
            if e.certificate is not None and e.certificate > CERTIFIED
        ),
        reverse=True,
    )
    if beyond:
        difference, layer, channel = beyond[0]
        job.terminal.say(
            f"{len(beyond)} crops give a score that differs from the scan's by more than {CERTIFIED:g}, "
            f"at worst by {difference:.1e} (filter {channel} of {layer}): see the certificates in layers/"
        )
