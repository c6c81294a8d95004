"""How a network is run: one object says it, and every forward goes through it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import brief
from torchlurk.models.hooks import MapAxes, Observer, as_map, output_hooks
from torchlurk.models.preserve import afresh
from torchlurk.models.validate import where_raised
from torchlurk.runtime.devices import is_out_of_memory

MemoryFormat = Literal["contiguous", "channels_last"]

MEMORY_FORMATS: Mapping[MemoryFormat, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
"""The memory formats that inputs and 4-d parameters can have, by name."""


class _Stop(BaseException):
    """Ends a forward once the last observed module has returned; no `except Exception` stops it."""


class ForwardError(LurkError):
    """The forward of a network failed; the network's own exception is the cause."""


def forward(model: nn.Module, x: Tensor) -> object:
    """What a network gives for an input.

    Raises:
        ForwardError: it raised something, but for want of memory.
    """
    try:
        return model(x)
    except Exception as problem:
        if isinstance(problem, LurkError) or is_out_of_memory(problem) or _is_ours(problem):
            raise
        line = brief(problem) if str(problem) else type(problem).__name__
        raise ForwardError(
            f"the forward of the network fails for an input of shape {tuple(x.shape)} "
            f"({type(problem).__name__}: {line}){where_raised(problem)}: it must run in evaluation mode on "
            "such an input"
        ) from problem


def _is_ours(problem: Exception) -> bool:
    """Whether an exception was raised by what observes a forward, and not by the forward."""
    package = Path(__file__).parents[1]
    around = (Path(__file__), package / "attribution" / "backward.py")  # which stand around a forward
    frames = (Path(frame.filename) for frame in traceback.extract_tb(problem.__traceback__))
    return any(frame.is_relative_to(package) and frame not in around for frame in frames)


def cause_of(problem: Exception) -> Exception:
    """What a network raised itself, where that has been turned into a line."""
    cause = problem.__cause__ if isinstance(problem, ForwardError) else None
    return cause if isinstance(cause, Exception) else problem


@dataclass(frozen=True)
class Runner:
    """A network, and how it is run.

    Attributes:
        model: the network.
        memory_format: of inputs and 4-d parameters, a key of `MEMORY_FORMATS`.
        alone: why each image needs a forward of its own, as a sentence; empty if images run in batches.
        record_gradients: whether a forward needs autograd, as one does that registers a hook on a tensor.
        afresh: whether each forward begins with the state that the network was given with, and with the same
            random numbers, as one needs that changes by each forward, or draws numbers in it.
        axes: of the outputs of modules, by dotted name; others are read as `hooks.guessed_axes` says.
    """

    model: nn.Module
    memory_format: MemoryFormat = "contiguous"
    alone: str = ""
    record_gradients: bool = False
    afresh: bool = False
    axes: Mapping[str, MapAxes] = field(default_factory=dict)

    @property
    def one_by_one(self) -> bool:
        """Whether each image needs a forward of its own."""
        return bool(self.alone)

    def __call__(self, x: Tensor) -> object:
        """The output for a batch `(N, C, H, W)` of inputs, which are copied before the network gets them."""
        if self.record_gradients and not x.requires_grad:
            x = x.detach().requires_grad_()
        # A copy, for a network may begin by working in place.
        copied = x.clone(memory_format=MEMORY_FORMATS[self.memory_format])
        with afresh(self.model) if self.afresh else nullcontext():
            return forward(self.model, copied)

    def without_gradients(self) -> AbstractContextManager[object]:
        """While active, gradients are not recorded, unless the network cannot do without."""
        return torch.set_grad_enabled(self.record_gradients)

    @contextmanager
    def laid_out(self) -> Iterator[None]:
        """Have 4-d parameters in the runner's memory format, and afterwards as before."""
        wanted = MEMORY_FORMATS[self.memory_format]
        before: list[tuple[nn.Parameter, Tensor]] = []
        try:
            if wanted != torch.contiguous_format:
                for parameter in self.model.parameters():
                    if parameter.dim() == 4 and not parameter.is_inference():
                        before.append((parameter, parameter.data))
                        parameter.data = parameter.data.contiguous(memory_format=wanted)
            yield
        finally:
            for parameter, data in before:
                parameter.data = data


