"""A comparison as a pandas `DataFrame` and as HTML. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from torchlurk.comparing.row import ComparisonRow
from torchlurk.runtime.optional import import_pandas
from torchlurk.store.comparison import Measure


def to_frame(rows: Sequence[ComparisonRow], measures: Sequence[str], *, networks: bool) -> Any:
    """Return rows as a `pandas.DataFrame`.

    Args:
        rows: The rows.
        measures: The names of the measures, one column each.
        networks: Whether to add the columns `partner_channel` and `partner_correlation`.

    Raises:
        LurkError: Pandas is not installed.
    """
    pd = import_pandas()
    columns: dict[str, list[Any]] = {
        "layer": [row.layer for row in rows], "channel": [row.channel for row in rows]
    }  # fmt: skip
    columns |= {name: [row.values[name] for row in rows] for name in measures}
    frame = pd.DataFrame(columns).astype(dict.fromkeys(measures, "float64"))
    if networks:
        frame["partner_channel"] = pd.array([row.partner for row in rows], dtype="Int64")
        frame["partner_correlation"] = [row.partner_correlation for row in rows]
    return frame


def to_html(
    rows: Sequence[ComparisonRow], measures: Sequence[Measure], *, title: str, summary: str, hidden: int
) -> str:
    """Return rows as an HTML table.

    Args:
        rows: The rows.
        measures: The measures, one column each.
        title: The line above the table.
        summary: The sentence below the title.
        hidden: How many rows are not among `rows`.
    """
    head = ["layer", "filter", *(f"<span title='{escape(m.says)}'>{m.name}</span>" for m in measures)]
    cells = [
        [escape(row.layer), str(row.channel), *(_format(row.values[measure.name]) for measure in measures)]
        for row in rows
    ]
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    more = f"<div>and {hidden} more filters</div>" if hidden > 0 else ""
    return (
        f"<div style='overflow-x:auto'><b>{escape(title)}</b><div>{escape(summary)}</div>"
        f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{lines}</table>{more}</div>"
    )


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
