"""Sums of contributions over units: they are added batch by batch, saved by shard, and merged in order."""

from __future__ import annotations

import json
import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor


@dataclass(frozen=True)
class ContributionSums:
    """Sums over the units of some filters of a layer.

    Attributes:
        channels: `(F,)` int64, the filters that have a unit, ascending.
        counts: `(F,)` int64, the number of their units.
        scores: `(F,)` float64, the sum of their scores.
        contributions: `(F, C)` float64 for each layer upstream with its C filters: the sums of their
            contributions.
        repeated: Whether the layer, or one upstream, is called more than once.
        left_out: Number of units that the sums leave out, since a contribution is NaN or infinite.
    """

    channels: Tensor
    counts: Tensor
    scores: Tensor
    contributions: Mapping[str, Tensor]
    repeated: bool = False
    left_out: int = 0


def no_units() -> ContributionSums:
    """Return the sums over no unit."""
    none = torch.zeros(0, dtype=torch.int64)
    return ContributionSums(none, none, torch.zeros(0, dtype=torch.float64), {})


def sum_units(
    channels: Tensor, scores: Tensor, contributions: Mapping[str, Tensor], *, repeated: bool
) -> ContributionSums:
    """Return the sums over units, filter by filter.

    Args:
        channels: `(U,)` int64, the filter of each unit.
        scores: `(U,)`, their scores.
        contributions: `(U, C)` for each layer upstream with its C filters. A unit with a contribution that is
            NaN or infinite is left out.
        repeated: As in `ContributionSums`.
    """
    finite = scores.isfinite()
    for values in contributions.values():
        finite &= values.isfinite().all(1)
    filters, rows = torch.unique(channels[finite], return_inverse=True)
    return ContributionSums(
        filters,
        torch.bincount(rows, minlength=len(filters)),
        _add_rows(len(filters), rows, scores[finite]),
        {name: _add_rows(len(filters), rows, values[finite]) for name, values in contributions.items()},
        repeated,
        len(finite) - int(finite.sum()),
    )


def merge_sums(first: ContributionSums, second: ContributionSums) -> ContributionSums:
    """Return the sums over the units of both.

    A layer upstream that is known to one of them only has contributed nothing to the units of the other, as
    in a network that sends each image to one of several branches.
    """
    filters, rows = torch.unique(torch.cat([first.channels, second.channels]), return_inverse=True)
    parts = [(first, rows[: len(first.channels)]), (second, rows[len(first.channels) :])]
    counts = torch.zeros(len(filters), dtype=torch.int64)
    scores = torch.zeros(len(filters), dtype=torch.float64)
    contributions: dict[str, Tensor] = {}
    for sums, own in parts:
        counts.index_add_(0, own, sums.counts)
        scores.index_add_(0, own, sums.scores)
        for name, values in sums.contributions.items():
            total = contributions.setdefault(name, values.new_zeros(len(filters), values.shape[1]))
            total.index_add_(0, own, values)
    return ContributionSums(
        filters,
        counts,
        scores,
        contributions,
        first.repeated or second.repeated,
        first.left_out + second.left_out,
    )


def _add_rows(count: int, rows: Tensor, values: Tensor) -> Tensor:
    """Return `count` sums of values, in float64: `rows` says which value belongs to which sum."""
    sums = torch.zeros((count, *values.shape[1:]), dtype=torch.float64)
    return sums.index_add_(0, rows, values.double())


def sums_to_bytes(layers: Mapping[str, ContributionSums]) -> bytes:
    """Encode the sums of layers as the content of a partial result; equal sums give equal bytes.

    Each layer is one file in the safetensors format, so that some can be read without the others.
    """
    parts: list[bytes] = []
    index: list[tuple[str, list[str], bool, int, int]] = []
    for name, sums in layers.items():
        upstream = list(sums.contributions)
        tensors = {"channels": sums.channels, "counts": sums.counts, "scores": sums.scores}
        tensors |= {f"from {at}": sums.contributions[other] for at, other in enumerate(upstream)}
        parts.append(save({key: value.contiguous() for key, value in tensors.items()}))
        index.append((name, upstream, sums.repeated, sums.left_out, len(parts[-1])))
    # ASCII, since the name of a layer need not be valid UTF-8.
    header = json.dumps(index).encode("ascii")
    return b"".join([struct.pack("<Q", len(header)), header, *parts])


def sums_from_bytes(content: bytes, layers: Container[str]) -> dict[str, ContributionSums]:
    """Decode the sums of some layers from `sums_to_bytes`.

    Args:
        content: The bytes.
        layers: Names of the layers to decode.
    """
    (length,) = struct.unpack_from("<Q", content)
    start = 8 + length
    found: dict[str, ContributionSums] = {}
    for name, upstream, repeated, left_out, size in json.loads(content[8:start]):
        if name in layers:
            tensors = load(content[start : start + size])
            found[name] = ContributionSums(
                tensors["channels"],
                tensors["counts"],
                tensors["scores"],
                {other: tensors[f"from {at}"] for at, other in enumerate(upstream)},
                repeated,
                left_out,
            )
        start += size
    return found


def merge_contents(contents: Iterable[bytes], layers: Sequence[str]) -> dict[str, ContributionSums]:
    """Decode and merge the sums of some layers from several partial results, in order.

    Args:
        contents: The bytes of each, from `sums_to_bytes`; one after the other is in memory.
        layers: Names of the layers.

    Returns:
        The sums of each of the layers.
    """
    merged = {name: no_units() for name in layers}
    for content in contents:
        for name, sums in sums_from_bytes(content, layers).items():
            merged[name] = merge_sums(merged[name], sums)
    return merged
