"""Load a classifier of torchvision, with its weights and the preprocessing of its preset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from torchlurk.datasets.inputs import Preprocess, with_input_size
from torchlurk.datasets.torchvision_steps import preprocess_from_preset
from torchlurk.errors import LurkError
from torchlurk.models import squeezenet
from torchlurk.models.checkpoint import Weights, load_weights, match_weights, state_digest
from torchlurk.models.matching import shapes_of
from torchlurk.models.network import Network
from torchlurk.models.weights import published_prefix, resolve_weights, weights_entry

_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
"""Names of the heads that GoogLeNet and Inception use only in training."""
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def load_torchvision(
    model: str,
    weights: str,
    size: int | tuple[int, int] | None,
    cache: Path,
    *,
    seed: int,
    unsafe_pickle: bool,
    report: Callable[[str], None],
) -> Network:
    """Load a classifier of torchvision.

    Args:
        model: Its name, e.g. `vgg16`.
        weights: `random`, or a value that `resolve_weights` accepts.
        size: Height and width of its input in pixels; `None` for those of the preset of its weights.
        cache: Folder for converted weights.
        seed: Of random weights.
        unsafe_pickle: See `read_weights`.
        report: Called with a line about every choice and every slow step.

    Raises:
        LurkError: There is no such network, or its weights cannot be found or do not fit.
    """
    available = torchvision.models.list_models(module=torchvision.models)
    if model not in available:
        near = get_close_matches(model, available, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try vgg16"
        if model.endswith(".py"):
            hint = f"name a function in your file as {model}:FUNCTION"
        raise LurkError(f"torchvision has no classifier {model!r}", hint)
    entry = weights_entry(model, weights) or weights_entry(model, "DEFAULT")
    resolved = (
        None
        if weights == "random"
        else resolve_weights(model, weights, cache, report=report, unsafe_pickle=unsafe_pickle)
    )
    preprocess = preprocess_from_preset(entry.transforms()) if entry else Preprocess()
    if resolved is not None and resolved.name == "caffe":
        preprocess = replace(preprocess, mean=squeezenet.MEAN, std=squeezenet.STD)
    metadata = resolved.metadata if resolved else None
    if metadata is not None:
        preprocess = metadata.input or preprocess
    if size is not None:
        preprocess = with_input_size(preprocess, size)
    options: dict[str, Any] = {}
    if model.startswith("vit_"):  # its position embeddings depend on the size
        options["image_size"] = preprocess.shape[1]
    if resolved is None:
        module = _with_random_weights(model, options, seed)
        found = Weights(module.state_dict(), f"random:{seed}", state_digest(module.state_dict()))
    else:
        found = resolved
        if model in _WITH_AUXILIARY_HEADS:
            # the published weights need it; other files do not say whether they do
            published = any(found.sha256.startswith(published_prefix(e)) for e in type(entry))
            options["transform_input"] = metadata.transform_input if metadata else published
        module = _with_weights(model, options, found, report)
    names = tuple(entry.meta.get("categories") or ()) if entry else ()
    if metadata is not None:
        names = metadata.classes
    elif found.partial or _count_outputs(module) != len(names):
        names = ()
    return Network(
        module=module.eval(),
        title=_title(model),
        source=f"torchvision:{model}",
        weights=found.name,
        weights_sha256=found.sha256,
        preprocess=preprocess,
        classes=names,
    )


def _with_random_weights(model: str, options: dict[str, Any], seed: int) -> nn.Module:
    """Build a network with its own random initialisation; torch's global generator is left as it was."""
    heads = {"aux_logits": False, "init_weights": True} if model in _WITH_AUXILIARY_HEADS else {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module: nn.Module = torchvision.models.get_model(model, weights=None, **heads, **options)
    return module


def _with_weights(
    model: str, options: dict[str, Any], weights: Weights, report: Callable[[str], None]
) -> nn.Module:
    """Build a network with these weights, and as many classes as they have."""
    heads = {"aux_logits": False, "init_weights": False} if model in _WITH_AUXILIARY_HEADS else {}

    def build_on_meta(**more: Any) -> nn.Module:
        # Without memory, so that nothing is initialised at random only to be overwritten.
        with torch.device("meta"):
            built: nn.Module = torchvision.models.get_model(model, weights=None, **heads, **options, **more)
        return built

    module = build_on_meta()
    matched = match_weights(module, weights, ignored_prefixes=_AUXILIARY_HEADS)
    classes = count_trained_classes(module, matched)
    if classes is not None:
        module = build_on_meta(num_classes=classes)
    if weights.partial:
        _remove_head(module, weights)
    module = module.to_empty(device="cpu")
    load_weights(module, weights, ignored_prefixes=_AUXILIARY_HEADS, report=report)
    return module


def count_trained_classes(module: nn.Module, weights: Weights) -> int | None:
    """Return the number of classes that weights were trained for, if it differs from the network's.

    Args:
        module: The network.
        weights: Its weights, under the names of the network.

    Returns:
        The number; `None` if it does not differ, or if the weights differ in anything else.
    """
    target = module.state_dict()
    differing = [
        name
        for name, shape in shapes_of(weights.state).items()
        if shape and name in target and shape != target[name].shape
    ]
    rows = {weights.state[name].shape[:1] for name in differing}
    target_rows = {target[name].shape[:1] for name in differing}
    same_columns = all(weights.state[name].shape[1:] == target[name].shape[1:] for name in differing)
    one_layer = len(rows) == len(target_rows) == 1 and len(differing) <= 2
    return int(next(iter(rows))[0]) if one_layer and same_columns else None


def _remove_head(module: nn.Module, weights: Weights) -> None:
    """Replace the children without weights by `nn.Identity`; with random values they would compute noise."""
    covered = {key.split(".")[0] for key in weights.state}
    for name, _ in list(module.named_children()):
        if name not in covered:
            setattr(module, name, nn.Identity())


def _count_outputs(module: nn.Module) -> int | None:
    """Return the number of outputs of the last linear layer or convolution; `None` if there is none."""
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not layers:
        return None
    return layers[-1].out_features if isinstance(layers[-1], nn.Linear) else layers[-1].out_channels


def _title(model: str) -> str:
    """Return the name of a network for people, such as `VGG16` for `vgg16`."""
    special = {"vgg": "VGG", "alexnet": "AlexNet", "resnet": "ResNet", "squeezenet": "SqueezeNet"}
    for prefix, title in special.items():
        if model.startswith(prefix):
            return title + model.removeprefix(prefix).replace("_", " ").replace("1 ", " 1.")
    return model
