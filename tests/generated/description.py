"""Networks as printable descriptions: the blocks that exist, and which of them a network consists of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Shape = tuple[int, int, int]
"""Channels, height, width of a feature map."""


@dataclass(frozen=True)
class Kind:
    """A kind of block.

    Attributes:
        make: from the shape of its input, and a value for each option, to the module.
        options: the values that each option can have, the simplest first.
        keeps_shape: whether the output always has the shape of the input.
        nested: whether its first option is a sequence of blocks.
    """

    make: Callable[..., nn.Module]
    options: Mapping[str, tuple[Any, ...]]
    keeps_shape: bool = False
    nested: bool = False


BLOCKS: dict[str, Kind] = {}
HEADS: dict[str, Kind] = {}


def block(
    *, keeps_shape: bool = False, nested: bool = False, **options: tuple[Any, ...]
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module class as a kind of block: from `(N, C, H, W)` to the same form."""

    def register(made: type[nn.Module]) -> type[nn.Module]:
        BLOCKS[made.__name__] = Kind(made, options, keeps_shape, nested)
        return made

    return register


def head(**options: tuple[Any, ...]) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module class as a kind of head: from `(N, C, H, W)` to `(N, CLASSES)`."""

    def register(made: type[nn.Module]) -> type[nn.Module]:
        HEADS[made.__name__] = Kind(made, options)
        return made

    return register


@dataclass(frozen=True)
class Step:
    """One block of a network: its kind, and its options by name."""

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def build(self, shape: Shape) -> nn.Module:
        """The module, for an input of that shape, with values drawn from torch's generator."""
        kind = BLOCKS.get(self.kind) or HEADS[self.kind]
        defaults = {name: values[0] for name, values in kind.options.items()}
        return kind.make(shape, **{**defaults, **dict(self.options)})

    def __repr__(self) -> str:
        kind = BLOCKS.get(self.kind) or HEADS[self.kind]
        said = [f"{k}={v!r}" for k, v in self.options if v != kind.options[k][0]]
        return f"{self.kind}({', '.join(said)})"


def step(kind: str, **options: Any) -> Step:
    """A block as its own source has it."""
    return Step(kind, tuple(options.items()))


OUTPUTS = ("tensor", "default arguments", "tuple", "dict", "namedtuple")


@dataclass(frozen=True)
class Network:
    """All that decides a network; `repr` is its source.

    Attributes:
        steps: its blocks, from the image to the last feature map.
        head: from there to the logits.
        size: `(H, W)` of its input, which has three channels.
        output: the form of what it returns, one of `OUTPUTS`.
        mode: `eval`, `train`, or `mixed` for modules of both.
        frozen: whether `none`, `some` or `all` of its parameters have `requires_grad` False.
        used: what was done with it before: `no`, `evaluated`, or `trained` for a step of training.
        hooks: the user's own: `none`, `look` for hooks that return nothing, `change` for one that doubles.
        fuse: before which block the module stands that can be told to raise an error.
        seed: of its values.
    """

    steps: tuple[Step, ...]
    head: Step = field(default_factory=lambda: step("MeanLinear"))
    size: tuple[int, int] = (16, 16)
    output: str = "tensor"
    mode: str = "eval"
    frozen: str = "none"
    used: str = "no"
    hooks: str = "none"
    fuse: int = 0
    seed: int = 0

    def __repr__(self) -> str:
        parts = [", ".join(map(repr, self.steps))]
        plain = Network(self.steps)
        for name in ("head", "size", "output", "mode", "frozen", "used", "hooks", "fuse", "seed"):
            if getattr(self, name) != getattr(plain, name):
                parts.append(f"{name}={getattr(self, name)!r}")
        return f"network({', '.join(parts)})"


def network(*steps: Step, **more: Any) -> Network:
    """A network as its own source has it."""
    return Network(steps, **more)


def read(source: str) -> Network:
    """The network that a source describes, as `repr` gives it."""
    names = {name: _maker(name) for name in (*BLOCKS, *HEADS)}
    found = eval(source, {"network": network, **names})
    assert isinstance(found, Network)
    return found


def _maker(name: str) -> Callable[..., Step]:
    return lambda **options: step(name, **options)


def chain(steps: tuple[Step, ...], shape: Shape) -> tuple[list[nn.Module], Shape]:
    """Modules one after the other, and the shape of what the last one gives."""
    made = []
    for one in steps:
        module = one.build(shape)
        made.append(module)
        shape = shape_after(module, shape)
    return made, shape


def shape_after(module: nn.Module, shape: Shape) -> Shape:
    """The shape of what a block gives; a copy is asked, as a block may remember what it was fed."""
    with torch.no_grad():
        given = copy.deepcopy(module).eval()(torch.zeros(2, *shape))
    _, channels, height, width = given.shape
    return channels, height, width
