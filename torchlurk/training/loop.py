"""The training loop: from batches to a trained network. It knows no files and no options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from torchlurk.models.outputs import as_logits
from torchlurk.training.freeze import freeze_all_but

Batches = Iterable[tuple[Tensor, Tensor]]
"""Inputs `(N, C, H, W)` and classes `(N,)`, int64, on the network's device."""


@dataclass(frozen=True)
class Evaluation:
    """The performance of a network on images.

    Attributes:
        loss: The mean cross-entropy.
        accuracy: The share of images that are classified correctly.
        images: The number of images.
    """

    loss: float
    accuracy: float
    images: int


class DivergenceError(Exception):
    """The loss is not finite.

    Attributes:
        step: The number of steps of this epoch before.
        loss: The loss.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"{loss} at step {step + 1}")
        self.step = step
        self.loss = loss


def train_epoch(
    model: nn.Module, layers: tuple[str, ...], optimiser: optim.Optimizer, batches: Batches
) -> int:
    """Take one step of the optimiser per batch, to minimise the mean cross-entropy of its images.

    Args:
        model: The network; it is in eval mode afterwards.
        layers: The layers that are trained, see `freeze_all_but`.
        optimiser: The optimiser of the layers' parameters.
        batches: Batches of at least two images, as batch norms require.

    Returns:
        The number of steps.

    Raises:
        DivergenceError: The loss of a batch is NaN or infinite; its step is not taken.
        LurkError: The network's output is not logits.
    """
    freeze_all_but(model, layers)
    step = 0
    try:
        for x, y in batches:
            loss = F.cross_entropy(as_logits(model(x), len(x)), y)
            if not math.isfinite(loss.item()):
                raise DivergenceError(step, loss.item())
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            step += 1
    finally:
        model.eval()
    return step


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, outputs: list[int] | None = None) -> Evaluation:
    """Measure the performance of a network.

    Args:
        model: The network, in eval mode.
        batches: Images and their classes.
        outputs: The indices of the outputs for the classes; `None` for all, in order.

    Returns:
        The means over all images; zeros if there are none.

    Raises:
        LurkError: The network's output is not logits.
    """
    loss, correct, images = 0.0, 0, 0
    for x, y in batches:
        logits = as_logits(model(x), len(x))
        logits = logits if outputs is None else logits[:, outputs]
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        correct += int((logits.argmax(dim=1) == y).sum())
        images += len(y)
    return Evaluation(loss / max(images, 1), correct / max(images, 1), images)


def images_per_epoch(images: int, batch_size: int) -> int:
    """Return how many of the images an epoch uses: all but one that would be alone in the last batch."""
    return images - 1 if images % batch_size == 1 else images


def epoch_orders(images: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield the order of the images in each epoch, all drawn from one generator.

    An image that would be alone in the last batch is left out, since a batch norm may be unable to learn from
    it; which image that is changes with the epoch.

    Args:
        images: The number of images.
        batch_size: Images per step.
        seed: The seed of the generator.

    Yields:
        Indices `(images,)` or `(images - 1,)`, int64, without end.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(images, generator=generator)[: images_per_epoch(images, batch_size)]


def with_progress(batches: Batches, advance: Callable[[int], object]) -> Batches:
    """Yield the same batches, and report the number of images after each.

    Args:
        batches: Images and their classes.
        advance: Called with the number of images in a batch.
    """
    for x, y in batches:
        yield x, y
        advance(len(y))
