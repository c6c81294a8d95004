"""Extract ten vehicle classes from a copy of tiny-ImageNet, for `make transfer`.

    python data/vehicles.py path/to/tiny-imagenet data/tiny-imagenet-vehicles

The copy is the output of `torchlurk data tiny-imagenet`, or any folder with one subfolder per class (directly
or in `images/`) and a `classes.txt`. ImageNet's terms allow research use only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click

VEHICLES = (
    "n02917067",  # bullet train
    "n03100240",  # convertible
    "n03393912",  # freight car
    "n03670208",  # limousine
    "n03796401",  # moving van
    "n03977966",  # police van
    "n04146614",  # school bus
    "n04285008",  # sports car
    "n04465501",  # tractor
    "n04487081",  # trolleybus
)

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=PATH)
@click.argument("out", type=PATH)
@click.option("--each", default=10, help="Images per class, the first by name.")
def main(source: Path, out: Path, each: int) -> None:
    """Copy the first images of ten classes of SOURCE to OUT, with the names of the classes."""
    folder = source / "images" if (source / "images").is_dir() else source
    missing = [wnid for wnid in VEHICLES if not (folder / wnid).is_dir()]
    if missing or not (source / "classes.txt").is_file():
        raise click.ClickException(
            f"{folder} has no {missing[0] if missing else 'classes.txt'}: pass a copy of tiny-ImageNet, "
            "such as torchlurk data tiny-imagenet writes"
        )
    count = 0
    for wnid in VEHICLES:
        (out / "images" / wnid).mkdir(parents=True, exist_ok=True)
        for path in sorted((folder / wnid).iterdir())[:each]:
            shutil.copyfile(path, out / "images" / wnid / path.name)
            count += 1
    shutil.copyfile(source / "classes.txt", out / "classes.txt")
    click.echo(f"{out}: {count} images of {len(VEHICLES)} classes")


if __name__ == "__main__":
    main()
