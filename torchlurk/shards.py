"""What a scan knows after one shard of images, as bytes: safetensors, with the images that were skipped.

Of the sums by class only the classes that occur in the shard are kept: a folder is read class by class, so
they are few, where all would be gigabytes for a data set of a thousand classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from torchlurk import scan
from torchlurk.scan import LayerState, ScanState
from torchlurk.store.schema import Skipped
from torchlurk.topk import TopK

LISTS = ("max", "avg")
BY_CLASS = ("max_by_class", "avg_by_class", "positive_by_class")
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
    skipped: tuple[Skipped, ...]
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
            for part, values in vars(lists).items():
                tensors[f"{name}/{key}/{part}"] = values
        for key in BY_CLASS:
            tensors[f"{name}/{key}"] = getattr(layer, key)[present]
        for key in BY_FILTER:
            tensors[f"{name}/{key}"] = getattr(layer, key)
    return save({key: value.contiguous() for key, value in tensors.items()})


def from_bytes(content: bytes, layers: Iterable[str], classes: int) -> Shard:
    """The shard that `to_bytes` made bytes of.

    Args:
        content: the bytes.
        layers: the names of its layers.
        classes: how many classes the data set has.
    """
    tensors = load(content)
    present = tensors["classes"]

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(classes, *values.shape[1:]).index_copy(0, present, values)

    found = {}
    for name in layers:
        lists = {
            key: TopK(*(tensors[f"{name}/{key}/{part}"] for part in ("scores", "images", "places")))
            for key in LISTS
        }
        by_class = {key: spread(tensors[f"{name}/{key}"]) for key in BY_CLASS}
        by_filter = {key: tensors[f"{name}/{key}"] for key in BY_FILTER}
        parts: dict[str, Any] = {**lists, **by_class, **by_filter}
        found[name] = LayerState(**parts)
    rows = json.loads(bytes(tensors["skipped"].tolist()))
    skipped = tuple(Skipped(path=path, reason=reason) for path, reason in rows)
    return Shard(ScanState(spread(tensors["images"]), found), skipped, int(tensors["batch"]))


def _skipped(rows: tuple[Skipped, ...]) -> bytes:
    # As ASCII: the name of a file need not be UTF-8.
    return json.dumps([(row.path, row.reason) for row in rows]).encode()


def merge(a: Shard, b: Shard) -> Shard:
    """What two shards give together. Lists do not depend on the order, the last digits of sums do."""
    return Shard(scan.merge(a.state, b.state), a.skipped + b.skipped, min(a.batch, b.batch))
