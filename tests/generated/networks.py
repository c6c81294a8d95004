"""The strategy that draws networks, and what makes one fit to be tested: plain torch can run it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from tests.generated import models
from tests.generated.description import BLOCKS, HEADS, OUTPUTS, Kind, Network, Shape, Step, shape_after

CLOSE = 1e-5
LARGEST = 4000
"""Values of a feature map."""
PART = 40
"""Bytes that decide a block."""
BYTES = 8 * PART

T = TypeVar("T")


@lru_cache(4096)
def shape_of(step: Step, shape: Shape) -> Shape | None:
    """The shape that a block gives; `None` if it cannot take that input, or gives too little or too much."""
    with torch.random.fork_rng(devices=[]):
        try:
            given = shape_after(step.build(shape), shape)
        except (RuntimeError, ValueError, AssertionError):
            return None
    channels, height, width = given
    small = channels * height * width <= LARGEST and channels <= 16
    return given if small and channels > 1 and min(height, width) >= 4 else None


class Choices:
    """Decisions read from bytes, of which zero is the simplest.

    One string of bytes decides a whole network. Hypothesis varies the parts of what it has drawn; given
    parts, it would spend most of its examples on variations of a few networks.
    """

    def __init__(self, values: bytes) -> None:
        self.values = values
        self.at = 0

    def pick(self, values: Sequence[T]) -> T:
        chosen = self.values[self.at] if self.at < len(self.values) else 0
        self.at += 1
        return values[chosen % len(values)]

    def part(self, start: int) -> Choices:
        """The decisions from some byte on, the same whatever was read before."""
        return Choices(self.values[start : start + PART])


def _options(choices: Choices, kind: Kind, shape: Shape) -> tuple[tuple[str, object], ...]:
    options = [(name, choices.pick(values)) for name, values in kind.options.items()]
    if kind.nested:
        name, _ = options[0]
        body, inner = [], shape
        for _ in range(choices.pick((0, 1, 2))):
            one, inner = _step(choices, inner, keeps_shape=kind.keeps_shape, nested=False)
            body.append(one)
        options[0] = (name, tuple(body))
    return tuple((name, value) for name, value in options if value != kind.options[name][0])


def _step(choices: Choices, shape: Shape, *, keeps_shape: bool, nested: bool) -> tuple[Step, Shape]:
    """A block that fits, and the shape of what it gives."""
    names = [
        name
        for name, kind in BLOCKS.items()
        if (kind.keeps_shape or not keeps_shape) and (nested or not kind.nested)
    ]
    names += [name for name in ("Conv", "Conv", "Activation") if name in names]  # what networks have most of
    first = choices.pick(range(len(names)))
    options = choices.part(choices.at)
    for name in (*names[first:], *names[:first]):
        one = Step(name, _options(options, BLOCKS[name], shape))
        after = shape_of(one, shape)
        if after is not None:
            choices.at += options.at
            return one, after
        options = choices.part(choices.at)
    raise AssertionError(f"no block takes an input of shape {shape}")


def from_bytes(values: bytes) -> Network:
    """The network that some bytes decide; it need not run."""
    choices = Choices(values)
    sides = range(16, 25)
    size = (choices.pick(sides), choices.pick(sides))
    made = {
        "output": choices.pick(OUTPUTS),
        "mode": choices.pick(("eval", "train", "mixed")),
        "frozen": choices.pick(("none", "some", "all")),
        "used": choices.pick(("no", "evaluated", "trained")),
        "hooks": choices.pick(("none", "look", "change")),
    }
    count = choices.pick((1, 2, 3, 4, 5, 3, 4))
    fuse = choices.pick(range(count + 1))
    seed = choices.pick(range(100))
    shape: Shape = (3, *size)
    steps = []
    for number in range(count):
        one, shape = _step(choices.part(PART * (1 + number)), shape, keeps_shape=False, nested=True)
        steps.append(one)
    ends = choices.part(PART * 7)
    name = ends.pick(list(HEADS))
    return Network(
        tuple(steps), Step(name, _options(ends, HEADS[name], shape)), size, **made, fuse=fuse, seed=seed
    )


def candidates() -> SearchStrategy[Network]:
    """Networks of which some cannot be run."""
    return st.binary(min_size=BYTES, max_size=BYTES).map(from_bytes)


def networks() -> SearchStrategy[Network]:
    """Networks that plain torch runs, on batches of any size, with the same result."""
    return candidates().filter(lambda network: why_not(network) is None)


def why_not(network: Network) -> str | None:
    """What keeps a network from being one that must work; `None` if nothing does."""
    if problem := _runs(network):
        return problem
    return None if has_layers(models.build(network)) else "no layer to watch"


def has_layers(model: nn.Module) -> bool:
    """Whether there is a convolution or a linear layer."""
    return any(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules())


def _runs(network: Network) -> str | None:
    try:
        single, batched = _outputs(network, 1), _outputs(network, 2)
        models.train(models.build(network), inputs(network))
        x = inputs(network).requires_grad_()
        model = models.build(network).eval()
        with torch.enable_grad():
            models.logits(model(x.clone())).sum().backward()
    except (RuntimeError, ValueError) as problem:
        return f"{type(problem).__name__}: {problem}"
    apart = (single - batched).abs().max() / batched.abs().max().clamp(min=1e-30)
    return None if apart <= CLOSE else f"batches differ by {apart:.1e}"


def _outputs(network: Network, size: int) -> Tensor:
    model = models.build(network).eval()
    with torch.no_grad():
        return torch.cat([models.logits(model(part.clone())) for part in inputs(network).split(size)])


def inputs(network: Network) -> Tensor:
    """Two images as a network is fed them."""
    generator = torch.Generator().manual_seed(network.seed)
    return torch.randn(2, 3, *network.size, generator=generator)
