"""`torchlurk data`: downloads datasets."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli import options, terminal
from torchlurk.cli.terminal import echo


@click.group(short_help="Download a dataset.")
def data() -> None:
    """Download a dataset."""


@data.command("tiny-imagenet", short_help="Download a fixed subset of tiny-ImageNet.")
@click.option(
    "--per-class",
    type=click.IntRange(1, 500),
    default=10,
    help="Number of images of each of the 200 classes.",
)
@click.option("--out", type=options.PATH, default="data/tiny-imagenet", help="Folder to write.")
@click.option(
    "--archive", type=options.PATH, help="Local copy of tiny-imagenet-200.zip, used instead of a download."
)
def tiny_imagenet(per_class: int, out: Path, archive: Path | None) -> None:
    """Download Stanford's tiny-imagenet-200.zip (237 MB), and unpack a fixed subset of it.

    ImageNet's terms allow research use only.
    """
    from torchlurk.datasets.tiny_imagenet import fetch_tiny_imagenet
    from torchlurk.models.weights import default_cache

    report = fetch_tiny_imagenet(
        out, per_class=per_class, archive=archive, cache=default_cache(), report=terminal.report
    )
    echo(f"{out}: {report.images} images of {report.classes} classes")
