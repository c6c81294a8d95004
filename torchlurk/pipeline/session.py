"""Sessions: the network, images and options that the calls of a `Lurk`, or of `transfer`, share."""

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
from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.images import ImageSet, notes_of
from torchlurk.datasets.open import open_images
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.datasets.torchvision_dataset import index_dataset
from torchlurk.errors import LurkError, Option, check_choice
from torchlurk.graph import describe_skipped
from torchlurk.models.checkpoint import Weights, network_state, state_digest
from torchlurk.models.load import load_network, network_from_module
from torchlurk.models.network import Network
from torchlurk.models.validate import as_module, check_module, check_network
from torchlurk.models.weights import default_cache
from torchlurk.pipeline.config import (
    AscentConfig,
    CircuitsConfig,
    GradientsConfig,
    KeepActivations,
    RunConfig,
    ScanConfig,
    SessionOptions,
)
from torchlurk.pipeline.pipeline import precompute
from torchlurk.pipeline.resume import default_gradients_precision, default_scan_batch, default_threads
from torchlurk.runtime.devices import (
    choose_device,
    default_ascent_batch,
    default_batch_size,
    default_gradient_batch,
    default_shard_size,
    default_workers,
    fastest_precision,
)
from torchlurk.runtime.names import check_store_name, escape_surrogates, printable
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.selection import Selection

with warnings.catch_warnings():
    # In a notebook without widgets, tqdm warns and draws its bars as text.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm


@dataclass(frozen=True)
class Session:
    """What a computation needs.

    Attributes:
        network: The network to examine.
        is_user_module: Whether its module belongs to the caller, who may train it between two computations.
        images: The images.
        out: Folder of the store.
        device: Device to compute on.
        options: The options of the user.
        reporter: Receives messages and progress.
    """

    network: Network
    is_user_module: bool
    images: ImageSet
    out: Path
    device: torch.device
    options: SessionOptions
    reporter: Reporter

    @property
    def batch_size(self) -> int:
        """Images per forward pass, other than of the scan."""
        return self.options.batch_size or default_batch_size(self.device)


def open_session(
    model: nn.Module | str, preprocess: PreprocessLike, images: Any, out: Path, options: SessionOptions
) -> Session:
    """Open a session. Nothing is computed except one forward pass of a black image.

    Args:
        model: The network, or its name.
        preprocess: Its preprocessing; `None` for a network by name.
        images: The images, see `resolve_images`.
        out: Folder of the store.
        options: All other options.

    Raises:
        LurkError: The network, the preprocessing, the images or an option cannot be used.
    """
    _check_options(options)
    check_store_name(out)
    device = choose_device(options.device)
    reporter = make_reporter(options.progress)
    image_set = resolve_images(images, options.words)
    warn_notes(image_set, stacklevel=4)
    if isinstance(model, nn.Module):
        network = _user_network(model, preprocess, image_set, options)
    elif isinstance(model, str) and preprocess is None:
        network = load_network(
            model,
            options.weights or "auto",
            options.size,
            default_cache(),
            report=reporter.report,
            seed=options.seed,
            first=lambda: first_image(image_set),
        )
    else:
        raise _unusable_model(model)
    if options.names is not None:
        network = replace(network, classes=tuple(map(escape_surrogates, options.names)))
    return Session(network, isinstance(model, nn.Module), image_set, out, device, options, reporter)


def compute(
    session: Session,
    stage: str,
    *,
    selection: Selection | None = None,
    circuits: CircuitsConfig | None = None,
    gradients: GradientsConfig | None = None,
    ascent: AscentConfig | None = None,
    keep_activations: KeepActivations = "auto",
    overwrite: bool = False,
) -> None:
    """Run one stage of the pipeline.

    Args:
        session: The session.
        stage: `scan`, `circuits`, `gradients` or `ascent`.
        selection: Filters that gradients and ascent are computed for; all by default.
        circuits: Options of the circuits.
        gradients: Options of the gradients; the batch size is the session's.
        ascent: Options of the ascent; batch size and seed are the session's.
        keep_activations: Whether a scan keeps the activations of all images.
        overwrite: Recompute the stage even if the store has it.

    Raises:
        LurkError: The stage cannot be computed, see `pipeline.precompute`.
    """
    options, batch_size = session.options, session.batch_size
    config = RunConfig(
        scan=ScanConfig(
            layers=options.layers,
            k=options.top,
            batch_size=options.batch_size
            or default_scan_batch(
                session.out,
                session.device,
                session.network.shape[1:],
                overwrite=overwrite and stage == "scan",
            ),
            shard_size=default_shard_size(session.device),
        ),
        circuits=circuits or CircuitsConfig(),
        gradients=replace(
            gradients or GradientsConfig(),
            batch_size=default_gradient_batch(session.device, batch_size),
            precision=default_gradients_precision(session.out, session.device),
        ),
        ascent=replace(
            ascent or AscentConfig(),
            batch_size=default_ascent_batch(session.device, batch_size),
            seed=options.seed,
        ),
        stages=(stage,),
        selection=selection or Selection(),
        workers=default_workers(session.device) if options.workers is None else options.workers,
        threads=options.threads or default_threads(session.out),
        overwrite=overwrite,
        keep_activations=keep_activations,
    )
    network = session.network
    if session.is_user_module:
        # The caller may have trained it since the session was opened.
        network = replace(network, weights_sha256=network_digest(network.module))
    manifest = precompute(network, session.images, session.out, config, session.device, session.reporter)
    if stage == "scan" and options.progress is False:  # otherwise the reporter has shown these lines
        for line in describe_skipped(manifest.layers_skipped):
            warnings.warn(printable(line), stacklevel=3)


