"""The parameters of a filter as a vector, and how far two of them lie apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def filter_parameters(module: nn.Module, channels: int) -> Tensor | None:
    """The kernel and the bias of each filter of a layer as a row of `(C, P)`, float64.

    Args:
        module: the layer; what it is fed by has parameters of its own.
        channels: C.

    Returns:
        The rows; `None` for a layer that has no parameters of its own, such as a ReLU or a block.
    """
    rows = []
    for name in ("weight", "bias"):
        values = getattr(module, name, None)
        if not isinstance(values, Tensor):
            continue
        own = values.detach()
        if name == "weight" and isinstance(module, _TRANSPOSED):
            # (in, out / groups, ...), where each group of inputs has outputs of its own
            own = torch.unflatten(own, 0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
        if own.dim() == 0 or own.shape[0] != channels:
            continue
        rows.append(own.reshape(channels, -1).double())
    return torch.cat(rows, 1) if rows else None


def parameter_changes(layer: str, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """How far the vectors of a layer's filters lie apart, and in which direction.

    Args:
        layer: its name, for errors.
        before: `(C, P)` of one network.
        after: of the other.

    Returns:
        `(C,)` the length of the difference relative to that of the first; and `(C,)` 1 less the cosine. Both
        are exactly 0 where nothing changed, and NaN where there is no length to divide by.

    Raises:
        LurkError: the two have not the same shape.
    """
    if before.shape != after.shape:
        raise LurkError(
            f"the filters of layer {layer!r} have {before.shape[1]} weights in one network and "
            f"{after.shape[1]} in another: give networks of one architecture"
        )
    apart = (after - before).square().sum(1)
    own, other = (before * before).sum(1), (after * after).sum(1)
    # Of equal factors the root is exact.
    cosine = (before * after).sum(1) / (own * other).sqrt()
    size = (apart / own).sqrt()
    same = apart == 0
    return size.where(own > 0, torch.nan).masked_fill(same, 0), (
        (1 - cosine.clamp(-1, 1)).where(own * other > 0, torch.nan).masked_fill(same, 0)
    )
