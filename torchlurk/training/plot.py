"""Plot loss and accuracy over the epochs of a fine-tuning as SVG, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from torchlurk.training.record import TransferRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHT: Final = {
    "paper": "#ffffff", "ink": "#1f2328", "quiet": "#6a737d", "grid": "#e3e6ea", "train": "#b35900",
    "val": "#0b62b8",
}  # fmt: skip
_DARK: Final = {
    "paper": "#16181c", "ink": "#e8eaed", "quiet": "#9aa4af", "grid": "#31363d", "train": "#f0a35e",
    "val": "#6cb6ff",
}  # fmt: skip

_STYLE: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",  # text remains text
    "svg.hashsalt": "torchlurk",  # the same ids, so that the same record gives the same bytes
    "font.size": 9,
    "axes.edgecolor": _LIGHT["grid"],
    "axes.labelcolor": _LIGHT["quiet"],
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _LIGHT["ink"],
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": _LIGHT["paper"],
    "axes.facecolor": _LIGHT["paper"],
    "grid.color": _LIGHT["grid"],
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "text.color": _LIGHT["ink"],
    "xtick.color": _LIGHT["grid"],
    "xtick.labelcolor": _LIGHT["quiet"],
    "ytick.labelcolor": _LIGHT["quiet"],
    "ytick.major.size": 0,
}


def draw_curves(record: TransferRecord) -> bytes:
    """Plot the history of a run: the loss on the left, the accuracy on the right.

    A dashed line shows the accuracy of the original network on the validation images, if it is known. A
    dotted line shows the accuracy of chance.

    Args:
        record: A record with at least one epoch.

    Returns:
        SVG, with light or dark colours as its reader prefers; the same record gives the same bytes.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    from matplotlib import style

    with style.context(["default", dict(_STYLE)]):
        figure = curves_figure(record)
        buffer = io.StringIO()
        title = f"Loss and accuracy over {record.history[-1].epoch} epochs"
        figure.savefig(buffer, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    head, start, rest = buffer.getvalue().partition(" <defs>")
    return f"{head} <style>{_dark_rules()}</style>\n{start}{rest}".encode()


def curves_figure(record: TransferRecord) -> Figure:
    """Return the plot of `draw_curves` as a matplotlib figure.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    history = record.history
    figure = Figure(figsize=(7.5, 3.1))
    loss, accuracy = figure.subplots(1, 2, gridspec_kw={
        "left": 0.08, "right": 0.975, "top": 0.89, "bottom": 0.235, "wspace": 0.18,
    })  # fmt: skip
    for ax, name in ((loss, "loss"), (accuracy, "accuracy")):
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.set_xlim(0, record.options.epochs)
        ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
        ax.grid(axis="y")
        for part, label in (("train", "training"), ("val", "validation")):
            _plot_curve(
                ax,
                [epoch.epoch for epoch in history],
                [getattr(getattr(epoch, part), name) for epoch in history],
                label=label,
                color=_LIGHT[part],
                gid=f"{name}-{part}",
            )
    highest = max(value for epoch in history for value in (epoch.train.loss, epoch.val.loss)) or 1.0
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10], min_n_ticks=4).tick_values(0, highest)
    loss.set_yticks(ticks)
    loss.set_ylim(0, ticks[-1])
    loss.yaxis.set_major_formatter("{x:g}")
    accuracy.set_yticks([0, 0.25, 0.5, 0.75, 1])
    accuracy.set_ylim(0, 1)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    chance = 1 / len(record.classes)
    accuracy.axhline(chance, color=_LIGHT["quiet"], linestyle=":", label="chance", gid="chance")
    if record.original is not None:
        accuracy.axhline(
            record.original.val.accuracy, color=_LIGHT["quiet"], linestyle="--",
            label="validation, original network", gid="original",
        )  # fmt: skip
    figure.legend(*accuracy.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.065, 0), ncols=4)
    return figure


def _plot_curve(
    ax: Axes, epochs: list[int], values: list[float], *, label: str, color: str, gid: str
) -> None:
    """Plot a curve with a dot at its end; at the axes' edge, neither is clipped."""
    ax.plot(epochs, values, label=label, color=color, gid=gid, clip_on=False, zorder=3)
    ax.plot(epochs[-1:], values[-1:], "o", color=color, clip_on=False, zorder=3)


def _dark_rules() -> str:
    """Return the CSS that replaces the light colours with the dark ones for readers who prefer these."""
    rules = "".join(
        f'[style*="{name}: {_LIGHT[colour]}"] {{ {name}: {_DARK[colour]} !important }}\n'
        for colour in _LIGHT
        for name in ("fill", "stroke")
    )
    return f"\n@media (prefers-color-scheme: dark) {{\n{rules}}}\n"
