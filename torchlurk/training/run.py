"""A whole fine-tuning: measured, trained, written, or gone on with where it was ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec
import torch

from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.validate import check_finite
from torchlurk.runtime.devices import cpu_threads, deterministic_float32
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.schema import round_float32
from torchlurk.store.write import check_writable, exclusive_lock, write_bytes
from torchlurk.training import context as jobs
from torchlurk.training import loop
from torchlurk.training.class_mapping import outputs_for
from torchlurk.training.context import TrainingContext
from torchlurk.training.files import (
    check_readable,
    forget_optimisers,
    load_epoch,
    save_network,
    save_optimiser,
)
from torchlurk.training.plot import draw
from torchlurk.training.record import (
    Epoch,
    Options,
    Original,
    Score,
    Transfer,
    check_same,
    read_record,
    write_record,
)
from torchlurk.training.split import Split

CURVES = "curves.svg"


def fine_tune(
    network: Network,
    split: Split,
    out: Path,
    options: Options,
    device: torch.device,
    workers: int,
    reporter: Reporter,
) -> tuple[Transfer, Network]:
    """Fine-tune a copy of a network, or go on with a run that was ended before its time.

    Args:
        network: a classifier; it comes back as it was.
        split: the images.
        out: the folder of the run.
        options: how.
        device: where to compute.
        workers: processes that decode images.
        reporter: how to tell.

    Returns:
        The record, which is also in `transfer.json`, and the network as it is after the last epoch, on the
        CPU in evaluation mode.

    Raises:
        LurkError: what is asked for cannot be had; the folder holds something else or another run; or the
            loss became NaN, and then the last good checkpoint is named.
    """
    check_writable(out)
    with (
        exclusive_lock(out),
        deterministic_float32(device),
        torch.inference_mode(False),
        torch.enable_grad(),
        ExitStack() as stack,
    ):
        cards = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=cards))  # a network may draw in any forward
        earlier = read_record(out)
        # Sums are cut by threads: a run goes on with as many as it began with.
        stack.enter_context(cpu_threads(earlier.threads if earlier else torch.get_num_threads()))
        context = jobs.begin(network, split, out, options, device, workers, reporter)
        record = jobs.new_record(context)
        if earlier is not None:
            check_same(out, earlier, record)
            record = earlier
        if record.complete:
            reporter.report("complete already")
        else:
            record = _train(context, record)
        forget_optimisers(out, None)
        found = load_epoch(out, options.epochs, context.model, None, context.trained)
    module = context.model.to("cpu").eval()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    return record, replace(
        network, module=module, weights=found.name, weights_sha256=found.sha256, classes=context.tuned.classes
    )


def _train(context: TrainingContext, record: Transfer) -> Transfer:
    """Train from where the record ends, and write after each epoch."""
    saved = record.saved
    if saved is None:
        context, record = _before(context, record)
    else:
        context = jobs.without_skipped(context, record)
        load_epoch(context.out, saved.epoch, context.model, context.optimiser, context.trained)
        record = msgspec.structs.replace(record, history=record.history[: saved.epoch + 1])
        context.reporter.report(f"going on after epoch {saved.epoch}")
    done, options = record.history[-1].epoch, context.options
    images = len(context.split.train.paths)
    each = loop.in_an_epoch(images, options.batch_size) + images + len(context.split.val.paths)
    orders = islice(loop.orders(images, options.batch_size, options.seed), done, options.epochs)
    with context.reporter.bar("transfer", (options.epochs - done) * each, "image") as advance:
        for order in orders:
            record = _keep(context, record, _epoch(context, record, order.tolist(), advance))
    return record


def _before(context: TrainingContext, record: Transfer) -> tuple[TrainingContext, Transfer]:
    """Measure the network as it was given and with its new head, and leave out what cannot be read."""
    write_record(context.out, record)  # from here on the folder is ours
    forget_optimisers(context.out, None)
    check_readable(context.out, 0, context.model, context.tuned)
    train, val = context.split.train, context.split.val
    record = msgspec.structs.replace(
        record,
        train=jobs.counted(train, jobs.unreadable(context, train)),
        val=jobs.counted(val, jobs.unreadable(context, val)),
    )
    context = jobs.without_skipped(context, record)
    outputs = outputs_for(train.classes, context.network.classes)
    if outputs is not None:
        given = context.network.module
        with isolated(given, context.device, context.network.shape):
            scores = [
                _score(loop.measure(given, jobs.feed(context, images), outputs))
                for images in (context.split.train, context.split.val)
            ]
        record = msgspec.structs.replace(record, original=Original(outputs, *scores))
    return context, _keep(context, record, _measured(context, record, 0, 0))


def _epoch(
    context: TrainingContext, record: Transfer, order: Sequence[int], advance: Callable[[int], object]
) -> Epoch:
    """Train for one more epoch and measure."""
    last = record.history[-1]
    epoch = last.epoch + 1
    feed = loop.counted(jobs.feed(context, context.split.train.take(order)), advance)
    cards = [context.device] if context.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        # Dropout and the like then draw the same where a run goes on from this epoch.
        torch.manual_seed(context.options.seed + epoch)
        try:
            steps = loop.train_epoch(context.model, context.layers, context.optimiser, feed)
        except loop.Diverged as problem:
            step = last.step + problem.step + 1
            raise _diverged(context, record, epoch, step, problem.loss) from None
    return _measured(context, record, epoch, last.step + steps, advance)


def _measured(
    context: TrainingContext,
    record: Transfer,
    epoch: int,
    step: int,
    advance: Callable[[int], object] = lambda n: None,  # noqa: ARG005
) -> Epoch:
    """How the network stands after an epoch, and a checkpoint where one is due."""
    scores = []
    for images in (context.split.train, context.split.val):
        found = loop.measure(context.model, loop.counted(jobs.feed(context, images), advance))
        if not math.isfinite(found.loss):
            raise _diverged(context, record, epoch, step, found.loss)
        scores.append(_score(found))
    train, val = scores
    checkpoint = None
    if epoch % context.options.save_every == 0 or epoch == context.options.epochs:
        check_finite(context.model)
        checkpoint = save_network(context.out, epoch, context.model, context.tuned)
        if 0 < epoch < context.options.epochs:
            save_optimiser(context.out, epoch, context.optimiser, context.trained)
    context.reporter.report(
        f"epoch {epoch}: loss {train.loss:.4g}, {train.accuracy:.1%} right; held out {val.loss:.4g}, "
        f"{val.accuracy:.1%}"
    )
    return Epoch(epoch=epoch, step=step, train=train, val=val, checkpoint=checkpoint)


def _keep(context: TrainingContext, record: Transfer, epoch: Epoch) -> Transfer:
    """Add an epoch and write the record, which makes its checkpoint the one to go on from."""
    record = msgspec.structs.replace(record, history=[*record.history, epoch])
    write_bytes(context.out / CURVES, draw(record).encode())
    write_record(context.out, record)
    if epoch.checkpoint:
        forget_optimisers(context.out, epoch.epoch)
    return record


def _diverged(context: TrainingContext, record: Transfer, epoch: int, step: int, loss: float) -> LurkError:
    saved = record.saved
    good = f"{saved.checkpoint} is the last good checkpoint" if saved else "there is no checkpoint yet"
    return LurkError(
        f"the loss is {loss:g} at step {step} (epoch {epoch}), where the training ends; {good} in "
        f"{str(context.out)!r}: take a smaller --lr than {context.options.lr:g}, and another --out"
    )


def _score(found: loop.Measured) -> Score:
    return Score(loss=round_float32(found.loss), accuracy=round_float32(found.accuracy))
