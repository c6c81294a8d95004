"""Two networks as PyTorch's tutorials write them, for the guide docs/how-to/own-network.md.

    torchlurk precompute --model docs/own_networks.py:lenet --images data/photos --out saved_model/lenet
    torchlurk precompute --model docs/own_networks.py:resnet20 --images data/photos --out saved_model/resnet20

Both are untrained. `--weights FILE` loads the weights that your own training wrote.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class LeNet(nn.Module):
    """Two convolutions and three linear layers, for images of 32 x 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, 10)` of images `(N, 3, 32, 32)`."""
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        logits: Tensor = self.fc3(x)
        return logits


def lenet() -> tuple[nn.Module, transforms.Compose, tuple[str, ...]]:
    """Return the network, the transform of its images and the names of its classes."""
    torch.manual_seed(0)
    transform = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    return LeNet(), transform, CLASSES


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which skips every second pixel if the stride is 2.

    The shortcut pads missing channels with zeros, so it has no parameters.
    """

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.added = planes - in_planes

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_planes, H, W)` to `(N, planes, H / stride, W / stride)`."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(out + x)


class ResNet20(nn.Module):
    """The residual network for CIFAR-10 of He et al. 2015: three stages of three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, stride=1)
        self.layer2 = self._stage(16, 32, stride=2)
        self.layer3 = self._stage(32, 64, stride=2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(in_planes: int, planes: int, stride: int) -> nn.Sequential:
        first = BasicBlock(in_planes, planes, stride)
        return nn.Sequential(first, BasicBlock(planes, planes, 1), BasicBlock(planes, planes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, 10)` of images `(N, 3, 32, 32)`."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer1(out)
        out = self.layer2(out)
        out = self.layer3(out)
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        logits: Tensor = self.linear(out)
        return logits


def resnet20() -> tuple[nn.Module, transforms.Compose, tuple[str, ...]]:
    """Return the network, the transform of its images and the names of its classes."""
    torch.manual_seed(0)
    transform = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        ]
    )
    return ResNet20(), transform, CLASSES
