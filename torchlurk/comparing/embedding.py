"""Pictures of two stores as vectors in a third network, the older way of comparing filters."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.comparing.assemble import Pair
from torchlurk.comparing.compatibility import Store
from torchlurk.datasets.inputs import ImageArray
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError
from torchlurk.graph import Graph, probe
from torchlurk.models.record import Network
from torchlurk.models.runner import Runner, activation, outputs
from torchlurk.store.read import PICTURE_FORMATS
from torchlurk.store.schema import Filter, image_path, picture_path, round_float32

KEPT = 4096
"""Vectors kept in memory, for many filters share a crop, and all of a layer whole images."""

Pictures = tuple["Picture", ...]
"""What one vector stands for, their mean: a filter image, or the crops of a filter."""


@dataclass(frozen=True)
class Embedding:
    """A network that makes vectors of pictures.

    Attributes:
        network: on its device, isolated.
        runner: how it is run.
        layer: the linear layer whose input is the vector; or the convolution the means of whose maps are.
        head: whether it is a linear layer.
    """

    network: Network
    runner: Runner
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
        noise = torch.rand(2, *network.shape, generator=torch.Generator().manual_seed(0)).to(like)
        runner, _ = probe(network.module, Graph((), ()), noise)
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
    return Embedding(network, runner, heads[-1] if heads else convolutions[-1], bool(heads))


def vectors(embedding: Embedding, decoded: Sequence[ImageArray]) -> Tensor:
    """A vector for each image that was decoded as the network wants it, `(N, D)`, float64 on the CPU."""
    network = embedding.network
    like = next(network.module.parameters())
    x = network.preprocess.to_input(torch.stack([torch.from_numpy(one) for one in decoded]).to(like.device))
    runner = embedding.runner
    with runner.laid_out(), runner.without_gradients():
        if not embedding.head:
            return activation(runner, embedding.layer, x).clamp(min=0).mean((2, 3)).double().cpu()
        kept: list[Tensor] = []
        head = network.module.get_submodule(embedding.layer)
        handle = head.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].clone()))  # noqa: ARG005
        try:
            outputs(runner, x)
        finally:
            handle.remove()
    return torch.cat(kept).detach().double().cpu()


def apart(one: Tensor | None, other: Tensor | None) -> float | None:
    """1 less the cosine of two vectors, exactly 0 if they are equal; `None` where one is missing or zero."""
    if one is None or other is None:
        return None
    if torch.equal(one, other):
        return 0.0
    within = float((one @ one) * (other @ other))
    if within <= 0:
        return None
    return round_float32(1 - max(-1.0, min(1.0, float(one @ other) / within**0.5)))


@dataclass(frozen=True)
class Picture:
    """A picture, known by what it holds: two that are equal have one vector.

    Attributes:
        key: a digest of the pixels, or of the file.
        open: gives the pixels, RGB.
    """

    key: bytes
    open: Callable[[], Image.Image]


class Embedder:
    """Compares pictures by their vectors.

    A forward takes longer than all else, so each picture is fed once, however many filters of however many
    stores have it, and one that is the same in all stores not at all.
    """

    def __init__(self, embedding: Embedding, batch_size: int) -> None:
        """Ready to look.

        Args:
            embedding: what makes the vectors.
            batch_size: pictures in one forward.
        """
        self._embedding = embedding
        self._batch_size = batch_size
        self._known: OrderedDict[bytes, Tensor | None] = OrderedDict()
        self._whole = lru_cache(maxsize=KEPT)(lambda path: _digest(_read(path)))

    def filter_image(self, store: Store, layer: str, entry: Filter) -> Pictures | None:
        """The filter image of a filter; `None` where there is none."""
        if "max_activ" not in entry.pictures:
            return None
        return (_picture(_open(store.path / picture_path("max_activ", layer, entry.channel))),)

    def crops(self, store: Store, layer: str, entry: Filter) -> Pictures:
        """The crops of a filter, or whole images where its units see all of them."""
        if "cropped" not in entry.pictures:
            paths = [store.path / image_path(one.image) for one in entry.max]
            return tuple(Picture(self._whole(path), partial(_open, path)) for path in paths)
        strip = _open(store.path / picture_path("cropped", layer, entry.channel))
        width = strip.width // len(entry.max)
        starts = range(0, width * len(entry.max), width)
        return tuple(_picture(strip.crop((left, 0, left + width, strip.height))) for left in starts)

    def distances(
        self, pictures: Sequence[Sequence[Pictures | None]], pairs: Sequence[Pair]
    ) -> dict[Pair, list[float | None]]:
        """How far filters lie apart from store to store.

        Args:
            pictures: a list for each store, of the same filters.
            pairs: which of the stores.

        Returns:
            For each pair a value for each filter: 1 less the cosine of the means of their vectors, exactly 0
            where the pictures are the same; `None` where there are none, or one cannot be fed to the network.
        """
        filters = list(zip(*pictures, strict=True))
        others = [groups for groups in filters if not _same(groups)]
        vectors = self._vectors([one for groups in others for group in groups for one in group or ()])
        found: dict[Pair, list[float | None]] = {pair: [] for pair in pairs}
        for groups in filters:
            if _same(groups):
                fed = groups[0] is not None and all(self._decoded(one) is not None for one in groups[0])
                means = None
            else:
                means = [_mean([vectors[one.key] for one in group or ()]) for group in groups]
            for a, b in pairs:
                found[a, b].append(apart(means[a], means[b]) if means else 0.0 if fed else None)
        return found

    def _vectors(self, pictures: Sequence[Picture]) -> dict[bytes, Tensor | None]:
        """The vector of each picture by its key; `None` of what cannot be fed to the network."""
        found = {one.key: self._known.pop(one.key) for one in pictures if one.key in self._known}
        waiting: dict[bytes, ImageArray] = {}
        for one in pictures:
            if one.key not in found and one.key not in waiting:
                decoded = self._decoded(one)
                if decoded is None:
                    found[one.key] = None
                else:
                    waiting[one.key] = decoded
        keys = list(waiting)
        for start in range(0, len(keys), self._batch_size):
            own = keys[start : start + self._batch_size]
            made = vectors(self._embedding, [waiting[key] for key in own])
            found.update(zip(own, made, strict=True))
        self._known.update(found)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found

    def _decoded(self, picture: Picture) -> ImageArray | None:
        try:
            return self._embedding.network.preprocess.to_array(picture.open())
        except BadImage:
            return None


def _same(groups: Sequence[Pictures | None]) -> bool:
    """Whether a filter has the same pictures in all stores, or in none any."""
    keys = {None if group is None else tuple(one.key for one in group) for group in groups}
    return len(keys) == 1


def _mean(own: Sequence[Tensor | None]) -> Tensor | None:
    there = [one for one in own if one is not None]
    return torch.stack(there).mean(0) if there and len(there) == len(own) else None


def _picture(image: Image.Image) -> Picture:
    return Picture(_digest(repr(image.size).encode() + image.tobytes()), lambda: image)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise _unreadable(path, problem) from problem


def _open(path: Path) -> Image.Image:
    """A picture in RGB."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: Exception) -> LurkError:
    return LurkError(f"{str(path)!r} cannot be read ({problem}): compute its store again")
