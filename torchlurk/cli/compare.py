"""`torchlurk compare`: how each filter changed from one store to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torchlurk.cli import options, terminal
from torchlurk.cli.terminal import echo


@click.command(short_help="Compare the filters of two or more stores.")
@click.argument("stores", nargs=-1, required=True, type=options.PATH, metavar="STORE STORE...")
@click.option(
    "--out", type=options.PATH, help="Folder to write, beside the stores. [default: FIRST-to-LAST there]"
)
@click.option(
    "--images",
    metavar=options.IMAGES_METAVAR,
    help="Images that the stores were computed from. With them, the networks are compared too; without them, "
    "only what the stores contain.",
)
@click.option(
    "--weights",
    multiple=True,
    type=options.PATH,
    metavar="FILE",
    help="Weights file of a store, if its weights are in a file of yours. Files are matched to stores by "
    "their digests, in any order. May be repeated.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE.py:FUNCTION|MODULE:FUNCTION|NAME",
    help="Network, if it is one of your own: once for all stores, or once for each. [default: the network "
    "that the store names]",
)
@click.option(
    "--layers",
    multiple=True,
    metavar="NAME|GLOB|kind:KIND",
    help="Layers to compare: a module by its dotted name, modules by a glob pattern, or by class, such as "
    "kind:Conv2d. May be repeated. [default: all that were scanned]",
)
@click.option(
    "--embed",
    metavar="NAME|...",
    help="A third network, as --model of torchlurk precompute: filter images and crops are compared by its "
    "embeddings.",
)
@click.option(
    "--embed-weights", default="auto", help="Weights of the third network, as --weights of precompute."
)
@options.allow_unsafe_pickle
@options.data_root
@options.device
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    help="Number of images per forward pass of each network. [default: 8 on a CPU, 64 with CUDA]",
)
@options.workers()
@click.option("--overwrite", is_flag=True, help="Replace a comparison of other stores in the folder.")
def compare(**arguments: Any) -> None:
    """Compare the filters of the first STORE with those of the next, for example after more training.

    The stores need the same architecture and the same images, and are given in the order of time. Each is
    compared with the first, and with the one before it.
    """
    _compare(**arguments)


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
    comparison = compare_stores(request)
    record = comparison.record
    filters = sum(layer.channels for layer in record.layers)
    echo(f"{request.out}: {len(record.layers)} layers, {filters} filters, {len(record.measures)} measures")
    for pair in record.pairs:
        table = comparison.between(pair.before, pair.after)
        for line in f"{' → '.join(table.pair)}: {table.summary}".splitlines():
            echo(line)
    if record.note:
        terminal.report(record.note)
