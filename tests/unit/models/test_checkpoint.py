"""Weights are loaded strictly: misfits are reported in one line and leave the network unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from tests.checkpoints import A, load, small
from tests.unit.models.conftest import conv_net, trunk_state, weights_of
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, load_weights
from torchlurk.models.isolation import to_float32


def test_misfit_leaves_the_network_unchanged() -> None:
    module, other = conv_net(), conv_net()
    other[0].weight.data.add_(1)
    load_weights(module, weights_of(other))
    assert torch.equal(module[0].weight, other[0].weight)
    with pytest.raises(LurkError):
        load_weights(module, weights_of(conv_net(), **{"0_dot_bias": torch.full((4,), torch.nan)}))
    assert torch.equal(module[0].weight, other[0].weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0_dot_weight": None}, r"missing 0\.weight; they may be"),
        ({"9_dot_weight": torch.zeros(1)}, r"unknown 9\.weight; they may be"),
        (
            {"0_dot_weight": torch.zeros(4, 1, 3, 3)},
            r"0\.weight is \(4, 1, 3, 3\) in file:x\.pt, the network needs \(4, 3, 3, 3\)",
        ),
        ({"3_dot_bias": torch.tensor([1.0, torch.inf])}, r"3\.bias in file:x\.pt holds NaN or inf"),
    ],
)
def test_misfit_is_reported_in_one_line(changes: dict[str, torch.Tensor | None], message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        load_weights(conv_net(), weights_of(conv_net(), **changes))
    assert "\n" not in str(caught.value)


def test_only_the_first_missing_names_are_listed() -> None:
    with pytest.raises(LurkError, match=r"missing .* and 29 more; .*another architecture"):
        load_weights(torchvision.models.vgg16(), weights_of(torch.nn.Sequential()))


def test_num_batches_tracked_may_be_missing() -> None:
    load_weights(conv_net(), weights_of(conv_net(), **{"1_dot_num_batches_tracked": None}))


def test_partial_weights_may_lack_whole_children_only(alexnet: torch.nn.Module) -> None:
    state = trunk_state(alexnet)
    load_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00", partial=True))
    with pytest.raises(LurkError, match=r"missing classifier\.1\.weight"):
        load_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00"))
    del state["features.3.bias"]
    with pytest.raises(LurkError, match=r"missing features\.3\.bias"):
        load_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00", partial=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_network_keeps_its_dtypes(tmp_path: Path, dtype: torch.dtype) -> None:
    saved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in A.items()}
    network = small()
    load(saved, tmp_path, network)
    assert network[0].weight.dtype is torch.float32
    assert torch.equal(network[0].weight, saved["0.weight"].float())


def test_complex_and_integer_tensors_keep_their_dtype(tmp_path: Path) -> None:
    network = nn.ParameterDict(
        {
            "wave": nn.Parameter(torch.randn(3, dtype=torch.complex128)),
            "count": nn.Parameter(torch.arange(3), requires_grad=False),
            "less": nn.Parameter(torch.randn(3).half()),
        }
    )
    network.register_buffer("on", torch.tensor([True, False]))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    to_float32(network, torch.device("cpu"))
    kinds = {name: value.dtype for name, value in network.state_dict().items()}
    assert kinds == {
        "wave": torch.complex128, "count": torch.int64, "less": torch.float32, "on": torch.bool
    }  # fmt: skip
    for value in network.state_dict().values():
        value.zero_()
    load(before, tmp_path, network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name].to(kinds[name]))
