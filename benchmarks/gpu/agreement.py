"""Compare the top lists of two stores of the same network and images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchlurk.store.read import read_layer, read_manifest

TOLERANCE = 1e-4
"""Largest relative difference of two scores that agree."""

_SMALL = 1e-3
"""Scores below this share of a layer's largest score are compared relative to that share: they are sums of
larger numbers that cancel."""


@dataclass(frozen=True)
class Agreement:
    """How far two stores agree.

    Attributes:
        entries: Number of entries of all lists.
        largest_difference: The largest relative difference of the scores at one rank.
        exchanged: Entries that name different images with scores that agree: near ties.
        different: Entries whose scores do not agree.
        first_different: The first of these, for people; "" if there are none.
    """

    entries: int
    largest_difference: float
    exchanged: int
    different: int
    first_different: str


def compare_stores(first: Path, second: Path) -> Agreement:
    """Compare all entries of the top lists of two stores, rank by rank."""
    entries = exchanged = different = 0
    largest, example = 0.0, ""
    others = {layer.name: layer for layer in read_manifest(second).layers}
    for layer in read_manifest(first).layers:
        mine, theirs = read_layer(first, layer).filters, read_layer(second, others[layer.name]).filters
        for kind in ("max", "avg"):
            scores = [abs(entry.score) for f in mine for entry in getattr(f, kind)]
            floor = _SMALL * max(scores, default=0.0)
            for a, b in zip(mine, theirs, strict=True):
                for rank, (x, y) in enumerate(zip(getattr(a, kind), getattr(b, kind), strict=True)):
                    entries += 1
                    scale = max(abs(x.score), abs(y.score), floor)
                    difference = abs(x.score - y.score) / scale if scale else 0.0
                    largest = max(largest, difference)
                    if difference > TOLERANCE:
                        different += 1
                        example = example or f"{kind} of {layer.name}:{a.channel}, rank {rank}: {x} and {y}"
                    elif x.image != y.image:
                        exchanged += 1
    return Agreement(entries, largest, exchanged, different, example)
