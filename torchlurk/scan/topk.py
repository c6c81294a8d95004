"""Mergeable top-k lists: the k best images of each filter, as plain tensors.

Lists are ordered by (-score, image id). An image occurs at most once in a list, so this order is total and
merging is associative and commutative: the lists do not depend on how the images are divided into batches,
shards or processes. (`torch.topk` breaks ties arbitrarily, so it cannot be used here.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

NO_IMAGE = torch.iinfo(torch.int64).max
"""The image id of an empty slot of a list; it sorts last."""


@dataclass(frozen=True)
class TopK:
    """The k best images of each of C filters, best first.

    Attributes:
        scores: `(C, k)` float32, `-inf` in empty slots.
        images: `(C, k)` int64 image ids, `NO_IMAGE` in empty slots.
        positions: `(C, k)` int64, the position of the score in its feature map, as `y * W + x`; 0 where a
            position has no meaning.
    """

    scores: Tensor
    images: Tensor
    positions: Tensor

    @property
    def k(self) -> int:
        """The length of the lists."""
        return self.scores.shape[1]


def empty_topk(channels: int, k: int, device: torch.device | None = None) -> TopK:
    """Return empty lists of length `k` for `channels` filters."""
    shape = (channels, k)
    return TopK(
        torch.full(shape, -torch.inf, device=device),
        torch.full(shape, NO_IMAGE, dtype=torch.int64, device=device),
        torch.zeros(shape, dtype=torch.int64, device=device),
    )


def merge_topk(a: TopK, b: TopK) -> TopK:
    """Return the best `a.k` entries of two sets of lists, which must have no image in common.

    Args:
        a: `(C, k)` lists.
        b: `(C, m)` lists, of any length and in any order.

    Returns:
        `(C, k)` lists, ordered by (-score, image id).
    """
    scores = torch.cat([a.scores, b.scores], dim=1)
    images = torch.cat([a.images, b.images], dim=1)
    positions = torch.cat([a.positions, b.positions], dim=1)
    # Two stable sorts, the secondary key first, order by both keys.
    by_image = images.argsort(dim=1, stable=True)
    by_score = scores.gather(1, by_image).argsort(dim=1, stable=True, descending=True)
    best = by_image.gather(1, by_score)[:, : a.k]
    return TopK(scores.gather(1, best), images.gather(1, best), positions.gather(1, best))


def push_located(state: TopK, scores: Tensor, images: Tensor, positions: Tensor) -> TopK:
    """Add a batch of images whose positions are all known, without synchronising with the device.

    Args:
        state: `(C, k)` lists.
        scores: `(N, C)` scores.
        images: `(N,)` int64 image ids, none of which is in the lists yet.
        positions: `(N, C)` int64 positions of the scores.

    Returns:
        The new lists.
    """
    ids = images.to(state.images).expand(scores.shape[1], len(scores))
    return merge_topk(state, TopK(scores.T.to(state.scores), ids, positions.T))


def push(
    state: TopK,
    scores: Tensor,
    images: Tensor,
    locate: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> TopK:
    """Add a batch of images.

    Args:
        state: `(C, k)` lists.
        scores: `(N, C)` scores.
        images: `(N,)` int64 image ids, none of which is in the lists yet.
        locate: Takes `(M,)` rows of the batch and `(M,)` channels, and returns the `(M,)` positions of those
            scores. It is called only for entries that enter a list. These are few once the lists are full,
            and finding a position costs far more than finding a score. Without it all positions are 0.

    Returns:
        The new lists.
    """
    count, channels = scores.shape
    rows = torch.arange(count, device=scores.device)
    # The position of a new entry is its row in the batch, made negative to mark it, until it is located.
    pending = (-1 - rows).expand(channels, count) if locate else torch.zeros_like(scores.T).long()
    merged = merge_topk(
        state,
        TopK(scores.T.to(state.scores), images.to(state.images).expand(channels, count), pending),
    )
    if locate is None:
        return merged
    channel, rank = (merged.positions < 0).nonzero(as_tuple=True)
    if not len(channel):
        return merged
    positions = merged.positions.clone()
    positions[channel, rank] = locate(-1 - positions[channel, rank], channel)
    return TopK(merged.scores, merged.images, positions)
