"""Expanded weights of the requested filters, with respect to filters two steps upstream in their circuits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from torch import Tensor

from torchlurk.circuits.cuts import Cuts
from torchlurk.circuits.expanded import expanded_weights
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages.context import RunContext, requested_channels
from torchlurk.pipeline.wiring import kernel_to_letters, round_to
from torchlurk.store.read_circuits import read_circuits, read_expanded
from torchlurk.store.schema import (
    FORMAT,
    CircuitFile,
    ExpandedFile,
    ExpandedKernel,
    ExpandedWeights,
    Manifest,
    UpstreamLayer,
    expanded_path,
)
from torchlurk.store.write import write_json

WEIGHTS_TASK = "expanded weights"
"""Name of the progress bar."""

NEIGHBOURS = 4
"""Number of upstream filters that are followed at each step: those with the largest contributions."""

_MOST_FILTERS = 8
"""Number of filters of a layer whose weights a run computes, at most. Each takes a backward
pass: all filters of ResNet18 would take 83 s, and their circuits 14 s."""

_MOST_LAYERS = 2
"""Number of layers two steps upstream for which a layer has weights, in networks with many connections."""

_LARGEST_KERNEL = 1024
"""Largest number of weights of a kernel that is written."""

_CHANNELS_AT_ONCE = 64
"""Filters whose weights with respect to a whole layer are in memory together."""

_DIGITS = 6
"""Significant digits of scales."""

_Source = tuple[str, int]
"""A filter upstream: its layer and channel."""


@dataclass(frozen=True)
class _Weights:
    """The expanded weights of a filter.

    Attributes:
        scale: The largest magnitude of a weight; 0 without kernels.
        letters: The kernel with respect to each filter upstream.
    """

    scale: float
    letters: Mapping[_Source, str]


@dataclass(frozen=True)
class _LayerWeights:
    """The expanded weights of filters of a layer.

    Attributes:
        filters: By channel.
        sizes: Height and width of the kernels, by layer upstream.
    """

    filters: Mapping[int, _Weights]
    sizes: Mapping[str, tuple[int, int]]


def layers_with_weights(manifest: Manifest) -> list[str]:
    """Return the layers that have a layer two steps upstream, in order."""
    upstream: dict[str, list[str]] = {}
    for source, target in manifest.edges:
        upstream.setdefault(target, []).append(source)
    return [
        layer.name
        for layer in manifest.layers
        if any(source in upstream for source in upstream.get(layer.name, ()))
    ]


def channels_without_weights(context: RunContext, manifest: Manifest) -> dict[str, list[int]]:
    """Return the channels whose weights the run computes, by layer: the first few requested ones without any.

    Complete layers are left out.
    """
    requested = requested_channels(context)
    lacking: dict[str, list[int]] = {}
    for name in layers_with_weights(manifest):
        written = _read_existing(context, manifest, name).filters
        first = requested.get(name, ())[:_MOST_FILTERS]
        channels = [channel for channel in first if channel not in written]
        if channels:
            lacking[name] = channels
    return lacking


def write_weights(
    context: RunContext, manifest: Manifest, inputs: Mapping[str, Tensor], cuts: Cuts
) -> Manifest:
    """Write the expanded weights that requested filters lack. The processes of a run share the layers.

    Args:
        context: The run.
        manifest: The manifest of the store, which has circuits.
        inputs: An input `(1, C, H, W)` that reaches each layer; layers that none reaches are left out.
        cuts: Where the network is cut.

    Returns:
        The manifest with the layers that have expanded weights; it is not written yet.
    """
    lacking = context.group.broadcast(lambda: channels_without_weights(context, manifest))
    circuits = {layer.name: read_circuits(context.out, manifest, layer) for layer in manifest.layers}
    with context.reporter.bar(WEIGHTS_TASK, sum(map(len, lacking.values())), "filter") as advance:
        for name in context.group.local_share(list(lacking)):
            pairs = {channel: _two_steps_upstream(circuits, name, channel) for channel in lacking[name]}
            found = _compute(context, name, pairs, inputs[name], cuts) if name in inputs else {}
            existing = _read_existing(context, manifest, name)
            file = _to_file(manifest, name, _add(existing, lacking[name], found))
            write_json(context.out / expanded_path(name), file)
            advance(len(lacking[name]))
    context.group.barrier()
    written = [name for name in layers_with_weights(manifest) if _has_file(context, name)]
    return msgspec.structs.replace(manifest, expanded=written)


def _has_file(context: RunContext, layer: str) -> bool:
    return (context.out / expanded_path(layer)).is_file()


def _two_steps_upstream(circuits: Mapping[str, CircuitFile], layer: str, channel: int) -> list[_Source]:
    """Return the filters that contribute most to the filters that contribute most to a filter."""
    sources: dict[_Source, None] = {}
    for name, neighbour in _neighbours(circuits[layer], channel):
        sources |= dict.fromkeys(_neighbours(circuits[name], neighbour))
    return list(sources)


def _neighbours(file: CircuitFile, channel: int) -> list[_Source]:
    """Return the filters with the largest contributions to a filter, largest first."""
    entry = file.filters[channel]
    parts = sorted([*entry.excited_by, *entry.inhibited_by], key=lambda one: -abs(one.contribution))
    return [(file.upstream[one.upstream].layer, one.channel) for one in parts[:NEIGHBOURS]]


def _compute(
    context: RunContext, layer: str, pairs: Mapping[int, Sequence[_Source]], x: Tensor, cuts: Cuts
) -> dict[int, dict[_Source, Tensor]]:
    """Return the kernels `(kh, kw)` of filters of a layer with respect to filters upstream, by channel."""
    counts = Counter(name for sources in pairs.values() for name, _ in sources)
    found: dict[int, dict[_Source, Tensor]] = {channel: {} for channel in pairs}
    for upstream, _ in counts.most_common(_MOST_LAYERS):
        channels = [c for c, sources in pairs.items() if any(name == upstream for name, _ in sources)]
        for start in range(0, len(channels), _CHANNELS_AT_ONCE):
            part = channels[start : start + _CHANNELS_AT_ONCE]
            try:
                weights = expanded_weights(
                    context.runner, context.graph.layers, layer, part, upstream, x, cuts=cuts
                ).cpu()
            except LurkError:  # for this input, data does not flow from one layer to the other
                break
            if weights[0, 0].numel() > _LARGEST_KERNEL:
                break
            for channel, kernels in zip(part, weights, strict=True):
                found[channel] |= {
                    (upstream, other): kernels[other]
                    for name, other in pairs[channel]
                    if name == upstream and kernels[other].isfinite().all()
                }
    return found


def _add(
    existing: _LayerWeights, channels: Sequence[int], found: Mapping[int, Mapping[_Source, Tensor]]
) -> _LayerWeights:
    """Add the kernels that were found for some channels; a channel without any gets an empty record."""
    filters, sizes = dict(existing.filters), dict(existing.sizes)
    for channel in channels:
        kernels = found.get(channel, {})
        largest = max((float(kernel.abs().max()) for kernel in kernels.values()), default=0.0)
        scale = round_to(largest, _DIGITS)
        letters = {source: kernel_to_letters(kernel.numpy(), scale) for source, kernel in kernels.items()}
        filters[channel] = _Weights(scale, {source: text for source, text in letters.items() if text})
        sizes |= {name: (kernel.shape[0], kernel.shape[1]) for (name, _), kernel in kernels.items()}
    return _LayerWeights(filters, sizes)


def _to_file(manifest: Manifest, layer: str, weights: _LayerWeights) -> ExpandedFile:
    used = {name for one in weights.filters.values() for name, _ in one.letters}
    upstream = [other.name for other in manifest.layers if other.name in used]
    return ExpandedFile(
        format=FORMAT,
        layer=layer,
        upstream=[UpstreamLayer(name, weights.sizes[name]) for name in upstream],
        filters=[
            ExpandedWeights(
                channel,
                one.scale,
                sorted(
                    (
                        ExpandedKernel(upstream.index(name), other, text)
                        for (name, other), text in one.letters.items()
                    ),
                    key=lambda kernel: (kernel.upstream, kernel.channel),
                ),
            )
            for channel, one in sorted(weights.filters.items())
        ],
    )


def _read_existing(context: RunContext, manifest: Manifest, layer: str) -> _LayerWeights:
    """Return the expanded weights that the store has of a layer."""
    if not _has_file(context, layer):
        return _LayerWeights({}, {})
    file = read_expanded(context.out, manifest, layer)
    names = [source.layer for source in file.upstream]
    filters = {
        entry.channel: _Weights(
            entry.scale, {(names[one.upstream], one.channel): one.weights for one in entry.kernels}
        )
        for entry in file.filters
    }
    return _LayerWeights(
        filters, {source.layer: source.kernel for source in file.upstream if source.kernel is not None}
    )
