"""Observe the outputs of modules: forward hooks, and how an output is read as feature maps `(N, C, H, W)`.

`output_hooks` registers hooks for the duration of a block. `MapAxes` says which dimensions of an output are
the batch and the channels; `as_feature_map` uses it to give the outputs of all layers the same layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.errors import LurkError, Option
from torchlurk.models.outputs import type_name

Observer = Callable[[Tensor], None]
"""Takes the output of a module as feature maps, `(N, C, H, W)`."""

_LEAVE_OUT = ("leave the layer out with ", Option("layers"))


@dataclass(frozen=True)
class MapAxes:
    """Which dimensions of a module's output are the batch and the channels; the others are spatial.

    Attributes:
        dims: The number of dimensions of the output.
        batch: The dimension of the images.
        channels: The dimension of the filters.
        tokens: Whether a single remaining dimension holds tokens, and not positions on a line. If the tokens
            form a square grid, with or without a class token in front, they are laid out as that grid.
    """

    dims: int
    batch: int
    channels: int
    tokens: bool = False

    @property
    def spatial(self) -> tuple[int, ...]:
        """The remaining dimensions, in order."""
        return tuple(dim for dim in range(self.dims) if dim not in (self.batch, self.channels))

    def map(self, output: Tensor) -> Tensor:
        """Return a view of an output as `(N, C, H, W)`.

        Raises:
            LurkError: The output has another number of dimensions.
        """
        if output.dim() != self.dims:
            raise LurkError(
                f"an output has shape {tuple(output.shape)}, and {self.dims} dimensions for another input",
                _LEAVE_OUT,
            )
        moved = output.permute(self.batch, self.channels, *self.spatial)
        if len(self.spatial) == 2:
            return moved
        if not self.spatial:
            return moved[:, :, None, None]
        return _grid(moved) if self.tokens else moved[:, :, None, :]


def _grid(tokens: Tensor) -> Tensor:
    """Return `(N, C, T)` tokens as a square grid, without a class token in front; otherwise as a column."""
    count = tokens.shape[2]
    for skipped in (0, 1):
        side = math.isqrt(max(count - skipped, 0))
        if side > 1 and side * side == count - skipped:
            return torch.unflatten(tokens[:, :, skipped:], 2, (side, side))
    return tokens[..., None]


_CHANNELS_LAST = (
    nn.Linear, nn.Bilinear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase, nn.Transformer,
    nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
)  # fmt: skip
"""Modules whose output has its channels in the last dimension."""

_CHANNELS_SECOND = (
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
"""Modules whose output has its channels in the second dimension, followed by the spatial dimensions."""


def axes_by_type(module: nn.Module, dims: int) -> MapAxes | None:
    """Return the axes of a module's output that follow from its type; `None` if none do.

    Args:
        module: The module.
        dims: The number of dimensions of its output.
    """
    if isinstance(module, nn.modules.conv._ConvNd):
        return MapAxes(dims, 0, 1) if dims == len(module.kernel_size) + 2 and dims < 5 else None
    # A subclass of LayerNorm may well permute its input, as torchvision's LayerNorm2d does.
    if isinstance(module, _CHANNELS_LAST) or type(module) is nn.LayerNorm:
        return MapAxes(dims, 0, dims - 1, tokens=dims == 3) if 2 <= dims <= 4 else None
    if isinstance(module, _CHANNELS_SECOND):
        return MapAxes(dims, 0, 1) if 2 <= dims <= 4 else None
    return None


def default_axes(module: nn.Module, dims: int) -> MapAxes | None:
    """Return `axes_by_type`, or those of the convention `(N, C, H, W)`, `(N, T, C)` or `(N, C)`.

    `None` for a convolution with an output that is not `(N, C, ...)`, and for fewer than two or more than
    four dimensions.
    """
    axes = axes_by_type(module, dims)
    if axes is not None or isinstance(module, nn.modules.conv._ConvNd) or not 2 <= dims <= 4:
        return axes
    return MapAxes(dims, 0, dims - 1 if dims == 3 else 1, tokens=dims == 3)


def first_output(output: object) -> Tensor | None:
    """Return the first tensor in what a module returned, dequantised; `None` if there is none.

    Raises:
        LurkError: The module is called inside a transform of `torch.func`, see `check_observable`.
    """
    tensor = next((leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)), None)
    if tensor is not None:
        check_observable(tensor)
    return tensor.dequantize() if tensor is not None and tensor.is_quantized else tensor


def check_observable(tensor: Tensor) -> None:
    """Check that a tensor is not a batched tensor inside a transform of `torch.func`, such as `vmap`.

    Raises:
        LurkError: It is, so its values cannot be read.
    """
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise LurkError(
            "the network calls its layers inside a transform of torch.func, such as vmap, where outputs "
            "cannot be observed",
            "give a network that calls its layers on the batch",
        )


def as_feature_map(module: nn.Module, output: object, axes: MapAxes | None = None) -> Tensor:
    """Return the first tensor in a module's output as feature maps `(N, C, H, W)`, a view of it.

    Args:
        module: The module.
        output: What it returned.
        axes: Of that tensor; `None` for `default_axes`.

    Raises:
        LurkError: There is no tensor, or its dimensions are not those of feature maps.
    """
    tensor = first_output(output)
    if tensor is None:
        raise LurkError(f"a {type(module).__name__} returns {type_name(output)}, no tensor", _LEAVE_OUT)
    axes = axes or default_axes(module, tensor.dim())
    if axes is None:
        raise LurkError(
            f"a {type(module).__name__} returns a tensor of shape {tuple(tensor.shape)}, which is neither "
            "(N, C, H, W), (N, T, C) nor (N, C)",
            _LEAVE_OUT,
        )
    return axes.map(tensor)


@contextmanager
def output_hooks(
    model: nn.Module, hooks: Mapping[str, Callable[[nn.Module, object], None]]
) -> Iterator[None]:
    """Call hooks with modules and what they return, on each forward inside.

    Args:
        model: A network.
        hooks: By the dotted name of a module; each is called with the module and its output.

    Raises:
        KeyError: A name is not a module of the model.
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
    """Return a hook with the signature that torch expects."""

    def call(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:  # noqa: ARG001
        hook(module, output)

    return call
