"""The scan: lists, profiles and statistics of all layers, with crops and the images they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import torch

from torchlurk.errors import LurkError
from torchlurk.graph import Layer, describe_skipped
from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.stages.blocks import Block, by_blocks
from torchlurk.pipeline.stages.context import RunContext, having, lacking, mark, write_picture
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.pipeline.stages.scan_shards import scan_images
from torchlurk.runtime import pictures
from torchlurk.scan import scan
from torchlurk.scan.shards import Shard
from torchlurk.store import schema
from torchlurk.store.partial import PartialResults
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_bytes, write_json_with_checksum

SPARE = 2
"""A rough scan keeps so many times k candidates a list: its ranks are right up to near neighbours."""


def run(context: RunContext, manifest: Manifest, device: torch.device) -> Manifest:
    """Scan the images that are not scanned yet, and write what was found.

    Args:
        context: for which run.
        manifest: of the store that this run, or one before it, has begun.
        device: where to compute.

    Raises:
        LurkError: not one image could be read.
    """
    if not context.group.broadcast(lambda: _merged(context)):
        for line in describe_skipped(context.graph.skipped):
            context.reporter.report(line)
        if context.runner.one_by_one:
            context.reporter.report(f"each image is run alone: {context.runner.alone}")
        _scan(context, device)
    manifest = read_manifest(context.out)
    files = _make_crops(context, manifest)
    _write_images(context, files)
    if context.group.is_main:
        # What there is of the shards is in the layers' files now, and those were read again for the crops.
        for work in SHARDS:
            PartialResults(context.out, work, "").remove_all()
    done = msgspec.structs.replace(manifest.stages.scan, complete=True)
    return mark(context, manifest, "scan", done)


SHARDS = ("scan", "rough", "again")
"""What the shards of a scan are called: of a plain one; of one in bfloat16, and of its candidates again."""

WORKS = (*SHARDS, "crops")
"""What the pieces of the stage are called."""


def _merged(context: RunContext) -> bool:
    """Whether all shards are merged: the file that is written last is there."""
    return (context.out / "classes.json").exists()


def _scan(context: RunContext, device: torch.device) -> None:
    """Scan all images, and write the layers' files; the pictures are still to come."""
    config = context.config.scan
    total = len(context.folder.paths)
    if config.precision == "bfloat16":
        rough = scan_images(context, device, "rough", range(total), config.k * SPARE, bfloat16=True)
        again = context.group.broadcast(lambda: scan.candidates(rough.state) if rough else [])
        exact = scan_images(context, device, "again", again, config.k, bfloat16=False)
        whole = rough and exact and replace_lists(rough, exact)
    else:
        whole = scan_images(context, device, "scan", range(total), config.k, bfloat16=False)
    if whole is not None:
        _write(context, device, whole)
    context.group.barrier()


def replace_lists(rough: Shard, exact: Shard) -> Shard:
    """A rough scan with the lists of an exact one."""
    state = scan.with_lists(rough.state, exact.state)
    return Shard(state, rough.skipped, min(rough.batch, exact.batch))


def _write(context: RunContext, device: torch.device, whole: Shard) -> None:
    """Write what a scan found; `classes.json` comes last, and says that all the rest is there."""
    state = whole.state
    if not int(state.images.sum()):
        first = whole.skipped[0]
        raise LurkError(
            f"none of the {len(context.folder.paths)} images of {context.folder.name!r} could be read "
            f"({first.path!r}: {first.reason}): give a folder of photographs"
        )
    manifest = new_manifest(context, device, list(whole.skipped))
    fitted = whole.batch if whole.batch < context.config.scan.batch_size else None
    stage = msgspec.structs.replace(manifest.stages.scan, fitted=fitted)
    stages = msgspec.structs.replace(manifest.stages, scan=stage)
    files = {
        layer.name: records.layer_file(
            layer,
            state.layers[layer.name],
            context.folder.labels,
            _names(context, layer),
            scanned=int(state.images.sum()),
        )
        for layer in context.graph.layers
    }
    for layer in manifest.layers:
        write_json_with_checksum(context.out, layer.data, files[layer.name])
    write_json_with_checksum(context.out, "network.json", msgspec.structs.replace(manifest, stages=stages))
    in_order = [files[layer.name] for layer in manifest.layers]
    classes = records.classes_file(in_order, len(context.folder.classes))
    write_json_with_checksum(context.out, "classes.json", classes)


def _names(context: RunContext, layer: Layer) -> tuple[str, ...] | None:
    """What the filters of a layer stand for: the network's classes, if it gives the network's output."""
    classes = context.network.classes
    return classes if layer.name == context.graph.logits and len(classes) == layer.shape[0] else None


CROPS_AT_ONCE = 64
"""Filters a block of crops: pictures that need no network, so a block takes a second or two."""


def _make_crops(context: RunContext, manifest: Manifest) -> dict[str, schema.LayerFile]:
    """Write the crops of all filters that lack them; returns the layers, which now name them."""
    # Of a unit that sees all, the crop would be the image itself.
    every = {layer.name: range(layer.shape[0]) for layer in context.graph.layers if not layer.sees_all}

    def make(block: Block, advance: Callable[[int], object]) -> Iterator[schema.Filter]:
        entries = [entry for entry in block.filters if entry.channel in block.wanted]
        made = rendering.crops(block.layer, entries, context.source)
        for entry, (channel, pixels) in zip(entries, made, strict=True):
            write_picture(context, "cropped", block.layer.name, channel, pixels)
            advance(1)
            yield having(entry, "cropped")

    return by_blocks(
        context,
        manifest,
        "crops",
        None,
        lambda files: lacking(every, files, "cropped"),
        make,
        size=CROPS_AT_ONCE,
    )


def _write_image(context: RunContext, image: int) -> None:
    pixels = context.source.picture(image)
    path = context.out / schema.image_path(image)
    # Of a small image a page shows each pixel.
    small = max(pixels.shape[:2]) <= pictures.MAX_TILE
    context.writers.put(
        lambda: write_bytes(path, pictures.jpeg(pixels, 95 if small else 88, sharp_colour=small))
    )


def _write_images(context: RunContext, files: dict[str, schema.LayerFile]) -> None:
    """Write the images that some filter refers to, and their list; those that there are stay."""
    used = sorted(
        {image for file in files.values() for f in file.filters for image in schema.referenced_images(f)}
    )
    lacking = context.group.broadcast(
        lambda: [i for i in used if not (context.out / schema.image_path(i)).exists()]
    )
    mine = context.group.local_share(lacking)
    with context.reporter.bar("images", len(mine), "image") as advance:
        for image in mine:
            _write_image(context, image)
            advance(1)
        context.writers.finish()
    context.group.barrier()
    if context.group.is_main:
        listed = {
            str(image): schema.ImageEntry(
                path=context.folder.paths[image], label=context.folder.labels[image]
            )
            for image in used
        }
        write_json_with_checksum(context.out, "images.json", listed)
