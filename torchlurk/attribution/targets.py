"""Targets of an attribution: the logit of a class, or a unit of any layer; and how users name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor, nn

from torchlurk.errors import LurkError, Option
from torchlurk.models.outputs import as_logits
from torchlurk.models.runner import Runnable, activation, as_runner, outputs

_MAX_LISTED = 12
"""The most classes that a message lists."""

_UNIT = re.compile(r"(?P<layer>[^:@]+):(?P<channel>\d+)(?:@(?P<y>\d+),(?P<x>\d+))?")


LOGITS = "logits"
"""The name that stands for the layer that gives the network's output."""


@dataclass(frozen=True)
class ClassLogit:
    """The output of a classifier for a class, before any softmax.

    Attributes:
        index: Which of its outputs, from 0.

    Examples:
        >>> from torchlurk.attribution.targets import ClassLogit
        >>> torchlurk.gradients(model, torch.zeros(1, 3, 32, 32), ClassLogit(6)).value.shape
        torch.Size([1])
    """

    index: int


@dataclass(frozen=True)
class LayerUnit:
    """The mean of a filter's map, or one unit of it.

    Attributes:
        layer: Dotted name of a module.
        channel: Its filter.
        at: `(y, x)` in the map; `None` for the mean of the map.

    Examples:
        >>> from torchlurk.attribution.targets import LayerUnit
        >>> str(LayerUnit("features.14", 7, (3, 4)))
        'features.14:7@3,4'
    """

    layer: str
    channel: int
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        position = "" if self.at is None else f"@{self.at[0]},{self.at[1]}"
        return f"{self.layer}:{self.channel}{position}"


Target = ClassLogit | LayerUnit
"""The value to explain."""


def parse_unit(text: str) -> LayerUnit:
    """Parse `LAYER:CHANNEL` or `LAYER:CHANNEL@Y,X`.

    Raises:
        LurkError: The text has another form.
    """
    match = _UNIT.fullmatch(text)
    if match is None:
        raise LurkError(
            f"{text!r} is not a unit",
            "write LAYER:CHANNEL for the mean of a map, such as features.28:7, or LAYER:CHANNEL@Y,X for one "
            "unit of it",
        )
    at = None if match["y"] is None else (int(match["y"]), int(match["x"]))
    return LayerUnit(match["layer"], int(match["channel"]), at)


def is_unit(text: str) -> bool:
    """Return whether a text has the form of a unit."""
    return _UNIT.fullmatch(text) is not None


def find_class(key: str | int, names: Sequence[str], count: int) -> int:
    """Return the number of a class.

    Args:
        key: Its number, from 0; or its name, or a part of it that no other class has, case ignored.
        names: The names of the outputs; `()` if they are unknown.
        count: The number of outputs.

    Raises:
        LurkError: No class matches, or several do.
    """
    text = str(key).strip()
    if text.lstrip("-").isdecimal():
        index = int(text)
        if not 0 <= index < count:
            raise LurkError(
                f"class {index}: the network has {count} classes", f"choose from 0 to {count - 1}"
            )
        return index
    if not names:
        raise LurkError(
            f"class {text!r}: the names of the network's {count} classes are unknown",
            (
                f"give a number from 0 to {count - 1}, or the names with ",
                Option("classes", flag="--words"),
            ),
        )
    folded = [name.casefold() for name in names]
    exact = [index for index, name in enumerate(folded) if name == text.casefold()]
    matches = exact or [index for index, name in enumerate(folded) if text and text.casefold() in name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LurkError(
            f"class {text!r} fits {len(matches)} classes ({_list_classes(matches, names)})",
            "write more of the name, or give its number",
        )
    near = get_close_matches(text.casefold(), folded, n=3, cutoff=0.6)
    if near:
        hint = f"did you mean {_list_classes([folded.index(name) for name in near], names)}?"
    else:
        hint = f"choose one of {_list_classes(range(len(names)), names)}, by name or by number"
    raise LurkError(f"no class is called {text!r}", hint)


def _list_classes(indices: Sequence[int], names: Sequence[str]) -> str:
    first = ", ".join(f"{names[index]} ({index})" for index in indices[:_MAX_LISTED])
    return first + (f" and {len(indices) - _MAX_LISTED} more" if len(indices) > _MAX_LISTED else "")


def target_values(model: Runnable, x: Tensor, target: Target) -> Tensor:
    """Compute the value of a target for each input.

    Args:
        model: A network, isolated.
        x: `(N, C, H, W)`, preprocessed.
        target: The logit of a class, for which the whole network runs; or a unit, for which it runs up to the
            unit's layer.

    Returns:
        `(N,)`, with a gradient history if `x` has one.

    Raises:
        LurkError: The network has no such class, layer, filter or position.
    """
    if isinstance(target, ClassLogit):
        return pick_logit(outputs(model, x), target, len(x))
    module = find_module(as_runner(model).model, target.layer)
    return pick_unit(activation(model, target.layer, x), target, type(module).__name__)


def pick_logit(output: object, target: ClassLogit, images: int | None = None) -> Tensor:
    """Select the logits of one class from a network's output.

    Args:
        output: What the network returns.
        target: The class.
        images: Number of images; `None` if it is unknown.

    Returns:
        `(N,)`.

    Raises:
        LurkError: The output is not a row of logits per image, or has no such class.
    """
    try:
        rows = as_logits(output, images)
    except LurkError as problem:
        hint = ("explain a unit of a layer, LAYER:CHANNEL, with ", Option("target", flag="--unit"))
        raise LurkError(problem.message, hint) from None
    return rows[:, find_class(target.index, (), rows.shape[1])]


def pick_unit(maps: Tensor, target: LayerUnit, kind: str) -> Tensor:
    """Select one unit, or compute the mean of one map: `(N, C, H, W)` to `(N,)`.

    Args:
        maps: The layer's output as feature maps.
        target: The unit.
        kind: The class of the layer, for messages.

    Raises:
        LurkError: The layer has no such filter, or its map no such position.
    """
    channels, height, width = maps.shape[1:]
    if target.channel >= channels:
        raise LurkError(
            f"unit {target}: the {kind} {target.layer!r} has {channels} filters",
            f"choose from 0 to {channels - 1}",
        )
    if target.at is None:
        return maps[:, target.channel].mean(dim=(1, 2))
    y, x = target.at
    if y >= height or x >= width:
        raise LurkError(
            f"unit {target}: the maps of {target.layer!r} are {height} x {width} for this input",
            f"choose Y from 0 to {height - 1} and X from 0 to {width - 1}",
        )
    return maps[:, target.channel, y, x]


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Return a module by its dotted name.

    Raises:
        LurkError: There is none.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name in modules:
        return modules[name]
    near = get_close_matches(name, [own for own in modules if own], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(list(modules)[1:6])}, ..."
    raise LurkError(f"the network has no layer {name!r}", hint)
