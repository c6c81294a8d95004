"""Printable descriptions of networks, and the registry of blocks."""

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
        make: returns the module for the shape of an input and a value for each option.
        options: the possible values of each option, the simplest first.
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
    """Register a module class as a block, which maps `(N, C, H, W)` to `(N, C', H', W')`."""

    def register(made: type[nn.Module]) -> type[nn.Module]:
        BLOCKS[made.__name__] = Kind(made, options, keeps_shape, nested)
        return made

    return register


def head(**options: tuple[Any, ...]) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module class as a head, which maps `(N, C, H, W)` to `(N, CLASSES)`."""

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
        """Return the module for an input shape, with values from torch's global generator."""
        kind = BLOCKS.get(self.kind) or HEADS[self.kind]
        defaults = {name: values[0] for name, values in kind.options.items()}
        return kind.make(shape, **{**defaults, **dict(self.options)})

    def __repr__(self) -> str:
        kind = BLOCKS.get(self.kind) or HEADS[self.kind]
        options = [f"{k}={v!r}" for k, v in self.options if v != kind.options[k][0]]
        return f"{self.kind}({', '.join(options)})"


def step(kind: str, **options: Any) -> Step:
    """Return a block, as in the source of a network."""
    return Step(kind, tuple(options.items()))


OUTPUTS = ("tensor", "default arguments", "tuple", "dict", "namedtuple")


@dataclass(frozen=True)
class Network:
    """A full description of a network; `repr` is its source.

    Attributes:
        steps: the blocks, from the image to the last feature map.
        head: the block from there to the logits.
        size: `(H, W)` of the input, which has three channels.
        output: the type of the output, one of `OUTPUTS`.
        mode: `eval`, `train`, or `mixed` for modules in both modes.
        frozen: whether `none`, `some` or `all` parameters have `requires_grad` False.
        used: its earlier use: `no`, `evaluated`, or `trained` for one training step.
        hooks: the user's hooks: `none`, `observe` for hooks that return nothing, `change` for doubling.
        fault: the index of the block before which a `FaultPoint` is inserted.
        seed: the seed of the parameters.
    """

    steps: tuple[Step, ...]
    head: Step = field(default_factory=lambda: step("MeanLinear"))
    size: tuple[int, int] = (16, 16)
    output: str = "tensor"
    mode: str = "eval"
    frozen: str = "none"
    used: str = "no"
    hooks: str = "none"
    fault: int = 0
    seed: int = 0

    def __repr__(self) -> str:
        parts = [", ".join(map(repr, self.steps))]
        plain = Network(self.steps)
        for name in ("head", "size", "output", "mode", "frozen", "used", "hooks", "fault", "seed"):
            if getattr(self, name) != getattr(plain, name):
                parts.append(f"{name}={getattr(self, name)!r}")
        return f"network({', '.join(parts)})"


def network(*steps: Step, **more: Any) -> Network:
    """Return a network, as in its source."""
    return Network(steps, **more)


def read(source: str) -> Network:
    """Return the network of a source, which is the `repr` of a network."""
    names = {name: _maker(name) for name in (*BLOCKS, *HEADS)}
    result = eval(source, {"network": network, **names})
    assert isinstance(result, Network)
    return result


def _maker(name: str) -> Callable[..., Step]:
    return lambda **options: step(name, **options)


def chain(steps: tuple[Step, ...], shape: Shape) -> tuple[list[nn.Module], Shape]:
    """Return the modules of the steps, and the output shape of the last one."""
    modules = []
    for block_step in steps:
        module = block_step.build(shape)
        modules.append(module)
        shape = shape_after(module, shape)
    return modules, shape


def shape_after(module: nn.Module, shape: Shape) -> Shape:
    """Return the output shape of a block; a copy runs, as a block may store its input."""
    with torch.no_grad():
        output = copy.deepcopy(module).eval()(torch.zeros(2, *shape))
    _, channels, height, width = output.shape
    return channels, height, width
