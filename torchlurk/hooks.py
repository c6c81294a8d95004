"""Watching a network from outside, and leaving no trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.errors import LurkError

Watcher = Callable[[Tensor], None]


class _Reached(BaseException):
    """Ends a forward once the last watched module has spoken; no network that mends errors stops it."""


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Put a model into the state in which it is measured, and bring it back as it was.

    Inside, all modules are in evaluation mode, no parameter asks for a gradient, and 4-d parameters lie in
    channels_last order, which is what convolutions want. Afterwards, also after an exception, training
    flags, `requires_grad`, memory and values of the parameters are those of before.
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad, p.data) for p in model.parameters()]
    try:
        for module, _ in modes:
            module.training = False
        for parameter, _, data in parameters:
            parameter.requires_grad_(False)
            if data.dim() == 4:
                parameter.data = data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, wanted, data in parameters:
            parameter.data = data
            parameter.requires_grad_(wanted)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """`at_rest`, and whatever else a forward could leave behind is taken back too.

    That is the values of buffers, should a network change them even in evaluation mode, and the states of
    torch's random numbers, on the CPU and on the model's devices. Inside, no autocast is in force. It is
    meant for a look at a network in the middle of its training.
    """
    tensors = [*model.parameters(), *model.buffers()]
    kinds = {tensor.device.type for tensor in tensors}
    cards = sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=cards))
        for kind in sorted(kinds | {"cpu"}):
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(at_rest(model))
        try:
            yield
        finally:
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    module._buffers[name] = buffer
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)


@contextmanager
def lent(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have a model in float32 on a device, and bring it back, to the very memory that it was in.

    It may lie on several devices, and hold several types; gradients of its parameters are kept.
    """
    parameters = [(p, p.data, p.grad, None if p.grad is None else p.grad.data) for p in model.parameters()]
    # torch may put new objects in their place, which would then not be those that an optimiser holds
    held = [(module, dict(module._parameters), dict(module._buffers)) for module in model.modules()]
    try:
        model.to(device, torch.float32)
        yield
    finally:
        for parameter, data, grad, values in parameters:
            parameter.data = data
            if grad is not None and values is not None:
                grad.data = values  # of the parameter's type again, without which torch refuses it
            if parameter.grad is not grad:
                parameter.grad = grad
        for module, own, buffers in held:
            module._parameters.update(own)
            module._buffers.update(buffers)


def as_map(module: nn.Module, output: object) -> Tensor:
    """What a module gave as `(N, C, H, W)`, a view of it: C filters, and a map of each.

    `(N, C, H, W)` is that already, but what a linear layer or a layer normalisation gives has its filters
    last. `(N, C)` has maps of one place. `(N, T, C)` are tokens: those of a square grid are laid out as one,
    and one more in front, the class token, is left out; others lie in a column. Of several tensors the
    first is taken.

    Raises:
        LurkError: there is no tensor in it, or one of another shape.
    """
    tensor = next((leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)), None)
    if tensor is None:
        raise LurkError(
            f"a {type(module).__name__} gives no tensor but {type(output).__name__}: leave it out by --layers"
        )
    if tensor.dim() == 4:
        return tensor.permute(0, 3, 1, 2) if filters_last(module) else tensor
    if tensor.dim() == 2:
        return tensor[:, :, None, None]
    if tensor.dim() != 3:
        raise LurkError(
            f"a {type(module).__name__} gives {tuple(tensor.shape)}, which is neither (N, C, H, W), "
            "(N, T, C) nor (N, C): leave it out by --layers"
        )
    tokens = tensor.shape[1]
    for skipped in (0, 1):
        side = math.isqrt(tokens - skipped)
        if side > 1 and side * side == tokens - skipped:
            return torch.unflatten(tensor[:, skipped:], 1, (side, side)).permute(0, 3, 1, 2)
    return tensor.transpose(1, 2)[..., None]


def filters_last(module: nn.Module) -> bool:
    """Whether a module gives `(N, H, W, C)`, and not `(N, C, H, W)`."""
    # A subclass may well be one that turns its input about, as torchvision's LayerNorm2d does.
    return isinstance(module, nn.Linear) or type(module) is nn.LayerNorm


@contextmanager
def watching(model: nn.Module, watchers: Mapping[str, Watcher]) -> Iterator[None]:
    """Call `watchers[name]` with the output of the module of that dotted name, on each forward inside.

    The output comes as `as_map` has it. A watcher must not keep the tensor: an in-place ReLU that follows
    will overwrite it.

    Raises:
        KeyError: a name is not a module of the model.
    """
    modules = dict(model.named_modules())
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, watcher in watchers.items():
            handles.append(modules[name].register_forward_hook(_hook(watcher)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(watcher: Watcher) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:  # noqa: ARG001
        watcher(as_map(module, output))

    return hook


def forward_until(model: nn.Module, x: Tensor, names: Iterable[str]) -> None:
    """One forward that ends when the last of `names` has given its output.

    Args:
        model: a network.
        x: `(N, C, H, W)`, its input.
        names: dotted module names, each called at least once by the forward.
    """
    left = set(names)

    def tick(name: str) -> Watcher:
        def watcher(output: Tensor) -> None:  # noqa: ARG001
            left.discard(name)
            if not left:
                raise _Reached

        return watcher

    # Registered last, so it speaks after the watchers that the caller has set on the same module.
    with watching(model, {name: tick(name) for name in list(left)}):
        try:
            model(x)
        except _Reached:
            return


def activation(model: nn.Module, layer: str, x: Tensor) -> Tensor:
    """The output of one layer, `(N, C', H', W')` as `as_map` has it; the network behind it is not run.

    The tensor is the layer's own output, or a view of it: with a gradient history if `x` has one.
    """
    kept: list[Tensor] = []
    with watching(model, {layer: kept.append}):
        forward_until(model, x, [layer])
    return kept[0]


def activations(model: nn.Module, layers: Sequence[str], x: Tensor) -> list[Tensor]:
    """The outputs of several layers in one forward, as `activation` has them, but copies.

    A copy is what a layer gave, whatever an in-place ReLU does to it afterwards.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Watcher:
        def watcher(output: Tensor) -> None:
            kept.setdefault(name, output.clone())

        return watcher

    with watching(model, {name: keep(name) for name in layers}):
        forward_until(model, x, layers)
    return [kept[name] for name in layers]
