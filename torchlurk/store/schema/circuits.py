"""Records of `circuits/<layer>.json`: what the filters of a layer are made of, and what they are used for.

And of `expanded/<layer>.json`: their weights with respect to filters further upstream.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from torchlurk.store.schema.base import Format, NonNegativeInt, PositiveInt, Record

CircuitImages = Literal["top", "all"]
"""The units whose contributions are averaged: those of the `max` list, or the strongest of every image."""

KernelLetters = Annotated[str, msgspec.Meta(pattern=r"\A[a-q]*\Z")]
"""A kernel row by row: `a` is minus the scale, `i` zero, `q` the scale, in 17 equal steps; empty for none."""

Share = Annotated[float, msgspec.Meta(ge=-1, le=1)]
"""A contribution divided by the sum of the magnitudes of all contributions to the filter."""


class UpstreamLayer(Record, frozen=True):
    """A layer whose filters contribute directly.

    Attributes:
        layer: Name of the layer.
        kernel: Height and width of the kernels between the two layers; `None` if no convolution connects
            them.
    """

    layer: str
    kernel: tuple[PositiveInt, PositiveInt] | None


class Contributor(Record, frozen=True, array_like=True):
    """A filter that contributes to another, as `[upstream, channel, contribution, kernel]`.

    Attributes:
        upstream: Its layer, as an index into `CircuitFile.upstream`.
        channel: Its number in that layer.
        contribution: Its mean contribution to the score.
        kernel: The kernel between the two filters.
    """

    upstream: NonNegativeInt
    channel: NonNegativeInt
    contribution: float
    kernel: KernelLetters


class Consumer(Record, frozen=True, array_like=True):
    """A filter that uses another, as `[downstream, channel, share]`.

    Attributes:
        downstream: Its layer, as an index into `CircuitFile.downstream`.
        channel: Its number in that layer.
        share: The share of its contributions that the other filter has.
    """

    downstream: NonNegativeInt
    channel: NonNegativeInt
    share: Share


class FilterCircuit(Record, frozen=True):
    """What a filter is made of, and what it is used for: means over its units.

    Attributes:
        score: Mean activation of the units; `excitation + inhibition + rest`.
        excitation: Sum of the positive mean contributions.
        inhibition: Sum of the negative mean contributions.
        rest: What the contributions do not explain: biases, saturation, and curvature.
        sums: For each layer of `CircuitFile.upstream`, its part of `excitation` and of `inhibition`.
        scale: The largest magnitude of a weight in the kernels of the lists; 0 without kernels.
        excited_by: The filters with the largest positive contributions, largest first.
        inhibited_by: The filters with the largest negative contributions, largest first.
        used_by: The downstream filters to which this one contributes the largest shares by magnitude, largest
            first.
    """

    score: float
    excitation: Annotated[float, msgspec.Meta(ge=0)]
    inhibition: Annotated[float, msgspec.Meta(le=0)]
    rest: float
    sums: list[tuple[Annotated[float, msgspec.Meta(ge=0)], Annotated[float, msgspec.Meta(le=0)]]]
    scale: Annotated[float, msgspec.Meta(ge=0)]
    excited_by: list[Contributor]
    inhibited_by: list[Contributor]
    used_by: list[Consumer]


class CircuitFile(Record, frozen=True):
    """`circuits/<layer>.json`: the circuits of the filters of a layer.

    Attributes:
        format: Number of the format.
        layer: Name of the layer.
        images: The units that the means refer to.
        upstream: The layers directly upstream, in execution order.
        downstream: The layers directly downstream, in execution order.
        repeated: Whether the layer, or one of `upstream`, is called more than once. Of the layer, the first
            call counts; the contributions of all calls of one upstream are added.
        filters: The filters, in order.
    """

    format: Format
    layer: str
    images: CircuitImages
    upstream: list[UpstreamLayer]
    downstream: list[str]
    repeated: bool
    filters: list[FilterCircuit]


class ExpandedKernel(Record, frozen=True, array_like=True):
    """The weights of a filter with respect to one further upstream, as `[upstream, channel, weights]`.

    Attributes:
        upstream: The layer of the filter upstream, as an index into `ExpandedFile.upstream`.
        channel: Its number in that layer.
        weights: The weights.
    """

    upstream: NonNegativeInt
    channel: NonNegativeInt
    weights: KernelLetters


class ExpandedWeights(Record, frozen=True):
    """The expanded weights of a filter (Voss et al. 2021).

    Attributes:
        channel: The filter.
        scale: The largest magnitude of a weight; 0 without kernels.
        kernels: Those with respect to the filters that contribute most to the filters that contribute most to
            this one, by layer and channel.
    """

    channel: NonNegativeInt
    scale: Annotated[float, msgspec.Meta(ge=0)]
    kernels: list[ExpandedKernel]


class ExpandedFile(Record, frozen=True):
    """`expanded/<layer>.json`: the expanded weights of a few filters of a layer.

    Attributes:
        format: Number of the format.
        layer: Name of the layer.
        upstream: The layers upstream, in execution order, with the size of the kernels.
        filters: The filters, by channel.
    """

    format: Format
    layer: str
    upstream: list[UpstreamLayer]
    filters: list[ExpandedWeights]
