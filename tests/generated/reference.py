"""Reference results in plain torch: the activations of each single image, and gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.generated.description import Network
from tests.generated.models import build, logits

RECORDED = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Reference:
    """The results of plain torch.

    Attributes:
        network: the network.
        x: the preprocessed images `(N, 3, H, W)`.
        maps: the activations by layer, `(N, C, H, W)` in the layout of `as_map`.
        logits: the logits `(N, classes)`.
    """

    network: Network
    x: Tensor
    maps: dict[str, Tensor]
    logits: Tensor

    def gradients(self, layer: str | None, weights: Tensor, rows: slice) -> list[Tensor]:
        """Return the gradients of `(logits or map * weights).sum()` with respect to some images.

        There are two results: for a batch of these images, and for a batch of all images. The backward of a
        batch norm in eval mode is wrong in some memory layouts of a single image, so they may differ.
        """
        alone, together = self._gradient(layer, weights, self.x[rows]), self._gradient(layer, weights, self.x)
        return [alone, together[rows]]

    def exact_gradient(self, layer: str | None, weights: Tensor, rows: slice) -> Tensor:
        """Return the first result of `gradients`, computed in float64."""
        return self._gradient(layer, weights.double(), self.x[rows].double())

    def _gradient(self, layer: str | None, weights: Tensor, images: Tensor) -> Tensor:
        model = build(self.network).eval()
        if images.dtype == torch.float64:
            model.double()  # unlike `to(torch.float64)`, it leaves complex values as they are
        # The random numbers of this forward must not count as a change by a call.
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), outputs(model) as recorded:
            leaf = images.clone().requires_grad_()
            output = logits(model(leaf.clone()))
            value = output if layer is None else recorded[layer]
            (gradient,) = torch.autograd.grad((value * weights).sum(), leaf)
        return gradient


def compute_reference(network: Network, x: Tensor) -> Reference:
    """Run each image separately through a new network in eval mode."""
    model = build(network).eval()
    rows, results = [], []
    with torch.random.fork_rng(devices=[]), torch.no_grad(), outputs(model) as recorded:
        for image in x.split(1):
            recorded.clear()
            results.append(logits(model(image.clone())))
            rows.append(dict(recorded))
    return Reference(network, x, {name: torch.cat([row[name] for row in rows]) for name in rows[0]},
                     torch.cat(results))  # fmt: skip


@contextmanager
def outputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record a copy of the first output of each convolution and linear layer, in the layout of `as_map`."""
    recorded: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name not in recorded:
                recorded[name] = as_map(output.clone(), linear=isinstance(module, nn.Linear))

        return record

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, RECORDED)
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def as_map(output: Tensor, *, linear: bool) -> Tensor:
    """Return an output as `(N, C, H, W)`, in the documented layout. Linear layers have their channels last.

    Tokens become a square if their number, or their number without the first token, is a square number, and a
    column otherwise.
    """
    if output.dim() == 2:
        return output[:, :, None, None]
    if output.dim() == 3:
        tokens = output.size(1)
        for side in range(2, tokens):
            for first in (0, 1):
                if side * side == tokens - first:
                    return output[:, first:].transpose(1, 2).unflatten(2, (side, side))
        return output.transpose(1, 2)[..., None]
    return output.permute(0, 3, 1, 2) if linear else output


def close(actual: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Return whether two tensors agree, relative to the largest expected value."""
    if actual.shape != expected.shape:
        return False
    return float((actual - expected).abs().max()) <= tolerance * float(expected.abs().max())
