"""Results of `explain`."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from torchlurk.attribution.targets import Target
from torchlurk.runtime.jpeg import Pixels


@dataclass(frozen=True)
class Completeness:
    """Completeness of integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

    The attributions should sum to the difference of the scores of the image and of the baseline.

    Attributes:
        total: Their sum.
        difference: The score of the image minus the score of the black baseline, which the sum should equal.
        error: Absolute difference of the two; more steps reduce it.
    """

    total: float
    difference: float
    error: float


@dataclass(frozen=True)
class Prediction:
    """A class that the network predicts.

    Attributes:
        index: Number of the class, from 0.
        name: Its name, or its number if the name is unknown.
        logit: The network's output for it.
        probability: Softmax of the logits, or the output itself if the outputs are probabilities.
    """

    index: int
    name: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Control:
    """The same explanation on a network with random weights (Adebayo et al. 2018, arXiv:1810.03292).

    What it has in common with the explanation of the trained network does not show what was learnt.

    Attributes:
        layers: Layers with random weights, from the output towards the input.
        of: Number of layers with weights.
        score: Value of the target.
        attributions: Attribution of each method, `(C, H, W)`, float32, on the CPU.
        similarity: For each method, Spearman's rank correlation of the magnitudes with those of the trained
            network, over the pixels that the target sees; `None` where one of them is constant.
    """

    layers: tuple[str, ...]
    of: int
    score: float
    attributions: dict[str, Tensor] = field(repr=False)
    similarity: dict[str, float | None]


@dataclass(frozen=True)
class Explanation:
    """Explanation of one image.

    Attributes:
        name: Name of the image's file.
        picture: The image as the network sees it, `(H, W, 3)`, uint8.
        target: What is explained.
        target_name: A readable name of the target.
        score: Value of the target.
        predictions: The most likely classes, best first; `()` for networks without classes.
        attributions: Attribution of each method, `(C, H, W)`, the shape of the input, float32, on the CPU.
        completeness: Completeness of integrated gradients; `None` if they were not requested.
        controls: The same on networks with random weights; `()` if they were not requested.
    """

    name: str
    picture: Pixels = field(repr=False)
    target: Target
    target_name: str
    score: float
    predictions: tuple[Prediction, ...]
    attributions: dict[str, Tensor] = field(repr=False)
    completeness: Completeness | None
    controls: tuple[Control, ...] = ()
