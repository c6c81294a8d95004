"""What is explained: a class's logit, or a unit of any layer; and how a user names one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.models.outputs import as_logits
from torchlurk.models.runner import Runnable, activation, as_runner, outputs

SHOWN = 12
"""So many classes are listed in a message."""

_UNIT = re.compile(r"(?P<layer>[^:@]+):(?P<channel>\d+)(?:@(?P<y>\d+),(?P<x>\d+))?")


@dataclass(frozen=True)
class ClassLogit:
    """What a classifier gives for a class, before any softmax.

    Attributes:
        index: which of its outputs, from 0.

    Examples:
        >>> from torchlurk import ClassLogit
        >>> torchlurk.gradients(model, torch.zeros(1, 3, 32, 32), ClassLogit(6)).value.shape
        torch.Size([1])
    """

    index: int


@dataclass(frozen=True)
class LayerUnit:
    """The mean of a filter's map, or one unit of it.

    Attributes:
        layer: dotted name of a module.
        channel: its filter.
        at: `(y, x)` in the map; `None` for the mean of all of it.

    Examples:
        >>> from torchlurk import LayerUnit
        >>> str(LayerUnit("features.14", 7, (3, 4)))
        'features.14:7@3,4'
    """

    layer: str
    channel: int
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        place = "" if self.at is None else f"@{self.at[0]},{self.at[1]}"
        return f"{self.layer}:{self.channel}{place}"


Target = ClassLogit | LayerUnit
"""What is explained."""


def parse_unit(text: str) -> LayerUnit:
    """Read `LAYER:CHANNEL` or `LAYER:CHANNEL@Y,X`.

    Raises:
        LurkError: it is of another form.
    """
    found = _UNIT.fullmatch(text)
    if found is None:
        raise LurkError(
            f"unit {text!r}: write LAYER:CHANNEL for the mean of a map, such as features.28:7, or "
            "LAYER:CHANNEL@Y,X for one place in it"
        )
    at = None if found["y"] is None else (int(found["y"]), int(found["x"]))
    return LayerUnit(found["layer"], int(found["channel"]), at)


def is_unit(text: str) -> bool:
    """Whether a text has the form of a unit."""
    return _UNIT.fullmatch(text) is not None


def find_class(wanted: str | int, names: Sequence[str], count: int) -> int:
    """The class that a user names.

    Args:
        wanted: its number, from 0; or its name, case aside: the whole, or a part that no other has.
        names: what the outputs stand for; `()` where that is not known.
        count: how many outputs there are.

    Returns:
        Its number.

    Raises:
        LurkError: there is no such class, or several.
    """
    text = str(wanted).strip()
    if text.lstrip("-").isdecimal():
        index = int(text)
        if not 0 <= index < count:
            raise LurkError(f"class {index}: the network has {count} classes, give 0 to {count - 1}")
        return index
    if not names:
        raise LurkError(
            f"class {text!r}: the network does not say what its {count} classes are called, give a number "
            f"from 0 to {count - 1}, or their names (--words FILE, or classes=)"
        )
    folded = [name.casefold() for name in names]
    whole = [index for index, name in enumerate(folded) if name == text.casefold()]
    found = whole or [index for index, name in enumerate(folded) if text and text.casefold() in name]
    if len(found) == 1:
        return found[0]
    if found:
        raise LurkError(
            f"class {text!r} fits {len(found)} classes ({_listed(found, names)}): write more of the name, or "
            "its number"
        )
    near = get_close_matches(text.casefold(), folded, n=3, cutoff=0.6)
    if near:
        meant = [folded.index(name) for name in near]
        hint = f"did you mean {_listed(meant, names)}?"
    else:
        hint = f"there are {_listed(range(len(names)), names)}: give one of them, or a number"
    raise LurkError(f"no class is called {text!r}: {hint}")


def _listed(indices: Sequence[int], names: Sequence[str]) -> str:
    few = ", ".join(f"{names[index]} ({index})" for index in indices[:SHOWN])
    return few + (f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else "")


def target_values(model: Runnable, x: Tensor, target: Target) -> Tensor:
    """The target's value on each input.

    Args:
        model: a network, isolated.
        x: `(N, C, H, W)`, as the network is fed.
        target: a class's logit, for which all of the network runs; or a unit, for which it runs so far.

    Returns:
        `(N,)`, with a gradient history if `x` has one.

    Raises:
        LurkError: the network has no such class, layer, filter or place.
    """
    if isinstance(target, ClassLogit):
        return pick_logit(outputs(model, x), target, len(x))
    module = find_module(as_runner(model).model, target.layer)
    return pick_unit(activation(model, target.layer, x), target, type(module).__name__)


def pick_logit(output: object, target: ClassLogit, images: int | None = None) -> Tensor:
    """One class of what a network gave: `(N,)`.

    Raises:
        LurkError: it gave no logits, or not so many.
    """
    try:
        rows = as_logits(output, images)
    except LurkError as problem:
        raise LurkError(f"{problem}; explain a unit of it, LAYER:CHANNEL (--unit, or target=)") from None
    return rows[:, find_class(target.index, (), rows.shape[1])]


def pick_unit(maps: Tensor, target: LayerUnit, kind: str) -> Tensor:
    """One unit, or the mean of one map: `(N, C, H, W)` to `(N,)`.

    Args:
        maps: what the layer gave, as `models.hooks.as_map` has it.
        target: which.
        kind: of the layer, for messages.

    Raises:
        LurkError: the layer has no such filter, or its map no such place.
    """
    channels, height, width = maps.shape[1:]
    if target.channel >= channels:
        raise LurkError(
            f"unit {target}: the {kind} {target.layer!r} has {channels} filters, give 0 to {channels - 1}"
        )
    if target.at is None:
        return maps[:, target.channel].mean(dim=(1, 2))
    y, x = target.at
    if y >= height or x >= width:
        raise LurkError(
            f"unit {target}: the maps of {target.layer!r} are {height} x {width} here, give Y from 0 to "
            f"{height - 1} and X from 0 to {width - 1}"
        )
    return maps[:, target.channel, y, x]


def find_module(model: nn.Module, name: str) -> nn.Module:
    """A module by its dotted name.

    Raises:
        LurkError: there is none.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name in modules:
        return modules[name]
    near = get_close_matches(name, [known for known in modules if known], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(list(modules)[1:6])}, ..."
    raise LurkError(f"the network has no layer {name!r}: {hint}")
