"""Embeddings of pictures: compare stores by the vectors that an embedding network gives their pictures."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.comparing.assemble import StorePair
from torchlurk.datasets.inputs import ImageArray
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError, Option
from torchlurk.graph import Graph, probe
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner, activation, outputs
from torchlurk.store.pictures import IMAGE, StoredPicture, StoredPictures, find_picture
from torchlurk.store.schema import Filter, round_float32

_CACHE_SIZE = 4096
"""Vectors kept in memory: many filters share a crop, and all filters of a layer share whole images."""

Pictures = tuple["HashedPicture", ...]
"""The pictures that one vector, the mean of theirs, stands for: a filter image, or the crops of a filter."""


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network that maps pictures to vectors.

    Attributes:
        network: The network, on its device and isolated.
        runner: How it is run.
        layer: The linear layer whose input is the vector, or the convolution whose rectified maps are
            averaged.
        linear: Whether `layer` is a linear layer.
    """

    network: Network
    runner: Runner
    layer: str
    linear: bool


def find_embedding(network: Network) -> EmbeddingNetwork:
    """Find where a network gives vectors: before its last linear layer, or else after its last convolution.

    Args:
        network: A network, on its device and isolated.

    Raises:
        LurkError: The network has neither kind of layer.
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
        noise = torch.rand(2, *network.shape, generator=torch.Generator().manual_seed(0)).to(like)
        runner, _ = probe(network.module, Graph((), ()), noise)
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(network.module.named_modules())
    linear = [name for name in called if isinstance(modules[name], nn.Linear)]
    convolutions = [name for name in called if isinstance(modules[name], nn.Conv2d)]
    if not linear and not convolutions:
        raise LurkError(
            f"{network.source} has neither a linear layer nor a convolution",
            ("give another network with ", Option("embed")),
        )
    return EmbeddingNetwork(network, runner, linear[-1] if linear else convolutions[-1], bool(linear))


def embed_images(embedding: EmbeddingNetwork, decoded: Sequence[ImageArray]) -> Tensor:
    """Return the vectors of images.

    Args:
        embedding: The embedding network.
        decoded: The images, decoded as the network's `preprocess` does.

    Returns:
        `(N, D)`, float64, on the CPU.
    """
    network = embedding.network
    like = next(network.module.parameters())
    pixels = torch.stack([torch.from_numpy(image) for image in decoded])
    x = network.preprocess.to_input(pixels.to(like.device))
    runner = embedding.runner
    with runner.in_memory_format(), runner.without_gradients():
        if not embedding.linear:
            return activation(runner, embedding.layer, x).clamp(min=0).mean((2, 3)).double().cpu()
        inputs_of_layer: list[Tensor] = []
        layer = network.module.get_submodule(embedding.layer)
        handle = layer.register_forward_pre_hook(lambda _, inputs: inputs_of_layer.append(inputs[0].clone()))
        try:
            outputs(runner, x)
        finally:
            handle.remove()
    return torch.cat(inputs_of_layer).detach().double().cpu()


def cosine_distance(first: Tensor | None, second: Tensor | None) -> float | None:
    """Return 1 minus the cosine of two vectors.

    Args:
        first: `(D,)`.
        second: `(D,)`.

    Returns:
        Exactly 0 for equal vectors; `None` if a vector is missing or zero.
    """
    if first is None or second is None:
        return None
    if torch.equal(first, second):
        return 0.0
    squared_norms = float((first @ first) * (second @ second))
    if squared_norms <= 0:
        return None
    return round_float32(1 - max(-1.0, min(1.0, float(first @ second) / squared_norms**0.5)))


@dataclass(frozen=True)
class HashedPicture:
    """A picture, identified by its contents: equal pictures have one vector.

    Attributes:
        key: A digest of the pixels or of the file.
        open: Returns the picture as RGB.
    """

    key: bytes
    open: Callable[[], Image.Image]


class PictureEmbedder:
    """Compare pictures by their vectors.

    The forwards dominate the time, so each picture is embedded once, however many filters and stores contain
    it, and pictures that are the same in all stores are not embedded at all.
    """

    def __init__(self, embedding: EmbeddingNetwork, batch_size: int) -> None:
        """Create an embedder.

        Args:
            embedding: The embedding network.
            batch_size: Pictures in one forward.
        """
        self._embedding = embedding
        self._batch_size = batch_size
        self._cache: OrderedDict[bytes, Tensor | None] = OrderedDict()
        self._digest_of_file = lru_cache(maxsize=_CACHE_SIZE)(lambda picture: _digest(picture.read()))

    def filter_image(self, stored: StoredPictures, entry: Filter) -> Pictures | None:
        """Return the filter image of a filter; `None` if there is none.

        Args:
            stored: The pictures of the filter's layer.
            entry: The filter.
        """
        if "max_activ" not in entry.pictures:
            return None
        return (_hashed(_open(find_picture(stored, entry.channel, "max_activ"))),)

    def crops(self, stored: StoredPictures, entry: Filter) -> Pictures:
        """Return the crops of a filter, or whole images if its units see the whole input.

        Args:
            stored: The pictures of the filter's layer, and the images of the store.
            entry: The filter.
        """
        if "cropped" not in entry.pictures:
            whole = [find_picture(stored, top.image, IMAGE) for top in entry.max]
            return tuple(HashedPicture(self._digest_of_file(one), partial(_open, one)) for one in whole)
        strip = _open(find_picture(stored, entry.channel, "cropped"))
        width = strip.width // len(entry.max)
        starts = range(0, width * len(entry.max), width)
        return tuple(_hashed(strip.crop((left, 0, left + width, strip.height))) for left in starts)

    def distances(
        self, pictures: Sequence[Sequence[Pictures | None]], pairs: Sequence[StorePair]
    ) -> dict[StorePair, list[float | None]]:
        """Compute the distances between the pictures of filters in different stores.

        Args:
            pictures: For each store a list with the pictures of the same filters.
            pairs: The store pairs.

        Returns:
            For each pair one value per filter: 1 minus the cosine of the means of their vectors, exactly 0 if
            the pictures are the same; `None` if there are none, or the network cannot take one of them.
        """
        filters = list(zip(*pictures, strict=True))
        different = [groups for groups in filters if not _same(groups)]
        vectors = self._vectors([one for groups in different for group in groups for one in group or ()])
        result: dict[StorePair, list[float | None]] = {pair: [] for pair in pairs}
        for groups in filters:
            if _same(groups):
                usable = groups[0] is not None and all(self._decoded(one) is not None for one in groups[0])
                for pair in pairs:
                    result[pair].append(0.0 if usable else None)
            else:
                means = [_mean([vectors[one.key] for one in group or ()]) for group in groups]
                for a, b in pairs:
                    result[a, b].append(cosine_distance(means[a], means[b]))
        return result

    def _vectors(self, pictures: Sequence[HashedPicture]) -> dict[bytes, Tensor | None]:
        """Return the vector of each picture by its key; `None` for pictures that the network cannot take."""
        vectors = {one.key: self._cache.pop(one.key) for one in pictures if one.key in self._cache}
        pending: dict[bytes, ImageArray] = {}
        for one in pictures:
            if one.key not in vectors and one.key not in pending:
                decoded = self._decoded(one)
                if decoded is None:
                    vectors[one.key] = None
                else:
                    pending[one.key] = decoded
        keys = list(pending)
        for start in range(0, len(keys), self._batch_size):
            chunk = keys[start : start + self._batch_size]
            embedded = embed_images(self._embedding, [pending[key] for key in chunk])
            vectors.update(zip(chunk, embedded, strict=True))
        self._cache.update(vectors)
        while len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return vectors

    def _decoded(self, picture: HashedPicture) -> ImageArray | None:
        try:
            return self._embedding.network.preprocess.to_array(picture.open())
        except BadImage:
            return None


def _same(groups: Sequence[Pictures | None]) -> bool:
    """Return whether a filter has the same pictures in all stores, or no pictures in any."""
    keys = {None if group is None else tuple(one.key for one in group) for group in groups}
    return len(keys) == 1


def _mean(vectors: Sequence[Tensor | None]) -> Tensor | None:
    available = [vector for vector in vectors if vector is not None]
    return torch.stack(available).mean(0) if available and len(available) == len(vectors) else None


def _hashed(image: Image.Image) -> HashedPicture:
    return HashedPicture(_digest(repr(image.size).encode() + image.tobytes()), lambda: image)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _open(picture: StoredPicture) -> Image.Image:
    """Read a picture as RGB."""
    return picture.open().convert("RGB")
