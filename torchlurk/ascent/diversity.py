"""A penalty on the similarity of several images of one filter, so that they show different patterns.

Olah et al. 2017, "Feature visualization", section "Diversity". The Gram matrix of a layer's activations says
which filters are active together, wherever in the image, and so describes texture. Images whose matrices have
the same direction look the same to the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class DiversityPenalty:
    """How strongly the similarity of images is penalised, and where it is measured.

    Attributes:
        layer: Dotted name of the layer in whose activations the images should differ.
        weight: The share of its score that an image loses if it is identical to the others.
    """

    layer: str
    weight: float = 1.0


def gram_matrix(maps: Tensor) -> Tensor:
    """Compute normalised Gram matrices: `(N, C, H, W)` activations to `(N, C * C)`, each row of length 1.

    Negative activations count as zero: the biases of inactive filters would make all images similar.
    """
    on = maps.float().clamp(min=0).flatten(2)
    return F.normalize((on @ on.transpose(1, 2)).flatten(1), dim=1)


def mean_similarity(maps: Tensor) -> Tensor:
    """Compute the mean cosine similarity of each image's Gram matrix to those of the others.

    Args:
        maps: `(N, C, H, W)` activations, N at least 2.

    Returns:
        `(N,)`, from 0 to 1.
    """
    rows = gram_matrix(maps)
    cosines = rows @ rows.T
    count = len(rows)
    diagonal = torch.eye(count, dtype=torch.bool, device=rows.device)
    return cosines.masked_fill(diagonal, 0).sum(dim=1) / (count - 1)


def diversity_loss(scores: Tensor, maps: Tensor, weight: float) -> Tensor:
    """Compute the penalty, in units of the scores of the objective.

    Args:
        scores: `(N,)`.
        maps: `(N, C, H, W)` activations of the layer in which the images should differ.
        weight: See `DiversityPenalty`.

    Returns:
        A scalar to add to the loss; it does not change the gradient of the scores themselves.
    """
    return weight * scores.detach().abs().mean() * mean_similarity(maps).sum()
