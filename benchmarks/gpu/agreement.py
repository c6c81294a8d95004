"""Compare the top lists of two stores of the same network and images, and both with float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

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


@dataclass(frozen=True)
class Errors:
    """How far the scores of a store are from those in float64.

    Attributes:
        entries: Number of entries of all lists.
        largest_relative: The largest difference relative to the score.
        above_tolerance: Entries whose relative difference is above `TOLERANCE`.
        largest_by_magnitude: The largest difference relative to the mean magnitude of the feature map. Where
            positive and negative activations cancel in a mean, it is the one that rounding decides.
    """

    entries: int
    largest_relative: float
    above_tolerance: int
    largest_by_magnitude: float


Exact = Mapping[str, Tensor]
"""For each layer `(images, 3, C)` float64: maximum, mean and mean magnitude of each feature map."""


def exact_scores(module: nn.Module, layers: Iterable[str], batches: Iterable[Tensor]) -> Exact:
    """Compute the scores of all filters in float64, with hooks of our own.

    Args:
        module: The network in float64.
        layers: Dotted names.
        batches: The images in the order of their ids, `(N, C, H, W)` float64.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str, maps: Tensor) -> None:
        flat = maps.flatten(2)
        found[name].append(torch.stack([flat.amax(2), flat.mean(2), flat.abs().mean(2)], dim=1).cpu())

    handles = [
        module.get_submodule(name).register_forward_hook(lambda _, __, maps, name=name: keep(name, maps))
        for name in found
    ]
    try:
        with torch.no_grad():
            for x in batches:
                module(x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def measure_errors(store: Path, exact: Exact) -> Errors:
    """Compare all scores of a store with those in float64."""
    relative, by_magnitude = [], []
    for score, true, magnitude in _scores(store, exact):
        relative.append(abs(score - true) / abs(true) if true else 0.0)
        by_magnitude.append(abs(score - true) / magnitude if magnitude else 0.0)
    return Errors(
        len(relative), max(relative), sum(error > TOLERANCE for error in relative), max(by_magnitude)
    )


def _scores(store: Path, exact: Exact) -> Iterator[tuple[float, float, float]]:
    """Yield the score of each entry, and of its map the score and the mean magnitude in float64."""
    for layer in read_manifest(store).layers:
        values = exact[layer.name]
        for entry in read_layer(store, layer).filters:
            for row, kind in enumerate(("max", "avg")):
                for e in getattr(entry, kind):
                    of_map = values[e.image, :, entry.channel].tolist()
                    yield e.score, of_map[row], of_map[2]
