"""The scan: top lists, class profiles and statistics of all layers, and the images and crops they need."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch

from torchlurk.errors import LurkError
from torchlurk.graph import Layer, describe_skipped
from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.stages.blocks import Advance, Block, run_blocks
from torchlurk.pipeline.stages.context import (
    RunContext,
    missing,
    update_stage,
    with_pictures,
    write_picture,
)
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.pipeline.stages.scan_shards import scan_images
from torchlurk.runtime import pictures
from torchlurk.scan.shards import Shard
from torchlurk.scan.state import candidate_images, with_lists_of
from torchlurk.store import schema
from torchlurk.store.partial import PartialResults
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_bytes, write_json_with_checksum

SHARD_TASKS = ("scan", "rough", "again")
"""Names of the partial results of the pass over the images.

`scan` is a pass in float32; `rough` is one in bfloat16, and `again` scores its candidates in float32.
"""

TASKS: tuple[str, ...] = (*SHARD_TASKS, "crops")
"""Names of all partial results of the stage."""

_CANDIDATES_PER_ENTRY = 2
"""A scan in bfloat16 keeps this many times `k` candidates per list, as its ranks may be off by a few
places."""

_FILTERS_PER_BLOCK = 64
"""Filters per block of crops. Crops need no network, so a block takes a second or two."""


def run(context: RunContext, manifest: Manifest, device: torch.device) -> Manifest:
    """Scan the images that are not scanned yet, and write the results.

    Args:
        context: The run.
        manifest: The manifest of the store, which this run or an earlier one has written.
        device: Device of the network.

    Returns:
        The manifest that was written.

    Raises:
        LurkError: No image can be read.
    """
    if not context.group.broadcast(lambda: _is_merged(context)):
        for line in describe_skipped(context.graph.skipped):
            context.reporter.report(line)
        if context.runner.one_by_one:
            context.reporter.report(f"each image is run alone: {context.runner.one_by_one_reason}")
        _scan(context, device)
    manifest = read_manifest(context.out)
    files = _write_crops(context, manifest)
    _write_images(context, files)
    if context.group.is_main:
        # The layers' files hold the results of the shards, and have been read back for the crops.
        for task in SHARD_TASKS:
            PartialResults(context.out, task, "").remove_all()
    complete = msgspec.structs.replace(manifest.stages.scan, complete=True)
    return update_stage(context, manifest, "scan", complete)


def _is_merged(context: RunContext) -> bool:
    """Return whether all shards are merged: the file that is written last exists."""
    return (context.out / "classes.json").exists()


def _scan(context: RunContext, device: torch.device) -> None:
    """Scan all images and write the JSON files; pictures are written later."""
    config = context.config.scan
    images = range(len(context.images.paths))
    if config.precision == "bfloat16":
        rough = scan_images(context, device, "rough", images, config.k * _CANDIDATES_PER_ENTRY, bfloat16=True)
        candidates = context.group.broadcast(lambda: candidate_images(rough.state) if rough else [])
        exact = scan_images(context, device, "again", candidates, config.k, bfloat16=False)
        result = rough and exact and _replace_lists(rough, exact)
    else:
        result = scan_images(context, device, "scan", images, config.k, bfloat16=False)
    if result is not None:
        _write_results(context, device, result)
    context.group.barrier()


def _replace_lists(rough: Shard, exact: Shard) -> Shard:
    """Return the result of the scan in bfloat16 with the top lists of the one in float32."""
    state = with_lists_of(rough.state, exact.state)
    return Shard(state, rough.skipped, min(rough.batch, exact.batch))


def _write_results(context: RunContext, device: torch.device, result: Shard) -> None:
    """Write the JSON files of a scan; `classes.json` comes last and marks the others as complete."""
    state = result.state
    scanned = int(state.images.sum())
    if not scanned:
        raise _no_readable_image(context, result)
    manifest = new_manifest(context, device, list(result.skipped))
    fitted = result.batch if result.batch < context.config.scan.batch_size else None
    stage = msgspec.structs.replace(manifest.stages.scan, fitted=fitted)
    stages = msgspec.structs.replace(manifest.stages, scan=stage)
    files = {
        layer.name: records.layer_state_to_record(
            layer,
            state.layers[layer.name],
            context.images.labels,
            _filter_names(context, layer),
            scanned=scanned,
        )
        for layer in context.graph.layers
    }
    for layer in manifest.layers:
        write_json_with_checksum(context.out, layer.data, files[layer.name])
    write_json_with_checksum(context.out, "network.json", msgspec.structs.replace(manifest, stages=stages))
    in_order = [files[layer.name] for layer in manifest.layers]
    classes = records.classes_to_record(in_order, len(context.images.classes))
    write_json_with_checksum(context.out, "classes.json", classes)


def _no_readable_image(context: RunContext, result: Shard) -> LurkError:
    first = result.skipped[0]
    return LurkError(
        f"none of the {len(context.images.paths)} images of {context.images.name!r} could be read "
        f"({first.path!r}: {first.reason})",
        "choose a folder of photographs",
    )


def _filter_names(context: RunContext, layer: Layer) -> tuple[str, ...] | None:
    """Return the class names of the network if the layer computes its logits; else `None`."""
    classes = context.network.classes
    return classes if layer.name == context.graph.logits and len(classes) == layer.shape[0] else None


def _write_crops(context: RunContext, manifest: Manifest) -> dict[str, schema.LayerFile]:
    """Write the crops of all filters that have none; return the layers' files, which now list them."""
    # The crop of a unit that sees the whole input would be the image itself.
    channels = {layer.name: range(layer.shape[0]) for layer in context.graph.layers if not layer.sees_all}

    def compute(block: Block, advance: Advance) -> Iterator[schema.Filter]:
        entries = [entry for entry in block.filters if entry.channel in block.requested]
        crops = rendering.crop_pictures(block.layer, entries, context.source)
        for entry, (channel, pixels) in zip(entries, crops, strict=True):
            write_picture(context, "cropped", block.layer.name, channel, pixels)
            advance(1)
            yield with_pictures(entry, "cropped")

    return run_blocks(
        context,
        manifest,
        "crops",
        None,
        lambda files: missing(channels, files, "cropped"),
        compute,
        size=_FILTERS_PER_BLOCK,
    )


def _write_images(context: RunContext, files: dict[str, schema.LayerFile]) -> None:
    """Write the images that some filter refers to, unless they exist, and the list of them."""
    used = sorted(
        {image for file in files.values() for f in file.filters for image in schema.referenced_images(f)}
    )
    absent = context.group.broadcast(
        lambda: [i for i in used if not (context.out / schema.image_path(i)).exists()]
    )
    local = context.group.local_share(absent)
    with context.reporter.bar("images", len(local), "image") as advance:
        for image in local:
            _write_image(context, image)
            advance(1)
        context.writers.finish()
    context.group.barrier()
    if context.group.is_main:
        entries = {
            str(image): schema.ImageEntry(
                path=context.images.paths[image], label=context.images.labels[image]
            )
            for image in used
        }
        write_json_with_checksum(context.out, "images.json", entries)


def _write_image(context: RunContext, image: int) -> None:
    pixels = context.source.picture(image)
    path = context.out / schema.image_path(image)
    # The page enlarges small images so that single pixels show.
    small = max(pixels.shape[:2]) <= pictures.MAX_TILE
    context.writers.submit(
        lambda: write_bytes(path, pictures.jpeg(pixels, 95 if small else 88, sharp_colour=small))
    )
