"""Which of the state dicts in a file is that of a network, by names and shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from torchlurk.models.state_dicts import StateDict, is_optimiser, joined, plain_name, pruned

_TRAINING = re.compile(
    r"(^|_)(loss\w*|criterion\w*|criteria|metrics?|ema\w*|averag\w*|teacher|accuracy|acc|auroc|f1)(_|$)"
    r"|^(n_averaged|num_updates|decay|initted|step|global_step|epoch|best(_\w+)?)$",
    re.I,
)
"""Parts that a training adds to a network."""
_COUNTERS = ("total_ops", "total_params")
"""What thop, which counts operations, leaves in every module."""


@dataclass(frozen=True)
class Match:
    """How the names of a state dict are those of a network.

    Attributes:
        source: The state dict.
        prefix: What its names have before those of the network.
        names: Its names, by those of the network.
        missing: Names that the network needs and the state dict lacks.
        differing: Names of the network for which the state dict holds another shape, or no tensor.
        unknown: Tensors of the state dict below the prefix that the network lacks.
        exact: Whether names are equal as they are.
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
        """Where in the file the weights are: keys and prefix, with dots between."""
        return ".".join(filter(None, (*self.source.path, self.prefix.removesuffix("."))))

    @property
    def fits(self) -> bool:
        """Whether all that the network needs is there, and nothing else."""
        return not (self.missing or self.differing or self.unknown)

    def state(self) -> dict[str, Any]:
        """The entries by the network's names, and those that it lacks by their own."""
        known = {name: self.source.entries[stored] for name, stored in self.names.items()}
        return known | {name.removeprefix(self.prefix): self.source.entries[name] for name in self.unknown}

    def versions(self) -> dict[str, Any]:
        """The versions of the modules, by the network's names."""
        found: dict[str, Any] = {}
        for name, stored in self.names.items():
            own, other = name.split(".")[:-1], stored.split(".")[:-1]
            while ".".join(other) in self.source.versions and ".".join(own) not in found:
                found[".".join(own)] = self.source.versions[".".join(other)]
                if not own or not other or own.pop() != other.pop():
                    break
        return found


def matches(
    states: Sequence[StateDict], wanted: Mapping[str, Any], ignored: tuple[str, ...] = ()
) -> tuple[Match, ...]:
    """Where in a file the weights of a network are.

    Names are compared as they are, below any prefix; then without what wrappers put into them; then those
    of masks that were pruned; and at last those of parts that lie in mappings of their own.

    Args:
        states: What the file holds.
        wanted: The state dict of the network.
        ignored: Beginnings of names that the file may have and the network lacks.

    Returns:
        All that fit, without two that name the same tensors; if none does, the best one.
    """
    shapes, tied = shapes_of(wanted), _tied(wanted)
    tried: list[Match] = []
    for change in (tuple, pruned, joined):
        fitting: list[Match] = []
        for state in change(states):
            for rename in (str, plain_name):
                found = list(_matches(state, shapes, tied, rename, ignored))
                tried += found
                if any(one.fits for one in found):
                    fitting += (one for one in found if one.fits)
                    break
        if fitting:
            return _distinct(fitting)
    return _distinct(sorted(tried, key=_misfits)[:1])


def _misfits(match: Match) -> tuple[int, int, int]:
    return len(match.missing), len(match.differing), len(match.unknown)


def _distinct(found: Sequence[Match]) -> tuple[Match, ...]:
    """Each set of entries once."""
    kept: dict[tuple[int, ...], Match] = {}
    for one in found:
        kept.setdefault(tuple(id(one.source.entries[stored]) for stored in one.names.values()), one)
    return tuple(kept.values())


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...] | None]:
    """Shapes by name; None for what is no tensor, and for a lazy parameter, which takes any shape."""
    return {name: _shape(value) for name, value in state.items()}


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) and not is_lazy(value) else None


def _matches(
    state: StateDict,
    shapes: Mapping[str, tuple[int, ...] | None],
    tied: Mapping[str, Sequence[str]],
    rename: Callable[[str], str],
    ignored: tuple[str, ...],
) -> Iterator[Match]:
    """How a state dict may be read as that of a network, with any prefix of either."""
    stored = {rename(name): name for name in state.entries}
    own = {rename(name): name for name in shapes}
    if len(stored) != len(state.entries) or len(own) != len(shapes):
        return  # two names became one
    for lead in _leads(own):
        known = {name.removeprefix(lead): full for name, full in own.items()}
        counts: Counter[str] = Counter()
        for name in stored:
            cuts = [0, *(at + 1 for at, c in enumerate(name) if c == ".")]
            counts.update(name[:cut] for cut in cuts if name[cut:] in known)
        usable = [p for p, count in counts.items() if 2 * count > len(known) and not is_optimiser(p)]
        for prefix in usable or [""]:
            below = {
                name.removeprefix(prefix): full for name, full in stored.items() if name.startswith(prefix)
            }
            names = {full: below[name] for name, full in known.items() if name in below}
            for name in shapes:  # safetensors may keep one of the names of a tensor that a network has twice
                twin = next((other for other in tied.get(name, ()) if other in names), None)
                if twin is not None:
                    names.setdefault(name, names[twin])
            unknown = tuple(
                full for name, full in below.items()
                if name not in known and isinstance(state.entries[full], Tensor)
                and not name.startswith(ignored) and not _of_training(name, known, usable, prefix)
            )  # fmt: skip
            yield Match(
                source=state,
                prefix=prefix,
                names=names,
                missing=tuple(n for n in shapes if n not in names and not optional(n)),
                differing=tuple(n for n, s in names.items() if not _agrees(state.entries[s], shapes[n])),
                unknown=unknown,
                exact=not prefix and not lead and rename is str,
            )


def _tied(wanted: Mapping[str, Any]) -> dict[str, list[str]]:
    """The other names of tensors that a network has under several."""
    places: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, shape in shapes_of(wanted).items():
        if shape is not None and wanted[name].layout is torch.strided and wanted[name].data_ptr():
            places.setdefault((wanted[name].data_ptr(), shape), []).append(name)
    return {name: [n for n in group if n != name] for group in places.values() for name in group}


def _agrees(value: Any, shape: tuple[int, ...] | None) -> bool:
    return shape is None or _shape(value) == shape


def optional(name: str) -> bool:
    """Whether a network may keep what it holds under a name that a file lacks.

    Torch has added the counter of a batch norm later, and inference never reads it; safetensors cannot hold
    the extra state of a module.
    """
    return name.endswith("num_batches_tracked") or name.rpartition(".")[2] == "_extra_state"


def _of_training(name: str, known: Collection[str], prefixes: Collection[str], prefix: str) -> bool:
    """Whether a training has added an entry to the network: a loss, a metric, a counter, a copy of it."""
    first, _, rest = name.partition(".")
    if name.rpartition(".")[2] in _COUNTERS:
        return True
    if any(one.startswith(f"{first}.") for one in known):
        return False
    copies = [one.removeprefix(prefix) for one in prefixes if one.startswith(prefix) and one != prefix]
    return bool(_TRAINING.search(first)) or bool(rest and any(name.startswith(one) for one in copies))


def _leads(names: Collection[str]) -> list[str]:
    """What all names begin with: nothing, their first part if it is the same, the first two, and so on."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for column in zip(*parts, strict=False):
        if len(set(column)) != 1:
            break
        common.append(column[0])
    return ["".join(f"{part}." for part in common[:count]) for count in range(len(common) + 1)]
