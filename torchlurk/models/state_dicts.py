"""The state dicts that a training loop has written into a file, under any keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

PREFERRED: Final = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys of which the first that a checkpoint has names the state dict, as long as no network is known."""
WRAPPERS: Final = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that wrappers put into names: `DataParallel`, `torch.compile`, FSDP and checkpointed activations."""
DEPTH: Final = 8
"""How deep nested mappings are searched."""

_OPTIMISER = re.compile(
    r"optim(?!al|um)|sched|scaler|exp_avg|(^|_)opt(_|$)"
    r"|^(solver|adam\w*|sgd|momentum|momentum_buffers?|velocity|moments?|grads?|gradients?)$",
    re.I,
)
"""Keys under which an optimiser keeps tensors, which may have the names and shapes of the weights."""
_ASIDE = re.compile(r"^(callbacks?|loops?|hooks?|averaging_state|hyper_parameters|config|args)$", re.I)
"""Keys of a trainer's own records: weights there are a copy, kept for the training."""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, somewhere in a checkpoint.

    Attributes:
        path: The keys that lead there.
        entries: Tensors, and what else lies beside them, such as the extra state of a module.
        versions: Of the modules, as `torch.nn.Module.state_dict` keeps them in `_metadata`.
    """

    path: tuple[str, ...]
    entries: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def aside(self) -> bool:
        """Whether it is a copy in a trainer's own records."""
        return any(_ASIDE.search(key) for key in self.path)


def find_state_dicts(value: Any) -> tuple[StateDict, ...]:
    """All mappings of names to tensors in what a file holds, except the state of an optimiser.

    Args:
        value: What was read: a state dict, a network, or mappings and sequences of those.

    Returns:
        The likely one first.
    """
    found = list(_walk(value, (), DEPTH))
    return tuple(sorted(found, key=_rank))


def _rank(one: StateDict) -> tuple[bool, int, int]:
    """Where to look first, as long as no network is known."""
    known = [PREFERRED.index(key) for key in one.path if key in PREFERRED]
    tensors = sum(isinstance(value, Tensor) for value in one.entries.values())
    return one.aside, min(known, default=len(PREFERRED)), -tensors


def _walk(value: Any, path: tuple[str, ...], depth: int) -> Iterator[StateDict]:
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
        if not isinstance(key, str | int) or is_optimiser(str(key)) or str(key).endswith("_extra_state"):
            continue
        if isinstance(inner, Mapping | nn.Module | list | tuple):
            yield from _walk(inner, (*path, str(key)), depth - 1)


def _as_tensor(value: Any) -> Any:
    """An array of numpy as the tensor that it was."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        return torch.from_numpy(value.copy())
    return value


def is_optimiser(key: str) -> bool:
    """Whether a key, or a prefix of names, is one of an optimiser."""
    return any(_OPTIMISER.search(part) for part in key.split("."))


def joined(states: Sequence[StateDict]) -> tuple[StateDict, ...]:
    """State dicts that lie under several keys of one mapping, as one with the keys before the names."""
    parents: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in states:
        for cut in range(len(one.path)):
            lead = ".".join(one.path[cut:])
            entries = parents.setdefault(one.path[:cut], {})
            entries.update({f"{lead}.{name}": value for name, value in one.entries.items()})
    return tuple(StateDict(path, entries) for path, entries in parents.items())


def pruned(states: Sequence[StateDict]) -> Sequence[StateDict]:
    """State dicts with `weight_orig` and `weight_mask` as `weight`, which is their product."""
    found = []
    for one in states:
        entries = dict(one.entries)
        for name in one.entries:
            plain = name.removesuffix("_orig")
            parts = one.entries[name], one.entries.get(f"{plain}_mask")
            if plain != name and all(isinstance(part, Tensor) for part in parts):
                entries[plain] = entries.pop(name) * entries.pop(f"{plain}_mask")
        if len(entries) != len(one.entries):
            found.append(replace(one, entries=entries))
    return found


def without_wrappers(one: StateDict) -> dict[str, Tensor]:
    """The tensors of a state dict, without the prefixes of wrappers that all of its names have."""
    state = {name: value for name, value in one.entries.items() if isinstance(value, Tensor)}
    while prefix := next((p for p in WRAPPERS if all(name.startswith(f"{p}.") for name in state)), ""):
        state = {name.removeprefix(f"{prefix}."): value for name, value in state.items()}
    return state


def plain_name(name: str) -> str:
    """A name without what wrappers put into it, in the spelling of today.

    >>> plain_name("module.features._orig_mod.0.weight")
    'features.0.weight'
    """
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    name = ".".join(parts)
    name = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)  # torchvision's files
    name = re.sub(r"parametrizations\.(\w+)\.original0$", r"\1_g", name)  # weight_norm, new and old
    return re.sub(r"parametrizations\.(\w+)\.original1$", r"\1_v", name)
