"""What a scan knows after one shard of images, as bytes: safetensors, with the images that were skipped.

Of the sums by class only the classes that occur in the shard are kept: a folder is read class by class, so
they are few, where all would be gigabytes for a data set of a thousand classes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from torchlurk.scan import scan, topk
from torchlurk.scan.scan import ScanState
from torchlurk.scan.topk import TopK
from torchlurk.store.schema import SkippedFile

LISTS = ("max", "avg")
_LIST_PARTS = ("scores", "images", "places")
"""The names in a shard's file of the tensors of a `TopK`, in the order of its fields."""
BY_CLASS = ("images", "max_by_class", "avg_by_class", "positive_by_class")
BY_FILTER = ("max_squares", "avg_squares", "active", "counts")


@dataclass(frozen=True)
class Shard:
    """What some consecutive images gave.

    Attributes:
        state: of the scan, begun at the shard's first image.
        skipped: the images that could not be read.
        batch: how many images a forward took at most: less than was asked for where memory did not suffice.
    """

    state: ScanState
    skipped: tuple[SkippedFile, ...]
    batch: int


def to_bytes(shard: Shard) -> bytes:
    """A shard as a piece's content; the same shard gives the same bytes."""
    state = shard.state
    present = state.images.nonzero().flatten()
    tensors: dict[str, Tensor] = {
        "classes": present,
        "images": state.images[present],
        "batch": torch.tensor(shard.batch),
        # As a tensor, and not as the file's metadata, which safetensors writes in no particular order.
        "skipped": torch.frombuffer(bytearray(_skipped(shard.skipped)), dtype=torch.uint8),
    }
    for name, layer in state.layers.items():
        for key in LISTS:
            lists: TopK = getattr(layer, key)
            for part, values in zip(_LIST_PARTS, vars(lists).values(), strict=True):
                tensors[f"{name}/{key}/{part}"] = values
        for key in BY_CLASS:
            tensors[f"{name}/{key}"] = getattr(layer, key)[present]
        for key in BY_FILTER:
            tensors[f"{name}/{key}"] = getattr(layer, key)
    return save({key: value.contiguous() for key, value in tensors.items()})


def merge_shards(contents: Iterable[bytes], channels: Mapping[str, int], classes: int, k: int) -> Shard:
    """What shards give together, from the bytes that `to_bytes` made of them.

    Args:
        contents: of the shards; their order moves the last digits of sums, never a list.
        channels: how many filters each layer has, by name.
        classes: how many classes the data set has.
        k: how many images a list keeps.
    """
    images = torch.zeros(classes, dtype=torch.int64)
    layers = dict(scan.empty(dict(channels), classes, k).layers)
    skipped: list[SkippedFile] = []
    batches: list[int] = []
    for content in contents:
        tensors = load(content)
        present = tensors["classes"]
        images.index_add_(0, present, tensors["images"])
        for name, sums in layers.items():
            parts: dict[str, Any] = {}
            for key in LISTS:
                new = TopK(*(tensors[f"{name}/{key}/{part}"] for part in _LIST_PARTS))
                parts[key] = topk.merge(getattr(sums, key), new)
            # In place, where nobody else has them: those by class are gigabytes for large data sets.
            for key in BY_CLASS:
                getattr(sums, key).index_add_(0, present, tensors[f"{name}/{key}"])
            for key in BY_FILTER:
                getattr(sums, key).add_(tensors[f"{name}/{key}"])
            layers[name] = replace(sums, **parts)
        skipped += [SkippedFile(path=p, reason=r) for p, r in json.loads(bytes(tensors["skipped"].tolist()))]
        batches.append(int(tensors["batch"]))
    return Shard(ScanState(images, layers), tuple(skipped), min(batches, default=sys.maxsize))


def _skipped(rows: tuple[SkippedFile, ...]) -> bytes:
    # As ASCII: the name of a file need not be UTF-8.
    return json.dumps([(row.path, row.reason) for row in rows]).encode()
