"""A network as a user names it: the module, its weights, and what it wants to be fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image
from torch import nn

from torchlurk.datasets.preprocess import PreprocessLike, resolve_preprocess
from torchlurk.datasets.transform import CustomTransform, choose_display_channels, noise_image
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, fit_weights, network_state, read_weights, state_digest
from torchlurk.models.checkpoint_metadata import renew_head, same_layer
from torchlurk.models.record import Network
from torchlurk.models.timm_zoo import PREFIX as TIMM
from torchlurk.models.timm_zoo import load_timm
from torchlurk.models.user_model import make_own, source_of
from torchlurk.models.validate import check_network, initialise_lazy
from torchlurk.models.zoo import load_torchvision
from torchlurk.runtime.names import escape_surrogates

__all__ = ["Network", "load_network", "network_of"]

TORCHVISION = "torchvision:"
WORDS = ("imagenet", "trunk", "caffe", "DEFAULT")
"""Weights that only torchvision's networks have."""


def load_network(
    model: str,
    weights: str,
    size: int | tuple[int, int] | None,
    cache: Path,
    *,
    report: Callable[[str], None],
    seed: int = 0,
    first: Callable[[], Image.Image] = noise_image,
    show: tuple[int, ...] = (),
    unsafe_pickle: bool = False,
) -> Network:
    """Make a network, load its weights, and see that it runs.

    Args:
        model: a classifier of torchvision, e.g. `vgg16`; `timm:NAME`; or a function that makes the
            network, `path/to/file.py:function` or `package.module:function`.
        weights: `auto`, `random`, a file; or a word of `resolve_weights`.
        size: height and width of its input in pixels, in place of those that its own preset has.
        cache: folder for converted weights.
        report: is told, in a line, what takes long or was chosen.
        seed: of weights that are initialised at random.
        first: opens the first image that will be fed, for transforms that say nothing of what they give.
        show: which channels of the input pictures show, where they are not one or three; `()` for the
            first three.
        unsafe_pickle: as for `read_weights`.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        LurkError: there is no such network, its weights cannot be found or do not fit, or it cannot be
            fed what it would be.
    """
    if model.startswith(TIMM):
        found = load_timm(model, weights, first=first, seed=seed, unsafe_pickle=unsafe_pickle, report=report)
        if size is not None:
            found = replace(found, preprocess=resolve_preprocess(found.module, found.preprocess, size))
    elif ":" in model and not model.startswith(TORCHVISION):
        found = _own(
            model, weights, size, first=first, seed=seed, unsafe_pickle=unsafe_pickle, show=show,
            report=report,
        )  # fmt: skip
    else:
        name = model.removeprefix(TORCHVISION)
        found = load_torchvision(
            name, weights, size, cache, seed=seed, unsafe_pickle=unsafe_pickle, report=report
        )  # fmt: skip
    if show and not isinstance(found.preprocess, CustomTransform):
        choose_display_channels(found.shape[0], show)
        raise LurkError(
            f"--show-channels {','.join(map(str, show))}: the input has {found.shape[0]} channels, which "
            "are shown as they are; leave it out"
        )
    check_network(found.module, found.shape)
    return found


def _own(
    model: str,
    weights: str,
    size: int | tuple[int, int] | None,
    *,
    first: Callable[[], Image.Image],
    seed: int,
    unsafe_pickle: bool,
    show: tuple[int, ...],
    report: Callable[[str], None],
) -> Network:
    """A network that a function of the user's makes."""
    if weights == "random" or (weights in WORDS and not Path(weights).exists()):
        raise LurkError(
            f"--weights {weights} is for networks of torchvision and timm: leave it out for the weights that "
            f"{model} gives, or name a file"
        )
    module, transform, names = make_own(model, seed)
    if weights == "auto":
        fed = resolve_preprocess(module, transform, size, first=first, display_channels=show)
        initialise_lazy(module, fed.shape, seed)
        state = network_state(module)
        found = Weights(state, "own", state_digest(state))
    else:
        found = read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
        if found.tuned is not None:
            renew_head(module, same_layer(module, found.tuned.head), len(found.tuned.classes), seed)
            transform, names = found.tuned.input or transform, found.tuned.classes
        fit_weights(module, found, report=report)
    return network_of(
        module, transform, names, source=source_of(model), weights=found, size=size, first=first, show=show
    )


def network_of(
    module: nn.Module,
    transform: PreprocessLike,
    names: tuple[str, ...],
    *,
    source: str,
    weights: Weights,
    size: int | tuple[int, int] | None,
    first: Callable[[], Image.Image],
    show: tuple[int, ...],
) -> Network:
    """A network of the user's own with what it is fed; it is not run.

    Args:
        module: the network.
        transform: what it is fed.
        names: what its outputs stand for, `()` where that is not known.
        source: where its code comes from.
        weights: what it holds.
        size: see `load_network`, likewise the others.
        first: opens the first image.
        show: which channels pictures show.

    Raises:
        LurkError: the transform does not do that, or there is no other for the network's channels.
    """
    return Network(
        module=module,
        title=escape_surrogates(type(module).__name__),
        source=escape_surrogates(source),
        weights=weights.name,
        weights_sha256=weights.sha256,
        preprocess=resolve_preprocess(module, transform, size, first=first, display_channels=show),
        classes=names,
    )
