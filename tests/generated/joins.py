"""Blocks made of others: sums, branches, containers, checkpoints; and channels that part and meet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.generated.description import Shape, Step, block, chain

Steps = tuple[Step, ...]


@block(keeps_shape=True, nested=True, body=((),), way=("x + y", "y += x", "torch.add", "y.add_(x)"))
class Residual(nn.Module):
    def __init__(self, shape: Shape, body: Steps, way: str) -> None:
        super().__init__()
        self.way = way
        self.body = nn.Sequential(*chain(body, shape)[0])
        self.conv = nn.Conv2d(shape[0], shape[0], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.body(x.clone()))
        if self.way == "x + y":
            return x + y
        if self.way == "torch.add":
            return torch.add(x, y)
        if self.way == "y.add_(x)":
            return y.add_(x)
        y += x
        return y


@block(nested=True, body=((),), way=("torch.cat", "torch.concat", "list"))
class Branches(nn.Module):
    """A convolution and other blocks side by side."""

    def __init__(self, shape: Shape, body: Steps, way: str) -> None:
        super().__init__()
        self.way = way
        wide = nn.Sequential(nn.Conv2d(shape[0], 4, 3, padding=1), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList([wide, nn.Sequential(*chain(body, shape)[0])])

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "list":
            maps = []
            for branch in self.branches:
                maps.append(branch(x.clone()))
            return torch.cat(maps, dim=1)
        given = [branch(x.clone()) for branch in self.branches]
        return torch.cat(given, 1) if self.way == "torch.cat" else torch.concat(given, dim=-3)


@block(
    nested=True,
    body=((),),
    way=("Sequential", "ModuleList", "ModuleDict", "enumerate", "checkpoint", "checkpoint of a function"),
)
class Container(nn.Module):
    """Blocks one after the other, kept in one of torch's containers, or recomputed by a checkpoint."""

    def __init__(self, shape: Shape, body: Steps, way: str) -> None:
        super().__init__()
        self.way = way
        made, _ = chain(body, shape)
        if way in ("ModuleList", "enumerate"):
            self.blocks: nn.Module = nn.ModuleList(made)
        elif way == "ModuleDict":
            self.blocks = nn.ModuleDict({f"block{at}": one for at, one in enumerate(made)})
        else:
            self.blocks = nn.Sequential(nn.Sequential(*made))

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "checkpoint":
            return checkpoint(self.blocks, x, use_reentrant=False)
        if self.way == "checkpoint of a function":
            return checkpoint(lambda y: self.blocks(y) * 0.5, x, use_reentrant=False)
        if self.way == "ModuleDict":
            for _, one in self.blocks.items():
                x = one(x)
            return x
        if self.way == "ModuleList":
            for one in self.blocks:
                x = one(x)
            return x
        if self.way == "enumerate":
            for at in range(len(self.blocks)):
                x = self.blocks[at](x)
            return x
        return self.blocks(x)


@block(keeps_shape=True, way=("conv", "block", "linear"))
class Twice(nn.Module):
    """A module that is used two times."""

    def __init__(self, shape: Shape, way: str) -> None:
        super().__init__()
        self.way = way
        channels = shape[0]
        if way == "linear":
            self.shared: nn.Module = nn.Linear(channels, channels)
        else:
            self.shared = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(self.shared, self.relu) if way == "block" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "block":
            return self.block(self.block(x))
        if self.way == "linear":
            return self.shared(self.shared(x.permute(0, 2, 3, 1)).relu()).permute(0, 3, 1, 2)
        return self.relu(self.shared(self.relu(self.shared(x))))


@block(
    keeps_shape=True,
    way=("chunk", "split", "split in place", "indexed", "shuffle", "stack", "unbind"),
)
class Parts(nn.Module):
    """Channels part, some are worked on, and they meet again."""

    def __init__(self, shape: Shape, way: str) -> None:
        super().__init__()
        self.way = way
        self.rest = shape[0] - 1
        self.conv = nn.Conv2d(shape[0], shape[0], 1)
        self.part = nn.Conv2d(self.rest, self.rest, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.way == "chunk":
            parts = x.chunk(2, dim=1)
            return torch.cat((parts[0], F.relu(parts[1])), dim=1)
        if self.way == "split":
            first, others = torch.split(x, [1, self.rest], dim=1)
            return torch.cat([first, self.part(others)], 1)
        if self.way == "split in place":
            first, others = x.split([1, self.rest], 1)
            return torch.cat([first, F.relu(others.clone(), inplace=True)], 1)
        if self.way == "indexed":
            return torch.cat([x[:, :1], self.part(x[:, 1:])], 1)
        if self.way == "stack":
            return torch.stack([x, F.relu(x)], dim=1).sum(1)
        if self.way == "unbind":
            return torch.stack([one * (0.5 + at) for at, one in enumerate(torch.unbind(x, 1))], 1)
        n, c, h, w = x.size()
        return x.view(n, 1, c, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@block(keeps_shape=True, way=("x += bias", "x.mul_", "sub", "out of place"))
class InPlace(nn.Module):
    """Works in the memory of what it is given."""

    def __init__(self, shape: Shape, way: str) -> None:
        super().__init__()
        self.way = way
        self.bias = nn.Parameter(torch.linspace(-0.3, 0.4, shape[0])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "x += bias":
            x += self.bias
            return x
        if self.way == "x.mul_":
            return x.mul_(1.3).add_(self.bias)
        if self.way == "sub":
            x.sub_(0.1)
            return x
        return x + self.bias
