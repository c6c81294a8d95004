"""Blocks that use other layouts of a map: views, tokens, channels last, Fourier space, coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.generated.description import Shape, block


@block(keeps_shape=True, norm=(False, True), variant=("permute", "transpose", "movedim"))
class ChannelsLast(nn.Module):
    """A ConvNeXt block with linear layers over `(N, H, W, C)`."""

    def __init__(self, shape: Shape, norm: bool, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.norm = nn.LayerNorm(shape[0], eps=1e-3) if norm else nn.Identity()
        self.wide = nn.Linear(shape[0], 8)
        self.gelu = nn.GELU()
        self.narrow = nn.Linear(8, shape[0])

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "permute":
            inside = x.permute(0, 2, 3, 1)
        elif self.variant == "transpose":
            inside = x.transpose(1, 2).transpose(2, 3)
        else:
            inside = torch.movedim(x, 1, -1)
        inside = self.narrow(self.gelu(self.wide(self.norm(inside))))
        return x + inside.permute(0, 3, 1, 2)


@block(out=(4, 6), variant=("flatten", "view", "reshape", "permute"), back=("view", "reshape", "unflatten"))
class Tokens(nn.Module):
    """A linear layer over tokens `(N, T, C)`, reshaped back to a map."""

    def __init__(self, shape: Shape, out: int, variant: str, back: str) -> None:
        super().__init__()
        self.variant, self.back = variant, back
        self.mix = nn.Linear(shape[0], out)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if self.variant == "flatten":
            tokens = x.flatten(2).transpose(1, 2)
        elif self.variant == "view":
            tokens = x.view(n, c, h * w).permute(0, 2, 1)
        elif self.variant == "reshape":
            tokens = x.reshape(n, c, -1).transpose(1, 2)
        else:
            tokens = x.permute(0, 2, 3, 1).reshape(n, -1, c)
        tokens = self.mix(tokens).transpose(1, 2)
        if self.back == "view":
            return tokens.contiguous().view(n, -1, h, w)
        if self.back == "reshape":
            return tokens.reshape(n, -1, h, w)
        return tokens.unflatten(2, (h, w))


@block(keeps_shape=True, mask=("none", "buffer", "not persistent", "made in forward"))
class Attention(nn.Module):
    """Self-attention over the positions of a map, optionally with a causal mask of -inf."""

    def __init__(self, shape: Shape, mask: str) -> None:
        super().__init__()
        channels, height, width = shape
        assert height * width <= 600
        self.variant = mask
        self.pooled = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        if mask in ("buffer", "not persistent"):
            hidden = torch.full((height * width, height * width), float("-inf")).triu(1)
            self.register_buffer("mask", hidden, persistent=mask == "buffer")

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        query, key, value = self.pooled(x.flatten(2).transpose(1, 2)).chunk(3, dim=-1)
        scores = query @ key.transpose(1, 2) / math.sqrt(c)
        if self.variant in ("buffer", "not persistent"):
            scores = scores + self.mask
        elif self.variant == "made in forward":
            later = torch.ones(h * w, h * w, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        mixed = self.out(scores.softmax(-1) @ value)
        return x + mixed.transpose(1, 2).reshape(n, c, h, w)


@block(
    keeps_shape=True, variant=("mean of a view", "adaptive pool", "mean"), back=("view", "index", "unsqueeze")
)
class Squeeze(nn.Module):
    """Squeeze and excitation: a gate for each channel, from the mean of its map."""

    def __init__(self, shape: Shape, variant: str, back: str) -> None:
        super().__init__()
        self.variant, self.back = variant, back
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(shape[0], shape[0])

    def forward(self, x: Tensor) -> Tensor:
        n, c = x.size(0), x.size(1)
        if self.variant == "mean of a view":
            pooled = x.view(n, c, -1).mean(-1)
        elif self.variant == "adaptive pool":
            pooled = self.pool(x).view(n, c)
        else:
            pooled = x.mean(dim=(2, 3))
        gate = torch.sigmoid(self.fc(pooled))
        if self.back == "view":
            return x * gate.view(n, c, 1, 1)
        if self.back == "index":
            return x * gate[:, :, None, None]
        return x * gate.unsqueeze(-1).unsqueeze(-1)


@block(variant=("view", "reshape", "F.pixel_unshuffle"))
class SpaceToDepth(nn.Module):
    """Moves blocks of 2 x 2 pixels into channels, then mixes them by a 1 x 1 convolution."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.mix = nn.Conv2d(4 * shape[0], 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if self.variant == "F.pixel_unshuffle":
            return self.mix(F.pixel_unshuffle(x, 2))
        if self.variant == "view":
            x = x.view(n, c, h // 2, 2, w // 2, 2)
        else:
            x = x.reshape(n, c, h // 2, 2, w // 2, 2)
        x = x.permute(0, 1, 3, 5, 2, 4).contiguous()
        return self.mix(x.view(n, 4 * c, h // 2, w // 2))


@block(keeps_shape=True, variant=("view", "view(-1)", "reshape"))
class FlattenScale(nn.Module):
    """Flattens the map, scales the values and restores the shape."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.channels, self.height, self.width = shape
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, math.prod(shape)))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "view":
            row = x.view(x.size(0), -1)
        elif self.variant == "view(-1)":
            row = x.view(-1, self.channels * self.height * self.width)
        else:
            row = x.reshape(x.shape[0], -1)
        return (row * self.scale).view(-1, self.channels, self.height, self.width)


@block(keeps_shape=True, variant=("complex buffer", "complex parameter", "two real buffers"))
class Fourier(nn.Module):
    """A learned filter in Fourier space."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        channels, height, width = shape
        self.variant = variant
        values = torch.randn(channels, height, width // 2 + 1, dtype=torch.complex64) * 0.3 + 1
        if variant == "complex buffer":
            self.register_buffer("filter", values)
        elif variant == "complex parameter":
            self.filter = nn.Parameter(values)
        else:
            self.register_buffer("real", values.real.clone())
            self.register_buffer("imag", values.imag.clone())

    def forward(self, x: Tensor) -> Tensor:
        two = self.variant == "two real buffers"
        values = torch.complex(self.real, self.imag) if two else self.filter
        spectrum = torch.fft.rfft2(x, norm="ortho")
        return torch.fft.irfft2(spectrum * values, s=x.shape[-2:], norm="ortho")


@block(variant=("add", "cat", "float64", "not persistent"))
class Coordinates(nn.Module):
    """Adds coordinates to the map, from a buffer that may have another dtype."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        _, height, width = shape
        kind = torch.float64 if variant in ("float64", "not persistent") else torch.float32
        rows = torch.linspace(-1, 1, height, dtype=kind)[:, None].expand(height, width)
        columns = torch.linspace(-1, 1, width, dtype=kind)[None].expand(height, width)
        self.variant = variant
        self.register_buffer("grid", torch.stack([rows, columns]), persistent=variant != "not persistent")

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid.to(x.dtype)
        if self.variant == "cat":
            return torch.cat([x, grid.expand(x.size(0), -1, -1, -1)], 1)
        return x + 0.3 * grid.sum(0)
