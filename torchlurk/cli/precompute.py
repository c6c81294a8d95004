"""`torchlurk precompute`: from images and a network to a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchlurk.cli import options, terminal
from torchlurk.runtime import names
from torchlurk.store.schema import STAGES

if TYPE_CHECKING:
    from torchlurk.runtime.distributed import ProcessGroup

FOLDER = click.Path(path_type=Path)


@click.command(short_help="Scan images with a network and write a store.")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--images",
    required=True,
    metavar="FOLDER|FILE.csv|torchvision:NAME[:SPLIT]",
    help="A folder of images, whose subfolders are classes; a table of path,label; or a data set of "
    "torchvision, by name.",
)
@options.data_root
@click.option("--out", required=True, type=FOLDER, help="The store to write, e.g. saved_model/NAME.")
@click.option(
    "--words",
    type=FOLDER,
    help="File that names the classes: lines 'folder name or number<TAB>words', a name a line, in order, or "
    "JSON. "
    "[default: classes.txt in or beside the images, if there is one]",
)
@click.option(
    "--layers", multiple=True, default=("kind:Conv2d",), metavar="NAME|GLOB|kind:KIND|logits",
    help="Layers to scan: a module's dotted name; a glob of names, of convolutions if no kind is given; a "
    "kind, such as kind:ReLU; or the network's output. May be repeated.",
)  # fmt: skip
@click.option(
    "--filters", type=options.Filters(), default="all",
    help="Gradients and ascent for the first N filters of each layer.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(1, 64), default=4, help="Images to keep for each filter.")
@options.size
@options.show_channels
@click.option(
    "--stages",
    type=options.Stages(),
    default=",".join(STAGES),
    help="What to compute, with commas between.",
)
@click.option(
    "--method", type=click.Choice(["deconv", "guided", "vanilla"]), default="deconv",
    help="What ReLUs let back in gradients.",
)  # fmt: skip
@click.option(
    "--certify", type=click.Choice(["chosen", "all"]), default="chosen",
    help="Feed the crops of these filters to the network again, to prove that they explain their scores: of "
    "those chosen by --filters, which costs nothing, or of all.",
)  # fmt: skip
@options.device
@click.option(
    "--ascent", type=click.Choice(["fourier", "naive"]), default="fourier",
    help="How filter images are made; naive: plain pixels, as the first Torchlurk did.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(["mean", "position"]), default="mean",
    help="What filter images excite: the whole feature map, or the unit in its middle.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto",
    help="Of the steps of the ascent; auto: bfloat16 where the device is fast at it.",
)  # fmt: skip
@click.option(
    "--scan-precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Of the scan; bfloat16 scores its candidates again in float32, which pays for many images.",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 4096),
    help="Images in one forward. [default: 8 on a cpu, 64 or 256 on cuda]",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(0, 64),
    help="Processes that decode images, and threads that write pictures; 0 does both in the main one. "
    "[default: 1 on a cpu, up to 16 before cuda]",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1, 1024),
    help="Of the processor, for one operation. [default: what the store was begun with, else torch's own]",
)  # fmt: skip
@click.option(
    "--shard-size", type=click.IntRange(1, 1_000_000), default=256,
    help="Images of a scan that are computed as one piece: a stop loses no more.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of all randomness.")
@click.option(
    "--strict", is_flag=True, help="Decode all images first, and refuse to begin if one of them is bad."
)
@click.option(
    "--overwrite", is_flag=True, help="Make the stages that are asked for anew, whatever the store holds."
)
def precompute(**given: Any) -> None:
    """Scan a folder of images with a network and write what excites each filter.

    Stages that are complete already are not computed again, and a run that was stopped is gone on with.
    Several processes share a run: torchrun --nproc-per-node=N -m torchlurk precompute ...
    """
    from torchlurk.runtime.distributed import init_from_env

    with init_from_env(os.environ) as group:
        _precompute(group, **given)


def _precompute(
    group: ProcessGroup, *, model: str, weights: str, allow_unsafe_pickle: bool, images: str,
    data_root: Path | None, out: Path, words: Path | None, layers: tuple[str, ...], filters: int | str,
    top: int, size: int | tuple[int, int] | None, show_channels: tuple[int, ...] | None,
    stages: tuple[str, ...],
    method: Any, certify: str, device: str, ascent: str, objective: str, precision: str, scan_precision: str,
    batch_size: int | None, workers: int | None, threads: int | None, shard_size: int, seed: int,
    strict: bool, overwrite: bool,
) -> None:  # fmt: skip
    from torchlurk.datasets.batches import first_image
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.datasets.validate import check_readable, unreadable_images_error
    from torchlurk.models.network import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.pipeline.config import AscentConfig, GradientsConfig, RunConfig, ScanConfig
    from torchlurk.pipeline.pipeline import precompute, usual_threads
    from torchlurk.runtime.devices import (
        choose_device,
        default_ascent_batch,
        default_batch_size,
        default_workers,
        fastest_precision,
    )
    from torchlurk.store.selection import Selection
    from torchlurk.store.write import check_writable

    shown = terminal.SHOWN if group.is_main else terminal.SILENT
    chosen = choose_device(device, group.local_rank)
    names.check_store_name(out)
    if group.is_main:
        check_writable(out)
    cache = default_cache()
    # One process reads all files for their digest, and one downloads what has to be.
    folder = group.broadcast(
        lambda: open_images(str(images), class_names_file=words, data_root=data_root or cache / "datasets")
    )
    for note in notes_of(folder):
        shown.report(note)
    network = group.main_first(
        lambda: load_network(
            model,
            weights,
            size,
            cache,
            report=shown.report,
            seed=seed,
            first=lambda: first_image(folder),
            show=show_channels or (),
            unsafe_pickle=allow_unsafe_pickle,
        )
    )
    batch = batch_size or default_batch_size(chosen)
    config = RunConfig(
        scan=ScanConfig(
            layers=layers, k=top, batch_size=batch, shard_size=shard_size, precision=scan_precision
        ),
        gradients=GradientsConfig(method=method, certify=certify, batch_size=2 * batch),
        ascent=AscentConfig(
            way=ascent,
            objective=objective,
            seed=seed,
            batch_size=default_ascent_batch(chosen, batch),
            precision=fastest_precision(chosen) if precision == "auto" else precision,
        ),
        stages=stages,
        chosen=Selection(filters=None if filters == "all" else int(filters)),
        workers=default_workers(chosen) if workers is None else workers,
        threads=threads or group.broadcast(lambda: usual_threads(out)),
        overwrite=overwrite,
    )
    others = f", {group.size} processes" if group.size > 1 else ""
    shown.report(
        f"{network.title} ({network.weights}) over {len(folder.paths)} images on {chosen.type}{others}"
    )
    if strict:
        group.broadcast(
            lambda: check_readable(folder, network.preprocess, workers=config.workers, bar=shown.bar)
        )
    manifest = precompute(network, folder, out, config, chosen, shown, group)
    if strict and manifest.dataset.skipped:  # one went bad meanwhile
        bad, total = manifest.dataset.skipped, manifest.dataset.images + len(manifest.dataset.skipped)
        raise unreadable_images_error(len(bad), total, bad[0].path, bad[0].reason)
    if group.is_main:
        total = sum(layer.channels for layer in manifest.layers)
        line = f"{out}: {len(manifest.layers)} layers, {total} filters, {manifest.dataset.images} images, "
        click.echo(names.shown(f"{line}{len(manifest.dataset.skipped)} skipped"))
