"""A network as a user names it: the module, its weights, and what it wants to be fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
import torchvision
from torch import nn

from torchlurk.datasets.folder import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.weights import Weights, fit_weights, resolve_weights


@dataclass(frozen=True)
class Network:
    """A network ready to be scanned.

    Attributes:
        module: takes `(N, C, H, W)`; in evaluation mode.
        title: what a person calls it, e.g. `VGG16`.
        source: where its code comes from, e.g. `torchvision:vgg16`.
        weights: where its weights come from, as `Weights.name`.
        weights_sha256: digest of the weights file.
        preprocess: how an image becomes its input.
    """

    module: nn.Module
    title: str
    source: str
    weights: str
    weights_sha256: str
    preprocess: Preprocess

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of its input."""
        return 3, self.preprocess.size, self.preprocess.size


def load_network(model: str, weights: str, size: int, cache: Path, *, say: Callable[[str], None]) -> Network:
    """Make a classifier of torchvision and load its weights.

    Args:
        model: its name in torchvision, e.g. `vgg16`.
        weights: `auto`, `imagenet`, `trunk` or a path, see `resolve_weights`.
        size: height and width of its input in pixels.
        cache: folder for converted weights.
        say: is told, in a line, what takes long or was chosen.

    Raises:
        LurkError: there is no such network, or its weights cannot be found or do not fit.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if model not in known:
        near = get_close_matches(model, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try vgg16"
        raise LurkError(f"torchvision has no classifier {model!r}: {hint}")
    found = resolve_weights(model, weights, cache, say=say)
    # Made without memory, so that nothing is initialised at random only to be overwritten.
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(model, weights=None)
    if found.partial:
        _drop_head(module, found)
    module = module.to_empty(device="cpu")
    fit_weights(module, found)
    return Network(
        module=module.eval(),
        title=_title(model),
        source=f"torchvision:{model}",
        weights=found.name,
        weights_sha256=found.sha256,
        preprocess=Preprocess(size=size, resize=max(size, round(size * 256 / 224))),
    )


def _drop_head(module: nn.Module, weights: Weights) -> None:
    """Replace by nothing the parts that there are no weights for: they would compute noise."""
    covered = {key.split(".")[0] for key in weights.state}
    for name, _ in list(module.named_children()):
        if name not in covered:
            setattr(module, name, nn.Identity())


def _title(model: str) -> str:
    special = {"vgg": "VGG", "alexnet": "AlexNet", "resnet": "ResNet", "squeezenet": "SqueezeNet"}
    for prefix, title in special.items():
        if model.startswith(prefix):
            return title + model.removeprefix(prefix).replace("_", " ").replace("1 ", " 1.")
    return model
