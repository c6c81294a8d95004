"""A small network, a few images and a short training of it, for the tests of `torchlurk transfer`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tests.networks import seeded
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.models.record import Network
from torchlurk.runtime.reporting import Reporter
from torchlurk.training import Options, Transfer, fine_tune
from torchlurk.training.split import Split, hold_out

SIDE = 12
CLASSES = ("blue", "green", "red")


class Normed(nn.Module):
    """Two blocks with batch norms and dropout, and a linear head."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.4)
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.drop(self.first(x))).mean((2, 3)))


def photos(folder: Path, each: int = 6, classes: tuple[str, ...] = CLASSES) -> Path:
    """Noise of some colours, a subfolder a class; the same bytes each time."""
    for at, name in enumerate(classes):
        for number in range(each):
            pixels = np.random.default_rng(100 * at + number).integers(
                0, 200, (SIDE, SIDE, 3), dtype=np.uint8
            )
            pixels[..., at % 3] //= 3
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


def network(make: Callable[[], nn.Module] = Normed) -> Network:
    """A network of these tests, with weights that depend on nothing."""
    preprocess = Preprocess(size=SIDE, resize=SIDE, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    return Network(seeded(make), "Small", "runs.py:make", "own", "0" * 64, preprocess)


def split(folder: Path, share: float = 0.4) -> Split:
    return hold_out(list_images(folder), share, 0)


class Ended(Exception):  # noqa: N818  # a kill, not an error
    """What a test has a run end with."""


def reporter(end_after: int | None = None, said: list[str] | None = None) -> Reporter:
    """Silent; ends the run once its bar has told of so many images."""

    @contextmanager
    def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            if end_after is not None and done >= end_after:
                raise Ended

        yield advance
        assert done == total

    return Reporter(report=(said if said is not None else []).append, bar=bar)


def train(
    images: Path | Split,
    out: Path,
    *,
    given: Network | None = None,
    shown: Reporter | None = None,
    **asked: object,
) -> tuple[Transfer, Network]:
    """A run of three epochs on the CPU, but for what is asked for otherwise."""
    options = {"unfreeze": [], "epochs": 3, "lr": 0.05, "batch_size": 4, "save_every": 1, **asked}
    parts = split(images) if isinstance(images, Path) else images
    return fine_tune(
        given or network(), parts, out, Options(**options), torch.device("cpu"), 0, shown or reporter()
    )  # type: ignore[arg-type]  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    """What lies in a folder, hidden files too, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
