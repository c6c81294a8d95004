"""Means over images of what an ablation changes, from sums that grow with each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MaximaEffect:
    """The maxima of a layer's feature maps, without and with an ablation.

    Attributes:
        images: The number of images that reach the layer both ways.
        before: `(C,)` float64 on the CPU, the mean over these images of the maximum of each filter.
        after: The same with the ablation, wherever the maximum then is.
    """

    images: int
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class LogitsEffect:
    """The logits of a classifier, without and with an ablation.

    Attributes:
        before: `(classes,)` float64 on the CPU, the mean logit of each class.
        after: The same with the ablation.
        agreement: The share of images whose predicted class stays the same.
        accuracy: The share of images whose predicted class is right, without and with the ablation, of those
            whose right output is known; `None` if there are none.
    """

    before: Tensor
    after: Tensor
    agreement: float
    accuracy: tuple[float, float] | None


@dataclass(frozen=True)
class AblationEffects:
    """What an ablation changes over some images.

    Attributes:
        images: The number of images.
        layers: The maxima by layer, in execution order; without layers that no image reaches both ways.
        logits: The logits; `None` if they are not measured, or if there is no image.
    """

    images: int
    layers: Mapping[str, MaximaEffect]
    logits: LogitsEffect | None


@dataclass(frozen=True)
class ForwardResult:
    """What is kept of one forward.

    Attributes:
        maxima: `(N, C)` float64 on the CPU by layer; without layers that a single image does not reach.
        logits: `(N, classes)` float64 on the CPU; `None` if they are not measured.
    """

    maxima: Mapping[str, Tensor]
    logits: Tensor | None


@dataclass(frozen=True)
class ForwardPair:
    """The forwards of the same images without and with an ablation.

    Attributes:
        before: Without it.
        after: With it.
        targets: `(N,)` int64, the right output of each image; -1 if it is not known.
    """

    before: ForwardResult
    after: ForwardResult
    targets: Tensor


@dataclass(frozen=True)
class _LogitSums:
    """Sums of logits, and numbers of predictions: the same, right before and after, of known class."""

    before: Tensor
    after: Tensor
    same: int
    right: tuple[int, int]
    known: int


@dataclass(frozen=True)
class AblationSums:
    """Sums over images.

    Attributes:
        images: The number of images.
        layers: By layer.
        logits: Of the logits.
    """

    images: int = 0
    layers: Mapping[str, tuple[int, Tensor, Tensor]] | None = None
    logits: _LogitSums | None = None

    def add(self, pair: ForwardPair) -> AblationSums:
        """Return the sums with some more images."""
        layers = dict(self.layers or {})
        for name, before in pair.before.maxima.items():
            after = pair.after.maxima.get(name)
            if after is not None:
                zero = torch.zeros_like(before[0])
                images, first, second = layers.get(name, (0, zero, zero))
                layers[name] = (images + len(before), first + before.sum(0), second + after.sum(0))
        return AblationSums(self.images + len(pair.targets), layers, _add_logits(self.logits, pair))

    def means(self, layers: Sequence[str]) -> AblationEffects:
        """Return the means.

        Args:
            layers: The names of the layers, in execution order.
        """
        effects = {}
        for name in layers:
            if self.layers is not None and name in self.layers:
                images, before, after = self.layers[name]
                effects[name] = MaximaEffect(images, before / images, after / images)
        return AblationEffects(self.images, effects, _logits_effect(self.logits, self.images))


def _add_logits(sums: _LogitSums | None, pair: ForwardPair) -> _LogitSums | None:
    before, after = pair.before.logits, pair.after.logits
    if before is None or after is None:
        return sums
    zero = torch.zeros_like(before[0])
    old = sums or _LogitSums(zero, zero, 0, (0, 0), 0)
    first, second = before.argmax(1), after.argmax(1)
    right = int((first == pair.targets).sum()), int((second == pair.targets).sum())
    return _LogitSums(
        before=old.before + before.sum(0),
        after=old.after + after.sum(0),
        same=old.same + int((first == second).sum()),
        right=(old.right[0] + right[0], old.right[1] + right[1]),
        known=old.known + int((pair.targets >= 0).sum()),
    )


def _logits_effect(sums: _LogitSums | None, images: int) -> LogitsEffect | None:
    if sums is None:
        return None
    known = sums.known
    accuracy = (sums.right[0] / known, sums.right[1] / known) if known else None
    return LogitsEffect(sums.before / images, sums.after / images, sums.same / images, accuracy)
