"""The files that the measurement takes along: weights in half precision, and images in one archive."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

WEIGHTS = "weights.safetensors"
ARCHIVE = "images.tar"

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SHIFT = 4
"""Pixels by which a copy of an image is shifted at most."""


def write_weights(module: nn.Module, folder: Path) -> Path:
    """Write a network's weights in half precision.

    Args:
        module: The network.
        folder: Where to write the file.
    """
    path = folder / WEIGHTS
    state = {name: tensor.half().contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path)
    return path


def write_archive(images: Path, folder: Path, count: int) -> Path:
    """Write the first images of a folder, by path, into one archive.

    Args:
        images: A folder with a subfolder for each class.
        folder: Where to write the archive.
        count: Number of images.
    """
    path = folder / ARCHIVE
    found = sorted(file for file in images.rglob("*") if file.suffix.lower() in _SUFFIXES)[:count]
    with tarfile.open(path, "w") as archive:
        for file in found:
            archive.add(file, file.relative_to(images).as_posix(), recursive=False)
    return path


def unpack_images(archive: Path, folder: Path, count: int, workers: int) -> Path:
    """Unpack images; if there are fewer than `count`, add shifted, mirrored and brightened copies of them.

    Args:
        archive: From `write_archive`.
        folder: A new folder.
        count: Number of images.
        workers: Threads that make copies.

    Returns:
        The folder.
    """
    with tarfile.open(archive) as file:
        names = sorted(member.name for member in file.getmembers() if member.isfile())
        file.extractall(folder, members=[file.getmember(name) for name in names[:count]], filter="data")
    numbers = range(len(names), count)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(partial(_write_copy, folder, names), numbers))
    return folder


def _write_copy(folder: Path, names: list[str], number: int) -> None:
    """Write a copy of an image, which depends on its number alone."""
    original = folder / names[number % len(names)]
    draw = np.random.default_rng(number)
    with Image.open(original) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    if draw.random() < 0.5:
        pixels = pixels[:, ::-1]
    padded = np.pad(pixels, ((_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="reflect")
    top, left = draw.integers(0, 2 * _SHIFT + 1, 2)
    shifted = padded[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    brightened = (shifted * draw.uniform(0.85, 1.15)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(brightened).save(buffer, "JPEG", quality=92)
    original.with_name(f"{original.stem}-{number}.jpg").write_bytes(buffer.getvalue())


@click.command()
@click.argument("images", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--count", default=2000, help="Number of images.")
def run(images: Path, folder: Path, count: int) -> None:
    """Write the weights of VGG16's trunk and the images of a folder into another one."""
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = load_network("vgg16", "trunk", None, default_cache(), report=click.echo)
    for path in (write_weights(network.module, folder), write_archive(images, folder, count)):
        click.echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    run()
