"""Fine-tuning as it is called from Python: `torchlurk.transfer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import as_texts, in_python
from torchlurk.pipeline.config import SessionOptions
from torchlurk.pipeline.session import open_session, resolve_images, warn_notes
from torchlurk.runtime.devices import default_workers
from torchlurk.training.record import Options as Asked
from torchlurk.training.record import Transfer
from torchlurk.training.run import fine_tune
from torchlurk.training.split import apart, hold_out


@dataclass(frozen=True)
class Transferred:
    """A network that was fine-tuned.

    Attributes:
        model: after the last epoch, in evaluation mode on the CPU; all its parameters ask for gradients.
        classes: what its outputs stand for, in order.
        out: the folder of the run.
        record: what `transfer.json` there holds.

    Examples:
        >>> tuned.classes[:2], tuned.model.training
        (('birds', 'castles'), False)
        >>> tuned.record.history[0].train.loss > tuned.record.history[-1].train.loss
        True
    """

    model: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    out: Path
    record: Transfer = field(repr=False)

    @property
    def checkpoints(self) -> dict[int, Path]:
        """The files of the network by epoch, of which 0 is before the first step."""
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
    """Give a copy of a network a new head for the classes of some images, and train it.

    What is not unfrozen does not change by a bit, nor do the statistics of its batch norms. The same call
    goes on where a run was ended.

    Args:
        model: a classifier, which is not touched; or a name, see `--model`.
        preprocess: from a PIL image, RGB, to a float tensor (C, H, W), see `Lurk`.
        images: to train on: a folder, a table, `torchvision:NAME`, or a data set of pairs.
        val: images of the same classes to test on; or which share of `images` is held out.
        out: the folder of the run.
        unfreeze: layers to train beside the new head, patterns see `--unfreeze`.
        epochs: passes over the images.
        lr: step of the descent.
        batch_size: images in a step.
        save_every: epochs between two checkpoints.
        names: what the network's outputs stand for, as it is given.
        weights: see `Lurk`.
        size: height and width of the input, pixels.
        words: a file that names the classes, in a form that `--words` takes.
        device: `auto`, `cpu` or `cuda`.
        workers: processes that decode.
        seed: of the head's first values, the order of the images and which are held out.
        progress: whether bars and news are shown; `None` for where there is someone to see them.

    Returns:
        The network as it is at the end, and how it came to it.

    Raises:
        LurkError: something of it cannot be used, the folder is of another run, or the loss became NaN.

    Examples:
        >>> tuned = torchlurk.transfer(
        ...     model, preprocess, images=photos, val=0.3, out="runs/photos", unfreeze="features.1[0-9]",
        ...     epochs=1, progress=False,
        ... )
        >>> {epoch: path.name for epoch, path in tuned.checkpoints.items()}
        {0: 'epoch-0000.safetensors', 1: 'epoch-0001.safetensors'}
    """
    asked = SessionOptions(
        names=None if names is None else tuple(names), weights=weights, size=size,
        words=None if words is None else Path(words), device=device, workers=workers, seed=seed,
        progress=progress,
    )  # fmt: skip
    engine = open_session(model, preprocess, images, Path(out), asked)
    with in_python():
        if isinstance(val, int | float):
            split = hold_out(engine.images, float(val), seed)
        else:
            held_out = resolve_images(val, asked.words)
            warn_notes(held_out, stacklevel=3)
            split = apart(engine.images, held_out)
        record, network = fine_tune(
            engine.network,
            split,
            engine.out,
            Asked(
                unfreeze=list(as_texts("unfreeze", unfreeze)), epochs=epochs, lr=lr, batch_size=batch_size,
                save_every=save_every, seed=seed,
            ),
            engine.device,
            default_workers(engine.device) if workers is None else workers,
            engine.reporter,
        )  # fmt: skip
    return Transferred(network.module, network.classes, Path(out), record)
