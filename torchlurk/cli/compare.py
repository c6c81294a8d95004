"""The command `compare`: parses and prints, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torchlurk.cli import options
from torchlurk.runtime.names import printable

PATH = click.Path(path_type=Path)


@click.command(short_help="Say what became of each filter from one store to another.")
@click.argument("stores", nargs=-1, required=True, type=PATH, metavar="STORE STORE...")
@click.option("--out", type=PATH, help="Folder to write, beside the stores. [default: FIRST-to-LAST there]")
@click.option(
    "--images", metavar="FOLDER|FILE.csv|torchvision:NAME[:SPLIT]",
    help="The images that the stores were computed from: with them, the networks are compared too, and not "
    "only what the stores keep of them.",
)  # fmt: skip
@click.option(
    "--weights", "weights", multiple=True, type=PATH, metavar="FILE",
    help="A file of weights that a store was computed with; known by its digest, so the order does not "
    "matter. Weights that are no file of yours are found as the store says. May be repeated.",
)  # fmt: skip
@click.option(
    "--model", "models", multiple=True, metavar="FILE.py:FUNCTION|MODULE:FUNCTION|NAME",
    help="The network, where it is one of your own: once for all stores, or once for each. [default: as the "
    "store says]",
)  # fmt: skip
@click.option(
    "--layers", multiple=True, metavar="NAME|GLOB|kind:KIND",
    help="Which layers to compare, of those that were scanned. May be repeated. [default: all]",
)  # fmt: skip
@click.option(
    "--embed", metavar="NAME|...",
    help="A third network, as --model of precompute: filter images and crops are compared by its vectors.",
)  # fmt: skip
@click.option("--embed-weights", default="auto", help="Its weights, as --weights of precompute.")
@options.allow_unsafe_pickle
@options.data_root
@options.device
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Images in one forward of each network.")
@click.option("--workers", type=click.IntRange(0, 64), help="Processes that decode images.")
@click.option("--overwrite", is_flag=True, help="Lose a comparison of other stores in that folder.")
def compare(**given: Any) -> None:
    """Say what became of each filter from the first STORE to the next, after more training for instance.

    The stores are of one architecture and over the same images, in the order of time; each is compared with
    the first, and with the one before it.
    """
    _compare(**given)


def _compare(
    *, stores: tuple[Path, ...], out: Path | None, images: str | None, weights: tuple[Path, ...],
    models: tuple[str, ...], layers: tuple[str, ...], embed: str | None, embed_weights: str,
    allow_unsafe_pickle: bool, data_root: Path | None, device: str, batch_size: int | None,
    workers: int | None, overwrite: bool,
) -> None:  # fmt: skip
    from torchlurk.comparing.run import ComparisonRequest, compare_stores

    request = ComparisonRequest(
        stores=stores,
        out=out or stores[0].parent / f"{stores[0].name}-to-{stores[-1].name}",
        images=images,
        data_root=data_root,
        weights=weights,
        models=models,
        layers=layers or None,
        embed=embed,
        embed_weights=embed_weights,
        unsafe_pickle=allow_unsafe_pickle,
        device=device,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
    )
    found = compare_stores(request)
    record = found.record
    filters = sum(layer.channels for layer in record.layers)
    many = f"{len(record.layers)} layers, {filters} filters, {len(record.measures)} measures"
    click.echo(printable(f"{request.out}: {many}"))
    for pair in record.pairs:
        table = found.between(pair.before, pair.after)
        for line in f"{' → '.join(table.pair)}: {table.summary}".splitlines():
            click.echo(printable(line))
    if record.note:
        click.echo(printable(record.note), err=True)
