"""`torchlurk precompute`: from images and a network to a store.

To add an option, add a field to the dataclass of its stage in `pipeline/config.py`; then add the option, the
field of `PrecomputeArguments` and the line of `run_config`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.attribution.relu_rules import RELU_RULES
from torchlurk.cli import options, terminal
from torchlurk.cli.precompute_config import PrecomputeArguments, run_config
from torchlurk.pipeline.config import (
    AscentConfig,
    CircuitsConfig,
    GradientsConfig,
    KeepActivations,
    RunConfig,
    ScanConfig,
)
from torchlurk.runtime.names import check_store_name
from torchlurk.store.schema import CircuitImages

if TYPE_CHECKING:
    from torchlurk.datasets.images import ImageSet
    from torchlurk.models.network import Network
    from torchlurk.runtime.distributed import ProcessGroup
    from torchlurk.runtime.reporting import Reporter
    from torchlurk.store.schema import Manifest


@click.command(short_help="Compute a store from images and a network.")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--images",
    required=True,
    metavar=options.IMAGES_METAVAR,
    help="Images to scan: a folder whose subfolders are classes, a CSV file with the columns path and label, "
    "or a torchvision dataset by name.",
)
@options.data_root
@click.option("--out", required=True, type=options.PATH, help="Store to write, such as saved_model/NAME.")
@options.words(
    "File with the class names: lines 'folder name or number<TAB>name', one name per line in order, or JSON. "
    "[default: classes.txt in or beside the images, if it exists]"
)
@click.option(
    "--layers",
    multiple=True,
    default=ScanConfig.layers,
    metavar="NAME|GLOB|kind:KIND|logits",
    help="Layers to scan: a module by its dotted name; modules by a glob pattern, which matches convolutions "
    "only unless a kind is given; modules by class, such as kind:ReLU; or logits, the output of the network. "
    "May be repeated.",
)
@click.option(
    "--filters",
    type=options.FiltersType(),
    default="all",
    help="Compute gradients and filter images for the first N filters of each layer.",
)
@click.option(
    "--top",
    type=click.IntRange(1, 64),
    default=ScanConfig.k,
    help="Number of images to keep for each filter.",
)
@options.size
@options.show_channels
@click.option(
    "--stages",
    type=options.StagesType(),
    default=",".join(RunConfig.stages),
    help="Stages to run, separated by commas.",
)
@click.option(
    "--keep-activations",
    type=click.Choice(get_args(KeepActivations)),
    default=RunConfig.keep_activations,
    help="Keep maximum, mean and position of the maximum of every filter for all images. auto: if they take "
    "at most 2 GB; yes: also add them to a store without them.",
)
@click.option(
    "--circuits",
    type=click.Choice(get_args(CircuitImages)),
    default=CircuitsConfig.images,
    help="Images over which circuits average. top: the best images of each filter; all: all images.",
)
@click.option(
    "--method",
    type=click.Choice(tuple(RELU_RULES)),
    default=GradientsConfig.method,
    help="Rule for ReLUs in the backward pass of gradients.",
)
@click.option(
    "--certify",
    type=click.Choice(["chosen", "all"]),
    default=GradientsConfig.certify,
    help="Verify that crops explain their scores, by a forward pass of each crop alone. chosen: crops of the "
    "filters that --filters selects, at no extra cost; all: crops of all filters.",
)
@options.device
@click.option(
    "--ascent",
    type=click.Choice(["fourier", "naive"]),
    default=AscentConfig.strategy,
    help="Parametrisation of filter images. naive: plain pixels, without regularisation.",
)
@click.option(
    "--objective",
    type=click.Choice(tuple(OBJECTIVES)),
    default=AscentConfig.objective,
    help="Objective of filter images. mean: mean of the activation map; position: its centre unit.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    help="Precision of the gradient ascent. auto: bfloat16 if the device is faster with it.",
)
@click.option(
    "--scan-precision",
    type=click.Choice(["float32", "bfloat16"]),
    default=ScanConfig.precision,
    help="Precision of the scan. bfloat16 scores the best images again in float32; it is faster for many "
    "images.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    help="Number of images per forward pass. [default: on a CPU 8, in the scan up to 64 for small inputs; "
    "with CUDA up to 256]",
)
@options.workers("decode images, and of threads that encode pictures")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Number of CPU threads per operation. [default: the number that the store was started with, or "
    "torch's default]",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1, 1_000_000),
    help="Number of images per shard of the scan. An interrupted run resumes with the shard that was not "
    "finished. [default: 256 on a CPU, 1024 with CUDA]",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=AscentConfig.seed, help="Seed of the random numbers."
)
@click.option("--strict", is_flag=True, help="Decode all images first, and stop if one cannot be decoded.")
@click.option(
    "--overwrite", is_flag=True, help="Recompute the requested stages, even if the store contains them."
)
def precompute(**arguments: Any) -> None:
    """Compute a store: the images that excite each filter of a network, and pictures of what it sees in them.

    Stages that are complete are not computed again, and interrupted runs resume. Several processes can share
    a run: torchrun --nproc-per-node=N -m torchlurk precompute ...
    """
    from torchlurk.runtime.distributed import init_from_env

    with init_from_env(os.environ) as group:
        _precompute(group, PrecomputeArguments(**arguments))


def _precompute(group: ProcessGroup, arguments: PrecomputeArguments) -> None:
    from torchlurk.datasets.validate import check_readable, unreadable_images_error
    from torchlurk.pipeline.pipeline import precompute
    from torchlurk.runtime.devices import choose_device
    from torchlurk.store.write import check_writable

    reporter = terminal.TERMINAL if group.is_main else terminal.SILENT
    device = choose_device(arguments.device, group.local_rank)
    check_store_name(arguments.out)
    if group.is_main:
        check_writable(arguments.out)
    images = _open_images(group, arguments, reporter)
    network = _load_network(group, arguments, images, reporter)
    config = run_config(group, arguments, device, network.shape[1:])
    processes = f", {group.size} processes" if group.size > 1 else ""
    reporter.report(
        f"{network.title} ({network.weights}) over {len(images.paths)} images on {device.type}{processes}"
    )
    if arguments.strict:
        group.broadcast(
            lambda: check_readable(images, network.preprocess, workers=config.workers, bar=reporter.bar)
        )
    manifest = precompute(network, images, arguments.out, config, device, reporter, group)
    skipped = manifest.dataset.skipped
    if arguments.strict and skipped:  # an image that became unreadable during the run
        total = manifest.dataset.images + len(skipped)
        raise unreadable_images_error(len(skipped), total, skipped[0].path, skipped[0].reason)
    if group.is_main:
        _print_summary(arguments.out, manifest)


def _open_images(group: ProcessGroup, arguments: PrecomputeArguments, reporter: Reporter) -> ImageSet:
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.models.weights import default_cache

    root = arguments.data_root or default_cache() / "datasets"
    # The main process alone reads all files, for their digest.
    images = group.broadcast(
        lambda: open_images(str(arguments.images), class_names_file=arguments.words, data_root=root)
    )
    for note in notes_of(images):
        reporter.report(note)
    return images


def _load_network(
    group: ProcessGroup, arguments: PrecomputeArguments, images: ImageSet, reporter: Reporter
) -> Network:
    from torchlurk.datasets.batches import first_image
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache

    # The main process downloads weights before the others look for them.
    return group.main_first(
        lambda: load_network(
            arguments.model, arguments.weights, arguments.size, default_cache(), report=reporter.report,
            seed=arguments.seed, first=lambda: first_image(images),
            display_channels=arguments.show_channels or (), unsafe_pickle=arguments.allow_unsafe_pickle,
        )
    )  # fmt: skip


def _print_summary(out: Path, manifest: Manifest) -> None:
    filters = sum(layer.channels for layer in manifest.layers)
    dataset = manifest.dataset
    terminal.echo(
        f"{out}: {len(manifest.layers)} layers, {filters} filters, {dataset.images} images, "
        f"{len(dataset.skipped)} skipped"
    )
