"""Run a user's network without changing it.

What a contributor may rely on:

- Inside `isolated(model)`, the network is in evaluation mode, all its parameters are frozen, and every
  forward calls the modules that hooks observe.
- Inside, parameters are copies. A forward may write to them, and to everything else in the model.
- Afterwards, also after an exception or Ctrl-C, the model comes back as it was: modes, `requires_grad`,
  gradients, values, attributes, hooks and devices. `preserve` does this part.
- Every function of Torchlurk that computes with a user's network does it inside `isolated`.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils import checkpoint

from torchlurk.models.exceptions import FORWARD_ERRORS
from torchlurk.models.preserve import preserve


@contextmanager
def isolated(
    model: nn.Module, device: torch.device | None = None, shape: tuple[int, int, int] | None = None
) -> Iterator[None]:
    """Run a network in evaluation mode with frozen parameters, and restore it afterwards.

    Inside, all modules are in evaluation mode, no parameter requires a gradient, gradients are not recorded
    unless the caller enables them, and autocast is off. Gradient checkpointing and torch's fused transformer
    layers are switched off, since both compute without calling the modules that are observed. The parameters
    are copies, so that even a forward that writes to them does not change the user's.

    Afterwards, also after an exception or an interrupt, the network is as it was: modes, `requires_grad`,
    gradients, memory and values of parameters and buffers, attributes, hooks, and the states of random
    number generators; see `preserve`.

    Args:
        model: The network.
        device: Where to run it, with floating-point parameters and buffers in float32 and all others in
            their own type; `None` to leave device and types as they are.
        shape: `(C, H, W)` of its input. A network that accepts such a float32 input only with the types that
            it has, for example because its forward casts between two types, keeps them.
    """
    device_types = {tensor.device.type for tensor in (*model.parameters(), *model.buffers())}
    with ExitStack() as stack:
        if device is not None and device.type == "cuda":
            # `preserve` restores the generators of the devices that the network is on, before it is moved.
            stack.enter_context(torch.random.fork_rng(devices=[device]))
        stack.enter_context(preserve(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in sorted({*device_types, "cpu", device.type if device else "cpu"} - {"meta"}):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if "torch._dynamo" in sys.modules:  # compiled functions call modules without their hooks
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_without_checkpointing())
        stack.enter_context(_without_fused_attention())
        _eval_frozen(model)
        if device is not None:
            _on_device(model, device, shape)
        yield


def copy_network(model: nn.Module) -> nn.Module:
    """Return a deep copy of a network.

    A forward may leave tensors with a gradient history in attributes, such as activations or weights that a
    hook computes. Torch does not copy these; in the copy they have no history.
    """
    memo: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            for leaf in pytree.tree_leaves(value):
                if isinstance(leaf, torch.Tensor) and leaf.grad_fn is not None:
                    memo[id(leaf)] = leaf.detach().clone()
    return copy.deepcopy(model, memo)


def to_float32(model: nn.Module, device: torch.device) -> None:
    """Move a network to a device and cast it to float32; complex and integer tensors keep their type.

    In a network in float64, complex128 tensors become complex64.

    Args:
        model: The network; changed in place.
        device: The device to move it to.
    """
    double = any(tensor.dtype == torch.float64 for tensor in model.parameters())
    model.to(device).float()  # `.to(dtype)` would drop the imaginary parts of complex tensors
    if double:
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for tensor in tensors.values():
                    if tensor is not None and tensor.dtype == torch.complex128:
                        tensor.data = tensor.data.to(torch.complex64)


def _eval_frozen(model: nn.Module) -> None:
    """Put a network into evaluation mode, and freeze copies of its parameters."""
    for module in model.modules():
        module.training = False
        module._compiled_call_impl = None  # a compiled call ignores hooks that are registered later
    _replace_inference_tensors(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if not (parameter.is_meta or is_lazy(parameter)):
            parameter.data = parameter.data.clone()


def _replace_inference_tensors(model: nn.Module) -> None:
    """Replace tensors that were made in inference mode, which autograd cannot use, by copies."""
    copies: dict[int, Tensor] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and not is_lazy(tensor) and tensor.is_inference():
                    copied = tensor.detach().clone()
                    if isinstance(tensor, nn.Parameter):
                        copied = nn.Parameter(copied, requires_grad=False)
                    tensors[name] = copies.setdefault(id(tensor), copied)  # type: ignore[assignment]


def _on_device(model: nn.Module, device: torch.device, shape: tuple[int, int, int] | None) -> None:
    """Move a network to a device in float32, or in its own types if it runs in no other."""
    originals: list[tuple[dict[str, Any], str, Tensor, Tensor]] = [
        (tensors, name, tensor, tensor.data)
        for module in model.modules()
        for tensors in (module._parameters, module._buffers)
        for name, tensor in tensors.items()
        if tensor is not None
    ]
    to_float32(model, device)
    if shape is None or all(tensors[name].dtype == data.dtype for tensors, name, _, data in originals):
        return
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    if _runs(model, x):
        return
    for tensors, name, tensor, data in originals:
        tensors[name] = tensor
        tensor.data = data.to(device)
    if not _runs(model, x):
        to_float32(model, device)


def _runs(model: nn.Module, x: Tensor) -> bool:
    """Return whether a forward of `x` raises nothing."""
    try:
        with preserve(model):
            model(x.clone())
    except FORWARD_ERRORS:  # a user's network may raise anything
        return False
    return True


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Make `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` call their submodules."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _call_directly(function: Any, preserve_rng_state: bool, *args: Any) -> Any:  # noqa: ARG001
    """Replace `torch.utils.checkpoint.CheckpointFunction.apply`: call the function and keep activations."""
    return function(*args)


def _yield_once(*args: Any, **kwargs: Any) -> Generator[None, None, None]:  # noqa: ARG001
    """Replace the generator that torch runs before and after a non-reentrant checkpointed function."""
    yield


@contextmanager
def _without_checkpointing() -> Iterator[None]:
    """Make `torch.utils.checkpoint.checkpoint` call its function and keep the activations.

    The gradient is the same. But a checkpointed function is computed again in the backward pass, and
    reentrant checkpointing records no gradients of the layers inside in the forward pass.
    """
    generators = (
        "_checkpoint_without_reentrant_generator",
        "_checkpoint_without_reentrant_generator_impl",  # its name since torch 2.15
    )
    with ExitStack() as stack:
        stack.enter_context(patch.object(checkpoint.CheckpointFunction, "apply", _call_directly))
        for name in generators:
            if hasattr(checkpoint, name):
                stack.enter_context(patch.object(checkpoint, name, _yield_once))
        yield
