"""Checks of the circuits of a store: all layers have them, and their numbers agree; also expanded weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.read_circuits import read_circuits, read_expanded
from torchlurk.store.schema import CircuitFile, FilterCircuit, Manifest, circuit_path

_TOLERANCE = 1e-5
"""Largest difference of two sums, as a share of the magnitudes in them: sums have six digits."""

_LIST_TOLERANCE = 1e-3
"""The same for the sums of lists, whose numbers have four digits."""


def check_circuits(store: Path, manifest: Manifest) -> Iterator[str]:
    """Check the circuits of all layers, if their stage is complete.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.

    Yields:
        What is missing or damaged, a line each.
    """
    if not manifest.stages.circuits.complete:
        return
    files: dict[str, CircuitFile] = {}
    for layer in manifest.layers:
        try:
            files[layer.name] = read_circuits(store, manifest, layer)
        except LurkError as problem:
            yield problem.without_hint()
    edges = {(upstream.layer, name) for name, file in files.items() for upstream in file.upstream}
    for name, file in files.items():
        path = str(store / circuit_path(name))
        if {(name, other) for other in file.downstream if other in files} != {
            e for e in edges if e[0] == name
        }:
            yield f"{path!r} names other layers downstream than those that name {name!r} upstream"
        wrong = [channel for channel, entry in enumerate(file.filters) if not _is_consistent(entry)]
        if wrong:
            yield f"{path!r} has sums that do not agree, of {len(wrong)} filters (first of filter {wrong[0]})"


def check_expanded(store: Path, manifest: Manifest) -> Iterator[str]:
    """Check the expanded weights of the layers that have some.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.

    Yields:
        What is missing or damaged, a line each.
    """
    for name in manifest.expanded if manifest.stages.circuits.complete else ():
        try:
            read_expanded(store, manifest, name)
        except LurkError as problem:
            yield problem.without_hint()


def _is_consistent(entry: FilterCircuit) -> bool:
    """Return whether the sums of a filter agree, and its lists with them."""
    size = abs(entry.score) + entry.excitation - entry.inhibition + abs(entry.rest)
    excited = [one.contribution for one in entry.excited_by]
    inhibited = [one.contribution for one in entry.inhibited_by]
    shares = [abs(use.share) for use in entry.used_by]

    def equal(first: float, second: float) -> bool:
        return math.isclose(first, second, rel_tol=0, abs_tol=_TOLERANCE * size)

    return (
        equal(entry.excitation + entry.inhibition + entry.rest, entry.score)
        and equal(sum(positive for positive, _ in entry.sums), entry.excitation)
        and equal(sum(negative for _, negative in entry.sums), entry.inhibition)
        and all(one > 0 for one in excited)
        and all(one < 0 for one in inhibited)
        and sum(excited) <= entry.excitation + _LIST_TOLERANCE * size
        and sum(inhibited) >= entry.inhibition - _LIST_TOLERANCE * size
        and _is_descending(excited)
        and _is_descending(-one for one in inhibited)
        and _is_descending(shares)
    )


def _is_descending(numbers: Iterable[float]) -> bool:
    values = list(numbers)
    return values == sorted(values, reverse=True)
