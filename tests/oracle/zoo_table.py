"""The table of networks in the documents; `python -m tests.oracle.zoo_table` updates it."""

from __future__ import annotations

from pathlib import Path

from tests.zoo import ZOO, made
from torchlurk.graph import Layer, select
from torchlurk.models.isolation import isolated

DOCUMENT = Path(__file__).parents[2] / "docs/explanation/networks.md"
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"
HEAD = (
    "| network | input | followed by | layers | edges | see a part | largest such field | but |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def table() -> str:
    """Return the table, one row per network, as in the document."""
    return HEAD + "".join(row(name) for name in ZOO)


def row(name: str) -> str:
    """Return the row of one network."""
    model, case = made(name), ZOO[name]
    with isolated(model):
        graph = select(model, (3, case.size, case.size), case.layers)
    kinds = dict.fromkeys(layer.kind for layer in graph.layers)
    counts = ", ".join(f"{sum(one.kind == kind for one in graph.layers)} {kind}" for kind in kinds)
    partial = [layer for layer in graph.layers if not layer.sees_all]
    followed = "one forward" if graph.recorded else "torch.fx"
    cells = [
        name,
        f"{case.size} px",
        followed,
        counts,
        str(len(graph.edges)),
        str(len(partial)),
        deepest(partial),
        case.note,
    ]
    return f"| {' | '.join(cells)} |\n"


def deepest(layers: list[Layer]) -> str:
    """Return the largest receptive field that is not the whole input, with its layer."""
    last = max(layers, key=lambda layer: layer.field.rows.size)
    return f"{last.field.rows.size} px at {last.name}"


def parts(text: str) -> tuple[str, str, str]:
    """Return the document up to the table, the table, and the rest."""
    before, rest = text.split(BEGIN)
    found, after = rest.split(END)
    return before, found, after


if __name__ == "__main__":
    before, _, after = parts(DOCUMENT.read_text("utf-8"))
    DOCUMENT.write_text(f"{before}{BEGIN}{table()}{END}{after}", "utf-8")
