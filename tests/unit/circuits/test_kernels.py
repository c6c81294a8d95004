"""Kernels between layers: their channels, the factor of a batch norm, and where there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import Call, Together, add, cat, conv, half_and_half, seeded, shuffle, squeeze_excitation
from torchlurk.circuits.contributions import strongest_units, unit_contributions
from torchlurk.circuits.kernels import ConnectionKernels, network_kernels
from torchlurk.errors import LurkError
from torchlurk.graph import prepare
from torchlurk.models.isolation import isolated

X = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def kernels_of(model: nn.Module, layer: str, *names: str) -> ConnectionKernels:
    every = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with isolated(model):
        runner, graph = prepare(model, (3, 24, 24), names or every, X)
        return network_kernels(runner, graph.layers, [layer], X)[layer]


def only(found: ConnectionKernels) -> Tensor:
    (kernel,) = found.kernels
    assert kernel is not None
    return kernel


@pytest.mark.parametrize(
    "between",
    [
        lambda: [nn.ReLU(inplace=True), nn.MaxPool2d(2)],
        lambda: [nn.ReLU6(), nn.AvgPool2d(2)],
        lambda: [nn.GELU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True)],
        lambda: [nn.LeakyReLU(0.1), nn.AdaptiveMaxPool2d(5)],
        lambda: [nn.BatchNorm2d(6), nn.SiLU(), nn.Dropout()],
        lambda: [nn.Upsample(scale_factor=2), nn.Hardswish()],
    ],
)
def test_a_chain_of_activations_and_poolings_leaves_the_weight(
    between: Callable[[], list[nn.Module]],
) -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 6, 3), *between(), conv(6, 4, 3)))
    last = str(len(model) - 1)
    kernel = only(kernels_of(model, last))
    torch.testing.assert_close(kernel, model[-1].weight.detach(), rtol=1e-5, atol=1e-6)


def test_a_batch_norm_behind_a_concatenation_scales_the_kernels() -> None:
    model = seeded(
        lambda: nn.Sequential(
            Together(cat, conv(3, 4, 1), conv(3, 2, 1)), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 5, (3, 1))
        )
    )
    norm = model[1]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0, 1e-3]))
        norm.running_var.copy_(torch.linspace(0.5, 2, 6))
    found = kernels_of(model, "3")
    assert found.upstream == ("0.branches.0", "0.branches.1")
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    wanted = (model[3].weight * factor[:, None, None]).detach()
    for kernel, own in zip(found.kernels, wanted.split([4, 2], dim=1), strict=True):
        assert kernel is not None
        torch.testing.assert_close(kernel, own, rtol=1e-4, atol=1e-7)


def test_shuffled_channels_are_followed() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 6, 3), Call(half_and_half), Call(shuffle), conv(6, 2, 3)))
    order = torch.tensor([0, 3, 1, 4, 2, 5])  # of the input's channels: two groups of three, interleaved
    kernel = only(kernels_of(model, "3"))
    torch.testing.assert_close(kernel[:, order], model[3].weight.detach(), rtol=1e-5, atol=1e-6)


def test_a_sum_connects_both_of_its_terms() -> None:
    model = seeded(
        lambda: nn.Sequential(Together(add, conv(3, 4, 1), conv(3, 4, 3, padding=1)), conv(4, 3, 3))
    )
    for kernel in kernels_of(model, "1").kernels:
        assert kernel is not None
        torch.testing.assert_close(kernel, model[1].weight.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("groups", [2, 6])
def test_kernels_are_zero_between_groups(groups: int) -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 6, 3), nn.ReLU(), conv(6, 12, 3, groups=groups)))
    kernel = only(kernels_of(model, "2"))
    x = torch.rand(1, 6, 9, 9)
    wanted = F.conv2d(x, model[2].weight, groups=groups)
    torch.testing.assert_close(F.conv2d(x, kernel), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (lambda: nn.Sequential(conv(3, 4, 3), squeeze_excitation(4), conv(4, 2, 3)), "2"),
        (lambda: nn.Sequential(conv(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22 * 22, 3)), "3"),
        (lambda: nn.Sequential(conv(3, 4, 3), nn.ConvTranspose2d(4, 4, 3)), "1"),
        (lambda: nn.Sequential(conv(3, 4, 3), nn.GroupNorm(2, 4), conv(4, 2, 3)), "2"),
        (
            lambda: nn.Sequential(conv(3, 4, 3), Call(lambda x: torch.cat([x, x.relu()], 1)), conv(8, 2, 3)),
            "2",
        ),
        (lambda: nn.Sequential(conv(3, 4, 3), nn.PixelUnshuffle(2), conv(16, 2, 3)), "2"),
        (lambda: nn.Sequential(conv(3, 4, 3), Call(lambda x: x.flip(1).cumsum(1)), conv(4, 2, 3)), "2"),
    ],
)
def test_there_is_no_kernel_where_channels_mix_or_no_convolution_connects(
    make: Callable[[], nn.Module], layer: str
) -> None:
    found = kernels_of(seeded(make), layer, "0", layer)
    assert found.upstream == ("0",)
    assert found.kernels == (None,)


def test_the_first_layer_has_nothing_upstream() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 4, 3), conv(4, 2, 3)))
    assert kernels_of(model, "0") == ConnectionKernels((), ())
    with pytest.raises(LurkError, match="layer '7' is not among the scanned layers"):
        kernels_of(model, "7", "0", "1")


def test_kernels_and_contributions_name_the_same_layers() -> None:
    model = seeded(
        lambda: nn.Sequential(
            conv(3, 4, 3), nn.ReLU(), Together(cat, conv(4, 2, 1), nn.Identity()), conv(6, 3, 3)
        )
    )
    with isolated(model):
        runner, graph = prepare(model, (3, 24, 24), ("kind:Conv2d",), X)
        layers = graph.layers
        units = strongest_units(runner, layers, X)
        contributions = unit_contributions(runner, layers, X, units)
        kernels = network_kernels(runner, layers, list(units), X)
    assert {name: one.upstream for name, one in kernels.items()} == {
        name: one.upstream for name, one in contributions.items()
    }
