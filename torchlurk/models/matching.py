"""Find the state dict of a network among those in a file, by names and shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from torchlurk.models.state_dicts import (
    StateDict,
    apply_pruning_masks,
    canonical_name,
    is_optimiser_key,
    merge_nested,
)

_Shape = tuple[int, ...] | None

_TRAINING_PARTS = re.compile(
    r"(^|_)(loss\w*|criterion\w*|criteria|metrics?|ema\w*|averag\w*|teacher|accuracy|acc|auroc|f1)(_|$)"
    r"|^(n_averaged|num_updates|decay|initted|step|global_step|epoch|best(_\w+)?)$",
    re.I,
)
"""Parts of names that a training adds to a network, such as losses and metrics."""

_COUNTERS = ("total_ops", "total_params")
"""Buffers that the package thop, which counts operations, adds to every module."""


@dataclass(frozen=True)
class Match:
    """One way to read a state dict as that of a network.

    Attributes:
        source: The state dict.
        prefix: The prefix of its names, which the names of the network lack.
        names: The names in the state dict, by those of the network.
        missing: Names that the network needs and the state dict lacks.
        differing: Names of the network for which the state dict holds another shape, or no tensor.
        unknown: Names of tensors below the prefix that the network lacks.
        exact: Whether the names of both are equal without any change.
    """

    source: StateDict = field(repr=False)
    prefix: str
    names: Mapping[str, str] = field(repr=False)
    missing: tuple[str, ...]
    differing: tuple[str, ...]
    unknown: tuple[str, ...]
    exact: bool

    @property
    def label(self) -> str:
        """Where in the file the weights are: keys and prefix, joined by dots."""
        return ".".join(filter(None, (*self.source.path, self.prefix.removesuffix("."))))

    @property
    def fits(self) -> bool:
        """Whether the state dict has everything that the network needs, and nothing else."""
        return not (self.missing or self.differing or self.unknown)

    def state(self) -> dict[str, Any]:
        """Return the entries by the names of the network, and those that it lacks by their own."""
        matched = {name: self.source.entries[stored] for name, stored in self.names.items()}
        unknown = {name.removeprefix(self.prefix): self.source.entries[name] for name in self.unknown}
        return matched | unknown

    def versions(self) -> dict[str, Any]:
        """Return the versions of the modules, by their names in the network."""
        versions: dict[str, Any] = {}
        for name, stored in self.names.items():
            module, source = name.split(".")[:-1], stored.split(".")[:-1]
            while ".".join(source) in self.source.versions and ".".join(module) not in versions:
                versions[".".join(module)] = self.source.versions[".".join(source)]
                if not module or not source or module.pop() != source.pop():
                    break
        return versions


def find_matches(
    states: Sequence[StateDict], network: Mapping[str, Any], ignored_prefixes: tuple[str, ...] = ()
) -> tuple[Match, ...]:
    """Find the weights of a network in a file.

    Names are compared below any prefix: first as they are, then without the parts that wrappers add. If none
    match, pruning masks are applied, and at last state dicts under several keys are merged.

    Args:
        states: The state dicts in the file.
        network: The state dict of the network.
        ignored_prefixes: Prefixes of names that the file may have although the network lacks them.

    Returns:
        All matches that fit, one for each set of tensors; if none fits, the one with the fewest misfits.
    """
    shapes, tied = shapes_of(network), _tied_names(network)
    tried: list[Match] = []
    for transform in (tuple, apply_pruning_masks, merge_nested):
        fitting: list[Match] = []
        for state in transform(states):
            for rename in (str, canonical_name):
                found = list(_matches_below_prefixes(state, shapes, tied, rename, ignored_prefixes))
                tried += found
                if any(match.fits for match in found):
                    fitting += (match for match in found if match.fits)
                    break
        if fitting:
            return _distinct(fitting)
    return _distinct(sorted(tried, key=_misfits)[:1])


def _misfits(match: Match) -> tuple[int, int, int]:
    """Return a sort key: the match with the fewest misfits has the lowest."""
    return len(match.missing), len(match.differing), len(match.unknown)


def _distinct(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Return the first match of each set of tensors."""
    first: dict[tuple[int, ...], Match] = {}
    for match in matches:
        first.setdefault(tuple(id(match.source.entries[stored]) for stored in match.names.values()), match)
    return tuple(first.values())


def shapes_of(state: Mapping[str, Any]) -> dict[str, _Shape]:
    """Return shapes by name; `None` for entries that are no tensors, and for lazy parameters."""
    return {name: _shape(value) for name, value in state.items()}


