"""Blocks that contain other blocks (sums, branches, containers, checkpoints) or split channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.generated.description import Shape, Step, block, chain

Steps = tuple[Step, ...]


@block(keeps_shape=True, nested=True, body=((),), variant=("x + y", "y += x", "torch.add", "y.add_(x)"))
class Residual(nn.Module):
    def __init__(self, shape: Shape, body: Steps, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.body = nn.Sequential(*chain(body, shape)[0])
        self.conv = nn.Conv2d(shape[0], shape[0], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.body(x.clone()))
        if self.variant == "x + y":
            return x + y
        if self.variant == "torch.add":
            return torch.add(x, y)
        if self.variant == "y.add_(x)":
            return y.add_(x)
        y += x
        return y


@block(nested=True, body=((),), variant=("torch.cat", "torch.concat", "list"))
class Branches(nn.Module):
    """A convolution and other blocks in parallel, concatenated."""

    def __init__(self, shape: Shape, body: Steps, variant: str) -> None:
        super().__init__()
        self.variant = variant
        wide = nn.Sequential(nn.Conv2d(shape[0], 4, 3, padding=1), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList([wide, nn.Sequential(*chain(body, shape)[0])])

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "list":
            maps = []
            for branch in self.branches:
                maps.append(branch(x.clone()))
            return torch.cat(maps, dim=1)
        outputs = [branch(x.clone()) for branch in self.branches]
        return torch.cat(outputs, 1) if self.variant == "torch.cat" else torch.concat(outputs, dim=-3)


@block(
    nested=True,
    body=((),),
    variant=("Sequential", "ModuleList", "ModuleDict", "enumerate", "checkpoint", "checkpoint of a function"),
)
class Container(nn.Module):
    """A sequence of blocks in one of torch's containers, or recomputed by a checkpoint."""

    def __init__(self, shape: Shape, body: Steps, variant: str) -> None:
        super().__init__()
        self.variant = variant
        modules, _ = chain(body, shape)
        if variant in ("ModuleList", "enumerate"):
            self.blocks: nn.Module = nn.ModuleList(modules)
        elif variant == "ModuleDict":
            self.blocks = nn.ModuleDict({f"block{at}": one for at, one in enumerate(modules)})
        else:
            self.blocks = nn.Sequential(nn.Sequential(*modules))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "checkpoint":
            return checkpoint(self.blocks, x, use_reentrant=False)
        if self.variant == "checkpoint of a function":
            return checkpoint(lambda y: self.blocks(y) * 0.5, x, use_reentrant=False)
        if self.variant == "ModuleDict":
            for _, one in self.blocks.items():
                x = one(x)
            return x
        if self.variant == "ModuleList":
            for one in self.blocks:
                x = one(x)
            return x
        if self.variant == "enumerate":
            for at in range(len(self.blocks)):
                x = self.blocks[at](x)
            return x
        return self.blocks(x)


@block(keeps_shape=True, variant=("conv", "block", "linear"))
class Twice(nn.Module):
    """A module that is applied twice."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        channels = shape[0]
        if variant == "linear":
            self.shared: nn.Module = nn.Linear(channels, channels)
        else:
            self.shared = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(self.shared, self.relu) if variant == "block" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "block":
            return self.block(self.block(x))
        if self.variant == "linear":
            return self.shared(self.shared(x.permute(0, 2, 3, 1)).relu()).permute(0, 3, 1, 2)
        return self.relu(self.shared(self.relu(self.shared(x))))


@block(
    keeps_shape=True,
    variant=("chunk", "split", "split in place", "indexed", "shuffle", "stack", "unbind"),
)
class SplitChannels(nn.Module):
    """Splits the channels, transforms some of them and concatenates them again."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.rest = shape[0] - 1
        self.conv = nn.Conv2d(shape[0], shape[0], 1)
        self.part = nn.Conv2d(self.rest, self.rest, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.variant == "chunk":
            parts = x.chunk(2, dim=1)
            return torch.cat((parts[0], F.relu(parts[1])), dim=1)
        if self.variant == "split":
            first, others = torch.split(x, [1, self.rest], dim=1)
            return torch.cat([first, self.part(others)], 1)
        if self.variant == "split in place":
            first, others = x.split([1, self.rest], 1)
            return torch.cat([first, F.relu(others.clone(), inplace=True)], 1)
        if self.variant == "indexed":
            return torch.cat([x[:, :1], self.part(x[:, 1:])], 1)
        if self.variant == "stack":
            return torch.stack([x, F.relu(x)], dim=1).sum(1)
        if self.variant == "unbind":
            return torch.stack([one * (0.5 + at) for at, one in enumerate(torch.unbind(x, 1))], 1)
        n, c, h, w = x.size()
        return x.view(n, 1, c, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@block(keeps_shape=True, variant=("x += bias", "x.mul_", "sub", "out of place"))
class InPlace(nn.Module):
    """Changes its input in place."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.bias = nn.Parameter(torch.linspace(-0.3, 0.4, shape[0])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "x += bias":
            x += self.bias
            return x
        if self.variant == "x.mul_":
            return x.mul_(1.3).add_(self.bias)
        if self.variant == "sub":
            x.sub_(0.1)
            return x
        return x + self.bias
