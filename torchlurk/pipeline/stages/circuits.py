"""Circuits: what the filters of all layers are made of, and what they are used for."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby

import msgspec
import torch
from torch import Tensor

from torchlurk.circuits.contributions import unit_contributions
from torchlurk.circuits.cuts import Cuts, find_cuts
from torchlurk.circuits.kernels import network_kernels
from torchlurk.errors import LurkError
from torchlurk.pipeline.config import config_to_record
from torchlurk.pipeline.contribution_sums import (
    ContributionSums,
    merge_contents,
    merge_sums,
    sum_units,
    sums_to_bytes,
)
from torchlurk.pipeline.stages import expanded
from torchlurk.pipeline.stages.blocks import Advance
from torchlurk.pipeline.stages.circuit_units import ImageBatch, UnitSelection, all_units, listed_units
from torchlurk.pipeline.stages.context import RunContext, read_layer_files
from torchlurk.pipeline.stages.scan_shards import compute_shards, shard_lengths
from torchlurk.pipeline.wiring import (
    add_consumers,
    mean_wiring,
    no_consumption,
    wiring_to_records,
    with_consumers,
)
from torchlurk.runtime.devices import retry_on_oom
from torchlurk.store.partial import PartialResults, digest_records
from torchlurk.store.read_circuits import read_circuits
from torchlurk.store.schema import (
    CIRCUITS,
    EXPANDED,
    FORMAT,
    CircuitFile,
    LayerFile,
    Manifest,
    UpstreamLayer,
    circuit_path,
)
from torchlurk.store.write import encode_json, write_files

TASKS: tuple[str, ...] = ("circuits", expanded.WEIGHTS_TASK)
"""Names of the progress bars of the stage, and of its partial results."""

_SUMS_IN_MEMORY = 30_000_000
"""Numbers in the merged sums of layers that are in memory together."""

_MAX_REPORTED = 5
"""Number of layers that a message names."""


def run(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the circuits of all filters, and the expanded weights that requested filters lack.

    Returns:
        The manifest with the layers that have expanded weights; it is not written yet.
    """
    files = read_layer_files(context, manifest)
    reaching = _reaching_images(files)
    # Of one image for the whole run: which units share a batch must not matter.
    cuts = find_cuts(context.runner, context.graph.layers, _input(context, min(reaching.values())))
    # They are written together, and deleted before their options change.
    if not context.group.broadcast(lambda: _has_circuits(context, manifest)):
        _run_circuits(context, manifest, files, reaching, cuts)
    inputs = {image: _input(context, image) for image in set(reaching.values())}
    inputs_of = {name: inputs[image] for name, image in reaching.items()}
    return expanded.write_weights(context, manifest, inputs_of, cuts)


def _run_circuits(
    context: RunContext,
    manifest: Manifest,
    files: Mapping[str, LayerFile],
    reaching: Mapping[str, int],
    cuts: Cuts,
) -> None:
    """Write the circuits of all filters."""
    config = context.config.circuits
    selection = all_units(context) if config.images == "all" else listed_units(context, files)
    identity = digest_records(
        context.identity, TASKS[0], config_to_record(config), list(selection.images), selection.shard_size
    )
    partial = PartialResults(context.out, TASKS[0], identity)
    lengths = shard_lengths(len(selection.images), selection.shard_size)

    def compute(shards: Sequence[int], advance: Advance) -> Generator[tuple[int, bytes], None, None]:
        with closing(selection.load(shards)) as loaded:
            for number, batches in groupby(loaded, key=lambda batch: batch.shard):
                merged: dict[str, ContributionSums] = {}
                for batch in batches:
                    _merge_into(merged, _sum_batch(context, selection, cuts, batch))
                    advance(len(batch.images) + batch.skipped)
                yield number, sums_to_bytes(merged)

    compute_shards(context, partial, lengths, compute)
    if context.group.is_main:
        _write_circuits(context, manifest, _merge_layers(context, manifest, partial, lengths, reaching, cuts))
        partial.remove_all()
    context.group.barrier()


def is_complete(context: RunContext, manifest: Manifest) -> bool:
    """Return whether the circuits of all layers exist, and the expanded weights of the requested filters."""
    return _has_circuits(context, manifest) and not expanded.channels_without_weights(context, manifest)


def _has_circuits(context: RunContext, manifest: Manifest) -> bool:
    return all((context.out / circuit_path(layer.name)).is_file() for layer in manifest.layers)


def delete_results(context: RunContext, manifest: Manifest) -> None:  # noqa: ARG001
    """Delete the circuits and expanded weights of all layers."""
    for folder in (CIRCUITS, EXPANDED):
        shutil.rmtree(context.out / folder, ignore_errors=True)


def _merge_into(merged: dict[str, ContributionSums], new: Mapping[str, ContributionSums]) -> None:
    for name, sums in new.items():
        merged[name] = merge_sums(merged[name], sums) if name in merged else sums


def _sum_batch(
    context: RunContext, selection: UnitSelection, cuts: Cuts, batch: ImageBatch
) -> dict[str, ContributionSums]:
    """Return the sums of the contributions to the units of a batch, by layer."""
    count = len(batch.images)
    if not count:
        return {}

    def attempt(limit: int) -> dict[str, ContributionSums]:
        merged: dict[str, ContributionSums] = {}
        for start in range(0, count, limit):
            part = batch.part(slice(start, start + limit))
            _merge_into(merged, _sum_part(context, selection, cuts, part))
        return merged

    return retry_on_oom(context.limiter, count, attempt)


