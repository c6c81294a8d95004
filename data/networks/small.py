"""A small network for images of 32 x 32 pixels: six convolutions, trained on CIFAR-10 by `train.py`."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import transforms

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WIDTHS = (32, 32, 64, 64, 128, 128)


class SmallNet(nn.Module):
    """Three pairs of convolutions, each followed by a pooling, then average pooling and a linear layer.

    Args:
        channels: Input channels: 3 for colour, 1 for gray.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = channels
        for number, width in enumerate(WIDTHS):
            layers += [
                nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            if number % 2:
                layers.append(nn.MaxPool2d(2))
            in_channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(in_channels, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, 10)` of images `(N, C, 32, 32)`."""
        logits: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits


def colour() -> tuple[nn.Module, transforms.Compose, tuple[str, ...]]:
    """Return the untrained network for colour images, its transform and its class names."""
    transform = transforms.Compose(
        [
            transforms.Resize(32),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        ]
    )
    return SmallNet(3), transform, CLASSES


def gray() -> tuple[nn.Module, transforms.Compose, tuple[str, ...]]:
    """Return the untrained network for gray images, its transform and its class names."""
    transform = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(32),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize((0.4809,), (0.2392,)),
        ]
    )
    return SmallNet(1), transform, CLASSES
