"""How a network can be run, found by running it: on images alone and together, in both memory formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.graph.layers import Graph, SkippedLayer
from torchlurk.graph.selection import nothing_left, select
from torchlurk.graph.trials import Run, run_once, same
from torchlurk.graph.verdicts import gives_rows, judge, with_axes, without
from torchlurk.models.checkpoint import brief
from torchlurk.models.hooks import first_output, output_hooks
from torchlurk.models.preserve import preserve, random_states
from torchlurk.models.runner import Runner, cause_of
from torchlurk.models.validate import forward_failure, needs_autograd, where_raised
from torchlurk.runtime.devices import is_out_of_memory

PROBE_IMAGES = 8
"""Images that a network is tried on whose path depends on them."""


def prepare(
    model: nn.Module, shape: tuple[int, int, int], patterns: Sequence[str], images: Tensor
) -> tuple[Runner, Graph]:
    """Select layers of a network, see `select`, and decide how it is run, see `probe`.

    Args:
        model: an isolated network.
        shape: `(C, H, W)` of its input.
        patterns: of the layers, at least one.
        images: `(N, C, H, W)`, inputs on its device. `PROBE_IMAGES` of them are tried if the path through the
            network depends on the image, else the first two.
    """
    images = images[:PROBE_IMAGES]
    graph = select(model, shape, patterns, torch.split(images, 1))
    return probe(model, graph, images if graph.recorded else images[:2])


def probe(model: nn.Module, graph: Graph, images: Tensor) -> tuple[Runner, Graph]:
    """Decide how a network is run, and which of its layers can be scanned.

    The fast memory format, channels_last, is chosen if the whole network accepts it and computes the same.
    Images run in batches if every layer gives for each of them what it gives for the image alone.

    Args:
        model: an isolated network; attributes that forwards set are restored.
        graph: its layers.
        images: `(N, C, H, W)`, inputs on its device. A single one is tried with itself upside down.

    Returns:
        How to run it, and the graph, whose `skipped` now names the layers whose outputs do not belong to
        single images, or which none of these images reaches.

    Raises:
        LurkError: the forward fails, or no layer is left.
    """
    if len(images) == 1:
        images = torch.cat([images, images.flip(2)])
    count = len(images)
    tried = _try(model, ["", *(layer.name for layer in graph.layers)], images)
    verdicts = {layer.name: judge(layer, tried.alone, tried.together, count) for layer in graph.layers}
    kept, skipped = [], []
    for layer in graph.layers:
        verdict = verdicts[layer.name]
        if verdict.axes is None:
            skipped.append(SkippedLayer(layer.name, layer.kind, verdict.reason))
        else:
            shape = next(run[layer.name].shape for run in tried.alone if layer.name in run)
            kept.append(with_axes(layer, verdict.axes, shape))
    if graph.layers and not kept:
        raise LurkError(nothing_left(without(graph, kept, skipped)))
    if tried.runner.afresh:
        # On a cut the random numbers would be others.
        kept = [replace(one, field=one.field.uncut) for one in kept]
    reasons = [tried.alone_because, *(verdicts[layer.name].alone for layer in kept)]
    if not gives_rows(tried.alone, tried.together, count):
        reasons.append("the output for an image differs between a batch and the image alone")
    axes = {layer.name: layer.axes for layer in kept}
    runner = replace(tried.runner, alone=next(filter(None, reasons), ""), axes=axes)
    return runner, without(graph, kept, skipped)


@dataclass(frozen=True)
class _Tried:
    """What trial runs of a network have shown.

    Attributes:
        runner: how it is run, but for `alone` and `axes`.
        alone: a run of each image by itself.
        together: a run of all of them in one batch; `None` if it fails.
        alone_because: why images need forwards of their own, whatever the layers give; empty if they do not.
    """

    runner: Runner
    alone: tuple[Run, ...]
    together: Run | None
    alone_because: str


def _try(model: nn.Module, names: Sequence[str], images: Tensor) -> _Tried:
    """Run a network on each image alone and on all of them, in both memory formats.

    Raises:
        LurkError: the forward of one image fails.
    """
    with preserve(model):
        runner, first = _first(model, names, images[:1])
        numbers = random_states()
        repeats = same(run_once(runner, names, images[:1]), first)
        if not repeats or random_states() != numbers:
            runner = replace(runner, afresh=True)
            first = run_once(runner, names, images[:1])
        alone = (first, *(run_once(runner, names, image) for image in torch.split(images[1:], 1)))
        together: Run | None = None
        failure = ""
        try:
            together = run_once(runner, names, images)
        except Exception as error:
            problem = cause_of(error)
            # Where memory does not suffice for a batch, the computation itself finds what does.
            if not is_out_of_memory(problem):
                failure = f"a batch of {len(images)} fails ({type(problem).__name__}: {brief(problem)})"
        fast = replace(runner, memory_format="channels_last")
        x, expected = (images[:1], first) if together is None else (images, together)
        if _accepts(fast, names, x, expected):
            runner = fast
    changing = "" if repeats else "the network gives other values for an image that it is given again"
    return _Tried(runner, alone, together, changing or _quantised_together(model) or failure)


def _first(model: nn.Module, names: Sequence[str], image: Tensor) -> tuple[Runner, Run]:
    """The first run of a network: without recording gradients, or with them if it cannot do without.

    Raises:
        LurkError: the forward fails.
    """
    runner = Runner(model)
    try:
        return runner, run_once(runner, names, image)
    except Exception as error:
        problem = cause_of(error)
        if isinstance(problem, LurkError):
            raise
        if needs_autograd(problem):
            runner = replace(runner, record_gradients=True)
            with suppress(Exception):
                return runner, run_once(runner, names, image)
        shape = (image.shape[1], image.shape[2], image.shape[3])
        raise forward_failure(model, shape, problem) from problem


def _accepts(runner: Runner, names: Sequence[str], x: Tensor, expected: Run) -> bool:
    """Whether a network runs in a memory format and computes the same."""
    if not any(parameter.dim() == 4 for parameter in runner.model.parameters()):
        return False
    try:
        found = run_once(runner, names, x)
    except Exception:  # a view, say, that this format does not allow
        return False
    return same(found, expected)


def _quantised_together(model: nn.Module) -> str:
    """Why images need forwards of their own, where layers choose a scale for all of a batch; else empty."""
    dynamic = any("quantized.dynamic" in type(part).__module__ for part in model.modules())
    return "its dynamically quantized layers take one scale for all images of a batch" if dynamic else ""


def check_differentiable(runner: Runner, graph: Graph, image: Tensor) -> None:
    """Refuse a network of whose layers one has no gradient with respect to the image.

    Args:
        runner: how it is run.
        graph: its layers.
        image: `(1, C, H, W)`, an input on its device.

    Raises:
        LurkError: the first such layer, by name; or the network does not run with gradients.
    """
    flows: dict[str, bool] = {}

    def hook(name: str) -> Callable[[nn.Module, object], None]:
        def observe(module: nn.Module, output: object) -> None:  # noqa: ARG001
            tensor = first_output(output)
            flows.setdefault(name, tensor is not None and tensor.requires_grad)

        return observe

    hooks = {layer.name: hook(layer.name) for layer in graph.layers}
    advice = "compute its scan alone (--stages scan)"
    quantised = any("quantized" in type(part).__module__ for part in runner.model.modules())
    kind = "quantized network" if quantised else "network"
    try:
        with (
            preserve(runner.model),
            runner.laid_out(),
            torch.enable_grad(),
            output_hooks(runner.model, hooks),
        ):
            runner(image.detach().clone().requires_grad_())
    except Exception as error:
        problem = cause_of(error)
        line = brief(problem) if str(problem) else type(problem).__name__
        raise LurkError(
            f"the {kind} does not run where gradients are recorded ({type(problem).__name__}: {line})"
            f"{where_raised(problem)}: {advice}"
        ) from problem
    for layer in graph.layers:
        if not flows.get(layer.name, True):
            raise LurkError(
                f"nothing flows back from layer {layer.name!r} to the image: the {kind} computes it without "
                f"gradients, as no_grad, detach and inference_mode do; leave it out by --layers, or {advice}"
            )
