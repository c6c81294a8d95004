"""One row of a comparison: how a filter changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torchlurk.errors import LurkError


@dataclass(frozen=True)
class ComparisonRow:
    """How a filter changed; `row["weights"]` is the value of a measure, `None` if it is undefined.

    Attributes:
        layer: The name of the filter's layer.
        channel: The filter's number, from 0.
        values: The values by measure.
        partner: The most similar filter in the second store; `None` without the networks.
        partner_correlation: The correlation of their maps.
        cross: The activations of the first network's filter on its own image and on the second's, then of the
            second network's filter on the first's image and on its own.
    """

    layer: str
    channel: int
    values: Mapping[str, float | None]
    partner: int | None = None
    partner_correlation: float | None = None
    cross: tuple[float, float, float, float] | None = None

    def __getitem__(self, measure: str) -> float | None:
        if measure not in self.values:
            raise LurkError(f"unknown measure {measure!r}", f"choose one of {', '.join(self.values)}")
        return self.values[measure]
