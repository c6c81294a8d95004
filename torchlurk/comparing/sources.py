"""The networks behind stores: loaded again as their manifests say, and held against them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from torchlurk.comparing.compatibility import Store
from torchlurk.datasets.batches import first_image, load_pixels
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights
from torchlurk.models.network import TORCHVISION, Network, load_network, network_of
from torchlurk.models.runner import Runner, activations
from torchlurk.models.timm_zoo import PREFIX as TIMM
from torchlurk.pipeline.session import network_digest
from torchlurk.store.schema import round_float32

TOLERANCE = 0.01
"""A network whose scores are its store's, but for so much of the layer's largest, is the one that made it."""


@dataclass(frozen=True)
class Asked:
    """What a user says of the networks beside what the stores do.

    Attributes:
        models: none; one for all stores; or one for each: see `load_network`.
        weights: files, in any order: each is known by its digest.
        unsafe_pickle: see `read_weights`.
    """

    models: tuple[str, ...] = ()
    weights: tuple[Path, ...] = ()
    unsafe_pickle: bool = False


Load = Callable[[str, str, int | tuple[int, int] | None, int], Network]
"""Takes a model, weights, a size and a seed."""


def load_networks(
    stores: Sequence[Store],
    asked: Asked,
    cache: Path,
    *,
    report: Callable[[str], None],
    first: Callable[[], Image.Image],
) -> tuple[Network, ...]:
    """The networks that the stores were made of, in their order.

    What comes from torchvision and timm is made as the manifests say; a function of the user's is called only
    where it is named in `asked`, for a store may come from anyone.

    Args:
        stores: whose networks.
        asked: what there is beside the manifests.
        cache: see `load_network`.
        report: is told, in a line, what takes long.
        first: opens the first image.

    Raises:
        LurkError: a network cannot be had, or is not the one that the store was made of.
    """
    if len(asked.models) not in (0, 1, len(stores)):
        raise LurkError(
            f"--model is given {len(asked.models)} times for {len(stores)} stores: once for all, or once each"
        )
    files = _files(stores, asked.weights)
    # All that can be known to be missing, before anything is fetched.
    plans = [_plan(store, at, asked, files) for at, store in enumerate(stores)]

    def load(model: str, weights: str, size: int | tuple[int, int] | None, seed: int) -> Network:
        return load_network(
            model,
            weights,
            size,
            cache,
            report=report,
            seed=seed,
            first=first,
            unsafe_pickle=asked.unsafe_pickle,
        )

    return tuple(_load(store, *plan, load) for store, plan in zip(stores, plans, strict=True))


def _files(stores: Sequence[Store], paths: Sequence[Path]) -> dict[str, Path]:
    """The files of weights by their digests, each of which some store names."""
    known = {store.manifest.model.weights_sha256 for store in stores}
    found: dict[str, Path] = {}
    for path in paths:
        try:
            with path.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as problem:
            raise LurkError(
                f"weights {str(path)!r} cannot be read ({problem.strerror or problem}): give files"
            ) from problem
        if digest not in known:
            told = ", ".join(f"{store.name}: {_weights(store)}" for store in stores)
            raise LurkError(
                f"weights {str(path)!r} (sha256 {digest[:8]}…) are those of none of the stores ({told}): "
                "give the files that they were computed with"
            )
        found[digest] = path
    return found


def _weights(store: Store) -> str:
    model = store.manifest.model
    return f"{model.weights}, sha256 {model.weights_sha256[:8]}…"


def _plan(store: Store, at: int, asked: Asked, files: dict[str, Path]) -> tuple[str, str, int]:
    """Which model, which weights and which seed make the network of a store."""
    recorded = store.manifest.model
    given = asked.models[at if len(asked.models) > 1 else 0] if asked.models else None
    model = given or recorded.source
    plain = model.startswith((TORCHVISION, TIMM)) or ":" not in model
    if given is None and not recorded.source.startswith((TORCHVISION, TIMM)):
        raise LurkError(
            f"{str(store.path)!r} was computed with a network of one's own, {recorded.source!r}: give "
            "--model FILE.py:FUNCTION, once for all stores or once each"
        )
    kind, _, rest = recorded.weights.partition(":")
    file = files.get(recorded.weights_sha256)
    if file is not None:
        name, _, entry = rest.partition(f"{file.name}:")
        return model, f"{file}:{entry}" if entry and not name else str(file), 0
    if kind == "random" and rest.isdigit():
        return model, "random", int(rest)
    if kind == "imagenet" and rest:
        return model, rest, 0
    if recorded.weights in ("trunk", "caffe"):
        return model, recorded.weights, 0
    if (kind == "timm" and plain) or (not plain and kind != "file"):
        return model, "auto", 0
    raise LurkError(
        f"{str(store.path)!r} was computed with the weights {_weights(store)}: give that file by --weights"
    )


def _load(store: Store, model: str, weights: str, seed: int, load: Load) -> Network:
    shape = store.manifest.input.shape
    network = load(model, weights, None, seed)
    if network.shape != shape and network.shape[0] == shape[0]:
        network = load(model, weights, shape[1:], seed)
    check_network_of(store, network)
    return network


def handed_over(store: Store, module: object, preprocess: PreprocessLike, folder: ImageSet) -> Network:
    """A module of the caller's as the network of a store.

    Its values are held against the store's digest where that is one of values; the digest of a file says
    nothing of a module, whose scores are then all that it is known by.

    Args:
        store: whose network it is.
        module: the network.
        preprocess: what it is fed.
        folder: the images.

    Raises:
        LurkError: it is no module, or another network.
    """
    if not isinstance(module, nn.Module):
        raise LurkError(f"--model is a {type(module).__name__}: give names, or torch.nn.Modules")
    recorded, shape = store.manifest.model, store.manifest.input.shape
    of_file = recorded.weights.startswith(("file:", "imagenet:")) or recorded.weights in ("trunk", "caffe")
    digest = recorded.weights_sha256 if of_file else network_digest(module)
    network = network_of(
        module, preprocess, (), source=recorded.source, weights=Weights({}, recorded.weights, digest),
        size=shape[1:] if preprocess is None else None, first=lambda: first_image(folder), show=(),
    )  # fmt: skip
    check_network_of(store, network)
    return network


def check_network_of(store: Store, network: Network) -> None:
    """Refuse a network that is not that of a store, by its weights, its input or its layers.

    Raises:
        LurkError: it is another.
    """
    path, manifest = str(store.path), store.manifest
    if network.weights_sha256 != manifest.model.weights_sha256:
        raise LurkError(
            f"{path!r} was computed with the weights {_weights(store)}, and the network has others (sha256 "
            f"{network.weights_sha256[:8]}…): give those by --weights, or compute the store again"
        )
    fed = network.preprocess
    if network.shape != manifest.input.shape or any(
        [round_float32(value) for value in own] != list(told)
        for own, told in ((fed.mean, manifest.input.mean), (fed.std, manifest.input.std))
    ):
        raise LurkError(
            f"{path!r} was fed {manifest.input.shape} with mean {manifest.input.mean}, the network is fed "
            f"{network.shape} with {list(fed.mean)}: give the network with the transform of the store"
        )
    names = dict(network.module.named_modules())
    missing = [layer.name for layer in store.layers if layer.name not in names]
    if missing:
        raise LurkError(f"the network has no layer {missing[0]!r}, which {path!r} has: give its own --model")


def check_images(store: Store, folder: ImageSet) -> None:
    """Refuse images that are not those of a store.

    Raises:
        LurkError: they are others.
    """
    dataset = store.manifest.dataset
    if folder.digest != dataset.digest:
        raise LurkError(
            f"the images {folder.name!r} are not those that {str(store.path)!r} was computed from "
            f"({dataset.images} of {dataset.name!r}): give the same by --images"
        )


def check_scores(
    store: Store, network: Network, runner: Runner, folder: ImageSet, device: torch.device
) -> None:
    """Refuse a network that does not give the scores of its store for one of its images.

    Args:
        store: whose.
        network: on the device, isolated.
        runner: how it is run.
        folder: the images.
        device: of the network.

    Raises:
        LurkError: they differ by more than rounding: its code or its transform has changed since.
    """
    files = {layer.name: store.file(layer.name) for layer in store.layers}
    image = files[store.layers[-1].name].filters[0].max[0].image
    pixels = load_pixels(folder, network.preprocess, [image]).to(device)
    with runner.without_gradients():
        maps = activations(runner, list(files), network.preprocess.to_input(pixels))
    for (layer, file), found in zip(files.items(), maps, strict=True):
        again = found[0].flatten(1).amax(1).tolist()
        scale = max(abs(one.score) for entry in file.filters for one in entry.max)
        for entry in file.filters:
            told = [one.score for one in entry.max if one.image == image]
            if told and not abs(again[entry.channel] - told[0]) <= TOLERANCE * scale:  # nor NaN
                raise LurkError(
                    f"filter {entry.channel} of {layer!r} gives {again[entry.channel]:.4g} for image "
                    f"{folder.paths[image]!r}, and {str(store.path)!r} says {told[0]:.4g}: the network or "
                    "its transform has changed since, compute the store again"
                )
