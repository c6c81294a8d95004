"""Load the networks of stores as their manifests describe them, and check that they are the right ones."""

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
from torchlurk.datasets.torchvision_dataset import TORCHVISION_PREFIX
from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint import Weights
from torchlurk.models.load import load_network, network_from_module
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner, activations
from torchlurk.models.timm_zoo import TIMM_PREFIX as TIMM
from torchlurk.pipeline.session import network_digest
from torchlurk.store.schema import round_float32

_SCORE_TOLERANCE = 0.01
"""By how much a score may differ from the store's, relative to the layer's highest score."""


@dataclass(frozen=True)
class NetworkSources:
    """What the user gives to load the networks, in addition to the stores' manifests.

    Attributes:
        models: None, one for all stores, or one per store; see `load_network`.
        weights: Weights files in any order; each is identified by its digest.
        unsafe_pickle: See `read_weights`.
    """

    models: tuple[str, ...] = ()
    weights: tuple[Path, ...] = ()
    unsafe_pickle: bool = False


LoadNetwork = Callable[[str, str, int | tuple[int, int] | None, int], Network]
"""Loads a network from a model, weights, an input size and a seed."""


def load_networks(
    stores: Sequence[Store],
    sources: NetworkSources,
    cache: Path,
    *,
    report: Callable[[str], None],
    first: Callable[[], Image.Image],
) -> tuple[Network, ...]:
    """Load the networks that the stores were computed from.

    Networks of torchvision and timm are created as the manifests describe them. A user's function is called
    only if `sources` names it, because a store may come from anyone.

    Args:
        stores: The stores.
        sources: What the user gives in addition to the manifests.
        cache: See `load_network`.
        report: Called with a line of text before a step that takes long.
        first: Opens the first image.

    Returns:
        The networks, in the order of the stores.

    Raises:
        LurkError: A network cannot be loaded, or is not the one that the store was computed from.
    """
    if len(sources.models) not in (0, 1, len(stores)):
        raise LurkError(
            f"given {len(sources.models)} times for {len(stores)} stores",
            "give it once for all stores, or once per store",
            Option("model"),
        )
    files = _files_by_digest(stores, sources.weights)
    # Everything that may be missing is found out before anything is downloaded.
    plans = [_plan(store, index, sources, files) for index, store in enumerate(stores)]

    def load(model: str, weights: str, size: int | tuple[int, int] | None, seed: int) -> Network:
        return load_network(
            model,
            weights,
            size,
            cache,
            report=report,
            seed=seed,
            first=first,
            unsafe_pickle=sources.unsafe_pickle,
        )

    return tuple(_load(store, *plan, load) for store, plan in zip(stores, plans, strict=True))


def _files_by_digest(stores: Sequence[Store], paths: Sequence[Path]) -> dict[str, Path]:
    """Return the weights files by digest.

    Raises:
        LurkError: A file cannot be read, or belongs to none of the stores.
    """
    digests = {store.manifest.model.weights_sha256 for store in stores}
    files: dict[str, Path] = {}
    for path in paths:
        try:
            with path.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as problem:
            raise LurkError(
                f"cannot read the file ({problem.strerror or problem})",
                "give a weights file",
                Option("weights", repr(str(path))),
            ) from problem
        if digest not in digests:
            expected = ", ".join(f"{store.name}: {_describe_weights(store)}" for store in stores)
            raise LurkError(
                f"the file (sha256 {digest[:8]}…) belongs to none of the stores ({expected})",
                "give the files that the stores were computed with",
                Option("weights", repr(str(path))),
            )
        files[digest] = path
    return files


def _describe_weights(store: Store) -> str:
    model = store.manifest.model
    return f"{model.weights}, sha256 {model.weights_sha256[:8]}…"


