"""Observing the outputs of modules: forward hooks, and the feature maps that outputs are read as."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.errors import LurkError

Observer = Callable[[Tensor], None]
"""Takes the output of a module as feature maps, `(N, C, H, W)`."""


@dataclass(frozen=True)
class MapAxes:
    """Which dimensions of a module's output are the batch and the channels; the others are the map.

    Attributes:
        dims: how many dimensions the output has.
        batch: the dimension of the images.
        channels: the dimension of the filters.
        tokens: whether a single remaining dimension holds tokens, and not a line of places. Tokens of a
            square grid are laid out as one, without the class token in front.
    """

    dims: int
    batch: int
    channels: int
    tokens: bool = False

    @property
    def spatial(self) -> tuple[int, ...]:
        """The remaining dimensions, in their order."""
        return tuple(dim for dim in range(self.dims) if dim not in (self.batch, self.channels))

    def map(self, output: Tensor) -> Tensor:
        """A view of an output as `(N, C, H, W)`.

        Raises:
            LurkError: it has another number of dimensions.
        """
        if output.dim() != self.dims:
            raise LurkError(
                f"an output of shape {tuple(output.shape)}, where there were {self.dims} dimensions before: "
                "leave the layer out by --layers"
            )
        moved = output.permute(self.batch, self.channels, *self.spatial)
        if len(self.spatial) == 2:
            return moved
        if not self.spatial:
            return moved[:, :, None, None]
        return _grid(moved) if self.tokens else moved[:, :, None, :]


def _grid(tokens: Tensor) -> Tensor:
    """`(N, C, T)` as the square that T tokens make, without one in front; else as a column."""
    count = tokens.shape[2]
    for skipped in (0, 1):
        side = math.isqrt(max(count - skipped, 0))
        if side > 1 and side * side == count - skipped:
            return torch.unflatten(tokens[:, :, skipped:], 2, (side, side))
    return tokens[..., None]


_LAST = (
    nn.Linear, nn.Bilinear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.Transformer,
    nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
)  # fmt: skip
"""Modules that have their channels in the last dimension."""

_SECOND = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.PixelShuffle,
    nn.Upsample,
    nn.Unfold,
)
"""Modules that have their channels in the second dimension, and the places of a map behind it."""


def usual_axes(module: nn.Module, dims: int) -> MapAxes | None:
    """The axes of a module's output that its kind alone tells; `None` if it does not tell them.

    Args:
        module: the module.
        dims: how many dimensions its output has.
    """
    if isinstance(module, nn.modules.conv._ConvNd):
        return MapAxes(dims, 0, 1) if dims == len(module.kernel_size) + 2 and dims < 5 else None
    # A subclass of LayerNorm may well permute its input, as torchvision's LayerNorm2d does.
    if isinstance(module, _LAST) or type(module) is nn.LayerNorm:
        return MapAxes(dims, 0, dims - 1, tokens=dims == 3) if 2 <= dims <= 4 else None
    if isinstance(module, _SECOND):
        return MapAxes(dims, 0, 1) if 2 <= dims <= 4 else None
    return None


def guessed_axes(module: nn.Module, dims: int) -> MapAxes | None:
    """`usual_axes`, or else the convention: `(N, C, H, W)`, `(N, T, C)` or `(N, C)`."""
    known = usual_axes(module, dims)
    if known is not None or isinstance(module, nn.modules.conv._ConvNd) or not 2 <= dims <= 4:
        return known
    return MapAxes(dims, 0, dims - 1 if dims == 3 else 1, tokens=dims == 3)


def first_output(output: object) -> Tensor | None:
    """The first tensor in what a module returned, dequantised; `None` if there is none.

    Raises:
        LurkError: it is none that can be read, but stands for many inside a transform of `torch.func`.
    """
    tensor = next((leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)), None)
    if tensor is not None:
        check_observable(tensor)
    return tensor.dequantize() if tensor is not None and tensor.is_quantized else tensor


def check_observable(tensor: Tensor) -> None:
    """Refuse a tensor that stands for many inside a transform of `torch.func`.

    Raises:
        LurkError: it does.
    """
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise LurkError(
            "the network calls its layers inside a transform of torch.func, such as vmap, where outputs "
            "cannot be observed: give a network that calls them on the batch"
        )


def as_map(module: nn.Module, output: object, axes: MapAxes | None = None) -> Tensor:
    """What a module returned as feature maps `(N, C, H, W)`: a view of the first tensor in it.

    Args:
        module: the module.
        output: what it returned.
        axes: of that tensor; `None` for those of `guessed_axes`.

    Raises:
        LurkError: there is no tensor in it, or its dimensions are not those of feature maps.
    """
    tensor = first_output(output)
    if tensor is None:
        raise LurkError(
            f"a {type(module).__name__} gives no tensor but {type(output).__name__}: leave it out by --layers"
        )
    axes = axes or guessed_axes(module, tensor.dim())
    if axes is None:
        raise LurkError(
            f"a {type(module).__name__} gives {tuple(tensor.shape)}, which is neither (N, C, H, W), "
            "(N, T, C) nor (N, C): leave it out by --layers"
        )
    return axes.map(tensor)


@contextmanager
def output_hooks(
    model: nn.Module, hooks: Mapping[str, Callable[[nn.Module, object], None]]
) -> Iterator[None]:
    """Call `hooks[name]` with the module of that dotted name and what it returned, on each forward inside.

    Raises:
        KeyError: a name is not a module of the model.
    """
    modules = dict(model.named_modules())
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, hook in hooks.items():
            handles.append(modules[name].register_forward_hook(_forward_hook(hook)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _forward_hook(
    hook: Callable[[nn.Module, object], None],
) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    def call(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:  # noqa: ARG001
        hook(module, output)

    return call
