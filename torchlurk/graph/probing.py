"""How a network can be run, found by running it: on images alone and together, in both memory formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.graph import receptive_field as rf
from torchlurk.graph.layers import Graph, Layer, SkippedLayer
from torchlurk.graph.receptive_field import Field
from torchlurk.graph.selection import nothing_left, select
from torchlurk.models.checkpoint import brief
from torchlurk.models.hooks import MapAxes, first_output, output_hooks
from torchlurk.models.preserve import preserve, random_states
from torchlurk.models.runner import Runner, cause_of
from torchlurk.models.validate import forward_failure, needs_autograd, where_raised
from torchlurk.runtime.devices import is_out_of_memory

TOLERANCE = 1e-3
"""How far, as a share of a layer's largest value, two runs may lie apart that compute the same."""


@dataclass(frozen=True)
class _Seen:
    """The first output of a module in one forward: its shape, and along each dimension means and maxima.

    Attributes:
        scale: the largest of its numbers, without the sign. Means alone tell of none: those of a normalised
            output are zero but for rounding.
    """

    shape: tuple[int, ...]
    is_complex: bool
    scale: float
    means: tuple[Tensor, ...]
    maxima: tuple[Tensor, ...]


_Run = Mapping[str, _Seen]
"""What was seen of each module that a forward has called, by dotted name; of the network itself as ''."""


def prepare(
    model: nn.Module, shape: tuple[int, int, int], patterns: Sequence[str], images: Tensor
) -> tuple[Runner, Graph]:
    """Select layers of a network, see `select`, and decide how it is run, see `probe`.

    Args:
        model: an isolated network.
        shape: `(C, H, W)` of its input.
        patterns: of the layers, at least one.
        images: `(N, C, H, W)`, N at least 2, inputs on its device. All of them are tried if the path through
            the network depends on the image, else the first two.
    """
    graph = select(model, shape, patterns, torch.split(images, 1))
    return probe(model, graph, images if graph.recorded else images[:2])


def probe(model: nn.Module, graph: Graph, images: Tensor) -> tuple[Runner, Graph]:
    """Decide how a network is run, and which of its layers can be scanned.

    The fast memory format, channels_last, is chosen if the whole network accepts it and computes the same.
    Images run in batches if every layer gives for each of them what it gives for the image alone.

    Args:
        model: an isolated network; attributes that forwards set are restored.
        graph: its layers.
        images: `(N, C, H, W)`, N at least 2, inputs on its device.

    Returns:
        How to run it, and the graph, whose `skipped` now names the layers whose outputs do not belong to
        single images, or which none of these images reaches.

    Raises:
        LurkError: the forward fails, or no layer is left.
    """
    plain = Runner(model)
    names = ["", *(layer.name for layer in graph.layers)]
    shape = (images.shape[1], images.shape[2], images.shape[3])
    with preserve(model):
        try:
            alone = [_run(plain, names, images[:1])]
        except Exception as error:
            problem = cause_of(error)
            if isinstance(problem, LurkError):
                raise
            plain = replace(plain, record_gradients=needs_autograd(problem))
            try:
                alone = [_run(plain, names, images[:1])] if plain.record_gradients else []
            except Exception:
                alone = []
            if not alone:
                raise forward_failure(model, shape, problem) from problem
        changing = ""
        before = random_states()
        again = _run(plain, names, images[:1])
        if not _same(again, alone[0]):
            changing = "the network gives other values for an image that it is given again"
        if changing or random_states() != before:
            plain = replace(plain, afresh=True)
            alone = [_run(plain, names, images[:1])]
        alone += [_run(plain, names, image) for image in torch.split(images[1:], 1)]
        together: _Run | None = None
        failure = ""
        try:
            together = _run(plain, names, images)
        except Exception as error:
            problem = cause_of(error)
            # Where memory does not suffice for a batch, the computation itself finds what does.
            if not is_out_of_memory(problem):
                failure = f"a batch of {len(images)} fails ({type(problem).__name__}: {brief(problem)})"
        reference = alone[0] if together is None else together
        fast = replace(plain, memory_format="channels_last")
        if _accepts(fast, names, images[:1] if together is None else images, reference):
            plain = fast
    verdicts = {layer.name: _verdict(layer, alone, together, len(images)) for layer in graph.layers}
    reasons = [
        changing,
        _quantised_together(model),
        failure,
        *(found.alone for found in verdicts.values() if found.axes is not None),
    ]
    if not _gives_rows(alone, together, len(images)):
        reasons.append("the output for an image differs between a batch and the image alone")
    kept = [
        _with_axes(layer, own, next(run[layer.name].shape for run in alone if layer.name in run))
        for layer in graph.layers
        if (own := verdicts[layer.name].axes) is not None
    ]
    skipped = [
        SkippedLayer(layer.name, layer.kind, verdicts[layer.name].reason)
        for layer in graph.layers
        if verdicts[layer.name].axes is None
    ]
    found = _without(graph, kept, skipped)
    if graph.layers and not found.layers:
        raise LurkError(nothing_left(found))
    if plain.afresh:
        # On a cut the random numbers would be others.
        kept = [
            replace(one, field=Field(rf.uncut(one.field.rows), rf.uncut(one.field.columns))) for one in kept
        ]
        found = replace(found, layers=tuple(kept))
    axes = {layer.name: layer.axes for layer in kept}
    return replace(plain, alone=next(filter(None, reasons), ""), axes=axes), found


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


