"""A classifier of torchvision: made, filled with weights, and fed as its own preset says."""

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
from torchlurk.models.checkpoint import Weights, fit_weights, match_weights, state_digest
from torchlurk.models.matching import shapes_of
from torchlurk.models.record import Network
from torchlurk.models.weights import published_prefix, resolve_weights, weights_entry

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""The heads that GoogLeNet and Inception have for their training alone."""
WITH_HEADS = ("googlenet", "inception_v3")


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
    """Make a classifier of torchvision.

    Args:
        model: its name, e.g. `vgg16`.
        weights: as for `resolve_weights`, or `random`.
        size: height and width of its input, pixels; `None` for those of its weights' own preset.
        cache: folder for converted weights.
        seed: of random weights.
        unsafe_pickle: as for `read_weights`.
        report: is told, in a line, what takes long or was chosen.

    Raises:
        LurkError: there is no such network, or its weights cannot be found or do not fit.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if model not in known:
        near = get_close_matches(model, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try vgg16"
        if model.endswith(".py"):
            hint = f"name a function of a file of your own as {model}:FUNCTION"
        raise LurkError(f"torchvision has no classifier {model!r}: {hint}")
    entry = weights_entry(model, weights) or weights_entry(model, "DEFAULT")
    given = (
        None
        if weights == "random"
        else resolve_weights(model, weights, cache, report=report, unsafe_pickle=unsafe_pickle)
    )
    preprocess = preprocess_from_preset(entry.transforms()) if entry else Preprocess()
    if given is not None and given.name == "caffe":
        preprocess = replace(preprocess, mean=squeezenet.MEAN, std=squeezenet.STD)
    tuned = given.tuned if given else None
    if tuned is not None:
        preprocess = tuned.input or preprocess
    if size is not None:
        preprocess = with_input_size(preprocess, size)
    options: dict[str, Any] = {}
    if model.startswith("vit_"):  # its positions are those of one size
        options["image_size"] = preprocess.shape[1]
    if given is None:
        module = _random(model, options, seed)
        found = Weights(module.state_dict(), f"random:{seed}", state_digest(module.state_dict()))
    else:
        found = given
        if model in WITH_HEADS:
            # what the published weights were made for; a file that someone has trained says nothing of it
            published = any(found.sha256.startswith(published_prefix(e)) for e in type(entry))
            options["transform_input"] = tuned.transform_input if tuned else published
        module = _filled(model, options, found, report)
    names = tuple(entry.meta.get("categories") or ()) if entry else ()
    if tuned is not None:
        names = tuned.classes
    elif found.partial or _outputs(module) != len(names):
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


def _random(model: str, options: dict[str, Any], seed: int) -> nn.Module:
    """The network as it initialises itself, from a seed of its own."""
    heads = {"aux_logits": False, "init_weights": True} if model in WITH_HEADS else {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module: nn.Module = torchvision.models.get_model(model, weights=None, **heads, **options)
    return module


def _filled(model: str, options: dict[str, Any], found: Weights, report: Callable[[str], None]) -> nn.Module:
    """The network with these weights, and as many classes as they have."""
    heads = {"aux_logits": False, "init_weights": False} if model in WITH_HEADS else {}

    def empty(**more: Any) -> nn.Module:
        # Made without memory, so that nothing is initialised at random only to be overwritten.
        with torch.device("meta"):
            made: nn.Module = torchvision.models.get_model(model, weights=None, **heads, **options, **more)
        return made

    module = empty()
    classes = classes_of(module, match_weights(module, found, ignored=AUXILIARY))
    if classes is not None:
        module = empty(num_classes=classes)
    if found.partial:
        _drop_head(module, found)
    module = module.to_empty(device="cpu")
    fit_weights(module, found, ignored=AUXILIARY, report=report)
    return module


def classes_of(module: nn.Module, found: Weights) -> int | None:
    """How many classes weights were trained for, if that is all in which they differ from the network."""
    wanted = module.state_dict()
    other = [
        k for k, shape in shapes_of(found.state).items() if shape and k in wanted and shape != wanted[k].shape
    ]
    rows = {found.state[key].shape[:1] for key in other}
    last = {wanted[key].shape[:1] for key in other}
    same = all(found.state[key].shape[1:] == wanted[key].shape[1:] for key in other)
    return int(next(iter(rows))[0]) if len(rows) == len(last) == 1 and same and len(other) <= 2 else None


def _drop_head(module: nn.Module, weights: Weights) -> None:
    """Replace by nothing the parts that there are no weights for: they would compute noise."""
    covered = {key.split(".")[0] for key in weights.state}
    for name, _ in list(module.named_children()):
        if name not in covered:
            setattr(module, name, nn.Identity())


def _outputs(module: nn.Module) -> int | None:
    """How many values the last linear layer, or else convolution, gives."""
    last = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not last:
        return None
    return last[-1].out_features if isinstance(last[-1], nn.Linear) else last[-1].out_channels


def _title(model: str) -> str:
    special = {"vgg": "VGG", "alexnet": "AlexNet", "resnet": "ResNet", "squeezenet": "SqueezeNet"}
    for prefix, title in special.items():
        if model.startswith(prefix):
            return title + model.removeprefix(prefix).replace("_", " ").replace("1 ", " 1.")
    return model
