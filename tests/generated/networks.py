"""The Hypothesis strategy for networks that plain torch can run."""

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

TOLERANCE = 1e-5
MAX_VALUES = 4000
"""The maximum number of values in a feature map."""
BYTES_PER_BLOCK = 40
"""The number of bytes that determine a block."""
BYTES = 8 * BYTES_PER_BLOCK

T = TypeVar("T")


@lru_cache(4096)
def shape_of(step: Step, shape: Shape) -> Shape | None:
    """Return the output shape of a block; `None` if it rejects the input or the output has a bad size."""
    with torch.random.fork_rng(devices=[]):
        try:
            output = shape_after(step.build(shape), shape)
        except (RuntimeError, ValueError, AssertionError):
            return None
    channels, height, width = output
    small = channels * height * width <= MAX_VALUES and channels <= 16
    return output if small and channels > 1 and min(height, width) >= 4 else None


class Choices:
    """Choices read from bytes; zero is the simplest choice.

    One byte string determines a network. If each choice were drawn separately, Hypothesis would spend most of
    its examples on variations of a few networks.
    """

    def __init__(self, values: bytes) -> None:
        self.values = values
        self.at = 0

    def pick(self, values: Sequence[T]) -> T:
        chosen = self.values[self.at] if self.at < len(self.values) else 0
        self.at += 1
        return values[chosen % len(values)]

    def part(self, start: int) -> Choices:
        """Return the choices from a fixed byte on, independent of the bytes read before."""
        return Choices(self.values[start : start + BYTES_PER_BLOCK])


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
    """Return a block that accepts the shape, and its output shape."""
    names = [
        name
        for name, kind in BLOCKS.items()
        if (kind.keeps_shape or not keeps_shape) and (nested or not kind.nested)
    ]
    # common layers are drawn more often
    names += [name for name in ("Conv", "Conv", "Activation") if name in names]
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
    """Return the network of a byte string; it may not run."""
    choices = Choices(values)
    sides = range(16, 25)
    size = (choices.pick(sides), choices.pick(sides))
    settings = {
        "output": choices.pick(OUTPUTS),
        "mode": choices.pick(("eval", "train", "mixed")),
        "frozen": choices.pick(("none", "some", "all")),
        "used": choices.pick(("no", "evaluated", "trained")),
        "hooks": choices.pick(("none", "observe", "change")),
    }
    count = choices.pick((1, 2, 3, 4, 5, 3, 4))
    fault = choices.pick(range(count + 1))
    seed = choices.pick(range(100))
    shape: Shape = (3, *size)
    steps = []
    for number in range(count):
        one, shape = _step(
            choices.part(BYTES_PER_BLOCK * (1 + number)), shape, keeps_shape=False, nested=True
        )
        steps.append(one)
    ends = choices.part(BYTES_PER_BLOCK * 7)
    name = ends.pick(list(HEADS))
    return Network(
        tuple(steps), Step(name, _options(ends, HEADS[name], shape)), size, **settings, fault=fault, seed=seed
    )


def candidates() -> SearchStrategy[Network]:
    """Return a strategy for networks, some of which do not run."""
    return st.binary(min_size=BYTES, max_size=BYTES).map(from_bytes)


def networks() -> SearchStrategy[Network]:
    """Return a strategy for networks that plain torch runs with equal results for all batch sizes."""
    return candidates().filter(lambda network: find_problem(network) is None)


def find_problem(network: Network) -> str | None:
    """Return why a network is not a valid test case; `None` if it is one."""
    if problem := _runs(network):
        return problem
    return None if has_layers(models.build(network)) else "no convolution or linear layer"


def has_layers(model: nn.Module) -> bool:
    """Return whether the model has a convolution or a linear layer."""
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
    difference = (single - batched).abs().max() / batched.abs().max().clamp(min=1e-30)
    return None if difference <= TOLERANCE else f"batches differ by {difference:.1e}"


def _outputs(network: Network, size: int) -> Tensor:
    model = models.build(network).eval()
    with torch.no_grad():
        return torch.cat([models.logits(model(part.clone())) for part in inputs(network).split(size)])


def inputs(network: Network) -> Tensor:
    """Return two random preprocessed images."""
    generator = torch.Generator().manual_seed(network.seed)
    return torch.randn(2, 3, *network.size, generator=generator)
