"""The course of a training as a picture: loss and accuracy by epoch, as SVG.

Written by hand, and not with matplotlib, which is an extra: so each run has its curves, and the same run
the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from torchlurk.training.record import Epoch, TransferRecord

WIDTH: Final = 360
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 40, 40
"""The margins of a panel, pixels."""

STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: var(--ink) }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: var(--quiet) }
.grid { stroke: var(--grid); stroke-width: 1 }
.train, .val { fill: none; stroke-width: 2; stroke-linejoin: round }
.train { stroke: var(--train) }
.val { stroke: var(--val) }
.before { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 6 4 }
.chance { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 1 4; stroke-linecap: round }
.dot-train { fill: var(--train) }
.dot-val { fill: var(--val) }
svg { --paper: #ffffff; --ink: #1f2328; --quiet: #6a737d; --grid: #e3e6ea; --train: #b35900; --val: #0b62b8 }
@media (prefers-color-scheme: dark) {
svg { --paper: #16181c; --ink: #e8eaed; --quiet: #9aa4af; --grid: #31363d; --train: #f0a35e; --val: #6cb6ff }
}
"""


def draw_curves(record: TransferRecord) -> str:
    """Draw the history of a run: the loss on the left, the accuracy on the right.

    A dashed line shows the accuracy that the network had, as it was given, on the images held out, where
    that is known; a dotted line is chance.

    Args:
        record: with at least one epoch.

    Returns:
        SVG, light or dark as its reader prefers.
    """
    history = record.history
    losses = [value for epoch in history for value in (epoch.train.loss, epoch.val.loss)]
    top = max(losses) or 1.0
    chance = 1 / len(record.classes)
    lines = [("chance", chance, "chance")]
    if record.original is not None:
        lines.append(("before", record.original.val.accuracy, "held out, network as given"))
    panels = [
        _panel(record, "loss", ticks(top), lambda e: (e.train.loss, e.val.loss), "{:g}"),
        _panel(
            record,
            "accuracy",
            [0, 0.25, 0.5, 0.75, 1],
            lambda e: (e.train.accuracy, e.val.accuracy),
            "{:.0%}",
            lines,
        ),
    ]
    legend = "".join(
        f'<line class="{kind}" x1="{x}" y1="{HEIGHT + 12}" x2="{x + 24}" y2="{HEIGHT + 12}"/>'
        f'<text x="{x + 30}" y="{HEIGHT + 16}">{escape(text)}</text>'
        for kind, text, x in [
            ("train", "trained on", LEFT),
            ("val", "held out", LEFT + 108),
            *(
                (kind, text, LEFT + 204 + 96 * at)
                for at, (kind, _, text) in enumerate(lines)
            ),
        ]
    )  # fmt: skip
    width, height = 2 * WIDTH, HEIGHT + 32
    what = f"loss and accuracy over {history[-1].epoch} epochs"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{what}">\n<style>{STYLE}</style>\n'
        f'<rect width="{width}" height="{height}" style="fill: var(--paper)"/>\n'
        f'{panels[0]}<g transform="translate({WIDTH} 0)">\n{panels[1]}</g>\n{legend}\n</svg>\n'
    )


def ticks(top: float) -> list[float]:
    """Four to eight round numbers from 0 up to at least `top`, which is positive."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(power * part for part in (0.2, 0.5, 1, 2, 5) if top <= power * part * 6)
    count = math.ceil(top / step - 1e-9)
    return [float(f"{step * at:.6g}") for at in range(count + 1)]


def _panel(
    record: TransferRecord,
    title: str,
    marks: Sequence[float],
    values: Callable[[Epoch], tuple[float, float]],
    form: str,
    lines: Sequence[tuple[str, float, str]] = (),
) -> str:
    """One diagram, its upper left corner at 0, 0."""
    last = record.options.epochs
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(epoch: float) -> str:
        return f"{LEFT + inner_width * epoch / last:.1f}"

    def y(value: float) -> str:
        return f"{TOP + inner_height * (1 - value / marks[-1]):.1f}"

    parts = [f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>']
    for mark in marks:
        parts.append(f'<line class="grid" x1="{x(0)}" y1="{y(mark)}" x2="{x(last)}" y2="{y(mark)}"/>')
        parts.append(
            f'<text class="quiet" x="{LEFT - 8}" y="{y(mark)}" dy="4" text-anchor="end">'
            f"{form.format(mark)}</text>"
        )
    step = max(1, round(ticks(last)[1]))
    for epoch in range(0, last + 1, step):
        place = f'x="{x(epoch)}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text class="quiet" {place} text-anchor="middle">{epoch}</text>')
    parts.append(f'<text class="quiet" x="{x(last)}" y="{HEIGHT - 6}" text-anchor="end">epoch</text>')
    for kind, value, _ in lines:
        parts.append(f'<line class="{kind}" x1="{x(0)}" y1="{y(value)}" x2="{x(last)}" y2="{y(value)}"/>')
    for at, kind in enumerate(("train", "val")):
        points = [(x(epoch.epoch), y(values(epoch)[at])) for epoch in record.history]
        parts.append(f'<polyline class="{kind}" points="{" ".join(",".join(point) for point in points)}"/>')
        end = points[-1]
        parts.append(f'<circle class="dot-{kind}" cx="{end[0]}" cy="{end[1]}" r="3.5"/>')
    return "".join(f"{part}\n" for part in parts)
