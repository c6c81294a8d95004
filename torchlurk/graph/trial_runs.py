"""Trial forwards of a network: summaries of what its layers give, and whether two runs agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchlurk.models.hooks import first_output, output_hooks
from torchlurk.models.runner import Runner

_TOLERANCE = 1e-3
"""The largest difference of runs that agree, as a share of a layer's largest value."""


@dataclass(frozen=True)
class OutputSummary:
    """A summary of the first output of a module in one forward.

    Attributes:
        shape: The output's shape.
        is_complex: Whether its values are complex.
        scale: Its largest absolute value. Means alone give no scale: those of a normalised output are zero
            up to rounding.
        means: For each dimension, the mean of the output at each index.
        maxima: For each dimension, the maximum of the output at each index.
    """

    shape: tuple[int, ...]
    is_complex: bool
    scale: float
    means: tuple[Tensor, ...]
    maxima: tuple[Tensor, ...]


TrialRun = Mapping[str, OutputSummary]
"""The summary of each module that a forward has called, by dotted name; of the network itself as ''."""


def run_once(runner: Runner, names: Sequence[str], x: Tensor) -> dict[str, OutputSummary]:
    """Run one forward, and summarise the first output of each of some modules.

    Args:
        runner: How to run the network.
        names: Dotted names of modules; `""` for the network itself.
        x: `(N, C, H, W)`, the network's input.

    Returns:
        A summary for each of these modules that was called, of its first call.
    """
    summaries: dict[str, OutputSummary] = {}

    def hook(name: str) -> Callable[[nn.Module, object], None]:
        def observe(module: nn.Module, output: object) -> None:  # noqa: ARG001
            tensor = first_output(output)
            if name not in summaries and tensor is not None:
                summaries[name] = _summarise(tensor.detach())

        return observe

    hooks = {name: hook(name) for name in names}
    with runner.in_memory_format(), runner.without_gradients(), output_hooks(runner.model, hooks):
        runner(x)
    return summaries


def _summarise(tensor: Tensor) -> OutputSummary:
    values = tensor.abs() if tensor.is_complex() else tensor
    # Infinity, which a mask contains, counts as the largest finite number: else all differences would vanish.
    values = torch.nan_to_num(values if values.dtype == torch.float64 else values.float())
    means, maxima = [], []
    for dim, size in enumerate(values.shape):
        rows = values.transpose(0, dim).reshape(size, values.numel() // max(size, 1))
        empty = not rows.numel()
        means.append(rows.new_zeros(size) if empty else rows.mean(1))
        maxima.append(rows.new_zeros(size) if empty else rows.amax(1))
    scale = float(values.abs().max()) if values.numel() else 0.0
    return OutputSummary(tuple(tensor.shape), tensor.is_complex(), scale, tuple(means), tuple(maxima))


def _close(a: Tensor, b: Tensor, scale: float) -> bool:
    return bool(((a - b).abs() <= _TOLERANCE * scale).all())


def same_outputs(run: TrialRun, expected: TrialRun) -> bool:
    """Return whether two runs on the same input agree."""
    return run.keys() == expected.keys() and all(
        _same_summary(summary, expected[name]) for name, summary in run.items()
    )


def _same_summary(a: OutputSummary, b: OutputSummary) -> bool:
    return a.shape == b.shape and all(
        _close(first, second, max(a.scale, b.scale))
        for first, second in zip((*a.means, *a.maxima), (*b.means, *b.maxima), strict=True)
    )


def same_rows(dim: int, batch: OutputSummary, single: Sequence[OutputSummary]) -> bool:
    """Return whether each image gives in a batch what it gives alone.

    Args:
        dim: The batch dimension.
        batch: The run of all images together.
        single: A run of each image.
    """
    scale = max(batch.scale, *(summary.scale for summary in single))
    return all(
        _close(values[dim], torch.cat([summary[dim] for summary in summaries]), scale)
        for values, summaries in (
            (batch.means, [summary.means for summary in single]),
            (batch.maxima, [summary.maxima for summary in single]),
        )
    )
