"""A comparison as a small table, a row a filter. Needs no torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from torchlurk.comparing import plots
from torchlurk.comparing.assemble import Compared
from torchlurk.comparing.files import read_compared
from torchlurk.errors import LurkError
from torchlurk.store import comparison as format_

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 12
"""Rows that a notebook shows, and the text of a table."""

Place = tuple[int, int]
"""A layer's position, and a channel."""


@dataclass(frozen=True)
class Row:
    """What became of a filter; `row["weights"]` is the value of a measure, `None` where it is not defined.

    Attributes:
        layer: the name of its layer.
        channel: its number, from 0.
        values: by measure.
        partner: the filter after that is most like it; `None` without the networks.
        partner_correlation: how much, of their maps.
        cross: the first filter on its own image and on the other's, the second on the first's and on its own.
    """

    layer: str
    channel: int
    values: Mapping[str, float | None]
    partner: int | None = None
    partner_correlation: float | None = None
    cross: tuple[float, float, float, float] | None = None

    def __getitem__(self, measure: str) -> float | None:
        if measure not in self.values:
            raise LurkError(f"there is no measure {measure!r}: choose of {', '.join(self.values)}")
        return self.values[measure]


class Comparison:
    """What became of the filters from one store to another: rows in some order, columns of measures.

    `found[0]` is a row, `found["weights"]` a column, `found.sort("weights")` the same rows in another order.
    Nothing changes in place.

    Examples:
        >>> found
        <comparison before → after: 320 filters of 3 layers>
        >>> [(row.layer, row.channel) for row in found.layer("features.14").sort("weights").head(2)]
        [('features.14', 1), ('features.14', 0)]
        >>> found.measure("weights").says
        'how far its weights lie apart, relative to their length before'
    """

    def __init__(
        self, compared: Compared, pair: int | None = None, places: tuple[Place, ...] | None = None
    ) -> None:
        """A table of a comparison.

        Args:
            compared: what was found.
            pair: which pair of stores, by its position; the first and the last without.
            places: which filters, in which order; all without.
        """
        self._compared = compared
        last = len(compared.record.stores) - 1
        self._pair = self._find(0, last) if pair is None else pair
        everywhere = ((at, c) for at, one in enumerate(self.record.layers) for c in range(one.channels))
        self._places = tuple(everywhere) if places is None else places

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """A comparison that was written before.

        Raises:
            LurkError: it is missing or damaged.
        """
        return cls(read_compared(Path(folder)))

    @property
    def record(self) -> format_.ComparisonRecord:
        """What `comparison.json` says of all pairs of stores."""
        return self._compared.record

    @property
    def stores(self) -> tuple[str, ...]:
        """The names of all stores, in the order of time."""
        return tuple(store.name for store in self.record.stores)

    @property
    def pair(self) -> tuple[str, str]:
        """The names of the two stores that the rows are about."""
        pair = self.record.pairs[self._pair]
        return self.stores[pair.before], self.stores[pair.after]

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the measures there are."""
        return tuple(measure.name for measure in self.record.measures)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers of the rows, in execution order."""
        return tuple(self.record.layers[at].name for at in sorted({at for at, _ in self._places}))

    @property
    def summary(self) -> str:
        """What became of the network and of each layer, a line each."""
        told = {one.name: one.changes[self._pair].summary for one in self.record.layers}
        lines = [self.record.pairs[self._pair].summary, *(f"{name}: {told[name]}" for name in self.layers)]
        return "\n".join(lines)

    def between(self, before: str | SupportsIndex, after: str | SupportsIndex) -> Comparison:
        """The same filters between two other stores, by name or position.

        Raises:
            LurkError: there is no such store, or these two were not compared.
        """
        pair = self._find(self._store(before), self._store(after))
        return Comparison(self._compared, pair, self._places)

    def layer(self, wanted: str | SupportsIndex) -> Comparison:
        """The rows of one layer, by its name or its position.

        Raises:
            LurkError: there is none.
        """
        layers = self.record.layers
        names = [one.name for one in layers]
        if isinstance(wanted, str):
            at = names.index(wanted) if wanted in names else -1
        else:
            number = operator.index(wanted)
            at = number % len(layers) if -len(layers) <= number < len(layers) else -1
        if at < 0:
            raise LurkError(f"there is no layer {wanted!r} in the comparison: choose of {', '.join(names)}")
        return self._with(tuple(place for place in self._places if place[0] == at))

    def sort(self, by: str | None = None, *, ascending: bool = False) -> Comparison:
        """The rows by the size of a measure, the largest first; what has none comes last.

        Args:
            by: the measure; the first one without.
            ascending: the smallest first.

        Raises:
            LurkError: there is no such measure.
        """
        name = self.measure(by).name
        sign = 1 if ascending else -1

        def key(place: Place) -> tuple[bool, float, Place]:
            value = self._value(place, name)
            return (value is None, sign * abs(value or 0.0), place)

        return self._with(tuple(sorted(self._places, key=key)))

    def head(self, count: int = SHOWN) -> Comparison:
        """The first rows."""
        return self._with(self._places[: max(count, 0)])

    def measure(self, name: str | None = None) -> format_.Measure:
        """What a measure means; the first one without a name.

        Raises:
            LurkError: there is none.
        """
        found = next((one for one in self.record.measures if name in (None, one.name)), None)
        if found is None:
            raise LurkError(f"there is no measure {name!r} here: choose of {', '.join(self.measures)}")
        return found

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Row]:
        return (self._row(place) for place in self._places)

    @overload
    def __getitem__(self, wanted: str) -> list[float | None]: ...
    @overload
    def __getitem__(self, wanted: SupportsIndex) -> Row: ...
    def __getitem__(self, wanted: str | SupportsIndex) -> Row | list[float | None]:
        """A row by its place in the order, or the column of a measure."""
        if isinstance(wanted, str):
            name = self.measure(wanted).name
            return [self._value(place, name) for place in self._places]
        at = operator.index(wanted)
        if not -len(self) <= at < len(self):
            raise IndexError(f"there are rows 0 to {len(self) - 1}, not {at}")
        return self._row(self._places[at])

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: layer, channel, a column a measure, the partner and its correlation.

        Raises:
            LurkError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as problem:
            raise LurkError(
                "a table for pandas needs it, which is not installed: pip install pandas"
            ) from problem
        rows = list(self)
        columns: dict[str, list[Any]] = {
            "layer": [row.layer for row in rows], "channel": [row.channel for row in rows]
        }  # fmt: skip
        columns |= {name: [row.values[name] for row in rows] for name in self.measures}
        frame = pd.DataFrame(columns).astype(dict.fromkeys(self.measures, "float64"))
        if self.record.networks:
            frame["partner_channel"] = pd.array([row.partner for row in rows], dtype="Int64")
            frame["partner_correlation"] = [row.partner_correlation for row in rows]
        return frame

    def plot_layers(self, measure: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw how much each layer changed: the median of a measure, and the middle half of the filters."""
        told = self.measure(measure)
        by_layer = {name: self.layer(name)[told.name] for name in self.layers}
        return plots.plot_layers(told, by_layer, self._heading(), ax)

    def plot_hist(self, measure: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw how a measure is distributed over the filters of the rows."""
        told = self.measure(measure)
        return plots.plot_hist(told, self[told.name], self._heading(), ax)

    def plot_against(self, across: str, up: str, ax: Axes | None = None) -> Axes:
        """Draw one measure against another, a point a filter."""
        one, other = self.measure(across), self.measure(up)
        return plots.plot_against(one, other, self[one.name], self[other.name], self._heading(), ax)

    def plot_time(
        self, layer: str | SupportsIndex, channel: int, measure: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw how a filter changed from store to store: since the first one, and since the one before.

        Raises:
            LurkError: there is no such layer, filter or measure.
        """
        told, rows = self.measure(measure), self.layer(layer)
        name = rows.layers[0] if rows.layers else str(layer)
        file = self._compared.layers[name]
        if not 0 <= channel < file.channels:
            raise LurkError(f"layer {name!r} has no filter {channel}: choose of 0 to {file.channels - 1}")
        found = {
            (pair.before, pair.after): pair.values.get(told.name, [None] * file.channels)[channel]
            for pair in file.pairs
        }
        return plots.plot_time(told, found, self.stores, f"{name}, filter {channel}", ax)

    def __repr__(self) -> str:
        before, after = self.pair
        return f"<comparison {before} → {after}: {len(self)} filters of {len(self.layers)} layers>"

    def _repr_html_(self) -> str:
        head = [
            "layer",
            "filter",
            *(f"<span title='{escape(m.says)}'>{m.name}</span>" for m in self.record.measures),
        ]
        cells = [
            [escape(row.layer), str(row.channel), *(_told(row.values[name]) for name in self.measures)]
            for row in self.head()
        ]
        before, after = self.pair
        rest = len(self) - len(cells)
        lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
        more = f"<div>and {rest} more filters</div>" if rest > 0 else ""
        return (
            f"<div style='overflow-x:auto'><b>{escape(before)} → {escape(after)}</b>"
            f"<div>{escape(self.record.pairs[self._pair].summary)}</div>"
            f"<table><tr>{''.join(f'<th>{one}</th>' for one in head)}</tr>{lines}</table>{more}</div>"
        )

    def _with(self, places: tuple[Place, ...]) -> Comparison:
        return Comparison(self._compared, self._pair, places)

    def _heading(self) -> str:
        one = f", {self.layers[0]}" if len(self.layers) == 1 < len(self.record.layers) else ""
        return " → ".join(self.pair) + one

    def _find(self, before: int, after: int) -> int:
        pairs = [(pair.before, pair.after) for pair in self.record.pairs]
        if (before, after) not in pairs:
            told = ", ".join(f"{self.stores[a]} → {self.stores[b]}" for a, b in pairs)
            raise LurkError(f"these two were not compared: there are {told}")
        return pairs.index((before, after))

    def _store(self, wanted: str | SupportsIndex) -> int:
        if isinstance(wanted, str):
            if wanted not in self.stores:
                raise LurkError(f"there is no store {wanted!r} here: choose of {', '.join(self.stores)}")
            return self.stores.index(wanted)
        at = operator.index(wanted)
        if not -len(self.stores) <= at < len(self.stores):
            raise LurkError(f"there is no store {at} here: choose of 0 to {len(self.stores) - 1}")
        return at % len(self.stores)

    def _changes(self, place: Place) -> format_.FilterChanges:
        return self._compared.layers[self.record.layers[place[0]].name].pairs[self._pair]

    def _value(self, place: Place, name: str) -> float | None:
        values = self._changes(place).values.get(name)
        return None if values is None else values[place[1]]

    def _row(self, place: Place) -> Row:
        changes, channel = self._changes(place), place[1]
        row = Row(
            self.record.layers[place[0]].name,
            channel,
            {name: self._value(place, name) for name in self.measures},
        )
        partner = changes.partners[channel] if changes.partners else None
        if partner is not None:
            row = replace(row, partner=partner[0], partner_correlation=partner[1])
        return replace(row, cross=changes.cross[channel]) if changes.cross else row


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
