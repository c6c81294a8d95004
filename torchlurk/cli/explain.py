"""The command `explain`: parses and prints, nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from torchlurk.cli import options
from torchlurk.errors import LurkError
from torchlurk.runtime.names import printable

PATH = click.Path(path_type=Path)


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


@click.command(short_help="Show what in some images a class or a unit depends on.")
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--class", "classes", multiple=True, metavar="N|NAME|predicted",
    help="The class to explain: its number, its name or a part of it, or what the network takes the image "
    "for. Once for all images, or once for each. [default: predicted]",
)  # fmt: skip
@click.option(
    "--unit", metavar="LAYER:CHANNEL[@Y,X]",
    help="Explain the mean of a filter's map instead, or one place in it.",
)  # fmt: skip
@click.option(
    "--methods", metavar="METHOD,...",
    help="Which, in which order. [default: all, gradient, saliency, guided, deconv, input_x_gradient, "
    "smoothgrad, integrated]",
)  # fmt: skip
@click.option(
    "--randomize", type=click.Choice(["all", "cascading"]),
    help="Do the same on a copy with random weights: all at once, or from the output towards the input.",
)  # fmt: skip
@click.option("--samples", type=click.IntRange(1, 10000), default=32, help="Noisy copies, for smoothgrad.")
@click.option(
    "--sigma", type=click.FloatRange(0, 10), default=0.15,
    help="Noise of smoothgrad, as a share of the image's range.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1, 10000), default=64, help="Points on the way, for integrated.")
@options.size
@options.show_channels
@click.option("--words", type=PATH, help="File that names the network's outputs, a name a line, in order.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of all randomness.")
@options.device
@click.option(
    "--tile", type=click.IntRange(48, 1024), default=224, help="Side of a picture in the sheet, pixels."
)
@click.option("--out", type=PATH, default="explained", help="Folder to write.")
def explain(**given: Any) -> None:
    """Show what in some images a class or a unit of a network depends on.

    Writes sheet.jpg, a row an IMAGE and a column a method, the single pictures, and scores.json.
    """
    _explain(**given)


def _explain(
    *, images: tuple[Path, ...], model: str, weights: str, allow_unsafe_pickle: bool,
    classes: tuple[str, ...], unit: str | None, methods: str | None, randomize: Any,
    samples: int, sigma: float, steps: int, size: int | tuple[int, int] | None,
    show_channels: tuple[int, ...] | None, words: Path | None, seed: int, device: str, tile: int, out: Path,
) -> None:  # fmt: skip
    from torchlurk.attribution.targets import parse_unit
    from torchlurk.explaining import AttributionParams
    from torchlurk.explaining import explain as explained
    from torchlurk.explaining.files import SHEET, caption, write_explanations
    from torchlurk.explaining.images import open_image
    from torchlurk.models.network import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.runtime.devices import choose_device
    from torchlurk.store.write import check_writable

    if unit is not None and classes:
        raise LurkError(f"--unit {unit} and --class {classes[0]}: explain one or the other")
    if len(classes) not in (0, 1, len(images)):
        raise LurkError(
            f"--class is given {len(classes)} times for {len(images)} images: once for all, or once for each"
        )
    params = AttributionParams(samples=samples, sigma=sigma, steps=steps, seed=seed)
    if methods is not None:
        params = replace(params, methods=tuple(methods.split(",")))
    target = [parse_unit(unit)] if unit is not None else list(classes or ("predicted",))
    chosen = choose_device(device)
    opened = [open_image(path) for path in images]  # before weights are fetched for nothing
    check_writable(out)
    network = load_network(
        model, weights, size, default_cache(), report=_say, seed=seed, first=lambda: opened[0],
        show=show_channels or (), unsafe_pickle=allow_unsafe_pickle,
    )  # fmt: skip
    counts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((len(opened), "image"), (len(params.methods), "method"))
    ]
    _say(f"{network.title} ({network.weights}), {', '.join(counts)}")
    # The trunk has values where a classifier should be, and they are no classes.
    names = None if network.weights == "trunk" else network.classes
    found = explained(
        network.module.to(chosen),
        network.preprocess,
        images,
        target,
        classes=_names(words) if words else names,
        params=params,
        randomize=randomize,
        done=lambda name: _say(f"{name} is explained"),
    )
    write_explanations(out, network, params, found, tile)
    for one in found:
        click.echo(printable(caption(one)))
        if one.completeness is not None:
            sums = one.completeness
            click.echo(
                f"  integrated gradients sum to {sums.total:.4g} of {sums.difference:.4g} (off by "
                f"{sums.error:.2g})"
            )
    click.echo(printable(str(out / SHEET)))


def _names(words: Path) -> tuple[str, ...]:
    """What outputs are called: by number, in the order that data sets have folders in, or in order."""
    from torchlurk.datasets.class_names import names_in_order, read_class_names

    return names_in_order(read_class_names(words))
