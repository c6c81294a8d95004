"""Networks that depend on memory formats and types of numbers: scanned as they are written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import torchlurk
from tests.as_written import FED, Plain, check, check_gradients, fed, lurk_of, net, scan, unchanged


class View(Plain):
    """It reads its maps by `view`, which channels_last does not allow."""

    def rest(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.relu(self.second(x)), 2).view(-1, 200))


class Strided(Plain):
    """It takes what it computes for contiguous, and would compute something else of other strides."""

    def rest(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.head(x.as_strided((len(x), 200), (200, 1)))


class Asserting(Plain):
    def rest(self, x: Tensor) -> Tensor:
        assert x.is_contiguous()
        return super().rest(x)


class ViewedWeights(Plain):
    def rest(self, x: Tensor) -> Tensor:
        return super().rest(x) + self.first.weight.view(6, -1).sum()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.view(-1).square().view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class Squaring(Plain):
    def stem(self, x: Tensor) -> Tensor:
        return Square.apply(super().stem(x))  # type: ignore[no-any-return]


class Numpy(Plain):
    """It adds to its input a mirrored copy that NumPy made."""

    def forward(self, x: Tensor) -> Tensor:
        mirrored = np.ascontiguousarray(x.detach().numpy()[..., ::-1])
        return super().forward(x + 0.1 * torch.from_numpy(mirrored))


class OnlyNumpy(Plain):
    """All that its layers see comes from NumPy."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(x.numpy() * 2))


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    swish = torch.jit.script(swish)


class Scripted(Plain):
    """A scripted function stands between its layers."""

    def stem(self, x: Tensor) -> Tensor:
        return F.max_pool2d(swish(self.first(x)), 2)


class Perceptron(nn.Module):
    """It has no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * 32 * 32, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(x.view(-1, 3 * 32 * 32))))


class Rotary(Plain):
    """A complex buffer turns pairs of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turn", torch.polar(torch.ones(3), torch.arange(3.0)))

    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x).permute(0, 2, 3, 1)
        turned = torch.view_as_complex(x.unflatten(-1, (3, 2)).contiguous()) * self.turn
        return torch.view_as_real(turned).flatten(-2).permute(0, 3, 1, 2).to(x.dtype)


class Mixed(Plain):
    """It computes its second half in another type, to which it casts by name."""

    def __init__(self) -> None:
        super().__init__()
        self.second.double()

    def rest(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.relu(self.second(x.double())), 2).flatten(1).float())


class Quantised(Plain):
    """Its weights are bytes, in a buffer and in a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(6).half())
        self.codes = nn.Parameter((50 * torch.randn(6, 6, 1, 1)).to(torch.int8), requires_grad=False)

    def stem(self, x: Tensor) -> Tensor:
        return F.conv2d(super().stem(x), self.codes / 100) * self.scale.float().view(-1, 1, 1)


@pytest.mark.parametrize("kind", [View, Strided, Asserting, ViewedWeights, Squaring, Perceptron])
def test_a_network_that_needs_contiguous_tensors(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    assert found.manifest.memory_format == "contiguous"
    for layer in found.layers:
        check(found, net(kind), layer)
    check_gradients(net(kind), net(kind))


@pytest.mark.parametrize("kind", [Plain, Numpy, Scripted, Rotary, Mixed, Quantised])
def test_a_network_that_takes_any_memory_format(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    assert found.manifest.memory_format == "channels_last"
    assert {"first", "second", "head"} <= set(found.layers)
    assert found.lines == []
    for layer in found.layers:
        check(found, net(kind), layer)
    check_gradients(net(kind), net(kind))


def test_a_network_that_computes_in_numpy(tmp_path: Path) -> None:
    found = scan(net(OnlyNumpy)(), tmp_path / "store", gradients=False)
    for layer in ("first", "second", "head"):
        check(found, net(OnlyNumpy), layer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_network_of_another_type(dtype: torch.dtype, tmp_path: Path) -> None:
    model = net(Plain)().to(dtype)
    found = scan(model, tmp_path / "store")
    for layer in ("first", "second", "head"):
        check(found, lambda: net(Plain)().to(dtype).float(), layer)
    with unchanged(model):
        show = torchlurk.FeatureVisualizer(model, FED)
        assert show(0, layer="first", steps=2).mode == "RGB"
        recorder = torchlurk.FrameRecorder(model, tmp_path / "a.gif", 0, image=fed()[0], preprocess=FED)
        recorder(0)
    torch.testing.assert_close(
        torchlurk.gradients(model.double(), fed()[:1].double(), 0).value.float(),
        net(Plain)().to(dtype).float()(fed()[:1])[:, 0],
        rtol=1e-3,
        atol=1e-3,
    )


class Complex(Plain):
    """A convolution of complex numbers stands beside the others."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Conv2d(6, 4, 14, dtype=torch.complex64)

    def rest(self, x: Tensor) -> Tensor:
        return super().rest(x) + self.phase(x.to(torch.complex64)).abs().flatten(1)


def test_a_layer_of_complex_numbers_is_skipped(tmp_path: Path) -> None:
    found = scan(net(Complex)(), tmp_path / "store")
    assert found.skipped == {"phase": "gives complex numbers, which have no order"}
    assert found.lines == [
        "1 layer is not scanned: phase (Conv2d) gives complex numbers, which have no order"
    ]
    for layer in ("first", "second", "head"):
        check(found, net(Complex), layer)


def test_filter_images_of_such_networks(tmp_path: Path) -> None:
    for kind in (View, Mixed, Rotary):
        model = net(kind)()
        with unchanged(model):
            lurk = lurk_of(model, tmp_path / kind.__name__, ["second"])
            lurk.compute_top_imgs()
            lurk.compute_viz(filters=1, steps=2)