def resolve_precision(session: Session, precision: str) -> str:
    """Return the precision of ascent steps: for `auto`, the one that the device is fastest at."""
    return fastest_precision(session.device) if precision == "auto" else precision


def network_digest(model: nn.Module) -> str:
    """Return the digest of a network's parameters and buffers, see `state_digest`."""
    return state_digest(network_state(model))


def resolve_images(images: Any, words: Path | None) -> ImageSet:
    """Resolve an `images` argument.

    Args:
        images: A folder, a table or `torchvision:NAME`; a data set of pairs of a PIL image and a class; or an
            `ImageSet`.
        words: A file with the names of the classes.

    Raises:
        LurkError: The images cannot be used.
    """
    if isinstance(images, str | Path):
        return open_images(str(images), class_names_file=words, data_root=default_cache() / "datasets")
    if all(hasattr(images, name) for name in ("paths", "labels", "digest", "take")):
        return cast("ImageSet", images)
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        class_names = read_class_names(words) if words else None
        return index_dataset(images, type(images).__name__, class_names=class_names)
    raise LurkError(
        f"the images are a {type(images).__name__}",
        "use a folder, a table, torchvision:NAME, or a data set of pairs of a PIL image and a class",
    )


def warn_notes(images: ImageSet, stacklevel: int) -> None:
    """Warn about assumptions made for a data set, and about files that are left out.

    Args:
        images: The data set.
        stacklevel: Of the line that the warning is attributed to, see `warnings.warn`.
    """
    for note in notes_of(images):
        warnings.warn(printable(note), stacklevel=stacklevel)


def make_reporter(progress: bool | None) -> Reporter:
    """Return a reporter that shows messages and progress bars in a notebook or a terminal.

    Args:
        progress: Whether to show them; `None` to show bars only in a notebook or a terminal.
    """
    # In a notebook, stderr is no terminal, but tqdm can show bars.
    hidden = not progress if progress is not None else (False if "ipykernel" in sys.modules else None)

    def report(line: str) -> None:
        if progress is not False:
            tqdm.write(line, file=sys.stderr)

    @contextmanager
    def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        with tqdm(
            total=total, desc=f"{label:9}", unit=f" {unit}s", disable=hidden, leave=False
        ) as progress_bar:
            yield progress_bar.update

    return Reporter(report=report, bar=bar)


def _check_options(options: SessionOptions) -> None:
    for name, minimum in (("top", 1), ("batch_size", 1), ("threads", 1), ("workers", 0)):
        value = getattr(options, name)
        if value is not None and value < minimum:
            raise LurkError(f"must be at least {minimum}", option=Option(name, value))
    if any(not isinstance(name, str) for name in options.names or ()):
        raise LurkError(
            "must contain strings only", "pass one name for each output of the network", Option("names")
        )
    check_choice("device", options.device, ("auto", "cpu", "cuda"))


def _user_network(
    model: nn.Module, preprocess: PreprocessLike, images: ImageSet, options: SessionOptions
) -> Network:
    """Return the network of a module that the user passed."""
    module = as_module(model)
    check_module(module)
    weights = Weights({}, options.weights or "own", network_digest(module))
    source = options.source or type(module).__name__
    network = network_from_module(
        module, preprocess, (), source=source, weights=weights, size=options.size,
        first=lambda: first_image(images), display_channels=(),
    )  # fmt: skip
    check_network(network.module, network.shape)
    return network


def _unusable_model(model: object) -> LurkError:
    if isinstance(model, str):
        return LurkError(
            f"the model is a name, {model!r}, which has its own preprocessing",
            ("leave out ", Option("preprocess"), ", or pass the torch.nn.Module itself"),
        )
    return LurkError(
        f"the model is a {type(model).__name__}", "pass a torch.nn.Module, or a name such as 'vgg16'"
    )