def _plan(store: Store, index: int, sources: NetworkSources, files: dict[str, Path]) -> tuple[str, str, int]:
    """Return the model, the weights and the seed that recreate a store's network."""
    recorded = store.manifest.model
    given = sources.models[index if len(sources.models) > 1 else 0] if sources.models else None
    model = given or recorded.source
    builtin = model.startswith((TORCHVISION_PREFIX, TIMM)) or ":" not in model
    if given is None and not recorded.source.startswith((TORCHVISION_PREFIX, TIMM)):
        raise LurkError(
            f"{str(store.path)!r} was computed with the user's own network {recorded.source!r}",
            ("give it with ", Option("model", "FILE.py:FUNCTION"), ", once for all stores or once per store"),
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
    if (kind == "timm" and builtin) or (not builtin and kind != "file"):
        return model, "auto", 0
    raise LurkError(
        f"{str(store.path)!r} was computed with the weights {_describe_weights(store)}",
        ("give that file with ", Option("weights")),
    )


def _load(store: Store, model: str, weights: str, seed: int, load: LoadNetwork) -> Network:
    shape = store.manifest.input.shape
    network = load(model, weights, None, seed)
    if network.shape != shape and network.shape[0] == shape[0]:
        network = load(model, weights, shape[1:], seed)
    check_network_of(store, network)
    return network


def wrap_module(store: Store, module: object, preprocess: PreprocessLike, images: ImageSet) -> Network:
    """Return the user's module as the network of a store.

    If the store records a digest of values, the module's values are checked against it. The digest of a file
    says nothing about a module; then only its scores are checked, see `check_scores`.

    Args:
        store: The store.
        module: The network.
        preprocess: Its preprocessing.
        images: The images.

    Raises:
        LurkError: It is not a module, or not the network of the store.
    """
    if not isinstance(module, nn.Module):
        raise LurkError(
            f"expected names or instances of torch.nn.Module, got {type(module).__name__}",
            option=Option("model"),
        )
    recorded, shape = store.manifest.model, store.manifest.input.shape
    of_file = recorded.weights.startswith(("file:", "imagenet:")) or recorded.weights in ("trunk", "caffe")
    digest = recorded.weights_sha256 if of_file else network_digest(module)
    network = network_from_module(
        module, preprocess, (), source=recorded.source, weights=Weights({}, recorded.weights, digest),
        size=shape[1:] if preprocess is None else None, first=lambda: first_image(images),
        display_channels=(),
    )  # fmt: skip
    check_network_of(store, network)
    return network


def check_network_of(store: Store, network: Network) -> None:
    """Check that a network is that of a store, by its weights, its input and its layers.

    Raises:
        LurkError: It is another network.
    """
    path, manifest = str(store.path), store.manifest
    if network.weights_sha256 != manifest.model.weights_sha256:
        raise LurkError(
            f"{path!r} was computed with the weights {_describe_weights(store)}, but the network has others "
            f"(sha256 {network.weights_sha256[:8]}…)",
            ("give the store's weights with ", Option("weights"), ", or compute the store again"),
        )
    preprocess, recorded = network.preprocess, manifest.input
    if network.shape != recorded.shape or any(
        [round_float32(value) for value in actual] != list(expected)
        for actual, expected in ((preprocess.mean, recorded.mean), (preprocess.std, recorded.std))
    ):
        raise LurkError(
            f"{path!r} was computed from inputs of {recorded.shape} with mean {recorded.mean}, but the "
            f"network takes {network.shape} with mean {list(preprocess.mean)}",
            "give the network with the transform of the store",
        )
    names = dict(network.module.named_modules())
    missing = [layer.name for layer in store.layers if layer.name not in names]
    if missing:
        raise LurkError(
            f"the network has no layer {missing[0]!r}, but {path!r} does",
            ("give the store's own network with ", Option("model")),
        )


def check_same_images(store: Store, images: ImageSet) -> None:
    """Check that images are those that a store was computed from.

    Raises:
        LurkError: They are other images.
    """
    dataset = store.manifest.dataset
    if images.digest != dataset.digest:
        raise LurkError(
            f"{images.name!r} are not the images that {str(store.path)!r} was computed from "
            f"({dataset.images} of {dataset.name!r})",
            "give the same images",
            Option("images"),
        )


def check_scores(
    store: Store, network: Network, runner: Runner, images: ImageSet, device: torch.device
) -> None:
    """Check that a network gives the scores of its store for one of the store's images.

    Args:
        store: The store.
        network: The network, on the device and isolated.
        runner: How the network is run.
        images: The images.
        device: The network's device.

    Raises:
        LurkError: The scores differ by more than rounding: the code or the transform has changed since.
    """
    files = {layer.name: store.file(layer.name) for layer in store.layers}
    image = files[store.layers[-1].name].filters[0].max[0].image
    pixels = load_pixels(images, network.preprocess, [image]).to(device)
    with runner.without_gradients():
        maps = activations(runner, list(files), network.preprocess.to_input(pixels))
    for (layer, file), map_ in zip(files.items(), maps, strict=True):
        maxima = map_[0].flatten(1).amax(1).tolist()
        scale = max(abs(top.score) for entry in file.filters for top in entry.max)
        for entry in file.filters:
            recorded = [top.score for top in entry.max if top.image == image]
            # Written so that NaN is refused, too.
            if recorded and not abs(maxima[entry.channel] - recorded[0]) <= _SCORE_TOLERANCE * scale:
                raise LurkError(
                    f"filter {entry.channel} of {layer!r} gives {maxima[entry.channel]:.4g} for image "
                    f"{images.paths[image]!r}, but {str(store.path)!r} records {recorded[0]:.4g}: the "
                    "network or its transform has changed since",
                    "compute the store again",
                )
