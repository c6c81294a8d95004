"""What a unit is made of in one image: the contributions of the filters directly upstream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from torchlurk.attribution.targets import LayerUnit, parse_unit
from torchlurk.circuits.contributions import Contributions, Units, unit_contributions
from torchlurk.circuits.one_unit import prepared, strongest_unit
from torchlurk.circuits.score_sum import format_sum
from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated
from torchlurk.models.validate import as_module, check_module

_MAX_SHOWN = 12
"""The most filters that are shown as text."""


@dataclass(frozen=True)
class Contribution:
    """What one filter contributes to a unit.

    Attributes:
        layer: The layer of the filter.
        channel: Its number.
        value: Its contribution, in units of the unit's activation; negative if the filter inhibits the unit.
    """

    layer: str
    channel: int
    value: float


@dataclass(frozen=True)
class UnitContributions:
    """What a unit is made of: `score = excitation + inhibition + rest`.

    Attributes:
        unit: The unit, with its position.
        score: Its activation.
        excitation: The sum of the positive contributions.
        inhibition: The sum of the negative contributions, at most 0.
        rest: What no filter contributes: biases, and curvature if the network is not piecewise linear.
        upstream: The layers directly upstream, in execution order.
        filters: The contributions of all their filters, the largest magnitude first.
    """

    unit: LayerUnit
    score: float
    excitation: float
    inhibition: float
    rest: float
    upstream: tuple[str, ...]
    filters: tuple[Contribution, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        total = format_sum(self.score, self.excitation, self.inhibition, self.rest)
        yield f"{self.unit}: {total}"
        for one in self.filters[:_MAX_SHOWN]:
            yield f"{one.value:+10.4g}  {one.layer}:{one.channel}"
        if len(self.filters) > _MAX_SHOWN:
            yield f"{'':10}  and {len(self.filters) - _MAX_SHOWN} more"


def contributions(
    model: nn.Module, x: Tensor, unit: LayerUnit | str, *, layers: Sequence[str] | None = None
) -> UnitContributions:
    """Compute how much each filter directly upstream contributes to a unit in one image.

    The contribution of a filter is the gradient of the unit with respect to the filter's feature map times
    the map, summed over the map. The map is taken after the BatchNorm of its layer, if only this BatchNorm
    reads it. In a network of ReLUs, poolings and linear operations the contributions and the rest, which then
    holds biases only, sum up to the score exactly. Afterwards, also after an exception, the network is
    unchanged.

    Args:
        model: A network.
        x: `(1, C, H, W)`, an input of the network, on its device.
        unit: A unit as `"features.28:7@6,3"`; without a position, the strongest unit of that filter.
        layers: Patterns of the layers that count as upstream, see `--layers`; by default all convolutions
            and linear layers.

    Returns:
        The score of the unit and its parts.

    Raises:
        LurkError: There is no such unit, it is not reached, or `x` is not one image.

    Examples:
        >>> x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> found = torchlurk.contributions(model, x, "features.14:7")
        >>> found.upstream
        ('features.10',)
        >>> abs(found.score - (found.excitation + found.inhibition + found.rest)) < 1e-5
        True
        >>> len(found.filters), found.filters[0].layer
        (64, 'features.10')
    """
    model = as_module(model)
    check_module(model)
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() != 4 or len(x) != 1:
        kind = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise LurkError(f"x is {kind}", "give one image as a tensor of floats, (1, C, H, W)")
    parsed = parse_unit(unit) if isinstance(unit, str) else unit
    with isolated(model), prepared(model, x, parsed.layer, layers) as (runner, graph, name):
        parsed = strongest_unit(runner, LayerUnit(name, parsed.channel, parsed.at), x)
        assert parsed.at is not None
        numbers = (0, parsed.channel, *parsed.at)
        units = Units(*(x.new_tensor([number]).long() for number in numbers))
        found = unit_contributions(runner, graph.layers, x, {name: units})[name]
    return _result(parsed, found)


def _result(unit: LayerUnit, found: Contributions) -> UnitContributions:
    values = found.values[0].double()
    excitation, inhibition = float(values.clamp(min=0).sum()), float(values.clamp(max=0).sum())
    names = [
        (layer, channel)
        for layer, count in zip(found.upstream, found.channels, strict=True)
        for channel in range(count)
    ]
    filters = [Contribution(*name, value) for name, value in zip(names, values.tolist(), strict=True)]
    score = float(found.scores[0])
    return UnitContributions(
        unit=unit,
        score=score,
        excitation=excitation,
        inhibition=inhibition,
        rest=score - excitation - inhibition,
        upstream=found.upstream,
        filters=tuple(sorted(filters, key=lambda one: -abs(one.value))),
    )
