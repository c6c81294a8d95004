"""Networks of the measurement, as functions for `--model benchmarks/gpu/networks.py:NAME`."""

from __future__ import annotations

import torch
from torch import nn
from torchvision import models, transforms

IMAGENET = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def vgg16_trunk() -> tuple[nn.Module, transforms.Compose, tuple[str, ...]]:
    """Return VGG16 without its classifier, its transform, and no class names."""
    with torch.device("meta"):  # most of the time would go into random weights of the classifier
        network = models.vgg16(weights=None, init_weights=False)
    network.classifier = nn.Identity()
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network, IMAGENET, ()
