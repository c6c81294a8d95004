"""How a network is run: a `Runner` decides it, and every forward of Torchlurk goes through one.

What a contributor may rely on:

- `runner(x)` returns what the network returns for `x`, in the memory format and with the autograd setting
  that the network needs. `graph.probing` finds these by running the network, and makes the runner.
- The input is copied first, so a network that works in place does not change it.
- If the forward fails, `ForwardError` is raised, with the network's own exception as its cause. Out-of-memory
  errors pass through, so that callers can try a smaller batch.
- A runner does not restore the network. Use it inside `isolation.isolated`, and the model comes back as it
  was.

The other functions run a network for a purpose: `capture_outputs` and `forward_until` observe layers,
`activations` returns feature maps, `outputs` returns what the network returns.
"""

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
from torchlurk.models.exceptions import FORWARD_ERRORS, type_and_message, where_raised
from torchlurk.models.hooks import MapAxes, Observer, as_feature_map, output_hooks
from torchlurk.models.preserve import reproducible
from torchlurk.runtime.devices import is_out_of_memory

MemoryFormat = Literal["contiguous", "channels_last"]

MEMORY_FORMATS: Mapping[MemoryFormat, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
"""The memory formats that inputs and 4-d parameters can have, by name."""


class _StopForward(BaseException):
    """Ends a forward after the last observed module; a network's `except Exception` does not catch it."""


class ForwardError(LurkError):
    """The forward of a network failed; the network's own exception is the cause."""


def run_forward(model: nn.Module, x: Tensor) -> object:
    """Return the output of a network for an input `(N, C, H, W)`.

    Raises:
        ForwardError: The forward raised an exception other than an out-of-memory error.
    """
    try:
        return model(x)
    except FORWARD_ERRORS as error:
        if isinstance(error, LurkError) or is_out_of_memory(error) or _is_ours(error):
            raise
        raise ForwardError(
            f"the forward of the network fails for an input of shape {tuple(x.shape)} "
            f"({type_and_message(error)}){where_raised(error)}",
            "it must run in evaluation mode on an input of this shape",
        ) from error


def _is_ours(error: BaseException) -> bool:
    """Return whether Torchlurk's own hooks raised an exception, and not the forward."""
    package = Path(__file__).parents[1]
    # The function modes, whose frames enclose the functions that a forward calls.
    modes = (
        *("attribution/backward.py", "attribution/needed.py", "circuits/linearise.py"),
        "graph/axes_tracker.py",
    )
    callers = (Path(__file__), *(package / mode for mode in modes))
    frames = (Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__))
    return any(frame.is_relative_to(package) and frame not in callers for frame in frames)


def original_exception(error: BaseException) -> BaseException:
    """Return what the network raised, if the error is a `ForwardError`; otherwise the error itself."""
    cause = error.__cause__ if isinstance(error, ForwardError) else None
    return cause if isinstance(cause, FORWARD_ERRORS) else error


@dataclass(frozen=True)
class Runner:
    """A network, and how it is run.

    Attributes:
        model: The network.
        memory_format: Of inputs and 4-d parameters, a key of `MEMORY_FORMATS`.
        one_by_one_reason: Why each image needs a forward of its own, for people; "" if images run in batches.
        record_gradients: Whether a forward needs autograd, for example since it registers a hook on a tensor.
        restore_each_forward: Whether each forward starts with the original state of the network and the same
            random numbers. A network needs this that changes with each forward, or draws random numbers.
        axes: Of the outputs of modules, by dotted name; for others see `hooks.default_axes`.
    """

    model: nn.Module
    memory_format: MemoryFormat = "contiguous"
    one_by_one_reason: str = ""
    record_gradients: bool = False
    restore_each_forward: bool = False
    axes: Mapping[str, MapAxes] = field(default_factory=dict)

    @property
    def one_by_one(self) -> bool:
        """Whether each image needs a forward of its own."""
        return bool(self.one_by_one_reason)

    def __call__(self, x: Tensor) -> object:
        """Return the output for a batch `(N, C, H, W)`; the network gets a copy of it.

        Raises:
            ForwardError: See `run_forward`.
        """
        if self.record_gradients and not x.requires_grad:
            x = x.detach().requires_grad_()
        # A network may begin with an in-place operation.
        copied = x.clone(memory_format=MEMORY_FORMATS[self.memory_format])
        with reproducible(self.model) if self.restore_each_forward else nullcontext():
            return run_forward(self.model, copied)

    def without_gradients(self) -> AbstractContextManager[object]:
        """Return a context in which gradients are not recorded, unless the network needs them."""
        return torch.set_grad_enabled(self.record_gradients)

    @contextmanager
    def in_memory_format(self) -> Iterator[None]:
        """Convert 4-d parameters to the memory format of the runner, and restore them afterwards."""
        memory_format = MEMORY_FORMATS[self.memory_format]
        originals: list[tuple[nn.Parameter, Tensor]] = []
        try:
            if memory_format != torch.contiguous_format:
                for parameter in self.model.parameters():
                    if parameter.dim() == 4 and not parameter.is_inference():
                        originals.append((parameter, parameter.data))
                        parameter.data = parameter.data.contiguous(memory_format=memory_format)
            yield
        finally:
            for parameter, data in originals:
                parameter.data = data


