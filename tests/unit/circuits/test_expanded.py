"""Expanded weights, compared with kernels that are composed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import Together, add, conv, seeded
from torchlurk.circuits.expanded import expanded_weights
from torchlurk.errors import LurkError
from torchlurk.graph import prepare
from torchlurk.models.isolation import isolated

X = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def weights_of(model: nn.Module, layer: str, channels: list[int], upstream: str) -> Tensor:
    with isolated(model):
        runner, graph = prepare(model, (3, 40, 40), ("kind:Conv2d",), X)
        return expanded_weights(runner, graph.layers, layer, channels, upstream, X)


def composed(first: Tensor, second: Tensor, stride: int = 1) -> Tensor:
    """Return the kernel of a convolution by `first` with a stride, followed by one by `second`."""
    spread = second.new_zeros(*second.shape[:2], *(stride * (size - 1) + 1 for size in second.shape[2:]))
    spread[:, :, ::stride, ::stride] = second
    return F.conv_transpose2d(spread, first)


@pytest.mark.parametrize("stride", [1, 2])
def test_expanded_weights_of_linear_networks_are_composed_kernels(stride: int) -> None:
    model = seeded(
        lambda: nn.Sequential(
            conv(3, 5, 3, padding=1), conv(5, 4, (3, 5), stride, 1), conv(4, 6, 3, padding="same", groups=1)
        )
    ).double()
    wanted = composed(model[1].weight.detach(), model[2].weight.detach(), stride)
    found = weights_of(model, "2", [4, 0], "0")
    torch.testing.assert_close(found, wanted[[4, 0]], rtol=1e-12, atol=1e-12)


def test_activations_are_the_identity_and_max_pooling_is_average_pooling() -> None:
    model = seeded(
        lambda: nn.Sequential(
            conv(3, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), conv(5, 4, 3), nn.GELU(), conv(4, 2, 1)
        )
    ).double()
    mean = torch.eye(5, dtype=torch.float64)[:, :, None, None].expand(5, 5, 2, 2) / 4
    between = composed(mean, model[3].weight.detach(), 2)
    wanted = composed(between, model[5].weight.detach())
    torch.testing.assert_close(weights_of(model, "5", [0, 1], "0"), wanted, rtol=1e-12, atol=1e-12)


def test_paths_are_summed() -> None:
    model = seeded(
        lambda: nn.Sequential(conv(3, 4, 3), Together(add, conv(4, 4, 1), nn.Identity()), conv(4, 3, 3))
    ).double()
    both = model[1].branches[0].weight.detach() + torch.eye(4)[:, :, None, None]
    wanted = composed(both, model[2].weight.detach())
    torch.testing.assert_close(weights_of(model, "2", [2], "0"), wanted[[2]], rtol=1e-12, atol=1e-12)


def test_weights_are_those_of_a_batch_norms_output() -> None:
    model = seeded(
        lambda: nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4, 3), conv(4, 2, 1))
    ).double()
    wanted = composed(model[3].weight.detach(), model[4].weight.detach())
    torch.testing.assert_close(weights_of(model, "4", [0, 1], "0"), wanted, rtol=1e-12, atol=1e-12)


def test_layers_that_are_not_connected_are_refused() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 4, 3), conv(4, 2, 3))).double()
    with pytest.raises(LurkError, match="layer '0' does not depend on layer '1'"):
        weights_of(model, "0", [0], "1")
    with pytest.raises(LurkError, match="layer 'x' is not among the scanned layers"):
        weights_of(model, "1", [0], "x")
