"""The state that the parts of a run share: a copy of the network with its new head, and batches of images."""

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
from torchlurk.errors import LurkError, Option
from torchlurk.graph.tracing import trace_operations
from torchlurk.models.checkpoint_metadata import CheckpointMetadata, replace_head
from torchlurk.models.isolation import copy_network, isolated, to_float32
from torchlurk.models.network import Network
from torchlurk.models.outputs import check_rows
from torchlurk.models.validate import check_network
from torchlurk.runtime.reporting import Reporter
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.store import schema
from torchlurk.store.schema import SkippedFile, round_float32
from torchlurk.training.freeze import chosen_layers, find_head, freeze_all_but
from torchlurk.training.record import TRANSFER_FORMAT, TransferImages, TransferOptions, TransferRecord
from torchlurk.training.split import Split, check_counts


@dataclass(frozen=True)
class TrainingContext:
    """What the parts of a run share.

    Attributes:
        network: The original network, which is not changed.
        model: A copy of its module with a new head, on the device.
        layers: The layers that are trained, including the head.
        trained: Their parameters by name.
        optimiser: The optimiser of these parameters.
        metadata: What checkpoints record of the network.
        split: The training and validation images.
        out: The folder of the run.
        options: The options of the run.
        device: Where to compute.
        workers: Processes that decode images; they do not change the result.
        reporter: Where progress is reported.
    """

    network: Network
    model: nn.Module
    layers: tuple[str, ...]
    trained: dict[str, nn.Parameter]
    optimiser: optim.SGD
    metadata: CheckpointMetadata
    split: Split
    out: Path
    options: TransferOptions
    device: torch.device
    workers: int
    reporter: Reporter


def create_context(
    network: Network,
    split: Split,
    out: Path,
    options: TransferOptions,
    device: torch.device,
    workers: int,
    reporter: Reporter,
) -> TrainingContext:
    """Copy the network, replace its head and choose the layers to train.

    The arguments are those of `TrainingContext`.

    Raises:
        LurkError: The network has no head, a pattern matches nothing to train, or an option is out of range.
    """
    _check_options(options)
    model = copy_network(network.module)
    with isolated(model):
        probe = check_network(model, network.shape)
        check_rows(1 if probe.rows is None else probe.rows, images=1)
        head = find_head(model, trace_operations(model, network.shape), probe.logits)
    classes = split.train.classes
    replace_head(model, head, len(classes), options.seed)
    layers = tuple(dict.fromkeys((*chosen_layers(model, options.unfreeze), head)))
    to_float32(model, device)
    trained = freeze_all_but(model, layers)
    model.eval()
    metadata = CheckpointMetadata(
        classes=classes,
        head=head,
        input=network.preprocess if isinstance(network.preprocess, Preprocess) else None,
        transform_input=bool(getattr(model, "transform_input", False)),
    )
    optimiser = optim.SGD(trained.values(), lr=options.lr, momentum=options.momentum)
    return TrainingContext(
        network, model, layers, trained, optimiser, metadata, split, out, options, device, workers, reporter
    )  # fmt: skip


def _check_options(options: TransferOptions) -> None:
    if not 0 < options.lr < math.inf:
        raise LurkError(
            "the learning rate must be above 0 and finite", option=Option("lr", f"{options.lr:g}")
        )
    for name, least in (("epochs", 1), ("batch_size", 2), ("save_every", 1), ("seed", 0)):
        value = getattr(options, name)
        if value != int(value) or value < least:
            raise LurkError(f"must be a whole number from {least}", option=Option(name, value))


def new_record(context: TrainingContext) -> TransferRecord:
    """Return the record of a run that has not started."""
    network, split = context.network, context.split
    return TransferRecord(
        format=TRANSFER_FORMAT,
        model=schema.ModelRecord(
            source=network.source, weights=network.weights, weights_sha256=network.weights_sha256
        ),
        input=schema.InputRecord(
            shape=network.shape,
            mean=[round_float32(m) for m in network.preprocess.mean],
            std=[round_float32(s) for s in network.preprocess.std],
        ),
        classes=list(split.train.classes),
        head=context.metadata.head,
        trained=list(context.trained),
        device="cuda" if context.device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        options=context.options,
        train=describe_images(split.train, []),
        val=describe_images(split.val, []),
        share=split.share,
        original=None,
        history=[],
    )


def describe_images(images: ImageSet, skipped: list[SkippedFile]) -> TransferImages:
    """Return the record of images.

    Args:
        images: The images.
        skipped: Those of them that cannot be read.
    """
    return TransferImages(
        name=images.name, images=len(images.paths) - len(skipped), digest=images.digest, skipped=skipped
    )


def find_unreadable(context: TrainingContext, images: ImageSet) -> list[SkippedFile]:
    """Decode all images once, and return those that cannot be read."""
    skipped: list[SkippedFile] = []
    for _ in _decoded_batches(context, images, skipped):
        pass
    return skipped


def drop_unreadable(context: TrainingContext, record: TransferRecord) -> TrainingContext:
    """Return the context without the images that the record lists as skipped.

    Raises:
        LurkError: Too few images remain.
    """

    def readable(images: ImageSet, skipped: list[SkippedFile]) -> ImageSet:
        bad = {entry.path for entry in skipped}
        if not bad:
            return images
        return images.take([index for index, path in enumerate(images.paths) if path not in bad])

    train = readable(context.split.train, record.train.skipped)
    val = readable(context.split.val, record.val.skipped)
    if record.train.skipped:
        check_counts(train)
    if not val.paths:
        first = record.val.skipped[0]
        raise LurkError(
            f"none of the {len(context.split.val.paths)} validation images can be read ({first.path!r}: "
            f"{first.reason})",
            "give other images",
            Option("val"),
        )
    return replace(context, split=replace(context.split, train=train, val=val))


def input_batches(context: TrainingContext, images: ImageSet) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs `(N, C, H, W)` and classes `(N,)`, int64, on the device, in the order of the images.

    Raises:
        LurkError: An image cannot be read any more.
    """
    skipped: list[SkippedFile] = []
    for labels, pixels in _decoded_batches(context, images, skipped):
        if skipped:
            break
        yield (
            context.network.preprocess.to_input(copy_to_device(pixels, context.device)),
            torch.tensor(labels).to(context.device),
        )
    if skipped:
        raise LurkError(
            f"image {skipped[0].path!r} could be read when the run started, but cannot be read now "
            f"({skipped[0].reason})",
            ("the images have changed; start another run with another ", Option("out")),
        )


def _decoded_batches(
    context: TrainingContext, images: ImageSet, skipped: list[SkippedFile]
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield the classes and pixels `(N, H, W, C)` of each batch; add unreadable images to `skipped`."""
    source = batches(
        images,
        context.network.preprocess,
        batch_size=context.options.batch_size,
        shard_size=max(len(images.paths), 1),  # only the last batch may be smaller
        workers=context.workers,
    )
    for batch in source:
        skipped += [SkippedFile(path=entry.path, reason=entry.reason) for entry in batch.skipped]
        if batch.indices:
            yield batch.labels, batch.pixels
