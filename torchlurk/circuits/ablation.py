"""Ablation: set filters of a layer to zero, or to their mean, while a network runs.

What then changes shows what the network uses the filters for (Morcos et al. 2018,
https://arxiv.org/abs/1803.06959). Only the output of the layer is replaced, in each forward; the network and
its weights are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.errors import LurkError
from torchlurk.models.hooks import check_observable, default_axes, output_hooks
from torchlurk.models.runner import Runner
from torchlurk.runtime.devices import BatchLimiter, retry_on_oom

_T = TypeVar("_T")

_ABLATE_ANOTHER = "ablate another layer"


@dataclass(frozen=True)
class FixedChannels:
    """Filters of a layer that are set to fixed values.

    Attributes:
        layer: Dotted name of the layer.
        channels: Its filters, each once.
        values: The value of each filter, at all positions of all images.
    """

    layer: str
    channels: tuple[int, ...]
    values: tuple[float, ...]


@contextmanager
def fix_channels(runner: Runner, fixed: FixedChannels) -> Iterator[None]:
    """Set filters of a layer to fixed values in each call of the layer inside.

    The layer's output is replaced by a copy, so that the values also hold where an operation in place behind
    the layer overwrites its output. If a layer returns several tensors, as a recurrent layer does, only the
    first is replaced.

    Args:
        runner: How the network is run; its `axes` say which dimension of the output holds the filters.
        fixed: The filters and their values.

    Raises:
        KeyError: The layer is not a module of the network.
    """

    def replace_output(module: nn.Module, inputs: tuple[object, ...], output: object) -> object:  # noqa: ARG001
        original = _first_tensor(fixed.layer, output)
        if original is None:
            return output
        dim = _channel_dim(runner, fixed.layer, module, original)
        replaced = _with_fixed_channels(original, dim, fixed)
        return pytree.tree_map(lambda leaf: replaced if leaf is original else leaf, output)

    handle = dict(runner.model.named_modules())[fixed.layer].register_forward_hook(replace_output)
    try:
        yield
    finally:
        handle.remove()


def channel_means(
    runner: Runner,
    layer: str,
    channels: Sequence[int],
    inputs: Iterable[Tensor],
    limiter: BatchLimiter | None = None,
) -> tuple[float, ...]:
    """Return the mean of filters over all values that a layer gives: of all images, positions and calls.

    The means are measured, and not taken from the statistics of a store. Those are about the images of the
    scan and the first call of a module, and leave out a class token in front of a grid of tokens; an ablation
    is about the images at hand, and replaces everything.

    Args:
        runner: How the network is run, isolated.
        layer: Dotted name of the layer.
        channels: Its filters.
        inputs: Batches `(N, C, H, W)` on the network's device.
        limiter: The number of images that fit into memory.

    Raises:
        KeyError: The layer is not a module of the network.
        LurkError: No image reaches the layer, or a mean is not finite.
    """
    limiter = limiter or BatchLimiter(report=lambda _: None)
    sums = torch.zeros(len(channels), dtype=torch.float64)
    count = 0
    for x in inputs:

        def sums_of(part: slice, x: Tensor = x) -> list[tuple[Tensor, int]]:
            return _channel_sums(runner, layer, channels, x[part])

        for calls in run_in_parts(len(x), runner.one_by_one, limiter, sums_of):
            for values, number in calls:
                sums += values
                count += number
    if not count:
        raise LurkError(f"none of the images reaches layer {layer!r}", _ABLATE_ANOTHER)
    means = sums / count
    for channel, mean in zip(channels, means, strict=True):
        if not mean.isfinite():
            raise LurkError(f"filter {channel} of layer {layer!r} gives NaN or infinity", "check the weights")
    return tuple(means.tolist())


def run_in_parts(
    count: int, one_by_one: bool, limiter: BatchLimiter, work: Callable[[slice], _T]
) -> Iterator[_T]:
    """Call a function for each part of a batch that fits into memory.

    Args:
        count: Number of images in the batch.
        one_by_one: Whether each image is a part of its own.
        limiter: The number of images that fit into memory, and is reduced.
        work: Takes the part.

    Yields:
        What it returns.

    Raises:
        LurkError: A single image does not fit.
    """
    start = 0
    while start < count:
        size, result = retry_on_oom(
            limiter, 1 if one_by_one else count - start, partial(_run_part, work, start)
        )
        yield result
        start += size


def _run_part(work: Callable[[slice], _T], start: int, size: int) -> tuple[int, _T]:
    return size, work(slice(start, start + size))


def _channel_sums(runner: Runner, layer: str, channels: Sequence[int], x: Tensor) -> list[tuple[Tensor, int]]:
    """Return the sum of each filter in each call of a layer, `(channels,)`, and of how many values it is."""
    calls: list[tuple[Tensor, int]] = []

    def add(module: nn.Module, output: object) -> None:
        tensor = _first_tensor(layer, output)
        if tensor is not None and tensor.numel():
            dim = _channel_dim(runner, layer, module, tensor)
            index = torch.tensor(channels, dtype=torch.int64, device=tensor.device)
            values = tensor.detach().index_select(dim, index).movedim(dim, 0).flatten(1)
            calls.append((values.sum(dim=1, dtype=torch.float64).cpu(), values.shape[1]))

    with runner.without_gradients(), output_hooks(runner.model, {layer: add}):
        runner(x)
    return calls


def _first_tensor(layer: str, output: object) -> Tensor | None:
    """Return the first tensor that a layer returned; `None` if there is none.

    Raises:
        LurkError: It is quantised, so it cannot hold any value, or cannot be read.
    """
    tensor = next((leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)), None)
    if tensor is not None:
        check_observable(tensor)
        if tensor.is_quantized:
            raise LurkError(
                f"layer {layer!r} gives quantised values, which its filters cannot be set to",
                "ablate the network in float32",
            )
    return tensor


def _channel_dim(runner: Runner, layer: str, module: nn.Module, output: Tensor) -> int:
    """Return the dimension of a layer's filters.

    Raises:
        LurkError: The output has another number of dimensions than feature maps.
    """
    axes = runner.axes.get(layer) or default_axes(module, output.dim())
    if axes is None or axes.dims != output.dim():
        raise LurkError(
            f"layer {layer!r} gives a tensor of shape {tuple(output.shape)}, which is no feature map",
            _ABLATE_ANOTHER,
        )
    return axes.channels


def _with_fixed_channels(output: Tensor, dim: int, fixed: FixedChannels) -> Tensor:
    """Return a copy of an output with the values of an ablation in its channels."""
    shape, filled = [1] * output.dim(), list(output.shape)
    shape[dim] = filled[dim] = len(fixed.channels)
    values = torch.tensor(fixed.values, dtype=output.dtype, device=output.device)
    index = torch.tensor(fixed.channels, dtype=torch.int64, device=output.device)
    return output.index_copy(dim, index, values.view(shape).expand(filled))
