"""Forwards that only try a network: what its layers give, in few numbers, and whether two runs agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchlurk.models.hooks import first_output, output_hooks
from torchlurk.models.runner import Runner

TOLERANCE = 1e-3
"""How far, as a share of a layer's largest value, two runs may lie apart that compute the same."""


@dataclass(frozen=True)
class Seen:
    """The first output of a module in one forward: its shape, and along each dimension means and maxima.

    Attributes:
        scale: the largest of its numbers, without the sign. Means alone tell of none: those of a normalised
            output are zero but for rounding.
    """

    shape: tuple[int, ...]
    is_complex: bool
    scale: float
    means: tuple[Tensor, ...]
    maxima: tuple[Tensor, ...]


Run = Mapping[str, Seen]
"""What was seen of each module that a forward has called, by dotted name; of the network itself as ''."""


def run_once(runner: Runner, names: Sequence[str], x: Tensor) -> dict[str, Seen]:
    """Run one forward, and summarise the first output of each of some modules.

    Args:
        runner: how to run it.
        names: dotted names of modules; `""` for the network itself.
        x: `(N, C, H, W)`, its input.

    Returns:
        For each of these modules that was called, its first call.
    """
    seen: dict[str, Seen] = {}

    def hook(name: str) -> Callable[[nn.Module, object], None]:
        def observe(module: nn.Module, output: object) -> None:  # noqa: ARG001
            tensor = first_output(output)
            if name not in seen and tensor is not None:
                seen[name] = _summary(tensor.detach())

        return observe

    hooks = {name: hook(name) for name in names}
    with runner.in_memory_format(), runner.without_gradients(), output_hooks(runner.model, hooks):
        runner(x)
    return seen


def _summary(tensor: Tensor) -> Seen:
    values = tensor.abs() if tensor.is_complex() else tensor
    # Infinity, as of a mask, is as large as any number here: it must not make all else equal.
    values = torch.nan_to_num(values if values.dtype == torch.float64 else values.float())
    means, maxima = [], []
    for dim, size in enumerate(values.shape):
        rows = values.transpose(0, dim).reshape(size, values.numel() // max(size, 1))
        empty = not rows.numel()
        means.append(rows.new_zeros(size) if empty else rows.mean(1))
        maxima.append(rows.new_zeros(size) if empty else rows.amax(1))
    scale = float(values.abs().max()) if values.numel() else 0.0
    return Seen(tuple(tensor.shape), tensor.is_complex(), scale, tuple(means), tuple(maxima))


def _close(one: Tensor, other: Tensor, scale: float) -> bool:
    return bool(((one - other).abs() <= TOLERANCE * scale).all())


def same(found: Run, expected: Run) -> bool:
    """Whether two runs of the same input compute the same."""
    return found.keys() == expected.keys() and all(
        one.shape == expected[name].shape
        and all(
            _close(a, b, max(one.scale, expected[name].scale))
            for a, b in zip(
                (*one.means, *one.maxima), (*expected[name].means, *expected[name].maxima), strict=True
            )
        )
        for name, one in found.items()
    )


def same_rows(dim: int, batch: Seen, single: Sequence[Seen]) -> bool:
    """Whether each image gives in a batch what it gives alone."""
    scale = max(batch.scale, *(one.scale for one in single))
    return all(
        _close(values[dim], torch.cat([one[dim] for one in own]), scale)
        for values, own in (
            (batch.means, [one.means for one in single]),
            (batch.maxima, [one.maxima for one in single]),
        )
    )
