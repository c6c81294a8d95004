"""The result of a scan of one shard of images, as bytes in the safetensors format.

Sums by class are stored only for the classes that occur in the shard. A folder is read class by class, so
these are few, while the sums of all classes would take gigabytes for a dataset of a thousand classes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from torchlurk.scan.kept import LayerActivations
from torchlurk.scan.state import ScanState, initial_state
from torchlurk.scan.topk import TopK, merge_topk
from torchlurk.store.schema import SkippedFile

_LISTS = ("max", "avg")
_LIST_PARTS = ("scores", "images", "places")
"""The names in a shard's bytes of the tensors of a `TopK`, in the order of its fields."""
_SUMS_BY_CLASS = ("images", "max_by_class", "avg_by_class", "positive_by_class")
_SUMS_BY_FILTER = ("max_squares", "avg_squares", "active", "counts")
_ACTIVATIONS = "activations"


@dataclass(frozen=True)
class Shard:
    """The result of a scan of some consecutive images.

    Attributes:
        state: The state of a scan that starts at the shard's first image.
        skipped: The images that could not be read.
        batch: The largest number of images in a forward; smaller than requested if memory ran out.
        activations: The activations of all its images by layer, if the scan keeps them.
    """

    state: ScanState
    skipped: tuple[SkippedFile, ...]
    batch: int
    activations: Mapping[str, LayerActivations] = field(default_factory=dict)


def to_bytes(shard: Shard) -> bytes:
    """Encode a shard as the content of a partial result; equal shards give equal bytes."""
    state = shard.state
    present = state.images.nonzero().flatten()
    tensors: dict[str, Tensor] = {
        "classes": present,
        "images": state.images[present],
        "batch": torch.tensor(shard.batch),
        # A tensor, not metadata: safetensors writes metadata in no particular order.
        "skipped": torch.frombuffer(bytearray(_encode_skipped(shard.skipped)), dtype=torch.uint8),
    }
    for name, layer in state.layers.items():
        for key in _LISTS:
            lists: TopK = getattr(layer, key)
            for part, values in zip(_LIST_PARTS, vars(lists).values(), strict=True):
                tensors[f"{name}/{key}/{part}"] = values
        for key in _SUMS_BY_CLASS:
            tensors[f"{name}/{key}"] = getattr(layer, key)[present]
        for key in _SUMS_BY_FILTER:
            tensors[f"{name}/{key}"] = getattr(layer, key)
    for name, activations in shard.activations.items():
        for key, array in vars(activations).items():
            tensors[f"{name}/{_ACTIVATIONS}/{key}"] = torch.from_numpy(array)
    return save({key: value.contiguous() for key, value in tensors.items()})


def read_activations(content: bytes, layers: Iterable[str]) -> dict[str, LayerActivations]:
    """Decode the activations of a shard by layer.

    Args:
        content: The bytes of a shard that has them.
        layers: Names of the layers.
    """
    tensors = load(content)
    keys = [each.name for each in fields(LayerActivations)]
    return {
        name: LayerActivations(*(tensors[f"{name}/{_ACTIVATIONS}/{key}"].numpy() for key in keys))
        for name in layers
    }


def merge_shards(contents: Iterable[bytes], channels: Mapping[str, int], classes: int, k: int) -> Shard:
    """Decode shards and merge them.

    Args:
        contents: The bytes of each shard, from `to_bytes`. Their order affects the last digits of sums, but
            no list.
        channels: Number of filters of each layer, by name.
        classes: Number of classes of the dataset.
        k: Length of the top-k lists.
    """
    images = torch.zeros(classes, dtype=torch.int64)
    layers = dict(initial_state(dict(channels), classes, k).layers)
    skipped: list[SkippedFile] = []
    batches: list[int] = []
    for content in contents:
        tensors = load(content)
        present = tensors["classes"]
        images.index_add_(0, present, tensors["images"])
        for name, sums in layers.items():
            lists: dict[str, Any] = {}
            for key in _LISTS:
                new = TopK(*(tensors[f"{name}/{key}/{part}"] for part in _LIST_PARTS))
                lists[key] = merge_topk(getattr(sums, key), new)
            # In place, since nothing else refers to them: sums by class take gigabytes for large datasets.
            for key in _SUMS_BY_CLASS:
                getattr(sums, key).index_add_(0, present, tensors[f"{name}/{key}"])
            for key in _SUMS_BY_FILTER:
                getattr(sums, key).add_(tensors[f"{name}/{key}"])
            layers[name] = replace(sums, **lists)
        skipped += [SkippedFile(path=p, reason=r) for p, r in json.loads(bytes(tensors["skipped"].tolist()))]
        batches.append(int(tensors["batch"]))
    return Shard(ScanState(images, layers), tuple(skipped), min(batches, default=sys.maxsize))


def _encode_skipped(rows: tuple[SkippedFile, ...]) -> bytes:
    # As ASCII, since the name of a file need not be valid UTF-8.
    return json.dumps([(row.path, row.reason) for row in rows]).encode()