def _shape(value: Any) -> _Shape:
    return tuple(value.shape) if isinstance(value, Tensor) and not is_lazy(value) else None


def _matches_below_prefixes(
    state: StateDict,
    shapes: Mapping[str, _Shape],
    tied: Mapping[str, Sequence[str]],
    rename: Callable[[str], str],
    ignored_prefixes: tuple[str, ...],
) -> Iterator[Match]:
    """Yield the ways to read a state dict as that of a network, below any prefix of either.

    Args:
        state: The state dict.
        shapes: The shapes of the network's entries, by name.
        tied: See `_tied_names`.
        rename: Applied to the names of both before they are compared.
        ignored_prefixes: See `find_matches`.
    """
    stored = {rename(name): name for name in state.entries}
    own = {rename(name): name for name in shapes}
    if len(stored) != len(state.entries) or len(own) != len(shapes):
        return  # two names became one
    for own_prefix in _common_prefixes(own):
        known = {name.removeprefix(own_prefix): full for name, full in own.items()}
        usable = _likely_prefixes(stored, known)
        for prefix in usable or [""]:
            below = {
                name.removeprefix(prefix): full for name, full in stored.items() if name.startswith(prefix)
            }
            names = {full: below[name] for name, full in known.items() if name in below}
            for name in shapes:  # safetensors may keep only one of the names of a tied tensor
                twin = next((other for other in tied.get(name, ()) if other in names), None)
                if twin is not None:
                    names.setdefault(name, names[twin])
            unknown = tuple(
                full for name, full in below.items()
                if name not in known and isinstance(state.entries[full], Tensor)
                and not name.startswith(ignored_prefixes)
                and not _is_added_by_training(name, known, usable, prefix)
            )  # fmt: skip
            yield Match(
                source=state,
                prefix=prefix,
                names=names,
                missing=tuple(n for n in shapes if n not in names and not is_optional(n)),
                differing=tuple(n for n, s in names.items() if not _has_shape(state.entries[s], shapes[n])),
                unknown=unknown,
                exact=not prefix and not own_prefix and rename is str,
            )


def _likely_prefixes(stored: Collection[str], known: Collection[str]) -> list[str]:
    """Return the prefixes in a file below which there are more than half of the names of a network."""
    counts: Counter[str] = Counter()
    for name in stored:
        cuts = [0, *(at + 1 for at, character in enumerate(name) if character == ".")]
        counts.update(name[:cut] for cut in cuts if name[cut:] in known)
    return [p for p, count in counts.items() if 2 * count > len(known) and not is_optimiser_key(p)]


def _tied_names(network: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the other names of each tensor that a network has under several names."""
    groups: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, shape in shapes_of(network).items():
        if shape is not None and network[name].layout is torch.strided and network[name].data_ptr():
            groups.setdefault((network[name].data_ptr(), shape), []).append(name)
    return {name: [n for n in group if n != name] for group in groups.values() for name in group}


def _has_shape(value: Any, shape: _Shape) -> bool:
    return shape is None or _shape(value) == shape


def is_optional(name: str) -> bool:
    """Return whether the network keeps its own value under a name if a file lacks that name.

    Older versions of torch save no counter of a batch norm, and inference does not read it. safetensors
    cannot hold the extra state of a module.
    """
    return name.endswith("num_batches_tracked") or name.rpartition(".")[2] == "_extra_state"


def _is_added_by_training(name: str, known: Collection[str], prefixes: Collection[str], prefix: str) -> bool:
    """Return whether a training added an entry: a loss, a metric, a counter, or a copy of the network."""
    first, _, rest = name.partition(".")
    if name.rpartition(".")[2] in _COUNTERS:
        return True
    if any(other.startswith(f"{first}.") for other in known):
        return False
    copies = [
        other.removeprefix(prefix) for other in prefixes if other.startswith(prefix) and other != prefix
    ]
    is_copy = bool(rest) and any(name.startswith(copy) for copy in copies)
    return bool(_TRAINING_PARTS.search(first)) or is_copy


def _common_prefixes(names: Collection[str]) -> list[str]:
    """Return the prefixes that all names share, shortest first: "", the first common part, and so on."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for column in zip(*parts, strict=False):
        if len(set(column)) != 1:
            break
        common.append(column[0])
    return ["".join(f"{part}." for part in common[:count]) for count in range(len(common) + 1)]
