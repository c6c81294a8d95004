"""Untrained networks of all kinds for small inputs: those of torchvision, and three unusual ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import seeded

M = torchvision.models


class Reused(nn.Module):
    """One ReLU module called several times, functional and in-place ReLUs, a convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again, self.last = (
            nn.Conv2d(3, 6, 3),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 4, 3),
        )
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = F.relu(self.again(x))
        x = self.again(F.max_pool2d(x, 2)).relu_()
        return self.head(self.relu(self.last(x)).mean((2, 3)))


class TwoBranches(nn.Module):
    """Two branches process the input at two scales, and their outputs are concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 5, padding=2)
        self.merged, self.head = nn.Conv2d(8, 5, 3), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        small = F.relu(self.coarse(F.avg_pool2d(x, 2)))
        x = torch.cat([F.relu(self.fine(x)), small], dim=1)
        return self.head(F.relu(self.merged(x)).amax((2, 3)))


class DataDependent(nn.Module):
    """Its path depends on its data, which no symbolic trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.high, self.low = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 5)
        self.last, self.head = nn.Conv2d(4, 5, 3), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = self.high(x) if x.detach().mean() > -1 else self.low(x)
        return self.head(F.relu(self.last(F.relu(x))).flatten(2).amax(2))


@dataclass(frozen=True)
class Case:
    """A network and the input that it takes.

    Attributes:
        make: builds the network.
        size: height and width of a small input.
        layers: patterns of the layers to test.
        note: limitations, for the table in the documents.
    """

    make: Callable[[], nn.Module]
    size: int = 64
    layers: tuple[str, ...] = ("kind:Conv2d", "logits")
    note: str = ""


EXCITED = "squeeze-excitation mixes the whole map: what follows the first sees the whole input"
SMOOTH = "its nonlinearity is no ReLU, so the three rules give the plain gradient"

ZOO: dict[str, Case] = {
    "alexnet": Case(M.alexnet),
    "vgg11": Case(lambda: M.vgg11(init_weights=False)),
    "vgg16_bn": Case(lambda: M.vgg16_bn(init_weights=False)),
    "resnet18": Case(M.resnet18),
    "resnet50": Case(M.resnet50),
    "densenet121": Case(M.densenet121),
    "googlenet": Case(lambda: M.googlenet(init_weights=False, aux_logits=False)),
    "inception_v3": Case(lambda: M.inception_v3(init_weights=False, aux_logits=False), 91),
    "mobilenet_v2": Case(M.mobilenet_v2),
    "mobilenet_v3_small": Case(M.mobilenet_v3_small, note=f"{EXCITED}; Hardswish is no ReLU"),
    "efficientnet_b0": Case(M.efficientnet_b0, note=f"{EXCITED}; {SMOOTH}"),
    "squeezenet1_1": Case(M.squeezenet1_1),
    "shufflenet_v2_x0_5": Case(
        M.shufflenet_v2_x0_5, note="edges are of tensors: some join layers that share no channel"
    ),
    "regnet_y_400mf": Case(M.regnet_y_400mf, note=EXCITED),
    "mnasnet0_5": Case(M.mnasnet0_5),
    "convnext_tiny": Case(M.convnext_tiny, layers=("kind:Conv2d", "kind:CNBlock", "logits"), note=SMOOTH),
    "vit_b_16": Case(
        lambda: M.VisionTransformer(64, 16, 3, 4, 64, 128),
        layers=("kind:Conv2d", "kind:EncoderBlock", "logits"),
        note="attention mixes all tokens, so its blocks see the whole input; their maps leave out the class "
        f"token; it takes one size of input, so nothing is cut; {SMOOTH}",
    ),
    "reused and functional ReLUs": Case(Reused, 40),
    "two inputs merged": Case(TwoBranches, 40),
    "a path that depends on the data": Case(
        DataDependent, 40, note="the path is that of one input; nothing is cut"
    ),
}


def made(name: str) -> nn.Module:
    """Return the network in float64 and eval mode, always the same, with different normalisations."""
    model = seeded(ZOO[name].make)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(torch.randn(module.num_features, generator=draw) * 0.1)
                module.running_var.copy_(torch.rand(module.num_features, generator=draw) + 0.5)
            if isinstance(module, nn.Linear) and not module.weight.any():
                module.weight.copy_(
                    torch.randn(module.weight.shape, generator=draw)
                )  # as in a trained network
    return model.double()