def _run(runner: Runner, names: Sequence[str], x: Tensor) -> dict[str, _Seen]:
    """Run one forward, and summarise the first output of each of some modules."""
    seen: dict[str, _Seen] = {}

    def hook(name: str) -> Callable[[nn.Module, object], None]:
        def observe(module: nn.Module, output: object) -> None:  # noqa: ARG001
            tensor = first_output(output)
            if name not in seen and tensor is not None:
                seen[name] = _summary(tensor.detach())

        return observe

    hooks = {name: hook(name) for name in names}
    with runner.laid_out(), runner.without_gradients(), output_hooks(runner.model, hooks):
        runner(x)
    return seen


def _summary(tensor: Tensor) -> _Seen:
    values = tensor.abs() if tensor.is_complex() else tensor
    # Infinity, as of a mask, is as large as any number here: it must not make all else equal.
    values = torch.nan_to_num(values if values.dtype == torch.float64 else values.float())
    means, maxima = [], []
    for dim, size in enumerate(values.shape):
        rows = values.transpose(0, dim).reshape(size, values.numel() // max(size, 1))
        empty = not rows.numel()
        means.append(rows.new_zeros(size) if empty else rows.mean(1))
        maxima.append(rows.new_zeros(size) if empty else rows.amax(1))
    scale = float(values.abs().max()) if values.numel() else 0.0
    return _Seen(tuple(tensor.shape), tensor.is_complex(), scale, tuple(means), tuple(maxima))


def _close(one: Tensor, other: Tensor, scale: float) -> bool:
    return bool(((one - other).abs() <= TOLERANCE * scale).all())


def _accepts(runner: Runner, names: Sequence[str], x: Tensor, expected: _Run) -> bool:
    """Whether a network runs in a memory format and computes the same."""
    if not any(parameter.dim() == 4 for parameter in runner.model.parameters()):
        return False
    try:
        found = _run(runner, names, x)
    except Exception:  # a view, say, that this format does not allow
        return False
    return _same(found, expected)


def _same(found: _Run, expected: _Run) -> bool:
    """Whether two runs of the same input compute the same."""
    return found.keys() == expected.keys() and all(
        one.shape == expected[name].shape
        and all(
            _close(a, b, max(one.scale, expected[name].scale))
            for a, b in zip(
                (*one.means, *one.maxima), (*expected[name].means, *expected[name].maxima), strict=True
            )
        )
        for name, one in found.items()
    )


def _gives_rows(alone: Sequence[_Run], together: _Run | None, count: int) -> bool:
    """Whether the network gives for each image of a batch what it gives for the image alone."""
    if together is None:
        return True
    single, batch = [run[""] for run in alone if "" in run], together.get("")
    if len(single) < count or batch is None or not batch.shape or batch.shape[0] != count:
        return True  # nothing that belongs to single images
    return any(one.shape[0] != 1 for one in single) or _same_rows(0, batch, single)


def _quantised_together(model: nn.Module) -> str:
    """Why images need forwards of their own, where layers choose a scale for all of a batch; else empty."""
    dynamic = any("quantized.dynamic" in type(part).__module__ for part in model.modules())
    return "its dynamically quantized layers take one scale for all images of a batch" if dynamic else ""


def _with_axes(layer: Layer, axes: MapAxes, shape: tuple[int, ...]) -> Layer:
    """The layer whose output of that shape has other axes than were taken for them."""
    if axes == layer.axes:
        return layer
    _, channels, height, width = axes.map(torch.empty(shape, device="meta")).shape
    field = Field(rf.everything(layer.field.rows, height), rf.everything(layer.field.columns, width))
    return replace(layer, axes=axes, shape=(channels, height, width), field=field)


@dataclass(frozen=True)
class _Verdict:
    """How a layer's output belongs to images: its axes, and why only of images alone; or why it does not."""

    axes: MapAxes | None
    alone: str = ""
    reason: str = ""


def _verdict(layer: Layer, alone: Sequence[_Run], together: _Run | None, count: int) -> _Verdict:
    single = [run[layer.name] for run in alone if layer.name in run]
    if not any(0 not in one.shape for one in single):
        return _Verdict(
            None, reason=f"is never called: none of the {count} images that were tried reaches it"
        )
    if single[0].is_complex:
        return _Verdict(None, reason="gives complex numbers, of which none is the largest")
    axes = layer.axes
    sizes = {tuple(one.shape[dim] for dim in axes.spatial) for one in single if len(one.shape) == axes.dims}
    if len(sizes) > 1:
        listed = " and ".join(" x ".join(map(str, size)) for size in sorted(sizes)[:2])
        return _Verdict(None, reason=f"gives maps of different sizes for different images, {listed}")
    first = next((one for one in single if one.shape[axes.batch] == 1), single[0])
    batch = None if together is None else together.get(layer.name)
    if batch is not None and len(batch.shape) == len(first.shape):
        grown = [d for d, size in enumerate(first.shape) if size == 1 and batch.shape[d] == count]
        if axes.batch not in grown and len(grown) == 1 and grown[0] != axes.channels:
            axes = replace(axes, batch=grown[0])
        if axes.batch in grown and len(single) == count:
            same = _same_rows(axes.batch, batch, single)
            why = f"the output of {layer.name} for an image differs between a batch and the image alone"
            return _Verdict(axes, alone="" if same else why)
    if all(one.shape[axes.batch] in (0, 1) for one in single):
        why = f"not all images of a batch reach {layer.name}" if together is not None else ""
        return _Verdict(axes, alone=why)
    rows = first.shape[axes.batch]
    return _Verdict(
        None,
        reason=f"gives {rows} rows for one image, so the first dimension of its output is not the batch",
    )


def _same_rows(dim: int, batch: _Seen, single: Sequence[_Seen]) -> bool:
    """Whether each image gives in a batch what it gives alone."""
    scale = max(batch.scale, *(one.scale for one in single))
    return all(
        _close(values[dim], torch.cat([one[dim] for one in own]), scale)
        for values, own in (
            (batch.means, [one.means for one in single]),
            (batch.maxima, [one.maxima for one in single]),
        )
    )


def _without(graph: Graph, kept: Sequence[Layer], skipped: Sequence[SkippedLayer]) -> Graph:
    """The graph without some layers: what went through them joins the layers on both sides."""
    gone = {one.name for one in skipped}
    edges = list(graph.edges)
    for name in gone:
        before = [a for a, b in edges if b == name]
        behind = [b for a, b in edges if a == name]
        edges = [edge for edge in edges if name not in edge]
        edges += [(a, b) for a in before for b in behind if (a, b) not in edges]
    return replace(
        graph, layers=tuple(kept), edges=tuple(dict.fromkeys(edges)), skipped=(*graph.skipped, *skipped)
    )
