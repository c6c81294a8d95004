"""Fine-tuning from Python: `torchlurk.transfer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import as_texts
from torchlurk.pipeline.config import SessionOptions
from torchlurk.pipeline.session import open_session, resolve_images, warn_notes
from torchlurk.runtime.devices import default_workers
from torchlurk.training.record import TransferOptions, TransferRecord
from torchlurk.training.run import fine_tune
from torchlurk.training.split import hold_out, separate_validation


@dataclass(frozen=True)
class Transferred:
    """A fine-tuned network.

    Attributes:
        model: The network after the last epoch, in eval mode on the CPU, with gradients enabled for all
            parameters.
        classes: The class names of its outputs, in order.
        out: The folder of the run.
        record: The contents of `transfer.json` in that folder.

    Examples:
        >>> tuned.classes[:2], tuned.model.training
        (('birds', 'castles'), False)
        >>> tuned.record.history[0].train.loss > tuned.record.history[-1].train.loss
        True
    """

    model: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    out: Path
    record: TransferRecord = field(repr=False)

    @property
    def checkpoints(self) -> dict[int, Path]:
        """The checkpoint files by epoch; epoch 0 is before the first step."""
        return {e.epoch: self.out / e.checkpoint for e in self.record.history if e.checkpoint}


def transfer(
    model: nn.Module | str,
    preprocess: PreprocessLike = None,
    *,
    images: Any,
    val: Any = 0.2,
    out: str | Path,
    unfreeze: str | Sequence[str] = (),
    epochs: int = 10,
    lr: float = 0.001,
    batch_size: int = 16,
    save_every: int = 5,
    names: Sequence[str] | None = None,
    weights: str | None = None,
    size: int | tuple[int, int] | None = None,
    words: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Transferred:
    """Fine-tune a copy of a network: replace its head for the classes of some images, and train.

    Frozen layers do not change by a bit, nor do the running statistics of their batch norms. Calling the
    function again with the same arguments resumes an interrupted run.

    Args:
        model: A classifier, which is not changed, or a name as for `Lurk`.
        preprocess: A function from an RGB PIL image to a float tensor `(C, H, W)`, see `Lurk`.
        images: The training images: a folder, a table, `torchvision:NAME`, or a data set of pairs.
        val: The validation images, of the same classes, or the share of `images` to hold out.
        out: The folder of the run.
        unfreeze: Patterns of the layers to train in addition to the new head.
        epochs: The number of passes over the training images.
        lr: The learning rate of SGD with a momentum of 0.9.
        batch_size: Images per step.
        save_every: Epochs between two checkpoints.
        names: The class names of the original network's outputs.
        weights: See `Lurk`.
        size: The height and width of the input in pixels.
        words: A file with the class names, see `Lurk`.
        device: `auto`, `cpu` or `cuda`.
        workers: Processes that decode images.
        seed: The seed of the head's initial values, the order of the images, and which are held out.
        progress: Whether to show progress; `None` shows it in a terminal or notebook.

    Returns:
        The network after the last epoch, and the record of the run.

    Raises:
        LurkError: An argument is invalid, the folder contains another run, or the loss is not finite.

    Examples:
        >>> tuned = torchlurk.transfer(
        ...     model, preprocess, images=photos, val=0.3, out="runs/photos", unfreeze="features.1[0-9]",
        ...     epochs=1, progress=False,
        ... )
        >>> {epoch: path.name for epoch, path in tuned.checkpoints.items()}
        {0: 'epoch-0000.safetensors', 1: 'epoch-0001.safetensors'}
    """
    options = SessionOptions(
        names=None if names is None else tuple(names), weights=weights, size=size,
        words=None if words is None else Path(words), device=device, workers=workers, seed=seed,
        progress=progress,
    )  # fmt: skip
    session = open_session(model, preprocess, images, Path(out), options)
    if isinstance(val, int | float):
        split = hold_out(session.images, float(val), seed)
    else:
        validation = resolve_images(val, options.words)
        warn_notes(validation, stacklevel=3)
        split = separate_validation(session.images, validation)
    record, network = fine_tune(
        session.network,
        split,
        session.out,
        TransferOptions(
            unfreeze=list(as_texts("unfreeze", unfreeze)), epochs=epochs, lr=lr, batch_size=batch_size,
            save_every=save_every, seed=seed,
        ),
        session.device,
        default_workers(session.device) if workers is None else workers,
        session.reporter,
    )  # fmt: skip
    return Transferred(network.module, network.classes, Path(out), record)
