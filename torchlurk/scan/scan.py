"""One pass over the images, which updates the lists and statistics of all layers at once.

Feature maps are reduced inside the forward hooks: an in-place ReLU may overwrite an output right after its
hook has run, and keeping feature maps would take memory. What is left of them is added to the state after the
forward, all layers at once; a forward that fails leaves the state as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.errors import LurkError, Option
from torchlurk.models.hooks import Observer
from torchlurk.models.runner import Runnable, Runner, as_runner, capture_outputs, forward_until
from torchlurk.runtime.devices import BatchLimiter, is_out_of_memory, small_operations
from torchlurk.runtime.transfer import batches_in_flight, read_later
from torchlurk.scan.accumulate import Accumulator
from torchlurk.scan.reduce import MapReductions, reduce_map
from torchlurk.scan.state import ScanState

_LEAVE_OUT = ("leave it out of ", Option("layers"))


class NonFiniteActivation(Exception):  # noqa: N818  # it is the activation that is not finite
    """An activation is NaN or infinite.

    Attributes:
        layer: The first layer in execution order with such an activation.
        image: The id of an image that causes it.
    """

    def __init__(self, layer: str, image: int) -> None:
        super().__init__(f"an activation of {layer} is not finite")
        self.layer = layer
        self.image = image


@dataclass(frozen=True)
class ScanBatch:
    """A batch of preprocessed images; all tensors are on the network's device.

    Attributes:
        images: `(N,)` int64 image ids.
        labels: `(N,)` int64 classes.
        x: `(N, C, H, W)` float32, the network's input.
    """

    images: Tensor
    labels: Tensor
    x: Tensor

    def part(self, rows: slice) -> ScanBatch:
        """Return the batch of some of the images."""
        return ScanBatch(self.images[rows], self.labels[rows], self.x[rows])


Keep = Callable[[Tensor, Mapping[str, MapReductions]], None]
"""Takes the ids `(N,)` of the images of a forward, and what it gives for each layer that they reach."""


def scan(
    model: Runnable,
    start: ScanState,
    batches: Iterable[ScanBatch],
    *,
    bfloat16: bool = False,
    limiter: BatchLimiter | None = None,
    keep: Keep | None = None,
) -> Iterator[ScanState]:
    """Update a state with batches of images.

    Args:
        model: The network, isolated.
        start: The state before the first batch; it names the layers to observe.
        batches: The images, each id once.
        bfloat16: Whether to run the forward in bfloat16, which is faster and gives scores of two to three
            digits; `candidate_images` then lists the images to score again.
        limiter: The number of images that fit into memory; a batch that does not fit is halved and retried.
        keep: Is called with the results of each forward.

    Yields:
        The state after each batch. The next batch changes its tensors in place; `start` is not changed.

    Raises:
        NonFiniteActivation: An activation is NaN or infinite, so scores have no order.
        LurkError: A single image does not fit into memory, or a layer gives several rows for one image or
            maps of different sizes.
    """
    runner = as_runner(model)
    accumulator = Accumulator(start)
    sizes: dict[str, torch.Size] = {}
    limiter = limiter or BatchLimiter(report=lambda _: None)
    checks: deque[Callable[[], None]] = deque()
    for batch in batches:
        pending = [batch]
        while pending:
            part = pending.pop(0)
            count = len(part.images)
            fits = 1 if runner.one_by_one else limiter.cap(count)
            if fits < count:
                pending[:0] = [part.part(slice(0, fits)), part.part(slice(fits, None))]
                continue
            cast = torch.autocast(part.x.device.type, torch.bfloat16, enabled=bfloat16)
            try:
                with runner.without_gradients(), cast:
                    reduced = _reduce_layers(runner, part, start.layers, sizes)
            except _RowCountError as problem:
                # The path depends on the data; which row belongs to which image is known only one by one.
                if count == 1:
                    raise LurkError(
                        f"layer {problem.layer!r} gives {problem.rows} rows for one image", _LEAVE_OUT
                    ) from None
                pending[:0] = [part.part(slice(row, row + 1)) for row in range(count)]
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
                limiter.reduce(count, problem)
                pending.insert(0, part)
            else:
                checks.append(_check_finite(reduced, part.images))
                # A check waits for the device, so the next batch is prepared first.
                while len(checks) > batches_in_flight(part.images.device):
                    checks.popleft()()
                accumulator.add(reduced, part.images, part.labels)
                if keep is not None:
                    keep(part.images, reduced)
        yield accumulator.state
    for check in checks:
        check()


def _reduce_layers(
    runner: Runner, batch: ScanBatch, layers: Collection[str], sizes: dict[str, torch.Size]
) -> dict[str, MapReductions]:
    """Run a forward and return what it gives for each layer, in the order of the state.

    Args:
        runner: How to run the network.
        batch: The images of the forward.
        layers: Names of the layers.
        sizes: The size of each layer's maps; filled by the first forward, checked by later ones.

    Raises:
        LurkError: A layer gives maps of another size than in `sizes`.
        _RowCountError: A layer does not give one row for each image. A single image may give no row, which
            means that it does not reach the layer.
    """
    reduced: dict[str, MapReductions] = {}
    remaining = set(layers)

    def observer(name: str) -> Observer:
        def observe(output: Tensor) -> None:
            if name not in remaining:  # the module is called again: only its first call counts
                return
            remaining.remove(name)
            maps = output.detach()
            size = sizes.setdefault(name, maps.shape[2:])
            if size != maps.shape[2:]:
                raise LurkError(
                    f"layer {name!r} gives maps of {size[0]} x {size[1]} for one image and of "
                    f"{maps.shape[2]} x {maps.shape[3]} for another",
                    _LEAVE_OUT,
                )
            if len(maps) == len(batch.images):
                reduced[name] = reduce_map(maps)
            elif len(maps) or len(batch.images) > 1:
                raise _RowCountError(name, len(maps))

        return observe

    with capture_outputs(runner, {name: observer(name) for name in layers}):
        forward_until(runner, batch.x, layers)
    if remaining and len(batch.images) > 1:
        raise _RowCountError(min(remaining), 0)
    return {name: reduced[name] for name in layers if name in reduced}


class _RowCountError(BaseException):
    """A layer does not give one row per image. No `except Exception` in a network's forward catches it."""

    def __init__(self, layer: str, rows: int) -> None:
        super().__init__(f"{layer} gives {rows} rows")
        self.layer = layer
        self.rows = rows


def _check_finite(reduced: Mapping[str, MapReductions], images: Tensor) -> Callable[[], None]:
    """Return a check of the activations of a batch, which raises `NonFiniteActivation`."""
    if not reduced:
        return lambda: None
    with small_operations():
        # A NaN or an infinity of either sign shows in the maximum, in the mean, or in both.
        sums = {name: layer.maxima + layer.means for name, layer in reduced.items()}
        # One transfer for all layers: each would synchronise with a CUDA device.
        all_finite = read_later(torch.cat(list(sums.values()), dim=1).isfinite().all())

    def check() -> None:
        if all_finite():
            return
        for layer, values in sums.items():
            rows = (~values.isfinite().all(dim=1)).nonzero().flatten()
            if len(rows):
                raise NonFiniteActivation(layer, int(images[rows[0]]))

    return check