Runnable = Runner | nn.Module
"""A runner; or a module, which stands for `Runner(module)`."""


def as_runner(model: Runnable) -> Runner:
    """Return the runner, or a default one for a module."""
    return model if isinstance(model, Runner) else Runner(model)


@contextmanager
def capture_outputs(model: Runnable, observers: Mapping[str, Observer]) -> Iterator[None]:
    """Call observers with the feature maps of modules on each forward inside.

    Args:
        model: A network.
        observers: By the dotted name of a module; each is called with `(N, C, H, W)`, see
            `hooks.as_feature_map`. It must not keep the tensor, since an in-place ReLU may overwrite it.

    Raises:
        KeyError: A name is not a module of the model.
    """
    runner = as_runner(model)

    def hook(name: str, observer: Observer) -> Callable[[nn.Module, object], None]:
        return lambda module, output: observer(as_feature_map(module, output, runner.axes.get(name)))

    with output_hooks(runner.model, {name: hook(name, observer) for name, observer in observers.items()}):
        yield


def forward_until(model: Runnable, x: Tensor, names: Iterable[str]) -> None:
    """Run a forward that ends as soon as all the given modules have returned.

    Args:
        model: A network.
        x: `(N, C, H, W)`, its input.
        names: Dotted module names. A forward that does not call all of them runs to its end.

    Raises:
        KeyError: A name is not a module of the model.
    """
    runner = as_runner(model)
    remaining = set(names)

    def stop_after(name: str) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, output: object) -> None:  # noqa: ARG001
            remaining.discard(name)
            if not remaining:
                raise _StopForward

        return hook

    # Registered last, so that it is called after the observers of the same module.
    with output_hooks(runner.model, {name: stop_after(name) for name in list(remaining)}):
        try:
            runner(x)
        except _StopForward:
            return


def activations(model: Runnable, layers: Sequence[str], x: Tensor) -> list[Tensor]:
    """Return the feature maps of several layers in one forward, which ends after the last of them.

    Args:
        model: A network.
        layers: Dotted names; of a module that is called several times, the first call counts.
        x: `(N, C, H, W)`, its input.

    Returns:
        For each layer `(N, C', H', W')`, with a gradient history if `x` has one. The maps of several layers
        are copies, which no in-place ReLU overwrites.

    Raises:
        LurkError: The forward does not call one of the layers.
    """
    runner = as_runner(model)
    batches = torch.split(x, 1) if runner.one_by_one else [x]
    maps = [_activations(runner, layers, batch) for batch in batches]
    return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*maps, strict=True)]


def _activations(runner: Runner, layers: Sequence[str], x: Tensor) -> list[Tensor]:
    """Return the feature maps of layers for inputs that run in one batch."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Observer:
        def observer(output: Tensor) -> None:
            if name not in kept:
                kept[name] = output.clone() if len(layers) > 1 else output

        return observer

    with capture_outputs(runner, {name: keep(name) for name in layers}):
        forward_until(runner, x, layers)
    for name in layers:
        if name not in kept or not len(kept[name]):
            raise LurkError(
                f"layer {name!r} exists, but this input does not pass through it", "name another layer"
            )
    return [kept[name] for name in layers]


def activation(model: Runnable, layer: str, x: Tensor) -> Tensor:
    """Return the feature maps of one layer, see `activations`."""
    return activations(model, [layer], x)[0]


def outputs(model: Runnable, x: Tensor) -> object:
    """Return the output of a network for a batch `(N, C, H, W)`.

    If the network runs images one by one, the tensors in its outputs are concatenated along dimension 0.
    """
    runner = as_runner(model)
    if not runner.one_by_one or len(x) == 1:
        return runner(x)
    flat = [pytree.tree_flatten(runner(image)) for image in torch.split(x, 1)]
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    joined = [torch.cat(list(c)) if isinstance(c[0], Tensor) and c[0].dim() else c[0] for c in columns]
    return pytree.tree_unflatten(joined, flat[0][1])
