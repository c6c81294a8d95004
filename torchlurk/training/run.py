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
from torchlurk.runtime.devices import exact, threaded
from torchlurk.runtime.reporting import Terminal
from torchlurk.store.schema import number
from torchlurk.store.write import alone, check_writable, write_bytes
from torchlurk.training import job as jobs
from torchlurk.training import loop
from torchlurk.training.class_mapping import outputs_for
from torchlurk.training.files import (
    check_readable,
    forget_optimisers,
    load_epoch,
    save_network,
    save_optimiser,
)
from torchlurk.training.job import Job
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
    terminal: Terminal,
) -> tuple[Transfer, Network]:
    """Fine-tune a copy of a network, or go on with a run that was ended before its time.

    Args:
        network: a classifier; it comes back as it was.
        split: the images.
        out: the folder of the run.
        options: how.
        device: where to compute.
        workers: processes that decode images.
        terminal: how to tell.

    Returns:
        The record, which is also in `transfer.json`, and the network as it is after the last epoch, on the
        CPU in evaluation mode.

    Raises:
        LurkError: what is asked for cannot be had; the folder holds something else or another run; or the
            loss became NaN, and then the last good checkpoint is named.
    """
    check_writable(out)
    with alone(out), exact(device), torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        cards = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=cards))  # a network may draw in any forward
        earlier = read_record(out)
        # Sums are cut by threads: a run goes on with as many as it began with.
        stack.enter_context(threaded(earlier.threads if earlier else torch.get_num_threads()))
        job = jobs.begin(network, split, out, options, device, workers, terminal)
        record = jobs.new_record(job)
        if earlier is not None:
            check_same(out, earlier, record)
            record = earlier
        if record.complete:
            terminal.say("complete already")
        else:
            record = _train(job, record)
        forget_optimisers(out, None)
        found = load_epoch(out, options.epochs, job.model, None, job.trained)
    module = job.model.to("cpu").eval()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    return record, replace(
        network, module=module, weights=found.name, weights_sha256=found.sha256, classes=job.tuned.classes
    )


def _train(job: Job, record: Transfer) -> Transfer:
    """Train from where the record ends, and write after each epoch."""
    saved = record.saved
    if saved is None:
        job, record = _before(job, record)
    else:
        job = jobs.without_skipped(job, record)
        load_epoch(job.out, saved.epoch, job.model, job.optimiser, job.trained)
        record = msgspec.structs.replace(record, history=record.history[: saved.epoch + 1])
        job.terminal.say(f"going on after epoch {saved.epoch}")
    done, options = record.history[-1].epoch, job.options
    images = len(job.split.train.paths)
    each = loop.in_an_epoch(images, options.batch_size) + images + len(job.split.val.paths)
    orders = islice(loop.orders(images, options.batch_size, options.seed), done, options.epochs)
    with job.terminal.bar("transfer", (options.epochs - done) * each, "image") as advance:
        for order in orders:
            record = _keep(job, record, _epoch(job, record, order.tolist(), advance))
    return record


def _before(job: Job, record: Transfer) -> tuple[Job, Transfer]:
    """Measure the network as it was given and with its new head, and leave out what cannot be read."""
    write_record(job.out, record)  # from here on the folder is ours
    forget_optimisers(job.out, None)
    check_readable(job.out, 0, job.model, job.tuned)
    train, val = job.split.train, job.split.val
    record = msgspec.structs.replace(
        record,
        train=jobs.counted(train, jobs.unreadable(job, train)),
        val=jobs.counted(val, jobs.unreadable(job, val)),
    )
    job = jobs.without_skipped(job, record)
    outputs = outputs_for(train.classes, job.network.classes)
    if outputs is not None:
        given = job.network.module
        with isolated(given, job.device, job.network.shape):
            scores = [
                _score(loop.measure(given, jobs.feed(job, images), outputs))
                for images in (job.split.train, job.split.val)
            ]
        record = msgspec.structs.replace(record, original=Original(outputs, *scores))
    return job, _keep(job, record, _measured(job, record, 0, 0))


def _epoch(job: Job, record: Transfer, order: Sequence[int], advance: Callable[[int], object]) -> Epoch:
    """Train for one more epoch and measure."""
    last = record.history[-1]
    epoch = last.epoch + 1
    feed = loop.counted(jobs.feed(job, job.split.train.take(order)), advance)
    cards = [job.device] if job.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        # Dropout and the like then draw the same where a run goes on from this epoch.
        torch.manual_seed(job.options.seed + epoch)
        try:
            steps = loop.train_epoch(job.model, job.layers, job.optimiser, feed)
        except loop.Diverged as problem:
            step = last.step + problem.step + 1
            raise _diverged(job, record, epoch, step, problem.loss) from None
    return _measured(job, record, epoch, last.step + steps, advance)


def _measured(
    job: Job,
    record: Transfer,
    epoch: int,
    step: int,
    advance: Callable[[int], object] = lambda n: None,  # noqa: ARG005
) -> Epoch:
    """How the network stands after an epoch, and a checkpoint where one is due."""
    scores = []
    for images in (job.split.train, job.split.val):
        found = loop.measure(job.model, loop.counted(jobs.feed(job, images), advance))
        if not math.isfinite(found.loss):
            raise _diverged(job, record, epoch, step, found.loss)
        scores.append(_score(found))
    train, val = scores
    checkpoint = None
    if epoch % job.options.save_every == 0 or epoch == job.options.epochs:
        check_finite(job.model)
        checkpoint = save_network(job.out, epoch, job.model, job.tuned)
        if 0 < epoch < job.options.epochs:
            save_optimiser(job.out, epoch, job.optimiser, job.trained)
    job.terminal.say(
        f"epoch {epoch}: loss {train.loss:.4g}, {train.accuracy:.1%} right; held out {val.loss:.4g}, "
        f"{val.accuracy:.1%}"
    )
    return Epoch(epoch=epoch, step=step, train=train, val=val, checkpoint=checkpoint)


def _keep(job: Job, record: Transfer, epoch: Epoch) -> Transfer:
    """Add an epoch and write the record, which makes its checkpoint the one to go on from."""
    record = msgspec.structs.replace(record, history=[*record.history, epoch])
    write_bytes(job.out / CURVES, draw(record).encode())
    write_record(job.out, record)
    if epoch.checkpoint:
        forget_optimisers(job.out, epoch.epoch)
    return record


def _diverged(job: Job, record: Transfer, epoch: int, step: int, loss: float) -> LurkError:
    saved = record.saved
    good = f"{saved.checkpoint} is the last good checkpoint" if saved else "there is no checkpoint yet"
    return LurkError(
        f"the loss is {loss:g} at step {step} (epoch {epoch}), where the training ends; {good} in "
        f"{str(job.out)!r}: take a smaller --lr than {job.options.lr:g}, and another --out"
    )


def _score(found: loop.Measured) -> Score:
    return Score(loss=number(found.loss), accuracy=number(found.accuracy))
