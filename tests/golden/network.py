"""Network and images of the golden run: small, and equal on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from torchlurk.datasets.inputs import Preprocess
from torchlurk.models.network import Network


class Branching(nn.Module):
    """A stem, two branches that are concatenated, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.left = nn.Conv2d(4, 3, 3, padding=1)
        self.right = nn.Conv2d(4, 3, 1)
        self.head = nn.Conv2d(6, 5, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.stem(x)))
        return self.head(F.relu(torch.cat([self.left(x), self.right(x)], dim=1)))


def golden_network() -> Network:
    model = Branching()
    # Weights by arithmetic: a new version of torch may change the stream of a generator.
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            steps = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((torch.sin(steps * 12.9898 + number) * 0.4).view_as(parameter))
    return Network(
        module=model.eval(),
        title="Branching",
        source="tests:Branching",
        weights="sines",
        weights_sha256="0" * 64,
        preprocess=Preprocess(size=32, resize=36),
    )


def write_images(folder: Path) -> None:
    """Write six pictures of two classes, and one file that is no picture."""
    y, x = np.mgrid[0:48, 0:60]
    for number in range(6):
        waves = [np.sin((x * (number + 1) + y * (c + 1)) / 9) for c in range(3)]
        pixels = np.stack([np.round(127 + 120 * wave) for wave in waves], axis=2).astype(np.uint8)
        path = folder / ("plain" if number % 2 else "striped <b>") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "plain" / "broken.png").write_bytes(b"not a picture")
