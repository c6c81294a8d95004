"""A fine-tuning from start to end: evaluate, train, write, and resume an interrupted run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import msgspec
import torch

from torchlurk.errors import LurkError, Option
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.validate import check_finite
from torchlurk.runtime.devices import cpu_threads, deterministic_float32
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.schema import round_float32
from torchlurk.store.write import check_writable, exclusive_lock, write_bytes
from torchlurk.training import loop
from torchlurk.training.class_mapping import match_outputs
from torchlurk.training.context import (
    TrainingContext,
    create_context,
    describe_images,
    drop_unreadable,
    find_unreadable,
    input_batches,
    new_record,
)
from torchlurk.training.files import (
    check_round_trip,
    load_epoch,
    remove_optimiser_states,
    save_network,
    save_optimiser,
)
from torchlurk.training.plot import draw_curves
from torchlurk.training.record import (
    Epoch,
    Metrics,
    Original,
    TransferOptions,
    TransferRecord,
    check_same,
    read_transfer_record,
    write_transfer_record,
)
from torchlurk.training.split import Split

_CURVES = "curves.svg"


def fine_tune(
    network: Network,
    split: Split,
    out: Path,
    options: TransferOptions,
    device: torch.device,
    workers: int,
    reporter: Reporter,
) -> tuple[TransferRecord, Network]:
    """Fine-tune a copy of a network, or resume an interrupted run.

    Args:
        network: A classifier, which is restored afterwards.
        split: The training and validation images.
        out: The folder of the run.
        options: The options of the run.
        device: Where to compute.
        workers: Processes that decode images.
        reporter: Where progress is reported.

    Returns:
        The record, which is also in `transfer.json`, and the network after the last epoch, on the CPU in eval
        mode.

    Raises:
        LurkError: An argument is invalid; the folder contains something else or another run; or the loss is
            not finite, and then the message names the last good checkpoint.
    """
    check_writable(out)
    with (
        exclusive_lock(out),
        deterministic_float32(device),
        torch.inference_mode(False),
        torch.enable_grad(),
        ExitStack() as stack,
    ):
        devices = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=devices))  # a forward may draw random numbers
        earlier = read_transfer_record(out)
        # The number of threads affects the order of summation, so a resumed run keeps it.
        stack.enter_context(cpu_threads(earlier.threads if earlier else torch.get_num_threads()))
        context = create_context(network, split, out, options, device, workers, reporter)
        record = new_record(context)
        if earlier is not None:
            check_same(out, earlier, record)
            record = earlier
        if record.complete:
            reporter.report("already complete")
        else:
            record = _train(context, record)
        remove_optimiser_states(out, None)
        weights = load_epoch(out, options.epochs, context.model, None, context.trained)
    module = context.model.to("cpu").eval()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    return record, replace(
        network,
        module=module,
        weights=weights.name,
        weights_sha256=weights.sha256,
        classes=context.metadata.classes,
    )


def _train(context: TrainingContext, record: TransferRecord) -> TransferRecord:
    """Train from the last saved epoch to the end, and write the record after each epoch."""
    if not _matplotlib_installed():
        context.reporter.report(
            f"{_CURVES} is not drawn: it needs matplotlib, install it with pip install 'torchlurk[plot]'"
        )
    saved = record.saved
    if saved is None:
        context, record = _start(context, record)
    else:
        context = drop_unreadable(context, record)
        load_epoch(context.out, saved.epoch, context.model, context.optimiser, context.trained)
        record = msgspec.structs.replace(record, history=record.history[: saved.epoch + 1])
        context.reporter.report(f"resuming after epoch {saved.epoch}")
    done, options = record.history[-1].epoch, context.options
    images = len(context.split.train.paths)
    per_epoch = loop.images_per_epoch(images, options.batch_size) + images + len(context.split.val.paths)
    orders = islice(loop.epoch_orders(images, options.batch_size, options.seed), done, options.epochs)
    with context.reporter.bar("transfer", (options.epochs - done) * per_epoch, "image") as advance:
        for order in orders:
            record = _add_epoch(context, record, _train_epoch(context, record, order.tolist(), advance))
    return record


def _start(context: TrainingContext, record: TransferRecord) -> tuple[TrainingContext, TransferRecord]:
    """Find unreadable images, and evaluate the original network and the one with the new head."""
    write_transfer_record(context.out, record)  # the folder belongs to this run from here on
    remove_optimiser_states(context.out, None)
    check_round_trip(context.out, 0, context.model, context.metadata)
    train, val = context.split.train, context.split.val
    record = msgspec.structs.replace(
        record,
        train=describe_images(train, find_unreadable(context, train)),
        val=describe_images(val, find_unreadable(context, val)),
    )
    context = drop_unreadable(context, record)
    outputs = match_outputs(train.classes, context.network.classes)
    if outputs is not None:
        module = context.network.module
        with isolated(module, context.device, context.network.shape):
            metrics = [
                _to_metrics(loop.evaluate(module, input_batches(context, images), outputs))
                for images in (context.split.train, context.split.val)
            ]
        record = msgspec.structs.replace(record, original=Original(outputs, *metrics))
    return context, _add_epoch(context, record, _evaluate_epoch(context, record, 0, 0))


def _train_epoch(
    context: TrainingContext, record: TransferRecord, order: Sequence[int], advance: Callable[[int], object]
) -> Epoch:
    """Train for one epoch and evaluate."""
    last = record.history[-1]
    epoch = last.epoch + 1
    batches = loop.with_progress(input_batches(context, context.split.train.take(order)), advance)
    devices = [context.device] if context.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # With a seed per epoch, dropout draws the same numbers when a run resumes at this epoch.
        torch.manual_seed(context.options.seed + epoch)
        try:
            steps = loop.train_epoch(context.model, context.layers, context.optimiser, batches)
        except loop.DivergenceError as error:
            step = last.step + error.step + 1
            raise _divergence(context, record, epoch, step, error.loss) from None
    return _evaluate_epoch(context, record, epoch, last.step + steps, advance)


def _evaluate_epoch(
    context: TrainingContext,
    record: TransferRecord,
    epoch: int,
    step: int,
    advance: Callable[[int], object] = lambda n: None,  # noqa: ARG005
) -> Epoch:
    """Evaluate the network after an epoch, and write a checkpoint if one is due."""
    metrics = []
    for images in (context.split.train, context.split.val):
        batches = loop.with_progress(input_batches(context, images), advance)
        evaluation = loop.evaluate(context.model, batches)
        if not math.isfinite(evaluation.loss):
            raise _divergence(context, record, epoch, step, evaluation.loss)
        metrics.append(_to_metrics(evaluation))
    train, val = metrics
    checkpoint = None
    if epoch % context.options.save_every == 0 or epoch == context.options.epochs:
        check_finite(context.model)
        checkpoint = save_network(context.out, epoch, context.model, context.metadata)
        if 0 < epoch < context.options.epochs:
            save_optimiser(context.out, epoch, context.optimiser, context.trained)
    context.reporter.report(
        f"epoch {epoch}: training loss {train.loss:.4g}, accuracy {train.accuracy:.1%}; "
        f"validation loss {val.loss:.4g}, accuracy {val.accuracy:.1%}"
    )
    return Epoch(epoch=epoch, step=step, train=train, val=val, checkpoint=checkpoint)


def _add_epoch(context: TrainingContext, record: TransferRecord, epoch: Epoch) -> TransferRecord:
    """Add an epoch and write the record; an epoch with a checkpoint also updates the curves."""
    record = msgspec.structs.replace(record, history=[*record.history, epoch])
    if epoch.checkpoint and _matplotlib_installed():  # drawing takes longer than an epoch of a few images
        write_bytes(context.out / _CURVES, draw_curves(record))
    write_transfer_record(context.out, record)
    if epoch.checkpoint:
        remove_optimiser_states(context.out, epoch.epoch)
    return record


def _matplotlib_installed() -> bool:
    return find_spec("matplotlib") is not None


def _divergence(
    context: TrainingContext, record: TransferRecord, epoch: int, step: int, loss: float
) -> LurkError:
    saved = record.saved
    good = f"{saved.checkpoint} is the last good checkpoint" if saved else "there is no checkpoint"
    return LurkError(
        f"the loss is {loss:g} at step {step} (epoch {epoch}), so the training stops; {good} in "
        f"{str(context.out)!r}",
        (
            "choose a learning rate below ", Option("lr", f"{context.options.lr:g}"), " and another ",
            Option("out"),
        ),
    )  # fmt: skip


def _to_metrics(evaluation: loop.Evaluation) -> Metrics:
    return Metrics(loss=round_float32(evaluation.loss), accuracy=round_float32(evaluation.accuracy))
