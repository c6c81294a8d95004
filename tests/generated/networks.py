"""The strategy that draws networks, and what makes one fit to be tested: plain torch can run it."""

from __future__ import annotations

from functools import lru_cache

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor, nn

from tests.generated import models
from tests.generated.description import BLOCKS, HEADS, OUTPUTS, Kind, Network, Shape, Step, shape_after

CLOSE = 1e-5
LARGEST = 4000
"""Values of a feature map."""


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


def _options(draw: DrawFn, kind: Kind, shape: Shape) -> tuple[tuple[str, object], ...]:
    options = [(name, draw(st.sampled_from(values))) for name, values in kind.options.items()]
    if kind.nested:
        name, _ = options[0]
        options[0] = (name, draw(chains(shape, 0, 2, keeps_shape=kind.keeps_shape)))
    return tuple((name, value) for name, value in options if value != kind.options[name][0])


@st.composite
def steps(draw: DrawFn, shape: Shape, *, keeps_shape: bool, nested: bool) -> Step:
    names = [
        name
        for name, kind in BLOCKS.items()
        if (kind.keeps_shape or not keeps_shape) and (nested or not kind.nested)
    ]
    name = draw(st.sampled_from(names))
    return Step(name, _options(draw, BLOCKS[name], shape))


@st.composite
def chains(
    draw: DrawFn, shape: Shape, least: int, most: int, *, keeps_shape: bool = False, nested: bool = False
) -> tuple[Step, ...]:
    """Blocks one after the other."""
    found: list[Step] = []
    for _ in range(draw(st.integers(least, most))):
        known = shape
        one = draw(
            steps(shape, keeps_shape=keeps_shape, nested=nested).filter(
                lambda one, known=known: shape_of(one, known) is not None
            )
        )
        found.append(one)
        after = shape_of(one, shape)
        assert after is not None
        shape = after
    return tuple(found)


@st.composite
def candidates(draw: DrawFn) -> Network:
    size = (draw(st.integers(16, 24)), draw(st.integers(16, 24)))
    body = draw(chains((3, *size), 1, 5, nested=True))
    shape: Shape = (3, *size)
    for one in body:
        after = shape_of(one, shape)
        assert after is not None
        shape = after
    head = draw(st.sampled_from(sorted(HEADS)))
    return Network(
        body,
        Step(head, _options(draw, HEADS[head], shape)),
        size,
        draw(st.sampled_from(OUTPUTS)),
        draw(st.sampled_from(("eval", "train", "mixed"))),
        draw(st.sampled_from(("none", "some", "all"))),
        draw(st.sampled_from(("no", "evaluated", "trained"))),
        draw(st.sampled_from(("none", "look", "change"))),
        draw(st.integers(0, len(body))),
        draw(st.integers(0, 99)),
    )


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
