"""Mergeable top-k lists: the k best images of each filter, as plain tensors.

Lists are ordered by (-score, image id). An image occurs at most once in a list, so this order is total and
merging is associative and commutative: the lists do not depend on how the images are divided into batches,
shards or processes. (`torch.topk` breaks ties arbitrarily, so it cannot be used here.)
"""

from __future__ import annotations

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


def push_(state: TopK, scores: Tensor, images: Tensor, positions: Tensor | None = None) -> None:
    """Add a batch of images to lists, in place.

    Args:
        state: `(C, k)` lists.
        scores: `(N, C)` scores.
        images: `(N,)` int64 image ids, none of which is in the lists yet.
        positions: `(N, C)` int64 positions of the scores. Those of scores below the lowest of a list are not
            used. Without them all positions are 0.
    """
    scores = scores.T.to(state.scores)
    ids = images.to(state.images).expand(scores.shape)
    located = torch.zeros_like(ids) if positions is None else positions.T
    if state.scores.device.type != "cpu":
        # Which lists change is known on the device only; to merge all costs less than to wait for it.
        merged = merge_topk(state, TopK(scores, ids, located))
        for old, new in zip(vars(state).values(), vars(merged).values(), strict=True):
            old.copy_(new)
        return
    # Few lists change once they are full, and sorting is most of the work.
    rows = (scores >= state.scores[:, -1:]).any(dim=1).nonzero().flatten()
    before = TopK(state.scores[rows], state.images[rows], state.positions[rows])
    merged = merge_topk(before, TopK(scores[rows], ids[rows], located[rows]))
    for old, new in zip(vars(state).values(), vars(merged).values(), strict=True):
        old[rows] = new
