"""What a filter image is optimised for: layer, objective and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

from torch import nn

from torchlurk.ascent.objectives import OBJECTIVES, Objective, unit_at
from torchlurk.ascent.optimise import supported_canvas_size
from torchlurk.errors import LurkError, Option, check_choice
from torchlurk.graph import Layer, prepare, select
from torchlurk.models.runner import Runner
from torchlurk.models.trial_forward import random_input


@dataclass(frozen=True)
class AscentTarget:
    """What a filter image is optimised for.

    Attributes:
        layer: The layer of the filter.
        objective: The function of its feature maps that is maximised.
        size: `(H, W)` of the image, in pixels.
        diversity_layer: The layer in which several images of one filter are made to differ.
    """

    layer: Layer
    objective: Objective
    size: tuple[int, int]
    diversity_layer: str


def resolve_ascent_target(
    model: nn.Module,
    shape: tuple[int, int, int],
    name: str,
    position: tuple[int, int] | None,
    objective: str | Objective,
    size: int | tuple[int, int] | None,
) -> AscentTarget:
    """Return the target that the arguments of `FeatureVisualizer` describe.

    Args:
        model: The network, isolated.
        shape: `(C, H, W)` of its input.
        name: Name of the layer.
        position: `(y, x)` of one unit; `None` for the whole feature map.
        objective: Name or function.
        size: Height and width of the image; `None` for the size that the layer needs.

    Raises:
        LurkError: The layer, the unit or the objective does not exist, or the size does not suit them.
    """
    layer = find_single_layer(model, shape, name)
    if isinstance(objective, str):
        check_choice("objective", objective, tuple(OBJECTIVES))
        objective = OBJECTIVES[objective].score
    whole = shape[1:]
    if position is None:
        runner = Runner(model, axes={layer.name: layer.axes})
        extent = supported_canvas_size(runner, layer.name, layer.field, whole, shape[0])
    else:
        _check_position(layer, position)
        objective, extent = unit_at(*position), whole
    if size is not None:
        extent = (size, size) if isinstance(size, int) else size
        if min(extent) < 1:
            raise LurkError("must be at least 1 pixel", option=Option("size", size))
        if position is not None and extent != whole:
            raise LurkError(
                f"a position refers to the feature map of an input of {whole[0]} x {whole[1]} pixels",
                ("leave out ", Option("size"), " or ", Option("position")),
                Option("size", size),
            )
    return AscentTarget(layer, objective, extent, _diversity_layer(model, shape, layer))


def find_single_layer(model: nn.Module, shape: tuple[int, int, int], name: str) -> Layer:
    """Return the layer of a name.

    Args:
        model: The network, isolated.
        shape: `(C, H, W)` of its input.
        name: Dotted name, or `logits`.

    Raises:
        LurkError: There is no such layer, or several.
    """
    _, graph = prepare(model, shape, (name,), random_input(model, shape))
    layers = graph.layers
    if len(layers) != 1:
        names = ", ".join(layer.name for layer in layers[:5])
        raise LurkError(f"{name!r} matches {len(layers)} layers ({names}, ...)", "name one of them")
    return layers[0]


def parse_channels(act_idx: int | Sequence[int]) -> tuple[bool, list[int]]:
    """Return whether `act_idx` is a sequence, and its numbers; integers of numpy and torch are accepted.

    Raises:
        LurkError: It is neither a number nor a sequence of numbers.
    """
    try:
        return False, [index(act_idx)]  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return True, [index(number) for number in act_idx]  # type: ignore[union-attr]
    except TypeError:
        raise LurkError(
            "not the number of a filter",
            "pass a number or a sequence of numbers",
            Option("act_idx", repr(act_idx)),
        ) from None


def check_channels(layer: Layer, channels: Sequence[int]) -> None:
    """Check the numbers of filters.

    Raises:
        LurkError: The layer has no such filter, or there are none.
    """
    if not channels:
        raise LurkError("act_idx is empty", "pass the number of a filter, or several")
    for channel in channels:
        if not 0 <= channel < layer.shape[0]:
            count = layer.shape[0]
            raise LurkError(
                f"layer {layer.name!r} has {count} filters, numbered 0 to {count - 1}",
                option=Option("act_idx", channel),
            )


def _check_position(layer: Layer, position: tuple[int, int]) -> None:
    y, x = position
    if not (0 <= y < layer.shape[1] and 0 <= x < layer.shape[2]):
        raise LurkError(
            f"the feature map of {layer.name!r} has {layer.shape[1]} rows and {layer.shape[2]} columns, "
            "numbered from 0",
            option=Option("position", position),
        )


def _diversity_layer(model: nn.Module, shape: tuple[int, int, int], layer: Layer) -> str:
    """Return the layer in which several images of one filter are made to differ.

    That is the layer itself if it has feature maps, otherwise the last convolution before it that has. A
    convolution with as many filters as the layer is skipped: in a network that ends without a linear layer it
    computes the classes, and images of one class cannot differ in what makes them that class.
    """
    if not layer.flat:
        return layer.name
    try:
        layers = select(model, shape, ("kind:Conv*d", layer.name)).layers
    except LurkError:  # no convolution
        return layer.name
    own = [one.name for one in layers].index(layer.name)
    with_maps = [one for one in layers[:own] if not one.flat and one.shape[0] != layer.shape[0]]
    return with_maps[-1].name if with_maps else layer.name
