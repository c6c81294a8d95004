"""`torchlurk demo`: two networks over the photographs that come with Torchlurk, and their site."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli import options
from torchlurk.cli.precompute import precompute
from torchlurk.cli.site import site
from torchlurk.cli.terminal import echo


@click.command(short_help="Compute stores of the included photographs, and build their site.")
@click.option(
    "--weights",
    default="trunk",
    metavar="trunk|imagenet|FILE|random",
    help="Weights of VGG16; see torchlurk precompute --help.",
)
@click.option(
    "--filters",
    type=options.FiltersType(),
    default=8,
    help="Compute gradients and filter images for the first N filters of each layer.",
)
@click.option("--out", type=options.PATH, default="saved_model/vgg16-photos", help="Store to write.")
@click.option("--site", "site_out", type=options.PATH, default="_site", help="Site to write.")
@click.pass_context
def demo(ctx: click.Context, weights: str, filters: int | str, out: Path, site_out: Path) -> None:
    """Compute stores of VGG16 and of a small network for the included photographs, and build their site."""
    from torchlurk.runtime.resources import networks_folder, photos_folder

    ctx.invoke(
        precompute,
        images=photos_folder(),
        out=out,
        weights=weights,
        filters=filters,
        overwrite=False,
    )
    small = out.parent / "small-photos"
    networks = networks_folder()
    ctx.invoke(
        precompute,
        model=f"{networks / 'small.py'}:colour",
        weights=str(networks / "small-colour.safetensors"),
        images=str(photos_folder()),
        out=small,
        layers=("kind:Conv2d", "logits"),
        filters=max(filters, 32) if isinstance(filters, int) else filters,
    )
    ctx.invoke(site, stores=(out, small), out=site_out)
    echo(f"to view the site: torchlurk serve {site_out}")