Runnable = Runner | nn.Module
"""A runner; or a module, which is run as `Runner(module)` says."""


def as_runner(model: Runnable) -> Runner:
    """The runner of a model that may be one already."""
    return model if isinstance(model, Runner) else Runner(model)


@contextmanager
def observing(model: Runnable, observers: Mapping[str, Observer]) -> Iterator[None]:
    """Call `observers[name]` with the feature maps of the module of that dotted name, on each forward inside.

    The maps are `(N, C, H, W)`, see `hooks.as_map`. An observer must not keep the tensor: an in-place ReLU
    that follows will overwrite it.

    Raises:
        KeyError: a name is not a module of the model.
    """
    runner = as_runner(model)

    def hook(name: str, observer: Observer) -> Callable[[nn.Module, object], None]:
        return lambda module, output: observer(as_map(module, output, runner.axes.get(name)))

    with output_hooks(runner.model, {name: hook(name, one) for name, one in observers.items()}):
        yield


def forward_until(model: Runnable, x: Tensor, names: Iterable[str]) -> None:
    """Run a forward that ends when the last of some modules has returned.

    Args:
        model: a network.
        x: `(N, C, H, W)`, its input.
        names: dotted module names. A forward that does not call all of them runs to its end.
    """
    runner = as_runner(model)
    left = set(names)

    def reached(name: str) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, output: object) -> None:  # noqa: ARG001
            left.discard(name)
            if not left:
                raise _Stop

        return hook

    # Registered last, so that it is called after the observers of the same module.
    with output_hooks(runner.model, {name: reached(name) for name in list(left)}):
        try:
            runner(x)
        except _Stop:
            return


def activations(model: Runnable, layers: Sequence[str], x: Tensor) -> list[Tensor]:
    """The feature maps of several layers in one forward; what follows the last of them is not run.

    Args:
        model: a network.
        layers: dotted names; of a module that is called several times, the first call counts.
        x: `(N, C, H, W)`, its input.

    Returns:
        For each layer `(N, C', H', W')`, with a gradient history if `x` has one. Of several layers they are
        copies, which no in-place ReLU that follows overwrites.

    Raises:
        LurkError: the forward does not call one of the layers.
    """
    runner = as_runner(model)
    rows = torch.split(x, 1) if runner.one_by_one else [x]
    found = [_activations(runner, layers, one) for one in rows]
    return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*found, strict=True)]


def _activations(runner: Runner, layers: Sequence[str], x: Tensor) -> list[Tensor]:
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Observer:
        def observer(output: Tensor) -> None:
            if name not in kept:
                kept[name] = output.clone() if len(layers) > 1 else output

        return observer

    with observing(runner, {name: keep(name) for name in layers}):
        forward_until(runner, x, layers)
    for name in layers:
        if name not in kept or not len(kept[name]):
            raise LurkError(f"layer {name!r} is there, but this input does not pass through it: name another")
    return [kept[name] for name in layers]


def activation(model: Runnable, layer: str, x: Tensor) -> Tensor:
    """The feature maps of one layer, see `activations`."""
    return activations(model, [layer], x)[0]


def outputs(model: Runnable, x: Tensor) -> object:
    """What a network gives for a batch; of one that takes images one by one, tensors are concatenated."""
    runner = as_runner(model)
    if not runner.one_by_one or len(x) == 1:
        return runner(x)
    found = [pytree.tree_flatten(runner(one)) for one in torch.split(x, 1)]
    columns = zip(*(leaves for leaves, _ in found), strict=True)
    joined = [torch.cat(list(c)) if isinstance(c[0], Tensor) and c[0].dim() else c[0] for c in columns]
    return pytree.tree_unflatten(joined, found[0][1])
