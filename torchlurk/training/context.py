"""What a run works on: a copy of the network with its new head, and the images as batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn, optim

from torchlurk.datasets.batches import batches
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.graph.tracing import trace_operations
from torchlurk.models.checkpoint_metadata import Tuned, renew_head
from torchlurk.models.isolation import copy_network, isolated, to_float32
from torchlurk.models.network import Network
from torchlurk.models.validate import check_network, check_rows
from torchlurk.runtime.devices import copy_to_device
from torchlurk.runtime.reporting import Reporter
from torchlurk.store import schema
from torchlurk.store.schema import SkippedFile, round_float32
from torchlurk.training.freeze import chosen_layers, find_head, freeze_all_but
from torchlurk.training.record import Images, Options, Transfer
from torchlurk.training.split import Split, check_counts


@dataclass(frozen=True)
class TrainingContext:
    """All that the parts of a run share.

    Attributes:
        network: as it was given; it is not touched.
        model: a copy of its module with a new head, on the device.
        layers: the layers that are trained, the head among them.
        trained: their parameters, by name.
        optimiser: of those.
        tuned: what checkpoints say of the network.
        split: the images.
        out: the folder.
        options: what is asked for.
        device: where to compute.
        workers: processes that decode images; they do not change the result.
        reporter: how to tell.
    """

    network: Network
    model: nn.Module
    layers: tuple[str, ...]
    trained: dict[str, nn.Parameter]
    optimiser: optim.SGD
    tuned: Tuned
    split: Split
    out: Path
    options: Options
    device: torch.device
    workers: int
    reporter: Reporter


def begin(
    network: Network,
    split: Split,
    out: Path,
    options: Options,
    device: torch.device,
    workers: int,
    reporter: Reporter,
) -> TrainingContext:
    """Copy the network, replace its head and choose the layers to train.

    The arguments are those of `TrainingContext`.

    Raises:
        LurkError: the network has no head, a pattern names nothing to train, or an option is out of range.
    """
    if not 0 < options.lr < math.inf:
        raise LurkError(f"--lr {options.lr:g}: the step of the descent must be above 0, and finite")
    for name, least in (("epochs", 1), ("batch_size", 2), ("save_every", 1), ("seed", 0)):
        value = getattr(options, name)
        if value != int(value) or value < least:
            raise LurkError(f"--{name.replace('_', '-')} {value}: give a whole number from {least}")
    model = copy_network(network.module)
    with isolated(model):
        probe = check_network(model, network.shape)
        check_rows(1 if probe.rows is None else probe.rows, images=1)
        head = find_head(model, trace_operations(model, network.shape), probe.logits)
    classes = split.train.classes
    renew_head(model, head, len(classes), options.seed)
    layers = tuple(dict.fromkeys((*chosen_layers(model, options.unfreeze), head)))
    to_float32(model, device)
    trained = freeze_all_but(model, layers)
    model.eval()
    tuned = Tuned(
        classes=classes,
        head=head,
        input=network.preprocess if isinstance(network.preprocess, Preprocess) else None,
        transform_input=bool(getattr(model, "transform_input", False)),
    )
    optimiser = optim.SGD(trained.values(), lr=options.lr, momentum=options.momentum)
    return TrainingContext(
        network, model, layers, trained, optimiser, tuned, split, out, options, device, workers, reporter
    )  # fmt: skip


def new_record(context: TrainingContext) -> Transfer:
    """The record of a run that has not begun."""
    network, split = context.network, context.split
    return Transfer(
        format=schema.FORMAT,
        model=schema.ModelRecord(
            source=network.source, weights=network.weights, weights_sha256=network.weights_sha256
        ),
        input=schema.InputRecord(
            shape=network.shape,
            mean=[round_float32(m) for m in network.preprocess.mean],
            std=[round_float32(s) for s in network.preprocess.std],
        ),
        classes=list(split.train.classes),
        head=context.tuned.head,
        trained=list(context.trained),
        device="cuda" if context.device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        options=context.options,
        train=counted(split.train, []),
        val=counted(split.val, []),
        share=split.share,
        original=None,
        history=[],
    )


def counted(images: ImageSet, skipped: list[SkippedFile]) -> Images:
    """What the record says of some images, of which these cannot be read."""
    return Images(
        name=images.name, images=len(images.paths) - len(skipped), digest=images.digest, skipped=skipped
    )


def unreadable(context: TrainingContext, images: ImageSet) -> list[SkippedFile]:
    """Decode all images once, and tell those that cannot be."""
    found: list[SkippedFile] = []
    for _ in _decoded(context, images, found):
        pass
    return found


def without_skipped(context: TrainingContext, record: Transfer) -> TrainingContext:
    """The job without the images that the record says could not be read.

    Raises:
        LurkError: too few are left.
    """

    def good(images: ImageSet, skipped: list[SkippedFile]) -> ImageSet:
        bad = {one.path for one in skipped}
        return images.take([at for at, path in enumerate(images.paths) if path not in bad]) if bad else images

    train, val = good(context.split.train, record.train.skipped), good(context.split.val, record.val.skipped)
    if record.train.skipped:
        check_counts(train)
    if not val.paths:
        first = record.val.skipped[0]
        raise LurkError(
            f"none of the {len(context.split.val.paths)} validation images can be read ({first.path!r}: "
            f"{first.reason}): give others"
        )
    return replace(context, split=replace(context.split, train=train, val=val))


def feed(context: TrainingContext, images: ImageSet) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs `(N, C, H, W)` and classes `(N,)` on the device, in the order of the images.

    Raises:
        LurkError: an image cannot be read any more.
    """
    skipped: list[SkippedFile] = []
    for labels, pixels in _decoded(context, images, skipped):
        if skipped:
            break
        yield (
            context.network.preprocess.to_input(copy_to_device(pixels, context.device)),
            torch.tensor(labels).to(context.device),
        )
    if skipped:
        raise LurkError(
            f"image {skipped[0].path!r} could be read when the run began, and now cannot "
            f"({skipped[0].reason}): the images have changed, choose another --out"
        )


def _decoded(
    context: TrainingContext, images: ImageSet, skipped: list[SkippedFile]
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Classes and pixels, `(N, H, W, C)`, batch by batch; what cannot be read is added to `skipped`."""
    source = batches(
        images,
        context.network.preprocess,
        batch_size=context.options.batch_size,
        shard_size=max(len(images.paths), 1),  # no batch is cut short but the last
        workers=context.workers,
    )
    for batch in source:
        skipped += [SkippedFile(path=one.path, reason=one.reason) for one in batch.skipped]
        if batch.indices:
            yield batch.labels, batch.pixels
