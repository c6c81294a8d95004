"""Heads: from the last feature map to the logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.generated.description import Shape, head

CLASSES = 3


@head(variant=("x.mean((2, 3))", "F.adaptive_avg_pool2d", "view(n, c, -1).mean(-1)", "squeeze"))
class MeanLinear(nn.Module):
    """Global average pooling and a linear layer."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.fc = nn.Linear(shape[0], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "x.mean((2, 3))":
            x = x.mean((2, 3))
        elif self.variant == "F.adaptive_avg_pool2d":
            x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        elif self.variant == "squeeze":
            x = F.adaptive_avg_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1)
        else:
            x = x.view(x.size(0), x.size(1), -1).mean(-1)
        return self.fc(x)


@head(
    variant=("view(n, -1)", "view(-1, C*H*W)", "reshape", "torch.flatten", "nn.Flatten", "flatten(1)"),
    hidden=(False, True),
)
class FlatLinear(nn.Module):
    """Flattening and one or two linear layers."""

    def __init__(self, shape: Shape, variant: str, hidden: bool) -> None:
        super().__init__()
        self.variant = variant
        self.features = math.prod(shape)
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(self.features, 5) if hidden else None
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(5 if hidden else self.features, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "view(n, -1)":
            x = x.view(x.size(0), -1)
        elif self.variant == "view(-1, C*H*W)":
            x = x.view(-1, self.features)
        elif self.variant == "reshape":
            x = x.reshape(x.shape[0], -1)
        elif self.variant == "torch.flatten":
            x = torch.flatten(x, 1)
        elif self.variant == "flatten(1)":
            x = x.flatten(1)
        else:
            x = self.flatten(x)
        if self.hidden is not None:
            x = F.relu(self.hidden(x))
        return self.fc(self.drop(x))


@head(variant=("sequence", "mean of tokens"))
class SequentialLinear(nn.Module):
    """A classifier in a Sequential, after pooling or over the mean of the tokens."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        if variant == "sequence":
            pool = nn.AdaptiveAvgPool2d((2, 2))
            self.classifier = nn.Sequential(pool, nn.Flatten(), nn.Linear(4 * shape[0], CLASSES))
        else:
            self.classifier = nn.Sequential(nn.Linear(shape[0], 6), nn.ReLU(), nn.Linear(6, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == "sequence":
            return self.classifier(x)
        return self.classifier(x.flatten(2).transpose(1, 2).mean(1))


@head(variant=("mean", "flatten", "softmax"))
class ConvHead(nn.Module):
    """A 1 x 1 convolution to the classes, as in SqueezeNet."""

    def __init__(self, shape: Shape, variant: str) -> None:
        super().__init__()
        self.variant = variant
        self.classes = nn.Conv2d(shape[0], CLASSES, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.classes(x)
        if self.variant == "flatten":
            return torch.flatten(self.pool(x), 1)
        return x.mean([2, 3]) if self.variant == "mean" else x.mean([2, 3]).log_softmax(1)


ENDS_IN_LINEAR = ("MeanLinear", "FlatLinear", "SequentialLinear")
