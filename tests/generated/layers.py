"""Blocks of one or two layers: convolution, normalisation, activation, pooling, dropout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.generated.description import Shape, block


def with_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Fill the running statistics of a batch norm with values as after training."""
    channels = norm.num_features
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.randn(channels) * 0.2)
    norm.running_var.copy_(torch.rand(channels) + 0.5)
    return norm


class GainConv2d(nn.Conv2d):
    """A user-defined convolution with a gain for each filter."""

    def __init__(self, *args: int, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, self.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain[:, None, None]


class StandardConv2d(nn.Conv2d):
    """A convolution with weight standardisation, computed on a view of the weights as a matrix."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.view(self.out_channels, -1)
        rows = rows - rows.mean(1, keepdim=True)
        rows = rows / (rows.std(1, keepdim=True) + 0.1)
        weight = rows.view_as(self.weight) * 0.3
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


CONVOLUTIONS: dict[str, type[nn.Conv2d]] = {
    "Conv2d": nn.Conv2d,
    "GainConv2d": GainConv2d,
    "StandardConv2d": StandardConv2d,
}


@block(
    out=(4, 6, 8), kernel=(3, 1, 5, 2), stride=(1, 2), groups=(1, 2), dilation=(1, 2),
    padding=("zeros", "none", "reflect", "circular", "replicate"), bias=(True, False),
    convolution=tuple(CONVOLUTIONS), norm=("none", "spectral", "weight"),
)  # fmt: skip
class Conv(nn.Module):
    def __init__(
        self, shape: Shape, out: int, kernel: int, stride: int, groups: int, dilation: int, padding: str,
        bias: bool, convolution: str, norm: str,
    ) -> None:  # fmt: skip
        super().__init__()
        pad = 0 if padding == "none" else dilation * (kernel - 1) // 2
        conv = CONVOLUTIONS[convolution](
            shape[0], out, kernel, stride, pad, dilation, math.gcd(groups, shape[0], out), bias,
            "zeros" if padding == "none" or convolution == "StandardConv2d" else padding,
        )  # fmt: skip
        if norm == "spectral":
            conv = parametrizations.spectral_norm(conv)
        elif norm == "weight":
            conv = parametrizations.weight_norm(conv)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@block(out=(4, 6, 8), stride=(1, 2))
class Separable(nn.Module):
    """A depthwise and a 1 x 1 convolution, as in MobileNet."""

    def __init__(self, shape: Shape, out: int, stride: int) -> None:
        super().__init__()
        channels = shape[0]
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        self.norm = with_statistics(nn.BatchNorm2d(channels))
        self.relu = nn.ReLU6(inplace=True)
        self.pointwise = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.depthwise(x)))
        return self.pointwise(x)


@block(out=(4, 6))
class WeightAsMatrix(nn.Module):
    """A 1 x 1 convolution as a product with a view of its 4-d parameter."""

    def __init__(self, shape: Shape, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, shape[0], 1, 1) / math.sqrt(shape[0]))
        self.mixed = nn.Parameter(torch.randn(out, 2, 3, 1) * 0.2)
        self.conv = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        pixels = x.flatten(2).transpose(1, 2)
        mixed = F.linear(pixels, self.weight.view(self.weight.size(0), -1), self.mixed.view(-1, 6).sum(1))
        return self.conv(mixed.transpose(1, 2).reshape(n, -1, h, w))


@block(keeps_shape=True, variant=("batch", "group", "layer", "channels first"))
class Norm(nn.Module):
    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        channels = shape[0]
        self.variant = variant
        if variant == "batch":
            self.norm: nn.Module = with_statistics(nn.BatchNorm2d(channels))
        elif variant == "group":
            self.norm = nn.GroupNorm(math.gcd(2, channels), channels)
        else:
            self.norm = nn.LayerNorm(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "layer":
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.variant == "channels first":
            mean = x.mean(1, keepdim=True)
            spread = (x - mean).pow(2).mean(1, keepdim=True)
            x = (x - mean) / torch.sqrt(spread + 1e-2)
            return self.norm.weight[:, None, None] * x + self.norm.bias[:, None, None]
        return self.norm(x)


MODULES = {
    "nn.ReLU()": lambda: nn.ReLU(),
    "nn.ReLU(inplace=True)": lambda: nn.ReLU(inplace=True),
    "nn.GELU()": nn.GELU,
    "nn.SiLU(inplace=True)": lambda: nn.SiLU(inplace=True),
    "nn.LeakyReLU(0.1)": lambda: nn.LeakyReLU(0.1),
    "nn.Hardswish()": nn.Hardswish,
}


@block(keeps_shape=True, variant=tuple(MODULES))
class Activation(nn.Module):
    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.relu = MODULES[variant]()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x)


@block(
    keeps_shape=True,
    variant=("F.relu(x)", "x.relu_()", "torch.relu(x)", "x.relu_(); return x", "F.relu(x, inplace=True)",
             "clamp", "sigmoid"),
)  # fmt: skip
class Function(nn.Module):
    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "F.relu(x)":
            return F.relu(x)
        if self.variant == "x.relu_()":
            return x.relu_()
        if self.variant == "torch.relu(x)":
            return torch.relu(x)
        if self.variant == "F.relu(x, inplace=True)":
            return F.relu(x, inplace=True)
        if self.variant == "clamp":
            return x.clamp(min=-0.5, max=1.5)
        if self.variant == "sigmoid":
            return x * x.sigmoid()
        x.relu_()  # returns x, not the result of the call
        return x


@block(variant=("nn.MaxPool2d(2)", "nn.AvgPool2d(2)", "F.max_pool2d(x, 3, 2, 1)", "F.avg_pool2d(x, 2)",
            "nn.AdaptiveAvgPool2d(4)", "F.adaptive_avg_pool2d(x, 5)", "F.adaptive_max_pool2d(x, 4)",
            "nn.MaxPool2d(3, 2, ceil_mode=True)"))  # fmt: skip
class Pool(nn.Module):
    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        modules = {
            "nn.MaxPool2d(2)": nn.MaxPool2d(2),
            "nn.AvgPool2d(2)": nn.AvgPool2d(2),
            "nn.AdaptiveAvgPool2d(4)": nn.AdaptiveAvgPool2d(4),
            "nn.MaxPool2d(3, 2, ceil_mode=True)": nn.MaxPool2d(3, 2, ceil_mode=True),
        }
        self.pool = modules.get(variant)

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            return self.pool(x)
        if self.variant == "F.max_pool2d(x, 3, 2, 1)":
            return F.max_pool2d(x, 3, stride=2, padding=1)
        if self.variant == "F.avg_pool2d(x, 2)":
            return F.avg_pool2d(x, 2)
        if self.variant == "F.adaptive_max_pool2d(x, 4)":
            return F.adaptive_max_pool2d(x, 4)
        return F.adaptive_avg_pool2d(x, (5, 5))


@block(keeps_shape=True, variant=("nn.Dropout", "F.dropout", "nn.Dropout2d"))
class Dropout(nn.Module):
    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.drop = nn.Dropout2d(0.3) if variant == "nn.Dropout2d" else nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "F.dropout":
            return F.dropout(x, 0.3, training=self.training)
        return self.drop(x)
