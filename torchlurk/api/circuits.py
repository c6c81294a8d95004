"""What a filter is made of, and what it is used for, as small tables. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from torchlurk.runtime.optional import import_pandas
from torchlurk.store.schema import CircuitFile, Contributor

_Row = TypeVar("_Row")

_LEVELS = 8
"""Steps from a weight of zero to the scale of a kernel."""


@dataclass(frozen=True)
class UpstreamFilter:
    """A filter that contributes directly to the score of another.

    Attributes:
        layer: Name of its layer.
        channel: Its number.
        contribution: Its mean contribution; negative if it inhibits.
        share: The contribution divided by the sum of the magnitudes of all contributions.
        kernel: `(kh, kw)` float64, the weights from this filter to the other, rounded to 17 levels; `None` if
            no convolution connects them, or all are zero.
    """

    layer: str
    channel: int
    contribution: float
    share: float
    kernel: NDArray[np.float64] | None = field(repr=False, compare=False)


@dataclass(frozen=True)
class DownstreamFilter:
    """A filter to whose score another contributes directly.

    Attributes:
        layer: Name of its layer.
        channel: Its number.
        share: The contribution of the other filter divided by the sum of the magnitudes of all contributions;
            negative if it inhibits.
    """

    layer: str
    channel: int
    share: float


class _FilterTable(tuple[_Row, ...]):
    """Rows about filters, which can be converted to a `pandas.DataFrame`."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ()

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a column for each attribute of the rows.

        Raises:
            LurkError: Pandas is not installed.
        """
        columns = {name: [getattr(row, name) for row in self] for name in self.columns}
        return import_pandas().DataFrame(columns)


class UpstreamTable(_FilterTable[UpstreamFilter]):
    """A tuple of `UpstreamFilter`: exciting ones, strongest first, then inhibiting ones, strongest first."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ("layer", "channel", "contribution", "share", "kernel")


class DownstreamTable(_FilterTable[DownstreamFilter]):
    """A tuple of `DownstreamFilter`, the largest magnitude of a share first."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ("layer", "channel", "share")


def upstream_table(file: CircuitFile, channel: int) -> UpstreamTable:
    """Return what a filter is made of.

    Args:
        file: The circuits of its layer.
        channel: The filter.
    """
    entry = file.filters[channel]
    total = entry.excitation - entry.inhibition

    def row(one: Contributor) -> UpstreamFilter:
        layer = file.upstream[one.upstream]
        share = one.contribution / total if total > 0 else 0.0
        kernel = letters_to_kernel(one.kernel, entry.scale, layer.kernel or (0, 0))
        return UpstreamFilter(layer.layer, one.channel, one.contribution, share, kernel)

    return UpstreamTable(row(one) for one in (*entry.excited_by, *entry.inhibited_by))


def downstream_table(file: CircuitFile, channel: int) -> DownstreamTable:
    """Return what a filter is used for.

    Args:
        file: The circuits of its layer.
        channel: The filter.
    """
    return DownstreamTable(
        DownstreamFilter(file.downstream[use.downstream], use.channel, use.share)
        for use in file.filters[channel].used_by
    )


def letters_to_kernel(letters: str, scale: float, size: tuple[int, int]) -> NDArray[np.float64] | None:
    """Return the weights of a kernel, see `KernelLetters`; `None` if it has none.

    Args:
        letters: A letter for each weight.
        scale: The weight that the letter `q` stands for.
        size: `(kh, kw)`.
    """
    if len(letters) != math.prod(size) or not letters:
        return None
    levels = np.frombuffer(letters.encode("ascii"), np.uint8).astype(np.float64) - ord("i")
    return (levels / _LEVELS * scale).reshape(size)
