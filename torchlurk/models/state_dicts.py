"""Find the state dicts in a checkpoint, under whatever keys a training loop saved them.

`matching` decides which of them belongs to a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

_PREFERRED_KEYS: Final = ("state_dict", "model_state_dict", "model", "net", "network")
"""Common keys of the network's state dict, the likeliest first; used if the network is not known."""

WRAPPERS: Final = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that `DataParallel`, `torch.compile`, FSDP and activation checkpointing add to names."""

_MAX_DEPTH: Final = 8
"""How deep nested mappings are searched."""

_OPTIMISER = re.compile(
    r"optim(?!al|um)|sched|scaler|exp_avg|(^|_)opt(_|$)"
    r"|^(solver|adam\w*|sgd|momentum|momentum_buffers?|velocity|moments?|grads?|gradients?)$",
    re.I,
)
"""Keys of an optimiser's tensors, which may have the same names and shapes as the weights."""

_TRAINER_RECORDS = re.compile(
    r"^(callbacks?|loops?|hooks?|averaging_state|hyper_parameters|config|args)$", re.I
)
"""Keys of a trainer's own records; weights below them are a copy for the training."""


@dataclass(frozen=True)
class StateDict:
    """A state dict in a checkpoint.

    Attributes:
        path: The keys that lead to it.
        entries: Tensors by name, and other entries such as the extra state of a module.
        versions: Of the modules, as `torch.nn.Module.state_dict` stores them in `_metadata`.
    """

    path: tuple[str, ...]
    entries: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy of the weights in a trainer's own records."""
        return any(_TRAINER_RECORDS.search(key) for key in self.path)


def find_state_dicts(value: Any) -> tuple[StateDict, ...]:
    """Return all mappings of names to tensors in the content of a file, except the state of an optimiser.

    Args:
        value: A state dict, a network, or nested mappings and sequences of these.

    Returns:
        The state dicts; the one that is likeliest that of the network comes first.
    """
    return tuple(sorted(_walk(value, (), _MAX_DEPTH), key=_rank))


def _rank(state: StateDict) -> tuple[bool, int, int]:
    """Return a sort key: the likeliest state dict of the network has the lowest."""
    ranks = [_PREFERRED_KEYS.index(key) for key in state.path if key in _PREFERRED_KEYS]
    tensors = sum(isinstance(value, Tensor) for value in state.entries.values())
    return state.is_copy, min(ranks, default=len(_PREFERRED_KEYS)), -tensors


def _walk(value: Any, path: tuple[str, ...], depth: int) -> Iterator[StateDict]:
    """Yield the state dicts in a nested value, which lies under the keys `path` of the file."""
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, list | tuple):
        value = dict(enumerate(value)) if len(value) <= 16 else {}
    if not isinstance(value, Mapping) or "param_groups" in value or not depth:
        return
    entries = {k: _as_tensor(v) for k, v in value.items() if isinstance(k, str)}
    if any(isinstance(v, Tensor) for v in entries.values()):
        versions = getattr(value, "_metadata", None)
        yield StateDict(path, entries, versions if isinstance(versions, Mapping) else {})
    for key, inner in value.items():
        if not isinstance(key, str | int) or is_optimiser_key(str(key)) or str(key).endswith("_extra_state"):
            continue
        if isinstance(inner, Mapping | nn.Module | list | tuple):
            yield from _walk(inner, (*path, str(key)), depth - 1)


def _as_tensor(value: Any) -> Any:
    """Return a numeric numpy array as a tensor; other values as they are."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        return torch.from_numpy(value.copy())
    return value


def is_optimiser_key(key: str) -> bool:
    """Return whether a key, or a prefix of names, belongs to the state of an optimiser."""
    return any(_OPTIMISER.search(part) for part in key.split("."))


def merge_nested(states: Sequence[StateDict]) -> tuple[StateDict, ...]:
    """Merge state dicts under several keys of one mapping into one, with the keys as prefixes of the names.

    A checkpoint `{"backbone": {...}, "head": {...}}` becomes one state dict with names such as
    `backbone.conv.weight`.
    """
    parents: dict[tuple[str, ...], dict[str, Any]] = {}
    for state in states:
        for cut in range(len(state.path)):
            prefix = ".".join(state.path[cut:])
            entries = parents.setdefault(state.path[:cut], {})
            entries.update({f"{prefix}.{name}": value for name, value in state.entries.items()})
    return tuple(StateDict(path, entries) for path, entries in parents.items())


def apply_pruning_masks(states: Sequence[StateDict]) -> Sequence[StateDict]:
    """Replace `weight_orig` and `weight_mask`, written by `torch.nn.utils.prune`, by their product `weight`.

    Returns:
        The state dicts that have such entries; the others are left out.
    """
    masked = []
    for state in states:
        entries = dict(state.entries)
        for name in state.entries:
            plain = name.removesuffix("_orig")
            parts = state.entries[name], state.entries.get(f"{plain}_mask")
            if plain != name and all(isinstance(part, Tensor) for part in parts):
                entries[plain] = entries.pop(name) * entries.pop(f"{plain}_mask")
        if len(entries) != len(state.entries):
            masked.append(replace(state, entries=entries))
    return masked


def strip_wrappers(state: StateDict) -> dict[str, Tensor]:
    """Return the tensors of a state dict, without the prefixes of wrappers that all names have."""
    tensors = {name: value for name, value in state.entries.items() if isinstance(value, Tensor)}
    while prefix := next((p for p in WRAPPERS if all(name.startswith(f"{p}.") for name in tensors)), ""):
        tensors = {name.removeprefix(f"{prefix}."): value for name, value in tensors.items()}
    return tensors


def canonical_name(name: str) -> str:
    """Return a name without the parts that wrappers add, and in the current spelling of torch.

    Examples:
        >>> canonical_name("module.features._orig_mod.0.weight")
        'features.0.weight'
    """
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    name = ".".join(parts)
    name = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)  # files of torchvision
    name = re.sub(r"parametrizations\.(\w+)\.original0$", r"\1_g", name)  # the new and the old weight_norm
    return re.sub(r"parametrizations\.(\w+)\.original1$", r"\1_v", name)
