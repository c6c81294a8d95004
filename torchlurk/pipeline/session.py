"""What a Lurk computes with: a network, images and a folder, as the command line has them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from torchlurk.datasets.batches import first_image
from torchlurk.datasets.class_names import read_words
from torchlurk.datasets.images import ImageSet, notes_of
from torchlurk.datasets.open import open_images
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.datasets.torchvision_dataset import index_items
from torchlurk.errors import LurkError, in_python
from torchlurk.graph import describe_skipped
from torchlurk.models.checkpoint import Weights, network_state, state_digest
from torchlurk.models.network import Network, load_network, network_of
from torchlurk.models.validate import as_network, check_kind, check_network
from torchlurk.models.weights import default_cache
from torchlurk.pipeline.config import AscentConfig, GradientsConfig, RunConfig, ScanConfig
from torchlurk.pipeline.pipeline import default_threads, precompute
from torchlurk.runtime.devices import (
    choose_device,
    default_ascent_batch,
    default_batch_size,
    default_workers,
    fastest_precision,
)
from torchlurk.runtime.names import check_store_name, escape_surrogates, printable
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.selection import Selection

with warnings.catch_warnings():
    # In a notebook without widgets it says so, and draws its bars as text.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm


@dataclass(frozen=True)
class SessionOptions:
    """What a Lurk may be told besides network, images and folder; see `Lurk`."""

    top: int = 4
    layers: tuple[str, ...] = ("kind:Conv2d",)
    names: tuple[str, ...] | None = None
    source: str | None = None
    weights: str | None = None
    size: int | tuple[int, int] | None = None
    words: Path | None = None
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    seed: int = 0
    progress: bool | None = None


@dataclass(frozen=True)
class Session:
    """All that a computation needs.

    Attributes:
        network: what to look into.
        handed: whether its module is the caller's, who may train it between two computations.
        images: the images.
        out: the store's folder.
        device: where to compute.
        options: as they were given.
        reporter: how to tell.
    """

    network: Network
    handed: bool
    images: ImageSet
    out: Path
    device: torch.device
    options: SessionOptions
    reporter: Reporter

    @property
    def batch(self) -> int:
        """Images in one forward."""
        return self.options.batch_size or default_batch_size(self.device)


def open_session(
    model: nn.Module | str, preprocess: PreprocessLike, images: Any, out: Path, options: SessionOptions
) -> Session:
    """Put together what a Lurk computes with; nothing is computed, but for one forward of a black image.

    Raises:
        LurkError: the network, the transform, the images or an option cannot be used.
    """
    with in_python():
        _check(options)
        check_store_name(out)
        device = choose_device(options.device)
        reporter = make_reporter(options.progress)
        folder = resolve_images(images, options.words)
        warn_notes(folder, stacklevel=4)
        if isinstance(model, nn.Module):
            model = as_network(model)
            check_kind(model)
            network = _own(model, preprocess, folder, options)
            check_network(network.module, network.shape)
        elif isinstance(model, str) and preprocess is None:
            network = load_network(
                model,
                options.weights or "auto",
                options.size,
                default_cache(),
                report=reporter.report,
                seed=options.seed,
                first=lambda: first_image(folder),
            )
        else:
            what = "a preprocess beside a name" if isinstance(model, str) else f"a {type(model).__name__}"
            raise LurkError(
                f"the model is {what}: give a torch.nn.Module with its preprocess, or a name such as "
                "'vgg16', which has its own"
            )
        if options.names is not None:
            network = replace(network, classes=tuple(map(escape_surrogates, options.names)))
        handed = isinstance(model, nn.Module)
        return Session(network, handed, folder, out, device, options, reporter)


def compute(
    engine: Session,
    stage: str,
    *,
    chosen: Selection | None = None,
    gradients: GradientsConfig | None = None,
    ascent: AscentConfig | None = None,
    overwrite: bool = False,
) -> None:
    """Bring one stage of the store to where it has what is chosen.

    Args:
        engine: with what.
        stage: `scan`, `gradients` or `ascent`.
        chosen: the filters, for the last two.
        gradients: how; its batch size is the engine's.
        ascent: how; its batch size and seed are the engine's.
        overwrite: begin anew where the folder holds the result of something else.

    Raises:
        LurkError: it cannot be done, see `pipeline.precompute`.
    """
    options, batch = engine.options, engine.batch
    config = RunConfig(
        scan=ScanConfig(layers=options.layers, k=options.top, batch_size=batch),
        gradients=replace(gradients or GradientsConfig(), batch_size=2 * batch),
        ascent=replace(
            ascent or AscentConfig(), batch_size=default_ascent_batch(engine.device, batch), seed=options.seed
        ),
        stages=(stage,),
        selection=chosen or Selection(),
        workers=default_workers(engine.device) if options.workers is None else options.workers,
        threads=options.threads or default_threads(engine.out),
        overwrite=overwrite,
    )
    with in_python():
        network = engine.network
        if engine.handed:
            # Weights that have been trained since are others.
            network = replace(network, weights_sha256=network_digest(network.module))
        manifest = precompute(network, engine.images, engine.out, config, engine.device, engine.reporter)
    if stage == "scan" and options.progress is False:  # else the terminal has said it
        for line in describe_skipped(manifest.layers_skipped):
            warnings.warn(printable(line), stacklevel=3)


def precision(engine: Session, wanted: str) -> str:
    """The precision of the steps of an ascent: what is wanted, or what the device is fast at for `auto`."""
    return fastest_precision(engine.device) if wanted == "auto" else wanted


def _check(options: SessionOptions) -> None:
    for name, least in (("top", 1), ("batch_size", 1), ("threads", 1), ("workers", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise LurkError(f"{name}={value}: must be at least {least}")
    if any(not isinstance(name, str) for name in options.names or ()):
        raise LurkError("names= holds something else than texts: give one for each output of the network")
    if options.device not in ("auto", "cpu", "cuda"):
        raise LurkError(f"there is no device {options.device!r}: choose auto, cpu or cuda")


def resolve_images(images: Any, words: Path | None) -> ImageSet:
    """The images that were given: by name, as a data set of pairs, or ready.

    Raises:
        LurkError: they cannot be had.
    """
    if isinstance(images, str | Path):
        return open_images(str(images), words=words, data_root=default_cache() / "datasets")
    if all(hasattr(images, name) for name in ("paths", "labels", "digest", "take")):
        return cast("ImageSet", images)
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return index_items(images, type(images).__name__, words=read_words(words) if words else None)
    raise LurkError(
        f"images are a {type(images).__name__}: give a folder, a table, torchvision:NAME, or a data set of "
        "pairs of a PIL image and a class"
    )


def warn_notes(images: ImageSet, stacklevel: int) -> None:
    """Warn of what was assumed of some images, and of what is left out.

    Args:
        images: which.
        stacklevel: of the line that is to blame, see `warnings.warn`.
    """
    for note in notes_of(images):
        warnings.warn(printable(note), stacklevel=stacklevel)


def _own(model: nn.Module, preprocess: PreprocessLike, folder: ImageSet, options: SessionOptions) -> Network:
    weights = Weights({}, options.weights or "own", network_digest(model))
    source = options.source or type(model).__name__
    return network_of(
        model, preprocess, (), source=source, weights=weights, size=options.size,
        first=lambda: first_image(folder), show=(),
    )  # fmt: skip


def network_digest(model: nn.Module) -> str:
    """The digest of a network's values, as `state_digest` has it."""
    return state_digest(network_state(model))


def make_reporter(progress: bool | None) -> Reporter:
    """Bars that suit a notebook or a terminal; without being told, none where there is neither."""
    # A notebook's stderr says that it is no terminal, and bars are shown there all the same.
    hidden = not progress if progress is not None else (False if "ipykernel" in sys.modules else None)

    def report(line: str) -> None:
        if progress is not False:
            tqdm.write(line, file=sys.stderr)

    @contextmanager
    def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        with tqdm(total=total, desc=f"{label:9}", unit=f" {unit}s", disable=hidden, leave=False) as rows:
            yield rows.update

    return Reporter(report=report, bar=bar)
