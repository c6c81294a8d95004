"""Blocks with side effects that do not affect their output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.generated.description import Shape, block


@block(
    keeps_shape=True,
    variant=(
        "last",
        "calls",
        "append",
        "shapes",
        "delete",
        "rand",
        "rand like",
        "randperm",
        "mean",
        "module",
    ),
)
class SetsAttributes(nn.Module):
    """Sets attributes in its forward."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.conv = nn.Conv2d(shape[0], shape[0], 1)
        self.last: Tensor | None = None
        self.calls = 0
        self.seen: list[Any] = []
        self.marker = "first"

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.variant == "last":
            self.last = x
        elif self.variant == "calls":
            self.calls += 1
        elif self.variant == "append":
            self.seen.append(x)
        elif self.variant == "shapes":
            self.seen.append(tuple(x.shape))
            self.seen = self.seen[-3:]
        elif self.variant == "delete":
            del self.marker
            self.marker = "again"
            self.made_in_forward = x.shape[1]
        elif self.variant == "rand":
            torch.rand(1)
        elif self.variant == "rand like":
            x = x + 0 * torch.rand_like(x)
        elif self.variant == "randperm":
            self.order = torch.randperm(4)
        elif self.variant == "mean":
            self.last = x.detach().mean((0, 2, 3))
        elif self.variant == "module":
            self.conv.features = x.detach().clone()
        return x


@block(
    keeps_shape=True,
    variant=("if self.grid is None", "dict by size", "hasattr", "buffer at first use", "lazy attribute"),
)
class Caches(nn.Module):
    """Computes a tensor at the first forward and caches it."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.grid: Tensor | None = None
        self.cache: dict[Any, Tensor] = {}
        if variant == "buffer at first use":
            self.register_buffer("kept", None)

    def _grid(self, x: Tensor) -> Tensor:
        rows = torch.linspace(-1, 1, x.shape[2], device=x.device)
        columns = torch.linspace(-1, 1, x.shape[3], device=x.device)
        return rows[:, None] * columns

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "if self.grid is None":
            if self.grid is None:
                self.grid = self._grid(x)
            grid = self.grid
        elif self.variant == "dict by size":
            key = (x.shape[2], x.shape[3])
            if key not in self.cache:
                self.cache[key] = self._grid(x)
            grid = self.cache[key]
        elif self.variant == "hasattr":
            if not hasattr(self, "made"):
                self.made = self._grid(x)
            grid = self.made
        elif self.variant == "buffer at first use":
            if self.kept is None:
                self.kept = self._grid(x)
            grid = self.kept
        else:
            if "lazy" not in self.__dict__:
                self.__dict__["lazy"] = self._grid(x)
            grid = self.__dict__["lazy"]
        return x + self.scale * grid


@block(keeps_shape=True, variant=("steps += 1", "steps = steps + 1", "average", "fill_", "not persistent"))
class UpdatesBuffer(nn.Module):
    """Changes a buffer in training and in eval mode."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.conv = nn.Conv2d(shape[0], shape[0], 3, padding=1, bias=False)
        self.register_buffer("steps", torch.tensor(0), persistent=variant != "not persistent")
        self.register_buffer("average", torch.zeros(shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.variant in ("steps += 1", "not persistent"):
            self.steps += 1
        elif self.variant == "steps = steps + 1":
            self.steps = self.steps + 1
        elif self.variant == "fill_":
            self.steps.fill_(x.size(0))
        else:
            self.average.mul_(0.9).add_(0.1 * x.detach().mean((0, 2, 3)))
        return x
