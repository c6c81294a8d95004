"""Mergeable top-k lists: for each filter the k best images, pure tensors, no model.

The order is (-score, image id). It is total, because an image occurs once in a list, and so merging is
associative and commutative: however the images were cut into batches, shards or processes, the lists
that come out are the same. (`torch.topk` breaks ties arbitrarily and would not do.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

NO_IMAGE = torch.iinfo(torch.int64).max
"""The id that stands in a place of a list that no image has taken yet; it sorts last."""


@dataclass(frozen=True)
class TopK:
    """The k best images of each of C filters, best first.

    Attributes:
        scores: `(C, k)` float32, `-inf` where the place is empty.
        images: `(C, k)` int64 image ids, `NO_IMAGE` where the place is empty.
        positions: `(C, k)` int64, where in its feature map the score was found, as `y * W + x`;
            0 where that has no meaning.
    """

    scores: Tensor
    images: Tensor
    positions: Tensor

    @property
    def k(self) -> int:
        """How many places a list has."""
        return self.scores.shape[1]


def empty(channels: int, k: int, device: torch.device | None = None) -> TopK:
    """Lists of `channels` filters with `k` empty places each."""
    shape = (channels, k)
    return TopK(
        torch.full(shape, -torch.inf, device=device),
        torch.full(shape, NO_IMAGE, dtype=torch.int64, device=device),
        torch.zeros(shape, dtype=torch.int64, device=device),
    )


def merge(a: TopK, b: TopK) -> TopK:
    """The best `a.k` of the entries of two states over different images.

    Args:
        a: `(C, k)` lists.
        b: `(C, m)` lists, any m, in any order.

    Returns:
        `(C, k)` lists, ordered by (-score, image id).
    """
    scores = torch.cat([a.scores, b.scores], dim=1)
    images = torch.cat([a.images, b.images], dim=1)
    positions = torch.cat([a.positions, b.positions], dim=1)
    # Two stable sorts, the minor key first, make the order of pairs.
    by_image = images.argsort(dim=1, stable=True)
    by_score = scores.gather(1, by_image).argsort(dim=1, stable=True, descending=True)
    best = by_image.gather(1, by_score)[:, : a.k]
    return TopK(scores.gather(1, best), images.gather(1, best), positions.gather(1, best))


def push_all(state: TopK, scores: Tensor, images: Tensor, positions: Tensor) -> TopK:
    """Offer a batch of images to the lists, the places of all scores being known.

    Args:
        state: `(C, k)` lists.
        scores: `(N, C)`, what each image scores with each filter.
        images: `(N,)` int64 ids of the images, none of them in the lists yet.
        positions: `(N, C)` int64 places of the scores.

    Returns:
        The new lists; nothing waits for the device.
    """
    ids = images.to(state.images).expand(scores.shape[1], len(scores))
    return merge(state, TopK(scores.T.to(state.scores), ids, positions.T))


def push(
    state: TopK,
    scores: Tensor,
    images: Tensor,
    locate: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> TopK:
    """Offer a batch of images to the lists.

    Args:
        state: `(C, k)` lists.
        scores: `(N, C)`, what each image scores with each filter.
        images: `(N,)` int64 ids of the images, none of them in the lists yet.
        locate: called with `(M,)` rows of the batch and `(M,)` channels, returns the `(M,)` places of
            those scores. Only entries that got into a list are asked for, which are few once the lists
            have filled: finding a place costs far more than finding a score.

    Returns:
        The new lists.
    """
    count, channels = scores.shape
    rows = torch.arange(count, device=scores.device)
    # Until it is known, the place of a newcomer is its row in the batch, made negative to tell it apart.
    pending = (-1 - rows).expand(channels, count) if locate else torch.zeros_like(scores.T).long()
    merged = merge(
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
