"""`torchlurk ablate`: what changes in a network when filters are set to zero or to their mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from torchlurk.cli import options
from torchlurk.cli.terminal import TERMINAL, echo, report
from torchlurk.errors import LurkError, Option
from torchlurk.pipeline.config import ScanConfig

if TYPE_CHECKING:
    from torchlurk.circuits.ablation_table import Ablation, ClassEffect, FilterEffect
    from torchlurk.datasets.images import ImageSet
    from torchlurk.models.network import Network


@click.command(short_help="Set filters to zero or to their mean, and measure what changes.")
@click.argument("store", required=False, type=options.PATH, metavar="[STORE]")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--images",
    required=True,
    metavar=options.IMAGES_METAVAR,
    help="Images to run the network on, as --images of torchlurk precompute.",
)
@options.data_root
@click.option(
    "--layer",
    required=True,
    metavar="NAME|logits",
    help="Layer of the filters: a module by its dotted name; or logits, the output of the network.",
)
@click.option(
    "--filter",
    "channels",
    required=True,
    multiple=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Number of the filter, from 0. May be repeated; the filters are ablated together.",
)
@click.option(
    "--to",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    help="What to set the filters to. mean: each to its mean over all positions and images, which takes one "
    "more pass over the images.",
)
@click.option(
    "--layers",
    multiple=True,
    metavar="NAME|GLOB|kind:KIND|logits",
    help="Layers to compare, as --layers of torchlurk precompute; those that do not depend on --layer are "
    f"left out. May be repeated. [default: those of STORE, or {', '.join(ScanConfig.layers)}]",
)
@options.size
@options.words("File with the names of the images' classes, as --words of torchlurk precompute.")
@options.device
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    help="Number of images per forward pass. [default: 8 on a CPU, up to 256 with CUDA]",
)
@options.workers()
@click.option(
    "--top",
    type=click.IntRange(1, 100_000),
    default=12,
    help="Number of filters and of classes to print; with --out, of each layer to write.",
)
@click.option("--out", type=options.PATH, metavar="FILE.json", help="JSON file to write the result to.")
@click.pass_context
def ablate(context: click.Context, /, **arguments: Any) -> None:
    """Set filters of a layer to zero or to their mean, and show what changes in later layers and classes.

    The network is that of STORE, or that of --model. With STORE, --model and --weights are only needed for a
    network or weights of your own, as for torchlurk compare. The store is not changed.
    """
    given = {name for name in arguments if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    _ablate(given=given, **arguments)


def _ablate(
    *, given: set[str], store: Path | None, model: str, weights: str, allow_unsafe_pickle: bool, images: str,
    data_root: Path | None, layer: str, channels: tuple[int, ...], to: Any, layers: tuple[str, ...],
    size: int | tuple[int, int] | None, words: Path | None, device: str, batch_size: int | None,
    workers: int | None, top: int, out: Path | None,
) -> None:  # fmt: skip
    import torch

    from torchlurk.api.ablation import AblationRequest, RunSettings, ablate_network
    from torchlurk.api.ablation_record import write_ablation
    from torchlurk.circuits.ablation_table import with_contributions
    from torchlurk.datasets.batches import first_image
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.runtime.devices import choose_device, default_batch_size, default_workers
    from torchlurk.store.read import read_manifest
    from torchlurk.store.read_circuits import read_all_circuits
    from torchlurk.store.write import check_writable

    torch_device = choose_device(device)
    if out is not None:
        if out.is_dir():
            raise LurkError("is a folder", "name a file, such as ablation.json", Option("out", str(out)))
        check_writable(out.parent)
    cache = default_cache()
    image_set = open_images(images, class_names_file=words, data_root=data_root or cache / "datasets")
    for note in notes_of(image_set):
        report(note)
    threads = torch.get_num_threads()
    circuits = [] if store is None else read_all_circuits(store, read_manifest(store))
    if store is None:
        network = load_network(
            model, weights, size, cache, report=report, first=lambda: first_image(image_set),
            unsafe_pickle=allow_unsafe_pickle,
        )  # fmt: skip
        patterns = layers or ScanConfig.layers
    else:
        if size is not None:
            raise LurkError(
                f"the network of {str(store)!r} has the input size of the store",
                "leave it out",
                Option("size", size),
            )
        network, names, threads = _load_from_store(
            store,
            model if "model" in given else None,
            Path(weights) if "weights" in given else None,
            allow_unsafe_pickle,
            image_set,
        )
        patterns = layers or names
    report(f"{network.title} ({network.weights}) over {len(image_set.paths)} images on {torch_device.type}")
    settings = RunSettings(
        device=torch_device,
        batch_size=batch_size or default_batch_size(torch_device),
        workers=default_workers(torch_device) if workers is None else workers,
        threads=threads,
        reporter=TERMINAL,
    )
    request = AblationRequest(layer, channels, to, patterns)
    found = with_contributions(ablate_network(network, image_set, request, settings), circuits)
    _print_ablation(found, top)
    if out is not None:
        write_ablation(out, found, network, image_set, top)
        echo(str(out))


def _load_from_store(
    path: Path, model: str | None, weights: Path | None, unsafe_pickle: bool, images: ImageSet
) -> tuple[Network, tuple[str, ...], int]:
    """Return the network of a store, the names of its layers, and its number of CPU threads."""
    from torchlurk.comparing.compatibility import Store
    from torchlurk.comparing.sources import NetworkSources, load_networks
    from torchlurk.datasets.batches import first_image
    from torchlurk.models.weights import default_cache
    from torchlurk.store.read import read_manifest

    manifest = read_manifest(path)
    sources = NetworkSources(
        models=() if model is None else (model,),
        weights=() if weights is None else (weights,),
        unsafe_pickle=unsafe_pickle,
    )
    (network,) = load_networks(
        [Store(path, manifest, tuple(manifest.layers))],
        sources,
        default_cache(),
        report=report,
        first=lambda: first_image(images),
    )
    return network, tuple(layer.name for layer in manifest.layers), manifest.threads


def _print_ablation(found: Ablation, top: int) -> None:
    from torchlurk.circuits.ablation_table import describe_channels

    value = "zero" if found.to == "zero" else "the mean"
    echo(f"{found.layer}, {describe_channels(found.channels)} set to {value}, {found.images} images")
    shown = found.filters[:top]
    columns = ("before", "after", "change", "relative")
    with_circuits = any(one.contribution is not None for one in shown)
    filters = {
        f"{one.layer}:{one.channel}": (
            *_numbers(one),
            "" if one.relative is None else f"{one.relative:+.1%}",
            *(["" if one.contribution is None else f"{one.contribution:+.4g}"] if with_circuits else ()),
        )
        for one in shown
    }
    classes = {f"{one.name} ({one.index})": _numbers(one) for one in found.classes[:top]}
    _print_table("mean maximum", (*columns, "contribution") if with_circuits else columns, filters)
    _print_table("mean logit", ("before", "after", "change"), classes)
    if found.agreement is not None:
        echo(f"the predicted class stays the same for {found.agreement:.1%} of the images")
    if found.accuracy is not None:
        before, after = found.accuracy
        echo(f"accuracy {before:.1%} before, {after:.1%} after")


def _numbers(effect: FilterEffect | ClassEffect) -> tuple[str, ...]:
    return f"{effect.before:.4g}", f"{effect.after:.4g}", f"{effect.change:+.4g}"


def _print_table(title: str, columns: tuple[str, ...], rows: Mapping[str, tuple[str, ...]]) -> None:
    """Print rows by name below a head; nothing if there are none."""
    if rows:
        width = max(map(len, (title, *rows)))
        for name, cells in {title: columns, **rows}.items():
            padded = (cell.rjust(max(10, len(column))) for cell, column in zip(cells, columns, strict=True))
            echo(f"{name:{width}} {' '.join(padded)}".rstrip())
