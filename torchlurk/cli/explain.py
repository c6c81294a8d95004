"""`torchlurk explain`: which pixels of some images a class or a unit depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchlurk.cli import options
from torchlurk.cli.terminal import echo, report
from torchlurk.errors import LurkError, Option
from torchlurk.explaining.params import METHOD_NAMES, AttributionParams

if TYPE_CHECKING:
    from torchlurk.explaining import Explanation


@click.command(short_help="Show which pixels of an image a class or a unit depends on.")
@click.argument("images", nargs=-1, required=True, type=options.PATH, metavar="IMAGE...")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="N|NAME|predicted",
    help="Class to explain: its number, its name or a part of it, or the class that the network predicts. "
    "Once for all images, or once for each. [default: predicted]",
)
@click.option(
    "--unit",
    metavar="LAYER:CHANNEL[@Y,X]",
    help="Explain the mean of a filter's activation map instead of a class, or one position of the map.",
)
@click.option(
    "--circuit",
    is_flag=True,
    help="Also draw which filters directly upstream the unit, or the class, is made of, and where in the "
    "image each contributes: circuit.jpg and circuit.json.",
)
@click.option(
    "--methods",
    metavar="METHOD,...",
    help=f"Methods to show, in order. [default: all, {', '.join(METHOD_NAMES)}]",
)
@click.option(
    "--randomize",
    type=click.Choice(["all", "cascading"]),
    help="Repeat the methods on a copy with random weights: in all layers at once, or in one more layer at a "
    "time, from the output to the input.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 10000),
    default=AttributionParams.samples,
    help="Number of noisy copies for smoothgrad.",
)
@click.option(
    "--sigma",
    type=click.FloatRange(0, 10),
    default=AttributionParams.sigma,
    help="Standard deviation of the noise for smoothgrad, relative to the range of the image.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 10000),
    default=AttributionParams.steps,
    help="Number of integration steps for integrated.",
)
@options.size
@options.show_channels
@options.words("File with the names of the network's outputs, one per line, in order.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=AttributionParams.seed,
    help="Seed of the random numbers.",
)
@options.device
@click.option(
    "--tile",
    type=click.IntRange(48, 1024),
    default=224,
    help="Width and height of a picture in the sheet, in pixels.",
)
@click.option("--out", type=options.PATH, default="explained", help="Folder to write.")
def explain(**arguments: Any) -> None:
    """Show which pixels of each IMAGE a class or a unit of a network depends on.

    Writes sheet.jpg, with a row per IMAGE and a column per method, the single pictures, and scores.json.
    """
    _explain(**arguments)


def _explain(
    *, images: tuple[Path, ...], model: str, weights: str, allow_unsafe_pickle: bool,
    classes: tuple[str, ...], unit: str | None, circuit: bool, methods: str | None, randomize: Any,
    samples: int, sigma: float, steps: int, size: int | tuple[int, int] | None,
    show_channels: tuple[int, ...] | None, words: Path | None, seed: int, device: str, tile: int, out: Path,
) -> None:  # fmt: skip
    from torchlurk.attribution.targets import parse_unit
    from torchlurk.explaining import explain as explain_images
    from torchlurk.explaining.files import SHEET, write_explanations
    from torchlurk.explaining.images import open_image
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.runtime.devices import choose_device
    from torchlurk.store.write import check_writable

    _check_targets(images, classes, unit)
    params = AttributionParams(samples=samples, sigma=sigma, steps=steps, seed=seed)
    if methods is not None:
        params = replace(params, methods=tuple(methods.split(",")))
    target = [parse_unit(unit)] if unit is not None else list(classes or ("predicted",))
    torch_device = choose_device(device)
    opened = [open_image(path) for path in images]  # before weights are downloaded
    check_writable(out)
    network = load_network(
        model, weights, size, default_cache(), report=report, seed=seed, first=lambda: opened[0],
        display_channels=show_channels or (), unsafe_pickle=allow_unsafe_pickle,
    )  # fmt: skip
    report(_summary(f"{network.title} ({network.weights})", len(opened), params))
    # The output of the trunk is not that of a classifier, so its values are no classes.
    names = None if network.weights == "trunk" else network.classes
    explanations = explain_images(
        network.module.to(torch_device),
        network.preprocess,
        images,
        target,
        classes=_read_names(words) if words else names,
        params=params,
        randomize=randomize,
        done=lambda name: report(f"{name} is explained"),
    )
    write_explanations(out, network, params, explanations, tile)
    for explanation in explanations:
        _print_explanation(explanation)
    echo(str(out / SHEET))
    if circuit:
        from torchlurk.explaining.circuit import explain_circuits
        from torchlurk.explaining.circuit_files import CIRCUIT_SHEET, circuit_caption, write_circuits

        circuits = explain_circuits(
            network.module,
            network.preprocess,
            images,
            [explanation.target for explanation in explanations],
            classes=_read_names(words) if words else names,
        )
        write_circuits(out, network, circuits, tile)
        for one in circuits:
            echo(circuit_caption(one))
        echo(str(out / CIRCUIT_SHEET))


def _check_targets(images: tuple[Path, ...], classes: tuple[str, ...], unit: str | None) -> None:
    if unit is not None and classes:
        both = (Option("target", unit, "--unit"), " and ", Option("target", classes[0], "--class"))
        raise LurkError((*both, " are both given"), "explain one or the other")
    if len(classes) not in (0, 1, len(images)):
        raise LurkError(
            (Option("target", flag="--class"), f" is given {len(classes)} times for {len(images)} images"),
            "give it once for all images, or once for each",
        )


def _summary(network: str, images: int, params: AttributionParams) -> str:
    counts = [(images, "image"), (len(params.methods), "method")]
    return ", ".join([network, *(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)])


def _print_explanation(explanation: Explanation) -> None:
    from torchlurk.explaining.files import caption

    echo(caption(explanation))
    sums = explanation.completeness
    if sums is not None:
        echo(
            f"  integrated gradients sum to {sums.total:.4g} of {sums.difference:.4g} "
            f"(difference {sums.error:.2g})"
        )


def _read_names(words: Path) -> tuple[str, ...]:
    """Return the names of a network's outputs: by their number, or in the order of the file."""
    from torchlurk.datasets.class_names import names_in_order, read_class_names

    return names_in_order(read_class_names(words))
