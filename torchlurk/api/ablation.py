"""Ablation of a network over images: find the layers, run the images, and make the tables."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from torchlurk.attribution.targets import LOGITS, find_module
from torchlurk.circuits.ablation import FixedChannels, channel_means
from torchlurk.circuits.ablation_effects import AblationBatch, ablation_effects, reachable_layers
from torchlurk.circuits.ablation_table import Ablation, AblationKind, class_effects, filter_effects
from torchlurk.datasets.batches import batches, probe_inputs
from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError, Option
from torchlurk.graph import PROBE_IMAGES, Graph, Layer, prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.outputs import as_logits
from torchlurk.models.runner import Runner
from torchlurk.runtime.devices import BatchLimiter, cpu_threads, deterministic_float32
from torchlurk.runtime.reporting import Reporter
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.training.class_mapping import match_outputs

_CHANNELS = Option("channels", flag="--filter")


@dataclass(frozen=True)
class AblationRequest:
    """An ablation, and the layers to compare.

    Attributes:
        layer: Dotted name of the layer whose filters are ablated, or `logits`.
        channels: These filters, at least one.
        to: What they are set to.
        layers: Patterns of the layers to compare, see `graph.select`; those that do not depend on `layer`
            are left out.
    """

    layer: str
    channels: tuple[int, ...]
    to: AblationKind
    layers: tuple[str, ...]


@dataclass(frozen=True)
class RunSettings:
    """How a network is run over images.

    Attributes:
        device: Where to compute.
        batch_size: Images in one forward.
        workers: Processes that decode images.
        threads: CPU threads per operation.
        reporter: Where progress is reported.
    """

    device: torch.device
    batch_size: int
    workers: int
    threads: int
    reporter: Reporter


def ablate_network(
    network: Network, images: ImageSet, request: AblationRequest, settings: RunSettings
) -> Ablation:
    """Run images through a network without and with an ablation; the network is restored afterwards.

    Args:
        network: The network.
        images: The images; those that cannot be read are skipped.
        request: The ablation.
        settings: How the network is run.

    Raises:
        LurkError: There is no such layer or filter, nothing depends on the layer, no image can be read, or
            an activation is not finite.
    """
    module, device = network.module, settings.device
    if request.layer != LOGITS:
        find_module(module, request.layer)  # raises an error with the nearest names
    limiter = BatchLimiter(settings.reporter.report)
    with ExitStack() as stack:
        stack.enter_context(isolated(module, device, network.shape))
        stack.enter_context(deterministic_float32(device))
        stack.enter_context(cpu_threads(settings.threads))
        probes = probe_inputs(images, network.preprocess, PROBE_IMAGES).to(device)
        runner, graph = prepare(module, network.shape, (*request.layers, request.layer), probes)
        layer = _scanned_layer(module, graph, request.layer)
        channels = _check_channels(layer, request.channels)
        later = reachable_layers(graph, layer.name)
        classes = _count_classes(network, runner, probes[:1])
        if not later and not classes:
            raise LurkError(
                f"no layer that is compared depends on {layer.name!r}, and the network has no classes",
                ("name later layers with ", Option("layers"), ", or ablate an earlier layer"),
            )
        stack.enter_context(runner.in_memory_format())

        def run_batches(label: str) -> Generator[AblationBatch, None, None]:
            return stack.enter_context(closing(_input_batches(network, images, settings, label)))

        values = (0.0,) * len(channels)
        if request.to == "mean":
            inputs = (batch.x for batch in run_batches("means"))
            values = channel_means(runner, layer.name, channels, inputs, limiter)
        effects = ablation_effects(
            runner, FixedChannels(layer.name, channels, values), later, run_batches("ablation"),
            logits=classes > 0, limiter=limiter,
        )  # fmt: skip
    logits = effects.logits
    return Ablation(
        layer=layer.name,
        channels=channels,
        to=request.to,
        values=values,
        images=effects.images,
        layers=tuple(effects.layers),
        filters=filter_effects(effects.layers),
        classes=() if logits is None else class_effects(logits, network.classes),
        agreement=None if logits is None else logits.agreement,
        accuracy=None if logits is None else logits.accuracy,
    )


def _scanned_layer(module: nn.Module, graph: Graph, name: str) -> Layer:
    """Return the layer to ablate.

    Raises:
        LurkError: Its output is not feature maps of single images, or it is never called.
    """
    if name == LOGITS and name not in dict(module.named_modules()):
        name = graph.logits or name
    for layer in graph.layers:
        if layer.name == name:
            return layer
    for skipped in graph.skipped:
        if skipped.name == name:
            raise LurkError(f"layer {name!r} ({skipped.kind}) {skipped.reason}", "ablate another layer")
    raise LurkError(f"layer {name!r} is never called", "ablate a layer in it, or another one")


def _check_channels(layer: Layer, channels: Sequence[int]) -> tuple[int, ...]:
    """Return the filters to ablate, ascending and each once.

    Raises:
        LurkError: There are none, or the layer does not have one.
    """
    if not channels:
        raise LurkError("no filter is given", ("give at least one with ", _CHANNELS))
    for channel in channels:
        if not 0 <= channel < layer.shape[0]:
            raise LurkError(
                f"layer {layer.name!r} has {layer.shape[0]} filters",
                f"choose from 0 to {layer.shape[0] - 1}",
                replace(_CHANNELS, value=channel),
            )
    return tuple(sorted(set(channels)))


def _count_classes(network: Network, runner: Runner, image: Tensor) -> int:
    """Return the number of classes; 0 if the network does not give a row of logits for an image.

    Raises:
        LurkError: There are names for another number of classes.
    """
    if network.weights == "trunk":  # without the weights of its classifier
        return 0
    with runner.without_gradients():
        output = runner(image)
    try:
        count = as_logits(output, 1).shape[1]
    except LurkError:
        return 0
    if network.classes and len(network.classes) != count:
        raise LurkError(
            f"there are {len(network.classes)} class names, but the network has {count} outputs",
            "give one name for each output",
        )
    return count


def _input_batches(
    network: Network, images: ImageSet, settings: RunSettings, label: str
) -> Generator[AblationBatch, None, None]:
    """Yield the images as inputs, and show the progress.

    Raises:
        LurkError: None of the images can be read.
    """
    preprocess, device = network.preprocess, settings.device
    outputs = match_outputs(images.classes, network.classes) or [-1] * len(images.classes)
    found = False
    with (
        settings.reporter.bar(label, len(images.paths), "image") as advance,
        closing(
            batches(images, preprocess, batch_size=settings.batch_size, workers=settings.workers)
        ) as decoded,
    ):
        for batch in decoded:
            if batch.indices:
                found = True
                yield AblationBatch(
                    preprocess.to_input(copy_to_device(batch.pixels, device)),
                    tuple(images.paths[index] for index in batch.indices),
                    torch.tensor([outputs[number] for number in batch.labels]),
                )
            advance(len(batch.indices) + len(batch.skipped))
    if not found:
        raise LurkError(
            f"none of the {len(images.paths)} images of {images.name!r} can be read", "give other images"
        )
