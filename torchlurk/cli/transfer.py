"""The command `transfer`: parses and prints, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torchlurk.cli import options
from torchlurk.cli.terminal import TERMINAL

PATH = click.Path(path_type=Path)


@click.command(short_help="Fine-tune a network to the classes of a folder of images.")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--images", required=True, metavar="FOLDER|FILE.csv|torchvision:NAME[:SPLIT]",
    help="The images to train on: a folder whose subfolders are classes; a table of path,label; or a data "
    "set of torchvision, by name.",
)  # fmt: skip
@click.option(
    "--val", required=True, metavar="FOLDER|FILE.csv|torchvision:NAME[:SPLIT]|SHARE",
    help="The images to test on, of the same classes; or which share of --images is held out of each class, "
    "such as 0.2.",
)  # fmt: skip
@click.option("--out", required=True, type=PATH, help="Folder of the run, to write or to go on with.")
@click.option(
    "--unfreeze", multiple=True, metavar="NAME|GLOB|kind:KIND",
    help="Layers to train beside the new head, each with all that is in it: a module's dotted name, a glob "
    "of names, or a kind, such as kind:BatchNorm2d. May be repeated. [default: none, the head alone]",
)  # fmt: skip
@click.option(
    "--epochs", type=click.IntRange(1, 9999), default=10, help="Passes over the images to train on."
)
@click.option(
    "--lr", type=click.FloatRange(0, min_open=True), default=0.001,
    help="Step of the descent: plain stochastic gradient descent with a momentum of 0.9.",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(2, 4096), default=16, help="Images in a step.")
@click.option(
    "--save-every", type=click.IntRange(1, 9999), default=5,
    help="Epochs between two checkpoints; there is one before the first step and one after the last, too.",
)  # fmt: skip
@options.size
@click.option(
    "--words",
    type=PATH,
    help="File that names the classes of both sets of images: lines 'folder name<TAB>words', or a name a "
    "line, in order. [default: classes.txt in or beside the images, if there is one]",
)
@options.data_root
@options.device
@click.option(
    "--workers", type=click.IntRange(0, 64),
    help="Processes that decode images; 0 does it in the main one. [default: 1 on a cpu, up to 16 before "
    "cuda]",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**62), default=0,
    help="Of the head's first values, the order of the images and which are held out.",
)  # fmt: skip
def transfer(**given: Any) -> None:
    """Give a network a new head for the classes of a folder, and train it; the rest stays as it is.

    Frozen layers do not change by a bit, nor do the statistics of their batch norms. The same command goes
    on where a run was ended. Checkpoints are safetensors, which precompute takes as --weights.
    """
    _transfer(**given)


def _transfer(
    *, model: str, weights: str, allow_unsafe_pickle: bool, images: str, val: str, out: Path,
    unfreeze: tuple[str, ...], epochs: int, lr: float, batch_size: int, save_every: int,
    size: int | tuple[int, int] | None, words: Path | None, data_root: Path | None, device: str,
    workers: int | None, seed: int,
) -> None:  # fmt: skip
    from torchlurk.datasets.batches import first_image
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.models.network import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.runtime.devices import choose_device, default_workers
    from torchlurk.store.write import check_writable
    from torchlurk.training import Options, fine_tune, read_record
    from torchlurk.training.split import apart, as_share, hold_out

    chosen = choose_device(device)
    read_record(out)  # a folder of something else is refused before weights are fetched
    check_writable(out)
    cache = default_cache()
    root = data_root or cache / "datasets"
    folder = open_images(images, class_names_file=words, data_root=root)
    share = as_share(val)
    for note in notes_of(folder):
        TERMINAL.report(note)
    if share is None:
        held_out = open_images(val, class_names_file=words, data_root=root)
        for note in notes_of(held_out):
            TERMINAL.report(note)
        split = apart(folder, held_out)
    else:
        split = hold_out(folder, share, seed)
    network = load_network(
        model, weights, size, cache, report=TERMINAL.report, seed=seed, first=lambda: first_image(folder),
        unsafe_pickle=allow_unsafe_pickle,
    )  # fmt: skip
    asked = Options(
        unfreeze=list(unfreeze), epochs=epochs, lr=lr, batch_size=batch_size, save_every=save_every, seed=seed
    )
    TERMINAL.report(
        f"{network.title} ({network.weights}), {len(folder.classes)} classes, on {chosen.type}: "
        f"{len(split.train.paths)} images to train on, {len(split.val.paths)} held out"
    )
    workers = default_workers(chosen) if workers is None else workers
    record, _ = fine_tune(network, split, out, asked, chosen, workers, TERMINAL)
    first, last = record.history[0], record.history[-1]
    before = "" if record.original is None else f"{record.original.val.accuracy:.1%} as it was given, "
    click.echo(
        f"{out}: of {record.val.images} images held out, {before}{first.val.accuracy:.1%} with a new head, "
        f"{last.val.accuracy:.1%} after {last.epoch} epoch{'s' if last.epoch > 1 else ''}"
    )
    click.echo(f"{out / (last.checkpoint or '')}")
