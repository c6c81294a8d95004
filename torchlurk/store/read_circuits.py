"""Read the circuits of a store, and check what they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.read import RECOMPUTE, check_owner, quote_name, read_json
from torchlurk.store.schema import (
    CircuitFile,
    ExpandedFile,
    LayerRecord,
    Manifest,
    UpstreamLayer,
    circuit_path,
    expanded_path,
)


def read_circuits(store: Path, manifest: Manifest, layer: LayerRecord) -> CircuitFile:
    """Read the circuits of a layer.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.
        layer: The layer in the manifest.

    Raises:
        LurkError: The file is missing or damaged, has a newer format, or is not that of the layer.
    """
    path = store / circuit_path(layer.name)
    file = read_json(path, CircuitFile)
    check_owner(path, file.layer, len(file.filters), layer, "circuits")
    if problem := _dangling_reference(file, {other.name: other.channels for other in manifest.layers}):
        raise LurkError(f"{str(path)!r} is damaged ({problem})", RECOMPUTE)
    return file


def read_all_circuits(store: Path, manifest: Manifest) -> list[CircuitFile]:
    """Read the circuits of all layers; none if the store does not have them all.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.

    Raises:
        LurkError: See `read_circuits`.
    """
    layers = manifest.layers if manifest.stages.circuits.complete else ()
    return [read_circuits(store, manifest, layer) for layer in layers]


def _dangling_reference(file: CircuitFile, channels: Mapping[str, int]) -> str:
    """Return which entry of a layer's circuits refers to nothing; empty if none does.

    Args:
        file: The circuits.
        channels: Number of filters of each layer.
    """
    for name in (*(layer.layer for layer in file.upstream), *file.downstream):
        if name not in channels:
            return f"{quote_name(name)} is not a layer"
    above = [channels[layer.layer] for layer in file.upstream]
    below = [channels[name] for name in file.downstream]
    weights = [_weights(layer) for layer in file.upstream]
    for channel, entry in enumerate(file.filters):
        if len(entry.sums) != len(above):
            return f"filter {channel} does not have one sum for each layer upstream"
        for one in (*entry.excited_by, *entry.inhibited_by):
            if one.upstream >= len(above) or one.channel >= above[one.upstream]:
                return f"filter {channel} refers to a filter upstream that does not exist"
            if len(one.kernel) not in (0, weights[one.upstream]):
                return f"filter {channel} has a kernel of another size than its layer"
        for use in entry.used_by:
            if use.downstream >= len(below) or use.channel >= below[use.downstream]:
                return f"filter {channel} refers to a filter downstream that does not exist"
    return ""


def read_expanded(store: Path, manifest: Manifest, layer: str) -> ExpandedFile:
    """Read the expanded weights of the filters of a layer.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.
        layer: Name of the layer.

    Raises:
        LurkError: The file is missing or damaged, has a newer format, or is not that of the layer.
    """
    path = store / expanded_path(layer)
    file = read_json(path, ExpandedFile)
    channels = {other.name: other.channels for other in manifest.layers}
    if file.layer != layer or layer not in channels:
        raise LurkError(f"{str(path)!r} does not have the expanded weights of {quote_name(layer)}", RECOMPUTE)
    if problem := _dangling_kernel(file, channels):
        raise LurkError(f"{str(path)!r} is damaged ({problem})", RECOMPUTE)
    return file


def _dangling_kernel(file: ExpandedFile, channels: Mapping[str, int]) -> str:
    """Return which expanded weights refer to nothing; empty if none do.

    Args:
        file: The expanded weights.
        channels: Number of filters of each layer.
    """
    for source in file.upstream:
        if source.layer not in channels:
            return f"{quote_name(source.layer)} is not a layer"
    above = [channels[source.layer] for source in file.upstream]
    weights = [_weights(source) for source in file.upstream]
    numbers = [entry.channel for entry in file.filters]
    if numbers != sorted(set(numbers)) or (numbers and numbers[-1] >= channels[file.layer]):
        return "its filters are not those of the layer in their order"
    for entry in file.filters:
        for one in entry.kernels:
            if one.upstream >= len(above) or one.channel >= above[one.upstream]:
                return f"filter {entry.channel} refers to a filter upstream that does not exist"
            if len(one.weights) != weights[one.upstream]:
                return f"filter {entry.channel} has weights of another size than their layer"
    return ""


def _weights(source: UpstreamLayer) -> int:
    """Return the number of weights in a kernel between a layer and one upstream."""
    return 0 if source.kernel is None else source.kernel[0] * source.kernel[1]
