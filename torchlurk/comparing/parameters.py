"""The parameters of a filter as a vector, and how far two of these vectors differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def filter_parameters(module: nn.Module, channels: int) -> Tensor | None:
    """Return the weights and the bias of each filter of a layer as one row.

    Args:
        module: The layer; parameters of its submodules do not count.
        channels: The number of filters, C.

    Returns:
        `(C, P)`, float64; `None` for a layer without parameters of its own, such as a ReLU or a block.
    """
    rows = []
    for name in ("weight", "bias"):
        values = getattr(module, name, None)
        if not isinstance(values, Tensor):
            continue
        parameter = values.detach()
        if name == "weight" and isinstance(module, _TRANSPOSED):
            # (in, out / groups, ...), where each group of inputs has its own outputs
            parameter = torch.unflatten(parameter, 0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
        if parameter.dim() == 0 or parameter.shape[0] != channels:
            continue
        rows.append(parameter.reshape(channels, -1).double())
    return torch.cat(rows, 1) if rows else None


def parameter_changes(layer: str, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Compute how much the parameters of a layer's filters changed, in size and in direction.

    Args:
        layer: The layer's name, for errors.
        before: `(C, P)`, the parameters in the first network.
        after: `(C, P)`, the parameters in the second network.

    Returns:
        `(C,)`, the norm of the difference relative to the norm before, and `(C,)`, 1 minus the cosine. Both
        are exactly 0 if nothing changed, and NaN if a norm to divide by is 0.

    Raises:
        LurkError: The shapes differ.
    """
    if before.shape != after.shape:
        raise LurkError(
            f"the filters of layer {layer!r} have {before.shape[1]} weights in one network and "
            f"{after.shape[1]} in another",
            "give networks of one architecture",
        )
    squared_difference = (after - before).square().sum(1)
    squared_before, squared_after = (before * before).sum(1), (after * after).sum(1)
    # Not F.cosine_similarity: equal vectors must give exactly 1, and the root of a square is exact.
    cosine = (before * after).sum(1) / (squared_before * squared_after).sqrt()
    size = (squared_difference / squared_before).sqrt()
    same = squared_difference == 0
    return size.where(squared_before > 0, torch.nan).masked_fill(same, 0), (
        (1 - cosine.clamp(-1, 1)).where(squared_before * squared_after > 0, torch.nan).masked_fill(same, 0)
    )
