"""Contributions: units, cuts, the quick way, bad input, and networks that come back unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.networks import Branching, Call, seeded, two_convolutions
from tests.zoo import DataDependent, Reused
from torchlurk.circuits import contributions
from torchlurk.circuits.contributions import Units, strongest_units, unit_contributions
from torchlurk.circuits.cuts import find_cuts
from torchlurk.errors import LurkError
from torchlurk.graph import Layer, prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner


def ready(model: nn.Module, x: Tensor, *names: str) -> tuple[Runner, Sequence[Layer]]:
    every = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    runner, graph = prepare(model, tuple(x.shape[1:]), names or every, x)  # type: ignore[arg-type]
    return runner, graph.layers


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def units(*rows: tuple[int, int, int, int]) -> Units:
    return Units(*torch.tensor(rows).T)


def test_rounds_have_each_unit_once_and_no_image_twice() -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 4, (23,), generator=draw)
    some = Units(images, images, images, images)
    rounds = list(some.rounds())
    assert sorted(torch.cat(rounds).tolist()) == list(range(23))
    assert all(len(images[one].unique()) == len(one) for one in rounds)
    assert len(rounds) == int(images.bincount().max())


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: torchvision.models.vgg11_bn(init_weights=False).features[:8],
         {"0": "1", "4": "5"}),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), {"0": "0"}),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Call(lambda x: x + x.relu()), nn.BatchNorm2d(4)),
         {"0": "0"}),
    ],
)  # fmt: skip
def test_a_layer_is_cut_after_the_batch_norm_that_alone_reads_it(
    make: Callable[[], nn.Module], wanted: dict[str, str]
) -> None:
    model, x = seeded(make), noise(2, 3, 32, 32)
    with isolated(model):
        assert dict(find_cuts(*ready(model, x), x).modules) == wanted


class TwoReaders(nn.Module):
    """A skip connection around a batch norm reads the output of the convolution too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class SharedNorm(nn.Module):
    """Two convolutions with one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.b(self.norm(self.a(x))))


@pytest.mark.parametrize("make", [TwoReaders, SharedNorm])
def test_other_batch_norms_do_not_move_a_cut(make: type[nn.Module]) -> None:
    model, x = seeded(make), noise(2, 3, 12, 12)
    with isolated(model):
        modules = find_cuts(*ready(model, x), x).modules
    assert all(layer == name for layer, name in modules.items())


def test_layers_that_are_called_twice_are_named() -> None:
    model, x = seeded(Reused), noise(2, 3, 40, 40)
    with isolated(model):
        runner, layers = ready(model, x)
        found = unit_contributions(runner, layers, x, strongest_units(runner, layers, x))
    assert {name: one.repeated for name, one in found.items()} == {
        "stem": False, "again": True, "last": True, "head": False,
    }  # fmt: skip
    assert {name: one.upstream for name, one in found.items()} == {
        "stem": (), "again": ("stem",), "last": ("again",), "head": ("last",),
    }  # fmt: skip


def test_strongest_units_are_the_maxima_of_the_maps() -> None:
    model, x = seeded(Branching), noise(3, 3, 20, 24)
    with isolated(model):
        runner, layers = ready(model, x)
        found = strongest_units(runner, layers, x)
        scores = unit_contributions(runner, layers, x, {"first": found["first"]})["first"].scores
        maps = model.first(x)
    assert len(found["first"]) == 3 * 6
    torch.testing.assert_close(scores.view(3, 6), maps.amax((2, 3)))
    assert found["first"].images.tolist() == [image for image in range(3) for _ in range(6)]


def test_a_convolution_after_pooling_needs_no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = two_convolutions(), noise(2, 3, 20, 20)
    with isolated(model):
        runner, layers = ready(model, x)
        chosen = strongest_units(runner, layers, x)
        cuts = find_cuts(runner, layers, x)
        wanted = unit_contributions(runner, layers, x, chosen, cuts=cuts)["3"].values
        monkeypatch.setattr(torch.autograd, "grad", None)
        found = unit_contributions(runner, layers, x, chosen, cuts=cuts)["3"].values
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("make", [two_convolutions, lambda: seeded(Flattened)])
def test_the_quick_way_is_the_backward_pass(
    make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = make(), noise(3, 3, 20, 20)
    with isolated(model):
        runner, layers = ready(model, x)
        chosen = strongest_units(runner, layers, x)
        quick = unit_contributions(runner, layers, x, chosen)
        monkeypatch.setattr(contributions, "is_channelwise", lambda *arguments: False)
        slow = unit_contributions(runner, layers, x, chosen)
    for name, found in quick.items():
        scale = float(slow[name].values.abs().max()) if found.upstream else 1.0
        torch.testing.assert_close(found.values, slow[name].values, rtol=0, atol=1e-6 * scale)


class Flattened(nn.Module):
    """A linear layer behind a flattened map, and another behind a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.wide, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 9 * 9, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(self.conv(x).relu_(), 2)
        return self.head(self.wide(x.flatten(1)).relu())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_stay_so(value: float) -> None:
    model, x = two_convolutions(), noise(2, 3, 20, 20)
    x[1, 0, 10, 10] = value
    with isolated(model):
        runner, layers = ready(model, noise(2, 3, 20, 20))
        found = unit_contributions(runner, layers, x, {"3": units((0, 1, 2, 2), (1, 1, 3, 3), (1, 1, 0, 0))})
    assert found["3"].values.isfinite().all(1).tolist() == [True, False, True]


def test_no_units_have_no_contributions() -> None:
    model, x = two_convolutions(), noise(2, 3, 20, 20)
    with isolated(model):
        runner, layers = ready(model, x)
        assert unit_contributions(runner, layers, x, {}) == {}
        none = Units(*torch.zeros(4, 0, dtype=torch.int64))
        found = unit_contributions(runner, layers, x, {"3": none, "0": none})
    assert (found["3"].upstream, found["3"].channels) == (("0",), (8,))
    assert found["3"].values.shape == (0, 8)
    assert (found["0"].upstream, found["0"].values.shape) == ((), (0, 0))


def test_layers_that_are_not_scanned_or_not_reached_are_refused() -> None:
    model, x = seeded(DataDependent), noise(2, 3, 40, 40)
    with isolated(model):
        runner, layers = ready(model, x)
        with pytest.raises(LurkError, match="layer 'low' is not among the scanned layers"):
            unit_contributions(runner, layers, x, {"low": units((0, 0, 0, 0))})
        high = next(layer for layer in layers if layer.name == "high")
        both = [*layers, replace(high, name="low")]
        with pytest.raises(LurkError, match="layer 'low' exists, but this input does not pass through it"):
            unit_contributions(runner, both, x, {"low": units((0, 0, 0, 0))})


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


@pytest.mark.parametrize("fails", [False, True])
def test_a_network_comes_back_as_it_was(fails: bool) -> None:
    model = two_convolutions().train()
    x, chosen = noise(2, 3, 20, 20), {"3": units((0, 0, 1, 1))}
    with isolated(model):
        runner, layers = ready(model, x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if fails:
        model[2] = Fails()
    with isolated(model):
        if fails:
            with pytest.raises(LurkError, match="on purpose"):
                unit_contributions(runner, layers, x, chosen)
        else:
            unit_contributions(runner, layers, x, chosen)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
