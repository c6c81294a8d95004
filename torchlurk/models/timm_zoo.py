"""A network of timm, the extra package of many hundreds."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from torchlurk.datasets.transform import input_from_transform
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import (
    Weights,
    brief,
    fit_weights,
    match_weights,
    read_weights,
    state_digest,
)
from torchlurk.models.record import Network
from torchlurk.models.zoo import classes_of

PREFIX = "timm:"


def load_timm(
    spec: str,
    weights: str,
    *,
    first: Callable[[], Image.Image],
    seed: int,
    unsafe_pickle: bool,
    report: Callable[[str], None],
    load: Callable[[str], Any] = importlib.import_module,
) -> Network:
    """Make a network of timm, fed as its own data configuration says.

    Args:
        spec: `timm:NAME`.
        weights: `auto` for those that timm fetches, `random`, or a file.
        first: opens an image to try its transform on.
        seed: of random weights.
        unsafe_pickle: as for `read_weights`.
        report: is told, in a line, what takes long.
        load: imports a package.

    Raises:
        LurkError: timm is not installed, has no such network, or the weights cannot be had or do not fit.
    """
    name = spec.removeprefix(PREFIX)
    try:
        timm = load("timm")
    except ImportError as error:
        raise LurkError(f"--model {spec} wants the package timm ({brief(error)}): pip install timm") from None
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() tells all"
        raise LurkError(f"timm has no network {name!r}: {hint}")
    if weights in ("auto", "imagenet", "DEFAULT"):
        report(f"fetching timm's weights of {name}, once")
        module, found = _pretrained(timm, name)
    elif weights == "random":
        module = _made(timm, name, seed)
        found = Weights(module.state_dict(), f"random:{seed}", state_digest(module.state_dict()))
    else:
        found = read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
        module = _made(timm, name, seed)
        classes = classes_of(module, match_weights(module, found))
        if classes is not None:
            module = _made(timm, name, seed, num_classes=classes)
        fit_weights(module, found, report=report)
    tuned = found.tuned
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    return Network(
        module=module.eval(),
        title=name,
        source=spec,
        weights=found.name,
        weights_sha256=found.sha256,
        preprocess=(tuned and tuned.input) or input_from_transform(transform, first),
        classes=tuned.classes if tuned else _classes(timm, module),
    )


def _made(timm: Any, name: str, seed: int, **options: Any) -> nn.Module:
    """The network as it initialises itself, from a seed of its own."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(seed)
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return module


def _pretrained(timm: Any, name: str) -> tuple[nn.Module, Weights]:
    try:
        module: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # its hub has exceptions of many kinds
        raise LurkError(
            f"timm's weights of {name} cannot be fetched ({brief(error)}): give --weights FILE or random"
        ) from error
    tag = getattr(module, "pretrained_cfg", {}).get("tag") or "pretrained"
    state = module.state_dict()
    return module, Weights(state, f"timm:{tag}", state_digest(state))


def _classes(timm: Any, module: nn.Module) -> tuple[str, ...]:
    """The names of its outputs, where they are a set of ImageNet's classes."""
    subset = timm.data.infer_imagenet_subset(module)
    if not subset:
        return ()
    info = timm.data.ImageNetInfo(subset)
    count = info.num_classes() if callable(info.num_classes) else info.num_classes
    if count != getattr(module, "num_classes", None):
        return ()
    return tuple(info.index_to_description(index) for index in range(count))
