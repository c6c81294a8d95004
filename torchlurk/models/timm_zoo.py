"""Load a network of the package timm, with its weights and the preprocessing of its data configuration."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import nn

from torchlurk.datasets.transform import input_from_transform
from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint import Weights, load_weights, match_weights, read_weights, state_digest
from torchlurk.models.exceptions import short_message
from torchlurk.models.network import Network
from torchlurk.models.zoo import count_trained_classes

TIMM_PREFIX: Final = "timm:"


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
    """Load a network of timm.

    Args:
        spec: `timm:NAME`.
        weights: `auto` for those that timm downloads, `random`, or the path of a file.
        first: Opens an image to try the network's transform on.
        seed: Of random weights.
        unsafe_pickle: See `read_weights`.
        report: Called with a line about every choice and every slow step.
        load: Imports a package.

    Raises:
        LurkError: Timm is not installed, has no such network, or the weights cannot be downloaded or read, or
            do not fit.
    """
    name = spec.removeprefix(TIMM_PREFIX)
    try:
        timm = load("timm")
    except ImportError as error:
        raise LurkError(
            f"the package timm is needed ({short_message(error)})", "pip install timm", Option("model", spec)
        ) from None
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() returns all names"
        raise LurkError(f"timm has no network {name!r}", hint)
    if weights in ("auto", "imagenet", "DEFAULT"):
        report(f"downloading timm's weights of {name}, once")
        module, found = _with_timm_weights(timm, name)
    elif weights == "random":
        module = _with_random_weights(timm, name, seed)
        found = Weights(module.state_dict(), f"random:{seed}", state_digest(module.state_dict()))
    else:
        found = read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
        module = _with_random_weights(timm, name, seed)
        classes = count_trained_classes(module, match_weights(module, found))
        if classes is not None:
            module = _with_random_weights(timm, name, seed, num_classes=classes)
        load_weights(module, found, report=report)
    metadata = found.metadata
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    return Network(
        module=module.eval(),
        title=name,
        source=spec,
        weights=found.name,
        weights_sha256=found.sha256,
        preprocess=(metadata and metadata.input) or input_from_transform(transform, first),
        classes=metadata.classes if metadata else _class_names(timm, module),
    )


def _with_random_weights(timm: Any, name: str, seed: int, **options: Any) -> nn.Module:
    """Build a network with its own random initialisation; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(seed)
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return module


def _with_timm_weights(timm: Any, name: str) -> tuple[nn.Module, Weights]:
    """Build a network with the weights that timm downloads."""
    try:
        module: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # its hub raises many types
        raise LurkError(
            f"timm's weights of {name} cannot be downloaded ({short_message(error)})",
            ("give ", Option("weights", "FILE"), " or ", Option("weights", "random")),
        ) from error
    tag = getattr(module, "pretrained_cfg", {}).get("tag") or "pretrained"
    state = module.state_dict()
    return module, Weights(state, f"timm:{tag}", state_digest(state))


def _class_names(timm: Any, module: nn.Module) -> tuple[str, ...]:
    """Return the class names of the outputs, if they are a set of ImageNet's classes; otherwise `()`."""
    subset = timm.data.infer_imagenet_subset(module)
    if not subset:
        return ()
    info = timm.data.ImageNetInfo(subset)
    count = info.num_classes() if callable(info.num_classes) else info.num_classes
    if count != getattr(module, "num_classes", None):
        return ()
    return tuple(info.index_to_description(index) for index in range(count))
