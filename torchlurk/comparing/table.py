"""A comparison as a table with one row per filter. Needs no torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from torchlurk.comparing import plots
from torchlurk.comparing.assemble import ComparisonFiles
from torchlurk.comparing.export import to_frame, to_html
from torchlurk.comparing.files import read_compared
from torchlurk.comparing.row import ComparisonRow
from torchlurk.errors import LurkError
from torchlurk.runtime.deprecation import former_names, renamed_arguments
from torchlurk.store import comparison as format_

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Comparison", "ComparisonRow"]

_DISPLAYED_ROWS = 12
"""Rows that a notebook displays."""

_FilterId = tuple[int, int]
"""A layer's position and a channel."""


class Comparison:
    """How filters changed between two stores: rows in some order, one column per measure.

    `comparison[0]` is a row, `comparison["weights"]` a column. Methods like `sort` return a new comparison.

    Examples:
        >>> found
        <comparison before → after: 320 filters of 3 layers>
        >>> [(row.layer, row.channel) for row in found.layer("features.14").sort("weights").head(2)]
        [('features.14', 1), ('features.14', 0)]
        >>> found.measure("weights").says
        'how far its weights lie apart, relative to their length before'
    """

    def __init__(
        self, compared: ComparisonFiles, pair: int | None = None, filters: tuple[_FilterId, ...] | None = None
    ) -> None:
        """Create a table.

        Args:
            compared: The comparison.
            pair: The position of the pair of stores; by default the first and the last store.
            filters: The filters in order; by default all.
        """
        self._compared = compared
        self._pair = self._pair_index(0, len(compared.record.stores) - 1) if pair is None else pair
        if filters is None:
            layers = enumerate(compared.record.layers)
            filters = tuple((index, channel) for index, layer in layers for channel in range(layer.channels))
        self._filters = filters

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Load a comparison from its folder.

        Raises:
            LurkError: It is missing or damaged.
        """
        return cls(read_compared(Path(folder)))

    @property
    def record(self) -> format_.ComparisonRecord:
        """The contents of `comparison.json`, about all pairs of stores."""
        return self._compared.record

    @property
    def stores(self) -> tuple[str, ...]:
        """The names of all stores, in chronological order."""
        return tuple(store.name for store in self.record.stores)

    @property
    def pair(self) -> tuple[str, str]:
        """The names of the two stores that the rows compare."""
        pair = self.record.pairs[self._pair]
        return self.stores[pair.before], self.stores[pair.after]

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the available measures."""
        return tuple(measure.name for measure in self.record.measures)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the rows' layers, in execution order."""
        return tuple(
            self.record.layers[index].name for index in sorted({index for index, _ in self._filters})
        )

    @property
    def summary(self) -> str:
        """How the network and each layer changed, one line each."""
        summaries = {layer.name: layer.changes[self._pair].summary for layer in self.record.layers}
        first = self.record.pairs[self._pair].summary
        return "\n".join([first, *(f"{name}: {summaries[name]}" for name in self.layers)])

    def between(self, before: str | SupportsIndex, after: str | SupportsIndex) -> Comparison:
        """Return the same filters between two other stores.

        Args:
            before: The name or position of the first store.
            after: The name or position of the second store.

        Raises:
            LurkError: A store does not exist, or the two were not compared.
        """
        pair = self._pair_index(*(_index("store", store, self.stores) for store in (before, after)))
        return Comparison(self._compared, pair, self._filters)

    @renamed_arguments(wanted="layer")
    def layer(self, layer: str | SupportsIndex) -> Comparison:
        """Return the rows of one layer.

        Args:
            layer: The layer's name or position.

        Raises:
            LurkError: There is no such layer.
        """
        index = _index("layer", layer, [entry.name for entry in self.record.layers])
        return self._with(tuple(filter_id for filter_id in self._filters if filter_id[0] == index))

    def sort(self, by: str | None = None, *, ascending: bool = False) -> Comparison:
        """Return the rows ordered by the absolute value of a measure, undefined values last.

        Args:
            by: The measure; by default the first one.
            ascending: Whether the smallest value comes first.

        Raises:
            LurkError: There is no such measure.
        """
        name = self.measure(by).name
        sign = 1 if ascending else -1

        def key(filter_id: _FilterId) -> tuple[bool, float, _FilterId]:
            value = self._value(filter_id, name)
            return (value is None, sign * abs(value or 0.0), filter_id)

        return self._with(tuple(sorted(self._filters, key=key)))

    def head(self, count: int = _DISPLAYED_ROWS) -> Comparison:
        """Return the first rows."""
        return self._with(self._filters[: max(count, 0)])

    def measure(self, name: str | None = None) -> format_.Measure:
        """Return the description of a measure.

        Args:
            name: The measure; by default the first one.

        Raises:
            LurkError: There is no such measure.
        """
        measure = next((entry for entry in self.record.measures if name in (None, entry.name)), None)
        if measure is None:
            raise LurkError(f"unknown measure {name!r}", f"choose one of {', '.join(self.measures)}")
        return measure

    def __len__(self) -> int:
        return len(self._filters)

    def __iter__(self) -> Iterator[ComparisonRow]:
        return (self._row(filter_id) for filter_id in self._filters)

    @overload
    def __getitem__(self, key: str) -> list[float | None]: ...
    @overload
    def __getitem__(self, key: SupportsIndex) -> ComparisonRow: ...
    def __getitem__(self, key: str | SupportsIndex) -> ComparisonRow | list[float | None]:
        """Return a row by its position, or the column of a measure by its name."""
        if isinstance(key, str):
            name = self.measure(key).name
            return [self._value(filter_id, name) for filter_id in self._filters]
        index = operator.index(key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} is out of range: rows are 0 to {len(self) - 1}")
        return self._row(self._filters[index])

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with layer, channel, a column per measure, partner and its correlation.

        Raises:
            LurkError: Pandas is not installed.
        """
        return to_frame(list(self), self.measures, networks=self.record.networks)

    def plot_layers(self, measure: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot how much each layer changed: the median of a measure, and the middle half of the filters."""
        own = self.measure(measure)
        columns = {name: self.layer(name)[own.name] for name in self.layers}
        return plots.plot_by_layer(own, columns, self._title(), ax)

    def plot_hist(self, measure: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot the histogram of a measure over the filters of the rows."""
        own = self.measure(measure)
        return plots.plot_histogram(own, self[own.name], self._title(), ax)

    @renamed_arguments(across="x", up="y")
    def plot_against(self, x: str, y: str, ax: Axes | None = None) -> Axes:
        """Plot measure `y` against measure `x`, with a point per filter."""
        across, up = self.measure(x), self.measure(y)
        return plots.plot_scatter(across, up, self[across.name], self[up.name], self._title(), ax)

    def plot_time(
        self, layer: str | SupportsIndex, channel: int, measure: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Plot how a filter changed over the stores: since the first one, and since the one before.

        Raises:
            LurkError: There is no such layer, filter or measure.
        """
        own, rows = self.measure(measure), self.layer(layer)
        name = rows.layers[0] if rows.layers else str(layer)
        file = self._compared.layers[name]
        if not 0 <= channel < file.channels:
            raise LurkError(
                f"layer {name!r} has no filter {channel}", f"choose one of 0 to {file.channels - 1}"
            )
        undefined: list[float | None] = [None] * file.channels
        values = {
            (pair.before, pair.after): pair.values.get(own.name, undefined)[channel] for pair in file.pairs
        }
        return plots.plot_over_time(own, values, self.stores, f"{name}, filter {channel}", ax)

    def __repr__(self) -> str:
        return f"<comparison {' → '.join(self.pair)}: {len(self)} filters of {len(self.layers)} layers>"

    def _repr_html_(self) -> str:
        return to_html(
            list(self.head()),
            self.record.measures,
            title=" → ".join(self.pair),
            summary=self.record.pairs[self._pair].summary,
            hidden=len(self) - len(self.head()),
        )

    def _with(self, filters: tuple[_FilterId, ...]) -> Comparison:
        return Comparison(self._compared, self._pair, filters)

    def _title(self) -> str:
        alone = len(self.layers) == 1 < len(self.record.layers)
        return " → ".join(self.pair) + (f", {self.layers[0]}" if alone else "")

    def _pair_index(self, before: int, after: int) -> int:
        pairs = [(pair.before, pair.after) for pair in self.record.pairs]
        if (before, after) not in pairs:
            available = ", ".join(f"{self.stores[a]} → {self.stores[b]}" for a, b in pairs)
            raise LurkError("these two stores were not compared", f"choose one of {available}")
        return pairs.index((before, after))

    def _changes(self, filter_id: _FilterId) -> format_.FilterChanges:
        return self._compared.layers[self.record.layers[filter_id[0]].name].pairs[self._pair]

    def _value(self, filter_id: _FilterId, name: str) -> float | None:
        values = self._changes(filter_id).values.get(name)
        return None if values is None else values[filter_id[1]]

    def _row(self, filter_id: _FilterId) -> ComparisonRow:
        changes, (index, channel) = self._changes(filter_id), filter_id
        partner = changes.partners[channel] if changes.partners else None
        return ComparisonRow(
            layer=self.record.layers[index].name,
            channel=channel,
            values={name: self._value(filter_id, name) for name in self.measures},
            partner=partner[0] if partner else None,
            partner_correlation=partner[1] if partner else None,
            cross=changes.cross[channel] if changes.cross else None,
        )


def _index(kind: str, key: str | SupportsIndex, names: Sequence[str]) -> int:
    """Return the position of a name, or of an index that may count from the end.

    Raises:
        LurkError: There is none.
    """
    if isinstance(key, str):
        if key in names:
            return names.index(key)
    elif -len(names) <= operator.index(key) < len(names):
        return operator.index(key) % len(names)
    raise LurkError(
        f"there is no {kind} {key!r} in the comparison",
        f"choose one of {', '.join(names)}, or a position from 0 to {len(names) - 1}",
    )


if not TYPE_CHECKING:
    __getattr__ = former_names(globals(), Row="ComparisonRow")
