"""A network that is ready to be scanned, with its weights and its preprocessing; see `load`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from torchlurk.datasets.inputs import Input


@dataclass(frozen=True)
class Network:
    """A network that is ready to be scanned.

    Attributes:
        module: Takes `(N, C, H, W)`; in evaluation mode.
        title: Its name for people, e.g. `VGG16`.
        source: Where its code comes from, e.g. `torchvision:vgg16`; never a folder.
        weights: Where its weights come from, as in `Weights.name`.
        weights_sha256: Digest of the weights file, or of the state dict if there is no file.
        preprocess: How an image becomes its input.
        classes: The class names of its outputs, in order; `()` if unknown.
    """

    module: nn.Module
    title: str
    source: str
    weights: str
    weights_sha256: str
    preprocess: Input
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of its input."""
        return self.preprocess.shape
