"""Pictures of two stores as vectors in a third network, the older way of comparing filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.comparing.alike import Store
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError
from torchlurk.hooks import activation
from torchlurk.models.record import Network
from torchlurk.store.read import PICTURE_FORMATS
from torchlurk.store.schema import Filter, image_path, number, picture_path

KEPT = 4096
"""Vectors of whole images kept in memory, for many filters share them."""


@dataclass(frozen=True)
class Embedding:
    """A network that makes vectors of pictures.

    Attributes:
        network: on its device, at rest.
        layer: the linear layer whose input is the vector; or the convolution the means of whose maps are.
        head: whether it is a linear layer.
    """

    network: Network
    layer: str
    head: bool


def embedding_of(network: Network) -> Embedding:
    """Where a network has its vectors: before its last linear layer, or else behind its last convolution.

    Raises:
        LurkError: it has neither.
    """
    called: list[str] = []
    handles = []
    try:
        for name, module in network.module.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):

                def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                    if isinstance(module, nn.Conv2d) or inputs[0].dim() == 2:
                        called.append(name)

                handles.append(module.register_forward_pre_hook(note))
        like = next(network.module.parameters())
        with torch.inference_mode():
            network.module(like.new_zeros(1, *network.shape))
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(network.module.named_modules())
    heads = [name for name in called if isinstance(modules[name], nn.Linear)]
    convolutions = [name for name in called if isinstance(modules[name], nn.Conv2d)]
    if not heads and not convolutions:
        raise LurkError(
            f"{network.source} has neither a linear layer nor a convolution: give another --embed"
        )
    return Embedding(network, heads[-1] if heads else convolutions[-1], bool(heads))


def vectors(embedding: Embedding, images: Sequence[Image.Image]) -> Tensor:
    """A vector for each image, `(N, D)`, float64 on the CPU.

    Raises:
        BadImage: one of them cannot be fed to the network.
    """
    network = embedding.network
    like = next(network.module.parameters())
    pixels = torch.stack(
        [torch.from_numpy(network.preprocess.decoded(image.convert("RGB"))) for image in images]
    )
    x = network.preprocess.normalise(pixels.to(like.device))
    with torch.inference_mode():
        if not embedding.head:
            return activation(network.module, embedding.layer, x).clamp(min=0).mean((2, 3)).double().cpu()
        kept: list[Tensor] = []
        head = network.module.get_submodule(embedding.layer)
        handle = head.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].clone()))  # noqa: ARG005
        try:
            network.module(x)
        finally:
            handle.remove()
    return kept[0].double().cpu()


def apart(one: Tensor | None, other: Tensor | None) -> float | None:
    """1 less the cosine of two vectors, exactly 0 if they are equal; `None` where one is missing or zero."""
    if one is None or other is None:
        return None
    if torch.equal(one, other):
        return 0.0
    within = float((one @ one) * (other @ other))
    if within <= 0:
        return None
    return number(1 - max(-1.0, min(1.0, float(one @ other) / within**0.5)))


class Embedder:
    """Makes vectors of the pictures of filters."""

    def __init__(self, embedding: Embedding) -> None:
        """Ready to look.

        Args:
            embedding: what makes the vectors.
        """
        self._embedding = embedding
        # Alone in its batch, so that a vector does not depend on who asked first.
        self._whole = lru_cache(maxsize=KEPT)(lambda path: self._mean([_open(path)]))

    def image(self, store: Store, layer: str, entry: Filter) -> Tensor | None:
        """The vector of a filter image, `(D,)`; `None` where there is none."""
        if "max_activ" not in entry.pictures:
            return None
        return self._mean([_open(store.path / picture_path("max_activ", layer, entry.channel))])

    def crops(self, store: Store, layer: str, entry: Filter) -> Tensor | None:
        """The mean of the vectors of a filter's crops, or of whole images where its units see all of them."""
        if "cropped" in entry.pictures:
            strip = _open(store.path / picture_path("cropped", layer, entry.channel))
            width = strip.width // len(entry.max)
            starts = range(0, width * len(entry.max), width)
            return self._mean([strip.crop((left, 0, left + width, strip.height)) for left in starts])
        found = [self._whole(store.path / image_path(one.image)) for one in entry.max]
        if any(one is None for one in found):
            return None
        return torch.stack([one for one in found if one is not None]).mean(0)

    def _mean(self, images: Sequence[Image.Image]) -> Tensor | None:
        try:
            return vectors(self._embedding, images).mean(0)
        except BadImage:
            return None


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            picture.load()
            return picture.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise LurkError(f"{str(path)!r} cannot be read ({problem}): compute its store again") from problem
