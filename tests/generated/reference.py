"""What plain torch says of a network: activations of each image fed alone, and gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.generated.description import Network
from tests.generated.models import build, logits

WATCHED = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Reference:
    """Plain torch's answers.

    Attributes:
        network: which.
        x: `(N, 3, H, W)`, the images as they are fed.
        maps: by layer, `(N, C, H, W)` as `as_map` lays them out.
        logits: `(N, classes)`.
    """

    network: Network
    x: Tensor
    maps: dict[str, Tensor]
    logits: Tensor

    def gradients(self, layer: str | None, weights: Tensor, rows: slice) -> list[Tensor]:
        """The gradients of `(logits or map * weights).sum()` with respect to some of the images.

        Twice: of these alone, and of all images in one batch. The backward of a batch norm in evaluation mode
        is wrong in some memory layouts of a single image, so that plain torch may not agree with itself.
        """
        alone, together = self._gradient(layer, weights, self.x[rows]), self._gradient(layer, weights, self.x)
        return [alone, together[rows]]

    def exact_gradient(self, layer: str | None, weights: Tensor, rows: slice) -> Tensor:
        """The first of `gradients`, computed in float64."""
        return self._gradient(layer, weights.double(), self.x[rows].double())

    def _gradient(self, layer: str | None, weights: Tensor, images: Tensor) -> Tensor:
        model = build(self.network).eval().to(images.dtype)
        # What this forward draws at random is not a call's doing.
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), outputs(model) as kept:
            leaf = images.clone().requires_grad_()
            output = logits(model(leaf.clone()))
            value = output if layer is None else kept[layer]
            (found,) = torch.autograd.grad((value * weights).sum(), leaf)
        return found


def refer(network: Network, x: Tensor) -> Reference:
    """Feed each image alone to a fresh network in evaluation mode."""
    model = build(network).eval()
    rows, found = [], []
    with torch.random.fork_rng(devices=[]), torch.no_grad(), outputs(model) as kept:
        for image in x.split(1):
            kept.clear()
            found.append(logits(model(image.clone())))
            rows.append(dict(kept))
    return Reference(network, x, {name: torch.cat([row[name] for row in rows]) for name in rows[0]},
                     torch.cat(found))  # fmt: skip


@contextmanager
def outputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """The first output of each convolution and linear layer, as a map, in copies."""
    kept: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name not in kept:
                kept[name] = as_map(output.clone(), linear=isinstance(module, nn.Linear))

        return keep

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, WATCHED)
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def as_map(output: Tensor, *, linear: bool) -> Tensor:
    """As the documentation says: `(N, C, H, W)`, where a linear layer has its channels last.

    Tokens are laid out as a square if they form one, alone or after a first one; else they lie in a column.
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


def close(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree, relative to the largest value wanted."""
    if found.shape != wanted.shape:
        return False
    return float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())
