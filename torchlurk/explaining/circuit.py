"""Circuits of single images: which filters a unit is made of, and where in the image each contributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from torchlurk.attribution.targets import LOGITS, ClassLogit, LayerUnit, Target
from torchlurk.circuits.one_unit import (
    ContributionMaps,
    contribution_maps,
    convolutions_and_linear_layers,
    prepared,
    strongest_unit,
)
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError
from torchlurk.explaining.images import ImageLike, load_images
from torchlurk.explaining.targets import target_name
from torchlurk.graph import Graph
from torchlurk.models.isolation import isolated
from torchlurk.models.validate import as_module, check_module
from torchlurk.runtime.devices import deterministic_float32
from torchlurk.runtime.jpeg import Pixels

_Window = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of the input, half-open; it may extend beyond the image."""


@dataclass(frozen=True)
class CircuitPart:
    """A filter directly upstream that contributes to a unit.

    Attributes:
        layer: Its layer.
        channel: Its number.
        contribution: Its contribution to the activation of the unit; negative if it inhibits the unit.
        share: The contribution divided by the sum of the magnitudes of all contributions.
        at: `(y, x)`, the position of its map that contributes most.
        window: The receptive field of that position.
        map: `(H, W)`, float32, on the CPU: the contribution of each position.
    """

    layer: str
    channel: int
    contribution: float
    share: float
    at: tuple[int, int]
    window: _Window
    map: Tensor = field(repr=False)


@dataclass(frozen=True)
class UnitCircuit:
    """What a unit is made of in one image: `score = excitation + inhibition + rest`.

    Attributes:
        name: Name of the image's file.
        picture: The image as the network sees it, `(H, W, 3)`, uint8.
        target_name: A readable name of the target.
        unit: The unit, with its position.
        window: Its receptive field.
        score: Its activation.
        excitation: The sum of the positive contributions.
        inhibition: The sum of the negative contributions, at most 0.
        rest: What no filter contributes: biases, and curvature if the network is not piecewise linear.
        excited_by: The filters with the largest positive contributions, largest first.
        inhibited_by: The filters with the largest negative contributions, largest first.
    """

    name: str
    picture: Pixels = field(repr=False)
    target_name: str
    unit: LayerUnit
    window: _Window
    score: float
    excitation: float
    inhibition: float
    rest: float
    excited_by: tuple[CircuitPart, ...]
    inhibited_by: tuple[CircuitPart, ...]


def explain_circuits(
    model: nn.Module,
    preprocess: PreprocessLike,
    images: Sequence[ImageLike],
    targets: Sequence[Target],
    *,
    classes: Sequence[str] | None = (),
    exciting: int = 6,
    inhibiting: int = 3,
) -> tuple[UnitCircuit, ...]:
    """Compute what units are made of in images, and where.

    The network runs in evaluation mode on its device, and its state is restored afterwards.

    Args:
        model: A network that takes `(N, C, H, W)`.
        preprocess: As in `explain`.
        images: Files or PIL images.
        targets: For each image a class or a unit. Of a filter without a position, the strongest unit counts.
        classes: Names of the network's outputs, as in `explain`.
        exciting: Largest number of filters in `excited_by`.
        inhibiting: Largest number of filters in `inhibited_by`.

    Returns:
        One circuit per image, in order.

    Raises:
        LurkError: An image cannot be read, there is no such unit, or no layer is directly upstream of it.

    Examples:
        >>> from torchlurk.attribution.targets import LayerUnit
        >>> from torchlurk.explaining import explain_circuits
        >>> kitten = photos / "farm/kitten.jpg"
        >>> (found,) = explain_circuits(model, preprocess, [kitten], [LayerUnit("features.14", 7)])
        >>> found.excited_by[0].layer
        'features.10'
        >>> abs(found.score - found.excitation - found.inhibition - found.rest) < 1e-5
        True
    """
    model = as_module(model)
    check_module(model)
    loaded = list(load_images(model, images, preprocess))
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    circuits = []
    with deterministic_float32(like.device), isolated(model):
        for (name, image), target in zip(loaded, targets, strict=True):
            x, _ = image.to(like)
            unit = LayerUnit(LOGITS, target.index, (0, 0)) if isinstance(target, ClassLogit) else target
            found = _explain_unit(model, name, image.picture(), x, unit, exciting, inhibiting)
            if isinstance(target, ClassLogit):
                found = replace(found, target_name=target_name(target, classes))
            circuits.append(found)
    return tuple(circuits)


def _explain_unit(
    model: nn.Module,
    name: str,
    picture: Pixels,
    x: Tensor,
    unit: LayerUnit,
    exciting: int,
    inhibiting: int,
) -> UnitCircuit:
    patterns = convolutions_and_linear_layers(model)
    while True:
        with prepared(model, x, unit.layer, patterns) as (runner, graph, layer):
            unit = strongest_unit(runner, LayerUnit(layer, unit.channel, unit.at), x)
            assert unit.at is not None
            found = contribution_maps(runner, graph, x, unit)
        if not found.maps:
            raise LurkError(
                f"no layer is directly upstream of {unit.layer!r}", "choose a unit of a later layer"
            )
        copied = _copied_layer(found)
        if copied is None or copied not in patterns:
            break
        patterns.remove(copied)
    sums = {source: maps.sum((1, 2)).double().cpu() for source, maps in found.maps.items()}
    joint = torch.cat(list(sums.values()))
    total = float(joint.abs().sum()) or 1.0
    excitation, inhibition = float(joint.clamp(min=0).sum()), float(joint.clamp(max=0).sum())
    names = [(source, channel) for source, values in sums.items() for channel in range(len(values))]

    def parts(values: Tensor, count: int) -> tuple[CircuitPart, ...]:
        order = values.argsort(descending=True, stable=True)[:count].tolist()
        return tuple(
            _part(graph, names[at], found.maps[names[at][0]], float(joint[at]), total)
            for at in order
            if values[at] > 0
        )

    return UnitCircuit(
        name=name,
        picture=picture,
        target_name=str(unit),
        unit=unit,
        window=graph.layer(unit.layer).field.window(*unit.at),
        score=found.score,
        excitation=excitation,
        inhibition=inhibition,
        rest=found.score - excitation - inhibition,
        excited_by=parts(joint, exciting),
        inhibited_by=parts(-joint, inhibiting),
    )


def _copied_layer(found: ContributionMaps) -> str | None:
    """Return the upstream layer if the unit depends on a single one of its maps; otherwise `None`.

    A network may end with a convolution and a pooling. What that convolution is made of says more of a class.
    """
    if len(found.maps) != 1:
        return None
    ((layer, maps),) = found.maps.items()
    return layer if int(maps.flatten(1).any(1).sum()) == 1 else None


def _part(
    graph: Graph, source: tuple[str, int], maps: Tensor, contribution: float, total: float
) -> CircuitPart:
    """Return a filter upstream, with the position where most of its contribution comes from."""
    layer, channel = source
    of_filter = maps[channel] if contribution > 0 else -maps[channel]
    y, x = divmod(int(of_filter.flatten().argmax()), of_filter.shape[1])
    window = graph.layer(layer).field.window(y, x)
    return CircuitPart(
        layer, channel, contribution, contribution / total, (y, x), window, maps[channel].float().cpu()
    )
