"""How a network can be run: with or without batches, in which memory format, with or without autograd.

Trial forwards decide, on images alone and together, in both memory formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError, Option
from torchlurk.graph.layer_checks import check_layer, output_is_per_image, with_axes, without_layers
from torchlurk.graph.layers import Graph, SkippedLayer
from torchlurk.graph.selection import no_scannable_layer, select
from torchlurk.graph.trial_runs import TrialRun, run_once, same_outputs
from torchlurk.models.exceptions import short_message, where_raised
from torchlurk.models.hooks import first_output, output_hooks
from torchlurk.models.preserve import preserve, random_states
from torchlurk.models.runner import Runner, original_exception
from torchlurk.models.trial_forward import explain_failed_forward, needs_autograd
from torchlurk.runtime.devices import is_out_of_memory

PROBE_IMAGES = 8
"""The number of images for the trials of a network whose path depends on the image."""


def prepare(
    model: nn.Module, shape: tuple[int, int, int], patterns: Sequence[str], images: Tensor
) -> tuple[Runner, Graph]:
    """Select layers of a network, see `select`, and decide how it is run, see `probe`.

    Args:
        model: An isolated network.
        shape: `(C, H, W)` of its input.
        patterns: Patterns of layers, at least one.
        images: `(N, C, H, W)`, inputs on the network's device. The first `PROBE_IMAGES` are tried if the path
            through the network depends on the image, otherwise the first two.
    """
    images = images[:PROBE_IMAGES]
    graph = select(model, shape, patterns, torch.split(images, 1))
    return probe(model, graph, images if graph.recorded else images[:2])


def probe(model: nn.Module, graph: Graph, images: Tensor) -> tuple[Runner, Graph]:
    """Decide how a network is run, and which of its layers can be scanned.

    The memory format is channels_last, which is faster, if the whole network accepts it and computes the
    same. Images run in batches if every layer gives for each image of a batch what it gives for it alone.

    Args:
        model: An isolated network; attributes that forwards set are restored.
        graph: Its layers.
        images: `(N, C, H, W)`, inputs on its device. A single one is tried together with its mirror image.

    Returns:
        How to run the network, and the graph. Its `skipped` also names the layers whose outputs do not belong
        to single images, or which none of these images reaches.

    Raises:
        LurkError: The forward fails, or no layer can be scanned.
    """
    if len(images) == 1:
        images = torch.cat([images, images.flip(2)])
    count = len(images)
    trials = _run_trials(model, ["", *(layer.name for layer in graph.layers)], images)
    checks = {layer.name: check_layer(layer, trials.single, trials.batch, count) for layer in graph.layers}
    kept, skipped = [], []
    for layer in graph.layers:
        check = checks[layer.name]
        if check.axes is None:
            skipped.append(SkippedLayer(layer.name, layer.kind, check.skipped))
        else:
            shape = next(run[layer.name].shape for run in trials.single if layer.name in run)
            kept.append(with_axes(layer, check.axes, shape))
    if graph.layers and not kept:
        raise no_scannable_layer(without_layers(graph, kept, skipped))
    if trials.runner.restore_each_forward:
        # A cut would consume other random numbers.
        kept = [replace(layer, field=layer.field.uncuttable) for layer in kept]
    reasons = [trials.one_by_one, *(checks[layer.name].one_by_one for layer in kept)]
    if not output_is_per_image(trials.single, trials.batch, count):
        reasons.append("the output for an image differs between a batch and the image alone")
    axes = {layer.name: layer.axes for layer in kept}
    runner = replace(trials.runner, one_by_one_reason=next(filter(None, reasons), ""), axes=axes)
    return runner, without_layers(graph, kept, skipped)


@dataclass(frozen=True)
class _Trials:
    """The results of trial runs of a network.

    Attributes:
        runner: How to run it, except for its `alone` and `axes`.
        single: A run of each image by itself.
        batch: A run of all images in one batch; `None` if it fails.
        one_by_one: Why images need forwards of their own, whatever the layers give; empty if they do not.
    """

    runner: Runner
    single: tuple[TrialRun, ...]
    batch: TrialRun | None
    one_by_one: str


def _run_trials(model: nn.Module, names: Sequence[str], images: Tensor) -> _Trials:
    """Run a network on each image alone and on all of them, in both memory formats.

    Raises:
        LurkError: The forward of one image fails.
    """
    with preserve(model):
        runner, first = _first_run(model, names, images[:1])
        state = random_states()
        repeatable = same_outputs(run_once(runner, names, images[:1]), first)
        if not repeatable or random_states() != state:
            runner = replace(runner, restore_each_forward=True)
            first = run_once(runner, names, images[:1])
        single = (first, *(run_once(runner, names, image) for image in torch.split(images[1:], 1)))
        batch: TrialRun | None = None
        failure = ""
        try:
            batch = run_once(runner, names, images)
        except Exception as error:
            problem = original_exception(error)
            # If memory does not suffice for a batch, the computation itself finds the size that fits.
            if not is_out_of_memory(problem):
                failure = (
                    f"a batch of {len(images)} fails ({type(problem).__name__}: {short_message(problem)})"
                )
        channels_last = replace(runner, memory_format="channels_last")
        x, expected = (images[:1], first) if batch is None else (images, batch)
        if _computes_the_same(channels_last, names, x, expected):
            runner = channels_last
    changing = "" if repeatable else "the network gives other values for an image that it is given again"
    return _Trials(runner, single, batch, changing or _quantised_by_batch(model) or failure)


def _first_run(model: nn.Module, names: Sequence[str], image: Tensor) -> tuple[Runner, TrialRun]:
    """Run a network without autograd, or with it if it does not run without.

    Raises:
        LurkError: The forward fails.
    """
    runner = Runner(model)
    try:
        return runner, run_once(runner, names, image)
    except Exception as error:
        problem = original_exception(error)
        if isinstance(problem, LurkError):
            raise
        if needs_autograd(problem):
            runner = replace(runner, record_gradients=True)
            with suppress(Exception):
                return runner, run_once(runner, names, image)
        shape = (image.shape[1], image.shape[2], image.shape[3])
        raise explain_failed_forward(model, shape, problem) from problem


def _computes_the_same(runner: Runner, names: Sequence[str], x: Tensor, expected: TrialRun) -> bool:
    """Return whether a network runs in a memory format and computes the same in it."""
    if not any(parameter.dim() == 4 for parameter in runner.model.parameters()):
        return False
    try:
        run = run_once(runner, names, x)
    except Exception:  # such as a view that this format does not allow
        return False
    return same_outputs(run, expected)


def _quantised_by_batch(model: nn.Module) -> str:
    """Return why images need forwards of their own, if layers choose one scale per batch; otherwise ''."""
    dynamic = any("quantized.dynamic" in type(module).__module__ for module in model.modules())
    return "its dynamically quantized layers take one scale for all images of a batch" if dynamic else ""


def check_differentiable(runner: Runner, graph: Graph, image: Tensor) -> None:
    """Refuse a network with a layer that has no gradient with respect to the image.

    Args:
        runner: How to run the network.
        graph: Its layers.
        image: `(1, C, H, W)`, an input on its device.

    Raises:
        LurkError: Names the first such layer; or the network does not run with gradients.
    """
    has_gradient: dict[str, bool] = {}

    def hook(name: str) -> Callable[[nn.Module, object], None]:
        def observe(module: nn.Module, output: object) -> None:  # noqa: ARG001
            tensor = first_output(output)
            has_gradient.setdefault(name, tensor is not None and tensor.requires_grad)

        return observe

    hooks = {layer.name: hook(layer.name) for layer in graph.layers}
    scan_only = ("compute only its scan with ", Option("stages", "scan"))
    quantised = any("quantized" in type(module).__module__ for module in runner.model.modules())
    kind = "quantized network" if quantised else "network"
    try:
        with (
            preserve(runner.model),
            runner.in_memory_format(),
            torch.enable_grad(),
            output_hooks(runner.model, hooks),
        ):
            runner(image.detach().clone().requires_grad_())
    except Exception as error:
        problem = original_exception(error)
        line = short_message(problem) if str(problem) else type(problem).__name__
        raise LurkError(
            f"the {kind} does not run while gradients are recorded ({type(problem).__name__}: {line})"
            f"{where_raised(problem)}",
            scan_only,
        ) from problem
    for layer in graph.layers:
        if not has_gradient.get(layer.name, True):
            raise LurkError(
                f"layer {layer.name!r} has no gradient with respect to the image: the {kind} computes it "
                "without gradients, as no_grad, detach and inference_mode do",
                ("leave it out of ", Option("layers"), ", or ", *scan_only),
            )
