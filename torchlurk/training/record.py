"""The record of a fine-tuning, `transfer.json`; `docs/reference/fine-tuning.md` describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from torchlurk.errors import LurkError, Option
from torchlurk.store.schema import (
    Digest,
    Format,
    Fraction,
    InputRecord,
    ModelRecord,
    NonNegativeInt,
    PositiveInt,
    Record,
    Relative,
    SkippedFile,
)
from torchlurk.store.write import write_json

RECORD_FILE: Final = "transfer.json"
"""The file that makes a folder a run."""

TRANSFER_FORMAT: Final = 1
"""The version of the format of this file."""

_OTHER_OUT = ("choose another ", Option("out"))


class TransferOptions(Record, frozen=True):
    """The options that, with the network and the images, determine the result.

    Attributes:
        unfreeze: Patterns of the layers that are trained in addition to the head.
        epochs: The number of passes over the training images.
        lr: The learning rate of stochastic gradient descent, the same at each step.
        momentum: The momentum of stochastic gradient descent.
        batch_size: Images per step.
        save_every: Epochs between two checkpoints.
        seed: The seed of the head's initial values, of the order of the images, and of dropout.
    """

    unfreeze: list[str]
    epochs: PositiveInt = 10
    lr: float = 0.001
    momentum: float = 0.9
    batch_size: PositiveInt = 16
    save_every: PositiveInt = 5
    seed: NonNegativeInt = 0


class TransferImages(Record, frozen=True):
    """The training or the validation images.

    Attributes:
        name: The name of the set.
        images: The number of images, without those that cannot be read.
        digest: The digest of the set.
        skipped: The images that cannot be read.
    """

    name: str
    images: NonNegativeInt
    digest: Digest
    skipped: list[SkippedFile]


class Metrics(Record, frozen=True):
    """The performance on images: the mean cross-entropy, and the share of correctly classified images."""

    loss: float
    accuracy: Fraction


class Epoch(Record, frozen=True):
    """The performance after an epoch, in eval mode; epoch 0 is before the first step.

    Attributes:
        epoch: The number of the epoch.
        step: The number of the optimiser's steps so far.
        train: The performance on the training images.
        val: The performance on the validation images.
        checkpoint: The checkpoint file, relative to the folder of the run; `None` if there is none.
    """

    epoch: NonNegativeInt
    step: NonNegativeInt
    train: Metrics
    val: Metrics
    checkpoint: Relative | None


class Original(Record, frozen=True):
    """The performance of the original network, if it has outputs for the classes.

    Attributes:
        outputs: The indices of these outputs; the others are ignored.
        train: The performance on the training images.
        val: The performance on the validation images.
    """

    outputs: list[NonNegativeInt]
    train: Metrics
    val: Metrics


class TransferRecord(Record, frozen=True):
    """`transfer.json`: a run and its progress.

    Attributes:
        format: The version of the format.
        model: The original network.
        input: The network's input.
        classes: The class names of the new head's outputs.
        head: The name of the layer that was replaced.
        trained: The names of the parameters that are trained; all others are frozen.
        device: Where the run is computed, `cpu` or `cuda`.
        threads: The number of CPU threads; it may affect the last digits.
        options: The options of the run.
        train: The training images.
        val: The validation images.
        share: The share of the images that is held out; `None` if the validation images are a separate set.
        original: The performance of the original network; `None` if it has no outputs for the classes.
        history: The epochs so far.
    """

    format: Format
    model: ModelRecord
    input: InputRecord
    classes: list[str]
    head: str
    trained: list[str]
    device: str
    threads: PositiveInt
    options: TransferOptions
    train: TransferImages
    val: TransferImages
    share: float | None
    original: Original | None
    history: list[Epoch]

    @property
    def complete(self) -> bool:
        """Whether all epochs are done."""
        return bool(self.history) and self.history[-1].epoch == self.options.epochs

    @property
    def saved(self) -> Epoch | None:
        """The last epoch with a checkpoint."""
        return next((epoch for epoch in reversed(self.history) if epoch.checkpoint), None)


def read_transfer_record(out: Path) -> TransferRecord | None:
    """Read the record of a run.

    Args:
        out: The folder of the run.

    Returns:
        The record; `None` if the folder is empty or does not exist.

    Raises:
        LurkError: The record is damaged, or the folder contains something else.
    """
    path = out / RECORD_FILE
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=TransferRecord)
        except (OSError, msgspec.MsgspecError) as problem:
            raise LurkError(
                f"{str(path)!r} is not a valid record of torchlurk transfer ({problem})", _OTHER_OUT
            ) from None
    files = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    if files:
        raise LurkError(f"{str(out)!r} contains other files ({files[0]!r}) and no {RECORD_FILE}", _OTHER_OUT)
    return None


def write_transfer_record(out: Path, record: TransferRecord) -> None:
    """Write `transfer.json` atomically."""
    write_json(out / RECORD_FILE, record)


def check_same(out: Path, old: TransferRecord, new: TransferRecord) -> None:
    """Check that a run in a folder is the requested one, so that it can resume.

    Args:
        out: The folder of the run.
        old: The record in the folder.
        new: The record of the requested run.

    Raises:
        LurkError: They differ; the message names the first difference and both values.
    """
    names = TransferOptions.__struct_fields__
    values = [(name, getattr(old.options, name), getattr(new.options, name)) for name in names]
    values += [
        ("network", old.model.source, new.model.source),
        ("weights", old.model.weights, new.model.weights),
        ("weights", old.model.weights_sha256[:12], new.model.weights_sha256[:12]),
        ("input", old.input, new.input),
        ("head", old.head, new.head),
        ("classes", old.classes, new.classes),
        ("images", old.train.digest[:12], new.train.digest[:12]),
        ("val", old.share or old.val.digest[:12], new.share or new.val.digest[:12]),
        ("device", old.device, new.device),
    ]
    for name, before, now in values:
        if before != now:
            raise LurkError(
                f"{str(out)!r} contains another run: its {name} is {_shorten(before)}, not {_shorten(now)}",
                ("choose another ", Option("out"), ", or resume the run with the same options"),
            )


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
