"""The layers of a network that are scanned, and the edges between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn
from torch.nn.utils import parametrize

from torchlurk.graph.receptive_field import Field
from torchlurk.models.hooks import MapAxes

_MAX_NAMES = 5
"""The most layers that a message names."""

LayerPredicate = Callable[[str, nn.Module], bool]
"""Takes the dotted name of a module and the module; returns whether it is selected."""


@dataclass(frozen=True)
class Layer:
    """A module whose output is scanned.

    Attributes:
        name: Its dotted name in the network.
        kind: Its class, such as `Conv2d`.
        shape: `(C, H, W)` of its output for one image; `(C, 1, 1)` if it has no map.
        field: The receptive fields of its units.
        axes: Which dimensions of its output are the batch, the channels and the map.
        bases: The classes of `torch.nn` that its class derives from, if it is a subclass.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    field: Field
    axes: MapAxes
    bases: tuple[str, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether it gives one number per filter, rather than a map."""
        return self.shape[1:] == (1, 1)

    @property
    def sees_all(self) -> bool:
        """Whether all units see the same: the whole input, except for what strides omit."""
        return all(
            axis.first.min() == axis.first.max() and axis.stop.min() == axis.stop.max()
            for axis in (self.field.rows, self.field.columns)
        )


@dataclass(frozen=True)
class SkippedLayer:
    """A selected layer that cannot be scanned.

    Attributes:
        name: Its dotted name.
        kind: Its class.
        reason: Why, as the end of a sentence that begins with the name.
    """

    name: str
    kind: str
    reason: str


class SkippedLayerLike(Protocol):
    """A `SkippedLayer`, or its record in a manifest."""

    @property
    def name(self) -> str:
        """Its dotted name."""

    @property
    def kind(self) -> str:
        """Its class."""

    @property
    def reason(self) -> str:
        """Why it cannot be scanned."""


def describe_skipped(skipped: Sequence[SkippedLayerLike]) -> list[str]:
    """Return a line for each reason to skip layers, with the names of the first few layers."""
    reasons: dict[str, list[str]] = {}
    for layer in skipped:
        reasons.setdefault(layer.reason, []).append(f"{layer.name} ({layer.kind})")
    lines = []
    for reason, names in reasons.items():
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        if len(names) == 1:
            lines.append(f"1 layer is not scanned: {names[0]} {reason}")
        else:
            listed = ", ".join(names[:_MAX_NAMES])
            lines.append(f"{len(names)} layers are not scanned, {listed}{more}: each {reason}")
    return lines


@dataclass(frozen=True)
class Graph:
    """Layers in execution order, and the edges between them.

    Attributes:
        layers: The selected layers.
        edges: Pairs of names.
        skipped: The selected layers that cannot be scanned.
        recorded: Whether this is the path of one input, because the path depends on the data.
        logits: The module that gives the network's output; `None` if no single one does.
    """

    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...]
    skipped: tuple[SkippedLayer, ...] = ()
    recorded: bool = False
    logits: str | None = None

    def layer(self, name: str) -> Layer:
        """Return the layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def kind_of(module: nn.Module) -> str:
    """Return the name of a module's class, ignoring the class that a parametrisation adds."""
    return _classes(module)[0].__name__


def bases_of(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the public classes that a module's class derives from, nearest first."""
    return tuple(name for kind in _classes(module)[1:] if not (name := kind.__name__).startswith("_"))


def _classes(module: nn.Module) -> list[type]:
    classes = list(type(module).__mro__)
    if parametrize.is_parametrized(module) and type(module).__name__.startswith("Parametrized"):
        classes = classes[1:]
    return [kind for kind in classes if kind not in (nn.Module, object)] or [nn.Module]
