"""From the feature maps of a batch to the lists and sums of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.scan.state import LayerState
from torchlurk.scan.topk import TopK, push, push_located


@dataclass(frozen=True)
class MapReductions:
    """The maximum and the mean of each feature map.

    Attributes:
        maxima: `(N, C)` float32.
        means: `(N, C)` float32.
    """

    maxima: Tensor
    means: Tensor


def reduce_map(x: Tensor) -> MapReductions:
    """Compute the maximum and the mean of each feature map of `(N, C, H, W)`, in float32."""
    return MapReductions(x.amax(dim=(2, 3)).float(), x.mean(dim=(2, 3), dtype=torch.float32))


def positions_of_maxima(x: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """Return where feature maps have their maximum; of equal maxima, the first in reading order.

    Args:
        x: `(N, C, H, W)` activations.
        rows: `(M,)` indices into N.
        channels: `(M,)` indices into C.

    Returns:
        `(M,)` int64, each `y * W + x`.
    """
    # `argmax` returns the first of equal maxima; `max` and `topk` promise nothing.
    return x[rows, channels].flatten(1).argmax(dim=1)


def update_layer(
    state: LayerState, x: Tensor, images: Tensor, labels: Tensor, edges: Tensor
) -> tuple[LayerState, Tensor]:
    """Add a batch of feature maps to the state of a layer.

    Args:
        state: The state before the batch.
        x: `(N, C, H, W)` activations.
        images: `(N,)` int64 image ids.
        labels: `(N,)` int64 classes.
        edges: `ACTIVATION_EDGES` as a tensor on the device of `x`.

    Returns:
        The new state, and `(N,)` bool: whether all activations of an image are finite.
    """
    reduced = reduce_map(x)
    maxima, means = reduced.maxima, reduced.means
    maxima64, means64 = maxima.double(), means.double()
    bins = torch.bucketize(maxima, edges, right=True)
    # A NaN or an infinity of either sign shows in the maximum, in the mean, or in both.
    finite = (maxima + means).isfinite().all(dim=1)
    updated = LayerState(
        images=state.images.index_add(0, labels, torch.ones_like(labels)),
        max=_push_maxima(state.max, x, maxima, images),
        avg=push(state.avg, means, images),
        max_by_class=add_by_class(state.max_by_class, labels, maxima64),
        avg_by_class=add_by_class(state.avg_by_class, labels, means64),
        max_squares=state.max_squares + maxima64.square().sum(0),
        avg_squares=state.avg_squares + means64.square().sum(0),
        positive_by_class=add_by_class(state.positive_by_class, labels, maxima64.clamp(min=0)),
        active=state.active + (maxima > 0).sum(0),
        counts=state.counts.scatter_add(1, bins.T, torch.ones_like(bins.T)),
    )
    return updated, finite


def _push_maxima(state: TopK, x: Tensor, maxima: Tensor, images: Tensor) -> TopK:
    if x.device.type == "cpu":
        return push(state, maxima, images, lambda rows, channels: positions_of_maxima(x, rows, channels))
    # On a GPU one more pass over the maps is cheaper than a synchronisation to learn which are needed.
    return push_located(state, maxima, images, x.flatten(2).argmax(dim=2))


def add_by_class(sums: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """Add values to the sums of their classes, in a deterministic order.

    Args:
        sums: `(classes, C)`.
        labels: `(N,)` int64 classes.
        values: `(N, C)`.

    Returns:
        `(classes, C)`, the new sums.
    """
    if sums.device.type == "cpu":
        return sums.index_add(0, labels, values)
    # On CUDA `index_add` is not deterministic; `index_put` sorts its indices first.
    return sums.index_put((labels,), values, accumulate=True)
