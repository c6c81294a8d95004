"""Gradients of the filters' top entries with respect to the pixels, and certificates of the crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.config import config_to_record
from torchlurk.pipeline.encoding import FilterResult
from torchlurk.pipeline.map_pictures import MapPictures
from torchlurk.pipeline.rendering import UnitPictures
from torchlurk.pipeline.stages.blocks import Advance, Block, ComputeBlock, run_blocks
from torchlurk.pipeline.stages.context import (
    RunContext,
    delete_pictures,
    has_requested_pictures,
    missing,
    read_layer_files,
    requested_channels,
)
from torchlurk.runtime.devices import retry_on_oom
from torchlurk.store.schema import Filter, LayerFile, Manifest

TASKS: tuple[str, ...] = ("max gradients", "avg gradients", "certificates")
"""Names of the partial results of the stage."""

_TOLERANCE = 1e-3
"""Certificates above this relative difference are reported: the crop does not explain its score."""

_MAPS_PER_BLOCK = 64
"""Filters per block of map gradients; filters of several blocks share forward passes, see `MapPictures`."""

_CROPS_PER_BLOCK = 64
"""Filters per block of certificates; they share forward passes."""


def run(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the gradients that requested filters lack, and report crops that do not explain their score.

    Returns:
        The manifest, unchanged.
    """
    config = context.config.gradients
    channels = requested_channels(context)
    recorded = config_to_record(config)
    run_blocks(
        context,
        manifest,
        TASKS[0],
        recorded,
        lambda files: missing(channels, files, "max_grads"),
        lambda _: partial(_unit_gradients, context),
        size=max(1, config.batch_size // context.config.scan.k),
    )
    run_blocks(
        context,
        manifest,
        TASKS[1],
        recorded,
        lambda files: missing(channels, files, "avg_grads"),
        partial(_plan_map_gradients, context),
        size=_MAPS_PER_BLOCK,
    )
    files = run_blocks(
        context,
        manifest,
        TASKS[2],
        recorded,
        lambda files: _uncertified(context, files),
        lambda _: partial(_certify, context),
        size=_CROPS_PER_BLOCK,
    )
    if context.group.is_main:
        _report_certificates(context, files)
    return manifest


def is_complete(context: RunContext, manifest: Manifest) -> bool:
    """Return whether all requested filters have gradients, and all crops the requested certificates."""
    files = read_layer_files(context, manifest)
    return has_requested_pictures(context, files, "gradients") and not _uncertified(context, files)


def delete_results(context: RunContext, manifest: Manifest) -> None:
    """Delete the gradients and certificates of all filters."""
    delete_pictures(context, manifest, "gradients")


def _uncertified(context: RunContext, files: Mapping[str, LayerFile]) -> dict[str, list[int]]:
    """Return the channels with a crop without certificate, by layer, if all crops get one."""
    if context.config.gradients.certify != "all":
        return {}
    channels = {
        layer: [f.channel for f in files[layer].filters if any(e.certificate is None for e in f.max)]
        for layer in requested_channels(context)
    }
    return {layer: numbers for layer, numbers in channels.items() if numbers}


def _unit_gradients(context: RunContext, block: Block, advance: Advance) -> Iterator[FilterResult]:
    """Compute the gradients of the `max` entries of a block, and return its requested filters."""
    config = context.config.gradients
    fetch = retry_on_oom(
        context.limiter,
        config.batch_size,
        lambda limit: rendering.unit_pictures(
            context.runner,
            block.layer,
            block.filters,
            context.source,
            config.method,
            images_per_batch=limit,
            bfloat16=config.precision == "bfloat16",
        ),
    )
    return _unit_results(block, fetch, advance)


def _unit_results(
    block: Block, fetch: Callable[[], Iterator[UnitPictures]], advance: Advance
) -> Iterator[FilterResult]:
    """Yield the requested filters of a block that the device may still be computing."""
    for entry, result in zip(block.filters, fetch(), strict=True):
        if entry.channel not in block.requested:
            continue
        tiles = {"max_grads": result.whole}
        if not block.layer.sees_all:
            tiles["cropped_grad"] = result.cropped
        certified = [
            records.with_certificate(e, score) for e, score in zip(entry.max, result.scores, strict=True)
        ]
        advance(1)
        yield FilterResult(msgspec.structs.replace(entry, max=certified), tiles)


def _plan_map_gradients(context: RunContext, blocks: Sequence[Block]) -> ComputeBlock:
    """Return a function that computes the gradients of the `avg` entries of a block's requested filters."""
    config = context.config.gradients
    pictures = MapPictures(
        context.runner,
        context.source,
        config.method,
        context.limiter,
        [(block.layer, _requested(block)) for block in blocks],
        bfloat16=config.precision == "bfloat16",
    )

    def compute(block: Block, advance: Advance) -> Iterator[FilterResult]:
        filters = _requested(block)
        by_channel = {entry.channel: entry for entry in filters}
        for channel, tiles in pictures.draw(block.layer, filters):
            advance(1)
            yield FilterResult(by_channel[channel], {"avg_grads": tiles})

    return compute


def _requested(block: Block) -> list[Filter]:
    """Return the requested filters of a block."""
    return [entry for entry in block.filters if entry.channel in block.requested]


def _certify(context: RunContext, block: Block, advance: Advance) -> Iterator[FilterResult]:
    """Yield the requested filters of a block with certificates for the crops that have none."""
    scores: dict[int, dict[int, float]] = {entry.channel: {} for entry in block.filters}

    def score_crops(limit: int) -> list[list[tuple[int, int, float]]]:
        # The whole block, so that digits do not depend on which filters have gradients already.
        return list(
            rendering.crop_scores(
                context.runner, block.layer, block.filters, context.source, images_per_batch=limit
            )
        )

    for group in retry_on_oom(context.limiter, context.config.gradients.batch_size, score_crops):
        for channel, rank, score in group:
            scores[channel][rank] = score
    for entry in block.filters:
        if entry.channel in block.requested:
            certified = [
                records.with_certificate(e, scores[entry.channel][rank]) if e.certificate is None else e
                for rank, e in enumerate(entry.max)
            ]
            advance(1)
            yield FilterResult(msgspec.structs.replace(entry, max=certified))


def _report_certificates(context: RunContext, files: Mapping[str, LayerFile]) -> None:
    """Report the number of crops that do not explain their score, and the worst of them."""
    failed = sorted(
        (
            (e.certificate, name, f.channel)
            for name, file in files.items()
            for f in file.filters
            for e in f.max
            if e.certificate is not None and e.certificate > _TOLERANCE
        ),
        reverse=True,
    )
    if failed:
        difference, layer, channel = failed[0]
        context.reporter.report(
            f"the scores of {len(failed)} crops differ from those of the scan by more than {_TOLERANCE:g}, "
            f"at most by {difference:.1e} (filter {channel} of {layer}); see the certificates in layers/"
        )
