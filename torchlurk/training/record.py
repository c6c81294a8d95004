"""What a fine-tuning was asked to do and how it went: `transfer.json`, described in `docs/transfer.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from torchlurk.errors import LurkError
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

RECORD: Final = "transfer.json"


class Options(Record, frozen=True):
    """What decides the result, besides the network and the images.

    Attributes:
        unfreeze: patterns of the layers that are trained beside the head.
        epochs: passes over the images to train on.
        lr: of stochastic gradient descent, the same at each step.
        momentum: of it.
        batch_size: images in a step.
        save_every: epochs between two checkpoints.
        seed: of the head's first values, of the order of the images, and of dropout.
    """

    unfreeze: list[str]
    epochs: PositiveInt = 10
    lr: float = 0.001
    momentum: float = 0.9
    batch_size: PositiveInt = 16
    save_every: PositiveInt = 5
    seed: NonNegativeInt = 0


class Images(Record, frozen=True):
    """The images to train on, or those held out: how many, without those that could not be read."""

    name: str
    images: NonNegativeInt
    digest: Digest
    skipped: list[SkippedFile]


class Score(Record, frozen=True):
    """How well a network does on some images: the mean cross-entropy, and the share it names rightly."""

    loss: float
    accuracy: Fraction


class Epoch(Record, frozen=True):
    """How it stood after an epoch, measured in evaluation mode; after epoch 0 nothing is trained yet.

    Attributes:
        epoch: number of the epoch.
        step: steps of the optimiser until then.
        train: on the images to train on.
        val: on those held out.
        checkpoint: the file of the network as it was then, relative to the folder; `None` without.
    """

    epoch: NonNegativeInt
    step: NonNegativeInt
    train: Score
    val: Score
    checkpoint: Relative | None


class Original(Record, frozen=True):
    """The network as it was given, which had outputs for these classes: it chooses among those alone."""

    outputs: list[NonNegativeInt]
    train: Score
    val: Score


class Transfer(Record, frozen=True):
    """`transfer.json`: all of a run, and how far it is.

    Attributes:
        format: of this record.
        model: what the network was before.
        input: what it is fed.
        classes: what the outputs of the new head stand for.
        head: the layer that was put in anew.
        trained: names of the parameters that are trained; all others stay as they are.
        device: where it is computed, `cpu` or `cuda`.
        threads: of the processor, for one operation; they may move the last digits.
        options: what was asked for.
        train: the images to train on.
        val: those held out: of a set of their own, or the share that was asked for.
        share: which share of the images is held out; `None` where others are.
        original: how good the network was before; `None` where it has no outputs for these classes.
        history: epoch by epoch.
    """

    format: Format
    model: ModelRecord
    input: InputRecord
    classes: list[str]
    head: str
    trained: list[str]
    device: str
    threads: PositiveInt
    options: Options
    train: Images
    val: Images
    share: float | None
    original: Original | None
    history: list[Epoch]

    @property
    def complete(self) -> bool:
        """Whether all epochs are done."""
        return bool(self.history) and self.history[-1].epoch == self.options.epochs

    @property
    def saved(self) -> Epoch | None:
        """The last epoch that has a checkpoint."""
        return next((epoch for epoch in reversed(self.history) if epoch.checkpoint), None)


def read_record(out: Path) -> Transfer | None:
    """The record of a folder; `None` where there is none.

    Raises:
        LurkError: it is damaged, or the folder holds something else.
    """
    path = out / RECORD
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=Transfer)
        except (OSError, msgspec.MsgspecError) as problem:
            raise LurkError(
                f"{str(path)!r} is not as torchlurk transfer wrote it ({problem}): choose another --out"
            ) from None
    strange = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    if strange:
        raise LurkError(
            f"{str(out)!r} holds other files ({strange[0]!r}) and no {RECORD}: choose another --out"
        )
    return None


def write_record(out: Path, record: Transfer) -> None:
    """Write `transfer.json`, whole or not at all."""
    write_json(out / RECORD, record)


def check_same(out: Path, old: Transfer, new: Transfer) -> None:
    """Refuse to go on with a run that was asked for something else.

    Raises:
        LurkError: the first thing in which they differ, with both values.
    """
    names = Options.__struct_fields__
    plain = [(name, getattr(old.options, name), getattr(new.options, name)) for name in names]
    plain += [
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
    for what, before, now in plain:
        if before != now:
            raise LurkError(
                f"{str(out)!r} is of another run: its {what} is {_brief(before)}, not {_brief(now)}: choose "
                "another --out, or ask for the same to go on with it"
            )


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
