"""What several images of one filter have in common, to make them differ.

Olah et al. 2017, "Feature visualization", section "Diversity": the Gram matrix of a layer's activations says
which filters fire together, wherever in the image, which is what a texture or an object is to the network;
images whose matrices point the same way are one to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class DiversityPenalty:
    """How the images of one ascent are kept apart.

    Attributes:
        layer: dotted name of the layer in whose activations they are to differ.
        weight: what likeness costs: an image that is wholly like the others loses this share of the score.
    """

    layer: str
    weight: float = 1.0


def gram_matrix(maps: Tensor) -> Tensor:
    """Which filters fire together: of `(N, C, H, W)` activations, `(N, C * C)`, each row of length 1.

    What a ReLU would cut off is left out: the biases of filters that are off would make all images alike.
    """
    on = maps.float().clamp(min=0).flatten(2)
    return F.normalize((on @ on.transpose(1, 2)).flatten(1), dim=1)


def mean_similarity(maps: Tensor) -> Tensor:
    """How like the others each image is: the mean cosine of its Gram matrix to theirs.

    Args:
        maps: `(N, C, H, W)` activations, N at least 2.

    Returns:
        `(N,)`, each 0 to 1.
    """
    rows = gram_matrix(maps)
    cosines = rows @ rows.T
    count = len(rows)
    own = torch.eye(count, dtype=torch.bool, device=rows.device)
    return cosines.masked_fill(own, 0).sum(dim=1) / (count - 1)


def diversity_loss(scores: Tensor, maps: Tensor, weight: float) -> Tensor:
    """What likeness costs an ascent, in the unit of its scores, whatever layer they come from.

    Args:
        scores: `(N,)`.
        maps: `(N, C, H, W)` activations of the layer in which the images are to differ.
        weight: see `DiversityPenalty`.

    Returns:
        A number, to be added to the loss; its gradient does not change the scores' own.
    """
    return weight * scores.detach().abs().mean() * mean_similarity(maps).sum()
