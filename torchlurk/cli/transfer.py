"""`torchlurk transfer`: fine-tunes a network for the classes of a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchlurk.cli import options
from torchlurk.cli.terminal import TERMINAL, echo

if TYPE_CHECKING:
    from torchlurk.training.record import TransferRecord


def _default(name: str) -> Callable[[], Any]:
    """Return a function that returns a default of the training options."""

    def load() -> Any:
        from torchlurk.training import TransferOptions

        return getattr(TransferOptions(unfreeze=[]), name)

    return load


@click.command(short_help="Fine-tune a network for the classes of a folder of images.")
@options.model
@options.weights
@options.allow_unsafe_pickle
@click.option(
    "--images",
    required=True,
    metavar=options.IMAGES_METAVAR,
    help="Training images: a folder whose subfolders are classes, a CSV file with the columns path and "
    "label, or a torchvision dataset by name.",
)
@click.option(
    "--val",
    required=True,
    metavar=f"{options.IMAGES_METAVAR}|SHARE",
    help="Validation images, of the same classes; or the share of --images to hold out from each class, such "
    "as 0.2.",
)
@click.option("--out", required=True, type=options.PATH, help="Folder of the run, to write or to resume.")
@click.option(
    "--unfreeze",
    multiple=True,
    metavar="NAME|GLOB|kind:KIND",
    help="Modules to train in addition to the new head, with everything in them: a module by its dotted "
    "name, modules by a glob pattern, or by class, such as kind:BatchNorm2d. May be repeated. [default: only "
    "the head]",
)
@click.option(
    "--epochs",
    cls=options.LazyDefaultOption,
    type=click.IntRange(1, 9999),
    default=_default("epochs"),
    help="Number of epochs.",
)
@click.option(
    "--lr",
    cls=options.LazyDefaultOption,
    type=click.FloatRange(0, min_open=True),
    default=_default("lr"),
    help="Learning rate of stochastic gradient descent, with a momentum of 0.9.",
)
@click.option(
    "--batch-size",
    cls=options.LazyDefaultOption,
    type=click.IntRange(2, 4096),
    default=_default("batch_size"),
    help="Number of images per step.",
)
@click.option(
    "--save-every",
    cls=options.LazyDefaultOption,
    type=click.IntRange(1, 9999),
    default=_default("save_every"),
    help="Number of epochs between checkpoints. There is also one before the first step, and one after the "
    "last.",
)
@options.size
@options.words(
    "File with the class names of the training and validation images: lines 'folder name<TAB>name', or one "
    "name per line in order. [default: classes.txt in or beside the images, if it exists]"
)
@options.data_root
@options.device
@options.workers()
@click.option(
    "--seed",
    cls=options.LazyDefaultOption,
    type=click.IntRange(0, 2**62),
    default=_default("seed"),
    help="Seed of the head's initial weights, of the order of images, and of the images to hold out.",
)
def transfer(**arguments: Any) -> None:
    """Replace the head of a network by one for the classes of a folder, and train it.

    Frozen modules do not change, nor do the running statistics of their batch norms. The same command resumes
    an interrupted run. Checkpoints are safetensors files, which torchlurk precompute takes as --weights.
    """
    _transfer(**arguments)


def _transfer(
    *, model: str, weights: str, allow_unsafe_pickle: bool, images: str, val: str, out: Path,
    unfreeze: tuple[str, ...], epochs: int, lr: float, batch_size: int, save_every: int,
    size: int | tuple[int, int] | None, words: Path | None, data_root: Path | None, device: str,
    workers: int | None, seed: int,
) -> None:  # fmt: skip
    from torchlurk.datasets.batches import first_image
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.runtime.devices import choose_device, default_workers
    from torchlurk.store.write import check_writable
    from torchlurk.training import TransferOptions, fine_tune, read_transfer_record
    from torchlurk.training.split import hold_out, parse_share, separate_validation

    torch_device = choose_device(device)
    read_transfer_record(out)  # raises for a folder with other content, before weights are downloaded
    check_writable(out)
    cache = default_cache()
    root = data_root or cache / "datasets"
    training_images = open_images(images, class_names_file=words, data_root=root)
    share = parse_share(val)
    for note in notes_of(training_images):
        TERMINAL.report(note)
    if share is None:
        validation_images = open_images(val, class_names_file=words, data_root=root)
        for note in notes_of(validation_images):
            TERMINAL.report(note)
        split = separate_validation(training_images, validation_images)
    else:
        split = hold_out(training_images, share, seed)
    network = load_network(
        model, weights, size, cache, report=TERMINAL.report, seed=seed,
        first=lambda: first_image(training_images), unsafe_pickle=allow_unsafe_pickle,
    )  # fmt: skip
    training_options = TransferOptions(
        unfreeze=list(unfreeze), epochs=epochs, lr=lr, batch_size=batch_size, save_every=save_every, seed=seed
    )
    TERMINAL.report(
        f"{network.title} ({network.weights}), {len(training_images.classes)} classes, on "
        f"{torch_device.type}: {len(split.train.paths)} training images, {len(split.val.paths)} validation "
        "images"
    )
    workers = default_workers(torch_device) if workers is None else workers
    record, _ = fine_tune(network, split, out, training_options, torch_device, workers, TERMINAL)
    _print_accuracy(out, record)


def _print_accuracy(out: Path, record: TransferRecord) -> None:
    first, last = record.history[0], record.history[-1]
    original = "" if record.original is None else f"{record.original.val.accuracy:.1%} before, "
    echo(
        f"{out}: accuracy on {record.val.images} validation images: {original}{first.val.accuracy:.1%} with "
        f"a new head, {last.val.accuracy:.1%} after {last.epoch} epoch{'s' if last.epoch > 1 else ''}"
    )
    echo(str(out / (last.checkpoint or "")))