def _sum_part(
    context: RunContext, selection: UnitSelection, cuts: Cuts, batch: ImageBatch
) -> dict[str, ContributionSums]:
    units = selection.find(batch)
    found = unit_contributions(context.runner, context.graph.layers, batch.x, units, cuts=cuts)
    sums: dict[str, ContributionSums] = {}
    for name, contributions in found.items():
        parts = torch.split(contributions.values.cpu(), list(contributions.channels), dim=1)
        sums[name] = sum_units(
            units[name].channels.cpu(),
            contributions.scores.cpu(),
            dict(zip(contributions.upstream, parts, strict=True)),
            repeated=contributions.repeated,
        )
    return sums


def _write_circuits(context: RunContext, manifest: Manifest, files: Mapping[str, CircuitFile]) -> None:
    """Write the circuits of all layers, and read them back."""
    write_files((context.out / circuit_path(name), encode_json(file)) for name, file in files.items())
    for layer in manifest.layers:
        if read_circuits(context.out, manifest, layer) != files[layer.name]:
            path = str(context.out / circuit_path(layer.name))
            raise LurkError(
                f"{path!r} differs from what was written",
                "check the disk, then start the same command again",
            )


def _merge_layers(
    context: RunContext,
    manifest: Manifest,
    partial: PartialResults,
    pieces: Collection[str],
    reaching: Mapping[str, int],
    cuts: Cuts,
) -> dict[str, CircuitFile]:
    """Merge the shards, and return the circuits of all layers by layer."""
    channels = {layer.name: layer.channels for layer in manifest.layers}
    files: dict[str, CircuitFile] = {}
    consumption = {name: no_consumption(count) for name, count in channels.items()}
    downstream: dict[str, list[str]] = {name: [] for name in channels}
    left_out: dict[str, int] = {}
    for group in _layer_groups(manifest):
        kernels_of = _kernels(context, {name: reaching[name] for name in group if name in reaching}, cuts)
        for name, sums in merge_contents(map(partial.read, pieces), group).items():
            kernels = kernels_of.get(name, {})
            upstream = [other for other in channels if other in kernels or other in sums.contributions]
            wiring = mean_wiring(sums, channels[name], upstream, [channels[other] for other in upstream])
            for at, other in enumerate(upstream):
                consumption[other] = add_consumers(
                    consumption[other], len(downstream[other]), wiring.shares(at)
                )
                downstream[other].append(name)
            files[name] = CircuitFile(
                format=FORMAT,
                layer=name,
                images=context.config.circuits.images,
                upstream=[_upstream_layer(other, kernels.get(other)) for other in upstream],
                downstream=[],
                repeated=sums.repeated,
                filters=wiring_to_records(wiring, [kernels.get(other) for other in upstream]),
            )
            if sums.left_out:
                left_out[name] = sums.left_out
    _report_left_out(context, left_out)
    return {
        name: msgspec.structs.replace(
            file, downstream=downstream[name], filters=with_consumers(file.filters, consumption[name])
        )
        for name, file in files.items()
    }


def _layer_groups(manifest: Manifest) -> Iterator[list[str]]:
    """Yield the layers in execution order, in groups whose sums are in memory together."""
    channels = {layer.name: layer.channels for layer in manifest.layers}
    group: list[str] = []
    size = 0
    for name, count in channels.items():
        own = count * sum(channels[source] for source, target in manifest.edges if target == name)
        if group and size + own > _SUMS_IN_MEMORY:
            yield group
            group, size = [], 0
        group.append(name)
        size += own
    yield group


def _reaching_images(files: Mapping[str, LayerFile]) -> dict[str, int]:
    """Return the id of an image that reaches each layer; layers that none reaches are left out."""
    best = {name: [entry.max[0].image for entry in file.filters if entry.max] for name, file in files.items()}
    any_image = min(images[0] for images in best.values() if images)
    # Where all images reach a layer, one image does for all such layers.
    return {
        name: any_image if files[name].images is None else images[0]
        for name, images in best.items()
        if images
    }


def _input(context: RunContext, image: int) -> Tensor:
    return context.source.input(image)[None]


def _kernels(
    context: RunContext, reaching: Mapping[str, int], cuts: Cuts
) -> dict[str, dict[str, Tensor | None]]:
    """Return the kernels between layers and each of those upstream, on the CPU.

    Args:
        context: The run.
        reaching: The layers, with an image that reaches each.
        cuts: Where the network is cut.
    """
    by_image: dict[int, list[str]] = {}
    for name, image in reaching.items():
        by_image.setdefault(image, []).append(name)
    kernels: dict[str, dict[str, Tensor | None]] = {}
    for image, names in by_image.items():
        x = _input(context, image)
        found = network_kernels(context.runner, context.graph.layers, names, x, cuts=cuts)
        for name, own in found.items():
            weights = [None if kernel is None else kernel.cpu() for kernel in own.kernels]
            kernels[name] = dict(zip(own.upstream, weights, strict=True))
    return kernels


def _upstream_layer(name: str, kernels: Tensor | None) -> UpstreamLayer:
    if kernels is None:
        return UpstreamLayer(name, None)
    height, width = kernels.shape[2:]
    return UpstreamLayer(name, (height, width))


def _report_left_out(context: RunContext, left_out: Mapping[str, int]) -> None:
    """Report units whose contributions are not finite, by layer."""
    if left_out:
        counts = [f"{count} of {name!r}" for name, count in left_out.items()]
        more = f" and of {len(counts) - _MAX_REPORTED} other layers" if len(counts) > _MAX_REPORTED else ""
        context.reporter.report(
            "circuits leave out units whose contributions are NaN or infinite: "
            f"{', '.join(counts[:_MAX_REPORTED])}{more}"
        )
