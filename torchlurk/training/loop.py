"""The training itself: batches in, a network that has learnt from them out. No files, no options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from torchlurk.models.validate import as_logits
from torchlurk.training.freeze import freeze_all_but

Batches = Iterable[tuple[Tensor, Tensor]]
"""Inputs `(N, C, H, W)` and classes `(N,)`, int64, on the network's device."""


@dataclass(frozen=True)
class Evaluation:
    """How well a network does: the mean cross-entropy, and the share of images that it names rightly."""

    loss: float
    accuracy: float
    images: int


class DivergenceError(Exception):  # it is the training that has
    """The loss is no number any more; `step` is how many steps of this epoch were good."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"{loss} at step {step + 1}")
        self.step = step
        self.loss = loss


def train_epoch(
    model: nn.Module, layers: tuple[str, ...], optimiser: optim.Optimizer, batches: Batches
) -> int:
    """Take one step of the optimiser a batch, down the mean cross-entropy of its images.

    Args:
        model: the network; afterwards it is in evaluation mode.
        layers: what is trained, see `freeze_all_but`.
        optimiser: of the parameters of those layers.
        batches: of at least two images each, as a batch norm wants.

    Returns:
        How many steps were taken.

    Raises:
        Diverged: the loss of a batch is NaN or infinite; its step is not taken.
        LurkError: the network gives no logits.
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
    """See how well a network does, in evaluation mode.

    Args:
        model: the network, in evaluation mode.
        batches: images and their classes.
        outputs: which of its outputs stand for the classes; `None` for all, in order.

    Returns:
        The means over all images; of none at all, zeros.

    Raises:
        LurkError: the network gives no logits.
    """
    loss, right, images = 0.0, 0, 0
    for x, y in batches:
        logits = as_logits(model(x), len(x))
        logits = logits if outputs is None else logits[:, outputs]
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        right += int((logits.argmax(dim=1) == y).sum())
        images += len(y)
    return Evaluation(loss / max(images, 1), right / max(images, 1), images)


def images_per_epoch(images: int, batch_size: int) -> int:
    """How many images an epoch sees: all but one that would be alone in the last batch."""
    return images - 1 if images % batch_size == 1 else images


def epoch_orders(images: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """The order in which each epoch sees the images: one draw after the other from one generator.

    An image that would be alone in the epoch's last batch is left out, for a batch norm may be unable to
    learn from one; which one changes with the epoch.

    Args:
        images: how many there are.
        batch_size: of the steps.
        seed: of the generator.

    Yields:
        Positions, `(images,)` or one fewer, int64, without end.
    """
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(images, generator=draw)[: images_per_epoch(images, batch_size)]


def report_progress(batches: Batches, advance: Callable[[int], object]) -> Batches:
    """The same batches, telling how many images have gone by."""
    for x, y in batches:
        yield x, y
        advance(len(y))
