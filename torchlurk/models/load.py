"""Load a network from the name that a user gives: the module, its weights, and its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image
from torch import nn

from torchlurk.datasets.preprocess import PreprocessLike, resolve_preprocess
from torchlurk.datasets.torchvision_dataset import TORCHVISION_PREFIX
from torchlurk.datasets.transform import CustomTransform, choose_display_channels, noise_image
from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint import Weights, load_weights, network_state, read_weights, state_digest
from torchlurk.models.checkpoint_metadata import replace_head, resolve_layer_name
from torchlurk.models.network import Network
from torchlurk.models.timm_zoo import TIMM_PREFIX, load_timm
from torchlurk.models.user_model import build_user_model, source_name
from torchlurk.models.validate import check_network, initialise_lazy
from torchlurk.models.zoo import load_torchvision
from torchlurk.runtime.names import escape_surrogates

_TORCHVISION_WEIGHTS: Final = ("imagenet", "trunk", "caffe", "DEFAULT")
"""Values of the option `weights` that only networks of torchvision and timm have."""


def load_network(
    model: str,
    weights: str,
    size: int | tuple[int, int] | None,
    cache: Path,
    *,
    report: Callable[[str], None],
    seed: int = 0,
    first: Callable[[], Image.Image] = noise_image,
    display_channels: tuple[int, ...] = (),
    unsafe_pickle: bool = False,
) -> Network:
    """Build a network, load its weights, and check that it runs.

    Args:
        model: A classifier of torchvision, e.g. `vgg16`; `timm:NAME`; or a function that returns the
            network, `path/to/file.py:function` or `package.module:function`.
        weights: `auto`, `random`, the path of a file, or another value that `resolve_weights` accepts.
        size: Height and width of its input in pixels; `None` for those of its preset.
        cache: Folder for converted weights.
        report: Called with a line about every choice and every slow step.
        seed: Of random initial weights.
        first: Opens the first image of the data set, for transforms that do not tell the shape of their
            output.
        display_channels: Which channels of the input to show in pictures, if it has neither one nor three;
            `()` for the first three.
        unsafe_pickle: See `read_weights`.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        LurkError: There is no such network, its weights cannot be found or do not fit, or its
            preprocessing does not give the input that it takes.
    """
    if model.startswith(TIMM_PREFIX):
        network = load_timm(
            model, weights, first=first, seed=seed, unsafe_pickle=unsafe_pickle, report=report
        )
        if size is not None:
            preprocess = resolve_preprocess(network.module, network.preprocess, size)
            network = replace(network, preprocess=preprocess)
    elif ":" in model and not model.startswith(TORCHVISION_PREFIX):
        network = _load_user_network(
            model, weights, size, first=first, seed=seed, unsafe_pickle=unsafe_pickle,
            display_channels=display_channels, report=report,
        )  # fmt: skip
    else:
        name = model.removeprefix(TORCHVISION_PREFIX)
        network = load_torchvision(
            name, weights, size, cache, seed=seed, unsafe_pickle=unsafe_pickle, report=report
        )
    if display_channels and not isinstance(network.preprocess, CustomTransform):
        channels = network.shape[0]
        choose_display_channels(channels, display_channels)
        raise LurkError(
            f"the input has {channels} channels, which are all shown",
            "leave it out",
            Option("show_channels", ",".join(map(str, display_channels))),
        )
    check_network(network.module, network.shape)
    return network


def _load_user_network(
    model: str,
    weights: str,
    size: int | tuple[int, int] | None,
    *,
    first: Callable[[], Image.Image],
    seed: int,
    unsafe_pickle: bool,
    display_channels: tuple[int, ...],
    report: Callable[[str], None],
) -> Network:
    """Build the network that a function of the user returns, and load a weights file into it, if any."""
    if weights == "random" or (weights in _TORCHVISION_WEIGHTS and not Path(weights).exists()):
        raise LurkError(
            "only networks of torchvision and timm have these weights",
            f"leave it out for the weights that {model} returns, or name a file",
            Option("weights", weights),
        )
    module, transform, classes = build_user_model(model, seed)
    if weights == "auto":
        preprocess = resolve_preprocess(
            module, transform, size, first=first, display_channels=display_channels
        )
        initialise_lazy(module, preprocess.shape, seed)
        state = network_state(module)
        found = Weights(state, "own", state_digest(state))
    else:
        found = read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
        metadata = found.metadata
        if metadata is not None:
            replace_head(module, resolve_layer_name(module, metadata.head), len(metadata.classes), seed)
            transform, classes = metadata.input or transform, metadata.classes
        load_weights(module, found, report=report)
    return network_from_module(
        module, transform, classes, source=source_name(model), weights=found, size=size, first=first,
        display_channels=display_channels,
    )  # fmt: skip


def network_from_module(
    module: nn.Module,
    transform: PreprocessLike,
    names: tuple[str, ...],
    *,
    source: str,
    weights: Weights,
    size: int | tuple[int, int] | None,
    first: Callable[[], Image.Image],
    display_channels: tuple[int, ...],
) -> Network:
    """Return a user's module as a `Network`; it is not run.

    Args:
        module: The network.
        transform: Its preprocessing.
        names: The class names of its outputs; `()` if unknown.
        source: Where its code comes from.
        weights: The weights that it holds.
        size: See `load_network`.
        first: See `load_network`.
        display_channels: See `load_network`.

    Raises:
        LurkError: The transform cannot be used, or there is no default for the channels of the network.
    """
    return Network(
        module=module,
        title=escape_surrogates(type(module).__name__),
        source=escape_surrogates(source),
        weights=weights.name,
        weights_sha256=weights.sha256,
        preprocess=resolve_preprocess(
            module, transform, size, first=first, display_channels=display_channels
        ),
        classes=names,
    )
