"""The gradients of the winning units and maps, and the certificates of the crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.config import config_to_record
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
from torchlurk.runtime.devices import retry_on_oom
from torchlurk.store.schema import Filter, LayerFile, Manifest

CERTIFIED = 1e-3
"""The relative difference above which a crop does not explain its score."""

WORKS: tuple[str, ...] = ("max gradients", "avg gradients", "certificates")
"""What the pieces of the stage are called."""

MAPS_AT_ONCE = 64
"""Filters whose maps' gradients are one block: they share the forwards of the images that they share."""


def run(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the gradients that chosen filters lack; say so if a crop does not explain its score."""
    config = context.config.gradients
    wanted = chosen(context)
    decides = config_to_record(config)
    at_once = max(1, config.batch_size // context.config.scan.k)

    by_blocks(
        context,
        manifest,
        WORKS[0],
        decides,
        lambda f: lacking(wanted, f, "max_grads"),
        partial(_units, context),
        size=at_once,
    )
    by_blocks(
        context,
        manifest,
        WORKS[1],
        decides,
        lambda f: lacking(wanted, f, "avg_grads"),
        partial(_maps, context),
        size=MAPS_AT_ONCE,
    )
    files = by_blocks(
        context,
        manifest,
        WORKS[2],
        decides,
        lambda f: _uncertified(context, f),
        partial(_certified, context),
        size=CROPS_AT_ONCE,
    )
    if context.group.is_main:
        _report(context, files)
    return manifest


CROPS_AT_ONCE = 64
"""Filters whose crops are certified as one block; they share forwards."""


def complete(context: RunContext, manifest: Manifest) -> bool:
    """Whether all chosen filters have gradients, and all crops the certificates that they are to have."""
    files = layer_files(context, manifest)
    return all_made(context, files, "gradients") and not _uncertified(context, files)


def _uncertified(context: RunContext, files: Mapping[str, LayerFile]) -> dict[str, list[int]]:
    """The filters with a crop without a certificate, by layer, where all are to have one."""
    if context.config.gradients.certify != "all":
        return {}
    found = {
        layer: [f.channel for f in files[layer].filters if any(e.certificate is None for e in f.max)]
        for layer in chosen(context)
    }
    return {layer: channels for layer, channels in found.items() if channels}


def _units(context: RunContext, block: Block, advance: Advance) -> Iterator[Filter]:
    """The gradients of the `max` entries of a block, which all run together."""
    config, layer = context.config.gradients, block.layer
    made = retry_on_oom(
        context.limiter,
        config.batch_size,
        lambda at_once: list(
            rendering.unit_pictures(
                context.runner, layer, block.filters, context.source, config.method, at_once=at_once
            )
        ),
    )
    for entry, found in zip(block.filters, made, strict=True):
        if entry.channel not in block.wanted:
            continue
        write_picture(context, "max_grads", layer.name, entry.channel, found.whole)
        if not layer.sees_all:
            write_picture(context, "cropped_grad", layer.name, entry.channel, found.cropped)
        certified = [
            records.with_certificate(e, again) for e, again in zip(entry.max, found.scores, strict=True)
        ]
        kinds = ["max_grads"] if layer.sees_all else ["max_grads", "cropped_grad"]
        advance(1)
        yield having(msgspec.structs.replace(entry, max=certified), *kinds)


def _maps(context: RunContext, block: Block, advance: Advance) -> Iterator[Filter]:
    """The gradients of the `avg` entries of the wanted filters of a block."""
    layer = block.layer
    by_channel = {entry.channel: entry for entry in block.filters if entry.channel in block.wanted}
    wanted = list(by_channel.values())
    for channel, strip in rendering.map_pictures(
        context.runner, layer, wanted, context.source, context.config.gradients.method
    ):
        write_picture(context, "avg_grads", layer.name, channel, strip)
        advance(1)
        yield having(by_channel[channel], "avg_grads")


def _certified(context: RunContext, block: Block, advance: Advance) -> Iterator[Filter]:
    """The wanted filters of a block, with certificates for the crops that no gradient was computed for."""
    scores: dict[int, dict[int, float]] = {entry.channel: {} for entry in block.filters}

    def again(at_once: int) -> list[list[tuple[int, int, float]]]:
        # All of the block, so that digits do not depend on which of them had gradients before.
        return list(
            rendering.scores_of_crops(
                context.runner, block.layer, block.filters, context.source, at_once=at_once
            )
        )

    for found in retry_on_oom(context.limiter, context.config.gradients.batch_size, again):
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


def _report(context: RunContext, files: Mapping[str, LayerFile]) -> None:
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
        context.reporter.report(
            f"{len(beyond)} crops give a score that differs from the scan's by more than {CERTIFIED:g}, "
            f"at worst by {difference:.1e} (filter {channel} of {layer}): see the certificates in layers/"
        )
