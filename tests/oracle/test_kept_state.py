"""Networks that keep activations, change in a forward, or use gradient checkpointing, come back unchanged."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

import torchlurk
from tests.as_written import FED, Plain, check, check_gradients, fed, net, pairs, scan, state, unchanged
from tests.stored import places


class Attribute(Plain):
    """It makes a grid at the first forward, and keeps its activations."""

    def __init__(self) -> None:
        super().__init__()
        self.grid: Tensor | None = None
        self.kept: dict[str, list[Tensor]] = {"maps": []}
        self.last: deque[Tensor] = deque(maxlen=2)

    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x)
        if self.grid is None:
            self.grid = torch.linspace(0.5, 1.5, x.shape[-1])
        self.kept["maps"].append(x)
        self.last.append(x)
        return x * self.grid


@dataclass(slots=True)
class Slots:
    count: int = 0
    maps: Tensor | None = None


class Record:
    def __init__(self) -> None:
        self.count = 0


class Objects(Plain):
    """It counts in objects with and without slots, and in its class."""

    count: ClassVar[int] = 0
    shared: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.slots, self.record, self.numbers = Slots(), Record(), np.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        self.slots.count += 1
        self.slots.maps = x
        self.record.count += 1
        self.numbers[0] += 1
        type(self).count += 1
        self.shared.append(self.slots.count)
        return super().forward(x)


class Registering(Plain):
    """Its first forward adds a buffer, a module and a hook, and deletes an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh = True

    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x)
        if hasattr(self, "fresh"):
            del self.fresh
            self.register_buffer("grid", torch.linspace(0.5, 1.5, x.shape[-1]))
            self.act = nn.Identity()
            self.second.register_forward_pre_hook(lambda module, inputs: None)
        return self.act(x * self.grid)


@lru_cache
def cached(size: int) -> Tensor:
    return torch.linspace(0.5, 1.5, size)


class Cached(Plain):
    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x)
        return x * cached(x.shape[-1])


class Averaging(Plain):
    """A running average, updated in evaluation mode too, changes its output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(6))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x)
        self.calls += 1
        self.average = 0.5 * self.average + 0.5 * x.mean((0, 2, 3)).detach()
        return x - self.average[:, None, None]


class Random(Plain):
    """It draws from generators of torch, NumPy and Python, without an effect on its output."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.numpy = torch.Generator().manual_seed(1), np.random.default_rng(2)

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(2, generator=self.own), torch.rand(2), self.numpy.random(), random.random()
        return super().forward(x)


class Noisy(Plain):
    """It applies dropout in evaluation mode too."""

    def stem(self, x: Tensor) -> Tensor:
        return F.dropout(super().stem(x), 0.3)


class Normed(Plain):
    """The old spectral norm, a hook that computes the weights in each forward."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.spectral_norm(self.second)
        self(torch.rand(2, 3, 32, 32))


STABLE = [Attribute, Objects, Registering, Cached, Random, Normed]


@pytest.mark.parametrize("kind", STABLE)
def test_a_network_that_keeps_activations(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    assert found.lines == []
    for layer in ("first", "second", "head"):
        check(found, net(kind), layer)
    check_gradients(net(kind), net(kind))


@pytest.mark.parametrize("kind", [*STABLE, Averaging])
def test_a_network_can_be_trained_afterwards(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    model = net(kind)()
    with unchanged(model):
        torchlurk.FeatureVisualizer(model, FED)(0, layer="second", steps=2)
        recorder = torchlurk.FrameRecorder(
            model, tmp_path / "a.gif", 0, layer="second", image=fed()[0], preprocess=FED
        )
        recorder(0)
    for parameter in model.parameters():
        parameter.grad = None
    model.train()(fed()).sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "fresh" not in name)


def test_random_number_generators_are_restored(tmp_path: Path) -> None:
    model = net(Random)()
    states = (
        model.own.get_state(), torch.get_rng_state(), model.numpy.bit_generator.state, random.getstate(),
    )  # fmt: skip
    torchlurk.gradients(model, fed()[:1], 0)
    after = (
        model.own.get_state(), torch.get_rng_state(), model.numpy.bit_generator.state, random.getstate(),
    )  # fmt: skip
    assert torch.equal(states[0], after[0])
    assert torch.equal(states[1], after[1])
    assert states[2:] == after[2:]


@pytest.mark.parametrize("kind", [Averaging, Noisy])
def test_a_network_that_changes_with_each_forward(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    assert found.lines == [
        "each image is run alone: the network gives other values for an image that it is given again"
    ]
    for layer in ("first", "second", "head"):
        check(found, net(kind), layer)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_network_is_restored_after_a_failed_forward(error: type[BaseException]) -> None:
    class Failing(Attribute):
        fails = False

        def rest(self, x: Tensor) -> Tensor:
            if self.fails:
                raise error("stop")
            return super().rest(x)

    model = net(Failing)()
    Failing.fails = True
    before = state(model)
    with pytest.raises((torchlurk.LurkError, KeyboardInterrupt)):
        torchlurk.gradients(model, fed()[:1], 0)
    with pytest.raises((torchlurk.LurkError, KeyboardInterrupt)):
        torchlurk.explain(model, FED, pairs()[0][0], 0)
    assert state(model) == before


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.last = nn.Conv2d(8, 4, 3)

    def middle(self, x: Tensor) -> Any:
        return self.block(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(F.relu(self.stem(x)))).mean((2, 3))


class New(Blocks):
    def middle(self, x: Tensor) -> Any:
        return checkpoint(self.block, x, use_reentrant=False)


class Reentrant(Blocks):
    def middle(self, x: Tensor) -> Any:
        return checkpoint(self.block, x, use_reentrant=True)


class Sequential(Blocks):
    def middle(self, x: Tensor) -> Any:
        return checkpoint_sequential(self.block, 2, x, use_reentrant=True)


class Nested(Blocks):
    def middle(self, x: Tensor) -> Any:
        return checkpoint(lambda y: checkpoint(self.block, y, use_reentrant=True), x, use_reentrant=False)


class Direct(Blocks):
    """It calls the function behind torch's checkpointing directly."""

    def middle(self, x: Tensor) -> Any:
        return CheckpointFunction.apply(self.block, True, x)


@pytest.mark.parametrize("kind", [New, Reentrant, Sequential, Nested, Direct])
def test_gradient_checkpointing(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    plain = scan(net(Blocks)(), tmp_path / "plain")
    for layer in ("stem", "block.0", "block.2", "last"):
        check(found, net(Blocks), layer)
        for picture in ("max_grads", "avg_grads"):
            name = f"{picture}/{layer}/0.jpg"
            assert places(found.out)[name].read() == places(plain.out)[name].read()
    check_gradients(net(kind), net(Blocks))
    for method in ("deconv", "guided"):
        ours, theirs = (
            torchlurk.explain(net(one)(), FED, pairs()[0][0], 0)[0].attributions[method]
            for one in (kind, Blocks)
        )
        torch.testing.assert_close(ours, theirs)
