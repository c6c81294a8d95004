"""The scan: top lists, class profiles and statistics of all layers, and the images and crops they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial

import msgspec
import torch

from torchlurk.errors import LurkError
from torchlurk.graph import Layer, describe_skipped
from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.encoding import FilterResult, encode_one, natural_sizes, thumb_of
from torchlurk.pipeline.stages.activations import activation_writer, keeps_activations
from torchlurk.pipeline.stages.blocks import Advance, Block, run_blocks
from torchlurk.pipeline.stages.context import RunContext, update_stage
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.pipeline.stages.referenced_images import IMAGES_TASK, write_referenced_images
from torchlurk.pipeline.stages.scan_shards import scan_images
from torchlurk.pipeline.stages.spectrum import spectrum_image_ids, write_spectra
from torchlurk.runtime.jpeg import Pixels
from torchlurk.scan.shards import Shard
from torchlurk.scan.state import candidate_images, with_lists_of
from torchlurk.store.partial import PartialResults
from torchlurk.store.pictures import IMAGE
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import LayerFile, Manifest
from torchlurk.store.write import write_json_with_checksum

SHARD_TASKS = ("scan", "rough", "again")
"""Names of the partial results of the pass over the images.

`scan` is a pass in float32; `rough` is one in bfloat16, and `again` scores its candidates in float32.
"""

TASKS: tuple[str, ...] = (*SHARD_TASKS, "crops", IMAGES_TASK)
"""Names of all partial results of the stage."""

_CANDIDATES_PER_ENTRY = 2
"""A scan in bfloat16 keeps this many times `k` candidates per list, as its ranks may be off by a few
places."""

_CACHED_TILES = 1024
"""Tiles of crops kept in memory: at most 40 MB."""

_CACHED_THUMBS = 4096
"""Small pictures of images kept in memory: 8 MB."""

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
    if manifest.activations:
        manifest = write_spectra(context, manifest)
    write_referenced_images(context, files, spectrum_image_ids(context, manifest))
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
    writer = activation_writer(context) if keeps_activations(context) else None
    if config.precision == "bfloat16":
        rough = scan_images(
            context, device, "rough", images, config.k * _CANDIDATES_PER_ENTRY, bfloat16=True, writer=writer
        )
        candidates = context.group.broadcast(lambda: candidate_images(rough.state) if rough else [])
        exact = scan_images(context, device, "again", candidates, config.k, bfloat16=False)
        result = rough and exact and _replace_lists(rough, exact)
    else:
        result = scan_images(context, device, "scan", images, config.k, bfloat16=False, writer=writer)
    if result is not None:
        _write_results(context, device, result, activations=writer is not None)
    context.group.barrier()


def _replace_lists(rough: Shard, exact: Shard) -> Shard:
    """Return the result of the scan in bfloat16 with the top lists of the one in float32."""
    state = with_lists_of(rough.state, exact.state)
    return Shard(state, rough.skipped, min(rough.batch, exact.batch))


def _write_results(context: RunContext, device: torch.device, result: Shard, *, activations: bool) -> None:
    """Write the JSON files of a scan; `classes.json` comes last and marks the others as complete."""
    state = result.state
    scanned = int(state.images.sum())
    if not scanned:
        raise _no_readable_image(context, result)
    manifest = new_manifest(context, device, list(result.skipped))
    manifest = msgspec.structs.replace(manifest, activations=activations)
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


def _write_crops(context: RunContext, manifest: Manifest) -> dict[str, LayerFile]:
    """Write the crops and the small images of all filters that have none; return the layers' files."""

    # The lists of a layer share images, and often units: in small maps, most tiles occur many times.
    @lru_cache(maxsize=_CACHED_TILES)
    def tile(layer: str, image: int, position: tuple[int, int]) -> Pixels:
        return rendering.crop_tile(context.graph.layer(layer), context.source, image, position)

    @lru_cache(maxsize=_CACHED_THUMBS)
    def crop_thumb(layer: str, image: int, position: tuple[int, int]) -> Future[bytes]:
        natural = natural_sizes(context.graph.layer(layer), context.source.shape[1:])["cropped"]
        return context.encoders.submit(partial(encode_one, thumb_of(tile(layer, image, position), natural)))

    @lru_cache(maxsize=_CACHED_THUMBS)
    def image_thumb(image: int) -> Future[bytes]:
        pixels = context.source.picture(image)
        return context.encoders.submit(partial(encode_one, thumb_of(pixels, pixels.shape[:2])))

    def compute(block: Block, advance: Advance) -> Iterator[FilterResult]:
        name = block.layer.name
        # The crop of a unit that sees the whole input would be the image itself.
        cropped = not block.layer.sees_all
        for entry in block.filters:
            if entry.channel not in block.requested:
                continue
            best = entry.max[0]
            tiles: dict[str, list[Pixels]] = {}
            thumbs = {IMAGE: image_thumb(best.image)}
            if cropped:
                tiles["cropped"] = [tile(name, e.image, e.position) for e in entry.max]
                thumbs["cropped"] = crop_thumb(name, best.image, best.position)
            advance(1)
            yield FilterResult(entry, tiles, thumbs)

    return run_blocks(
        context, manifest, "crops", None, _without_crops, lambda _: compute, size=_FILTERS_PER_BLOCK
    )


def _without_crops(files: Mapping[str, LayerFile]) -> dict[str, Sequence[int]]:
    """Return the channels whose crops and small images are not written yet, by layer.

    Both are written together, and every filter with a list has a small image.
    """
    channels: dict[str, Sequence[int]] = {}
    for layer, file in files.items():
        packs = file.packs.thumbs if file.packs is not None else ()
        written = {channel for pack in packs if pack.kinds == [IMAGE] for channel in pack.items}
        absent = [entry.channel for entry in file.filters if entry.max and entry.channel not in written]
        if absent:
            channels[layer] = absent
    return channels
