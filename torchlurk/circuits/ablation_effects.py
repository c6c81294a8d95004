"""What an ablation changes: the maxima of the layers downstream, and the logits, over some images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.circuits.ablation import FixedChannels, fix_channels, run_in_parts
from torchlurk.circuits.ablation_means import AblationEffects, AblationSums, ForwardPair, ForwardResult
from torchlurk.errors import LurkError, Option
from torchlurk.graph import Graph
from torchlurk.models.hooks import Observer
from torchlurk.models.outputs import as_logits
from torchlurk.models.runner import Runner, capture_outputs, forward_until
from torchlurk.runtime.devices import BatchLimiter


@dataclass(frozen=True)
class AblationBatch:
    """Images to run without and with an ablation.

    Attributes:
        x: `(N, C, H, W)`, the network's input, on its device.
        names: The names of the images, for errors.
        targets: `(N,)` int64 on the CPU, the right output of each image; -1 if it is not known.
    """

    x: Tensor
    names: tuple[str, ...]
    targets: Tensor

    def part(self, rows: slice) -> AblationBatch:
        """Return the batch of some of the images."""
        return AblationBatch(self.x[rows], self.names[rows], self.targets[rows])


def reachable_layers(graph: Graph, layer: str) -> tuple[str, ...]:
    """Return the layers that data flows to from a layer, in execution order, without the layer itself."""
    reached, waiting = {layer}, [layer]
    while waiting:
        source = waiting.pop()
        targets = {target for origin, target in graph.edges if origin == source} - reached
        reached |= targets
        waiting += targets
    return tuple(other.name for other in graph.layers if other.name in reached - {layer})


def ablation_effects(
    runner: Runner,
    fixed: FixedChannels,
    layers: Sequence[str],
    batches: Iterable[AblationBatch],
    *,
    logits: bool,
    limiter: BatchLimiter | None = None,
) -> AblationEffects:
    """Run images without and with an ablation, and compare the maxima of layers and the logits.

    An image is in the same batch both times, so rounding does not add to the difference. Of a module that is
    called several times, the first call counts, as in a scan.

    Args:
        runner: How the network is run, isolated.
        fixed: The ablation.
        layers: Dotted names of the layers to compare, in execution order.
        batches: The images.
        logits: Whether to compare the logits, for which the network must return `(N, classes)`.
        limiter: The number of images that fit into memory.

    Raises:
        KeyError: A layer is not a module of the network.
        LurkError: A maximum or a logit is NaN or infinite, a layer gives several rows for one image, or a
            single image does not fit into memory.
    """
    limiter = limiter or BatchLimiter(report=lambda _: None)
    sums = AblationSums()
    for batch in batches:

        def compare(part: slice, batch: AblationBatch = batch) -> list[ForwardPair]:
            return _pairs(runner, fixed, layers, batch.part(part), logits)

        for pairs in run_in_parts(len(batch.names), runner.one_by_one, limiter, compare):
            for pair in pairs:
                sums = sums.add(pair)
    return sums.means(layers)


class _RowCountError(Exception):
    """A layer does not give one row for each image of a batch."""


def _pairs(
    runner: Runner, fixed: FixedChannels, layers: Sequence[str], batch: AblationBatch, logits: bool
) -> list[ForwardPair]:
    """Run a batch both ways; image by image if a layer does not give a row for each image."""
    try:
        before = _run(runner, None, layers, batch, logits)
        return [ForwardPair(before, _run(runner, fixed, layers, batch, logits), batch.targets)]
    except _RowCountError:
        rows = range(len(batch.names))
    singles = [batch.part(slice(row, row + 1)) for row in rows]
    return [pair for single in singles for pair in _pairs(runner, fixed, layers, single, logits)]


def _run(
    runner: Runner, fixed: FixedChannels | None, layers: Sequence[str], batch: AblationBatch, logits: bool
) -> ForwardResult:
    """Run one forward.

    Raises:
        _RowCountError: There are several images, and a layer does not give one row for each.
        LurkError: See `ablation_effects`.
    """
    count = len(batch.names)
    maxima: dict[str, Tensor] = {}
    values: Tensor | None = None

    def observer(name: str) -> Observer:
        def observe(maps: Tensor) -> None:
            if name not in maxima:
                maxima[name] = maps.detach().amax(dim=(2, 3)).double()

        return observe

    ablation = nullcontext() if fixed is None else fix_channels(runner, fixed)
    observers = {name: observer(name) for name in layers}
    with runner.without_gradients(), ablation, capture_outputs(runner, observers):
        if logits:
            values = as_logits(runner(batch.x), count).detach().double().cpu()
        else:
            forward_until(runner, batch.x, layers)
    result = ForwardResult(_on_cpu(maxima, layers, count), values)
    _check_finite(result, batch.names, fixed)
    return result


def _on_cpu(maxima: dict[str, Tensor], layers: Sequence[str], count: int) -> dict[str, Tensor]:
    """Return the maxima of the layers that the images reach, copied to the CPU in one transfer."""
    for name in layers:
        rows = len(maxima.get(name, ()))
        if rows != count and count > 1:
            raise _RowCountError
        if rows > 1 and count == 1:
            raise LurkError(
                f"layer {name!r} gives {rows} rows for one image",
                ("leave it out of ", Option("layers")),
            )
    reached = {name: values for name, values in maxima.items() if len(values)}
    if not reached:
        return {}
    together = torch.cat(list(reached.values()), dim=1).cpu()
    sizes = [values.shape[1] for values in reached.values()]
    return dict(zip(reached, torch.split(together, sizes, dim=1), strict=True))


def _check_finite(result: ForwardResult, names: Sequence[str], fixed: FixedChannels | None) -> None:
    outputs = {f"layer {name!r}": values for name, values in result.maxima.items()}
    if result.logits is not None:
        outputs["the network"] = result.logits
    for what, values in outputs.items():
        finite = values.isfinite().all(dim=1)
        if finite.all():
            continue
        image = names[int((~finite).nonzero()[0])]
        if fixed is None:
            raise LurkError(f"{what} gives NaN or infinity for image {image!r}", "check the weights")
        raise LurkError(
            f"without the filters of {fixed.layer!r}, {what} gives NaN or infinity for image {image!r}",
            ("ablate other filters, or choose another value for ", Option("to")),
        )
