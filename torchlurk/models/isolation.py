"""How a network is lent to a computation: in evaluation mode, frozen, and back as it was afterwards."""

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

from torchlurk.models.preserve import preserve


@contextmanager
def isolated(
    model: nn.Module, device: torch.device | None = None, shape: tuple[int, int, int] | None = None
) -> Iterator[None]:
    """Run a network in evaluation mode with frozen parameters, and restore it afterwards.

    Inside, all modules are in evaluation mode, no parameter requires a gradient, gradients are not recorded
    unless asked for, autocast is off, and gradient checkpointing and torch's fused transformer layers are
    switched off, since both compute without calling the modules that are observed. The parameters are copies,
    so that not even a forward that writes to them changes the user's.

    Afterwards, also after an exception or an interrupt, the network is as it was: modes, `requires_grad`,
    gradients, memory and values of parameters and buffers, attributes, hooks, and the states of random
    number generators; see `preserve`.

    Args:
        model: the network.
        device: where to run it, with floating-point parameters and buffers in float32 and all others of
            their own type; `None` to leave device and types as they are.
        shape: `(C, H, W)` of its input. A network that does not take such an input of float32 with all its
            tensors in that type, as one that casts between two types, keeps the types that it has.
    """
    kinds = {tensor.device.type for tensor in (*model.parameters(), *model.buffers())}
    with ExitStack() as stack:
        stack.enter_context(preserve(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in sorted({*kinds, "cpu", device.type if device else "cpu"} - {"meta"}):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if "torch._dynamo" in sys.modules:  # compiled functions call modules without their hooks
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_without_checkpointing())
        stack.enter_context(_without_fused_attention())
        for module in model.modules():
            module.training = False
            module._compiled_call_impl = None  # a compiled call does not see hooks that come later
        _replace_inference_tensors(model)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            if not (parameter.is_meta or is_lazy(parameter)):
                parameter.data = parameter.data.clone()
        if device is not None:
            _lend(model, device, shape)
        yield


def _replace_inference_tensors(model: nn.Module) -> None:
    """Put copies in the place of tensors that were made in inference mode, which autograd cannot use."""
    copies: dict[int, Tensor] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is not None and not is_lazy(tensor) and tensor.is_inference():
                    copy_of = tensor.detach().clone()
                    if isinstance(tensor, nn.Parameter):
                        copy_of = nn.Parameter(copy_of, requires_grad=False)
                    own[name] = copies.setdefault(id(tensor), copy_of)  # type: ignore[assignment]


def copy_network(model: nn.Module) -> nn.Module:
    """A deep copy of a network; tensors with a gradient history, which torch does not copy, lose it.

    Forwards leave such tensors in attributes: activations that are kept, weights that a hook computes.
    """
    memo: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            for leaf in pytree.tree_leaves(value):
                if isinstance(leaf, torch.Tensor) and leaf.grad_fn is not None:
                    memo[id(leaf)] = leaf.detach().clone()
    return copy.deepcopy(model, memo)


def to_float32(model: nn.Module, device: torch.device) -> None:
    """Move a network to a device, and cast it to float32; complex and integer tensors keep their type.

    A network in float64 has its complex tensors in complex128, which become complex64 with the rest.

    Args:
        model: the network; changed in place.
        device: where to.
    """
    double = any(tensor.dtype == torch.float64 for tensor in model.parameters())
    model.to(device).float()  # `.to(dtype)` would drop the imaginary parts of complex tensors
    if double:
        for module in model.modules():
            for own in (module._parameters, module._buffers):
                for tensor in own.values():
                    if tensor is not None and tensor.dtype == torch.complex128:
                        tensor.data = tensor.data.to(torch.complex64)


def _lend(model: nn.Module, device: torch.device, shape: tuple[int, int, int] | None) -> None:
    """Move a network to a device in float32, or in its own types where it runs in no other."""
    own: list[tuple[dict[str, Any], str, Tensor, Tensor]] = [
        (tensors, name, tensor, tensor.data)
        for module in model.modules()
        for tensors in (module._parameters, module._buffers)
        for name, tensor in tensors.items()
        if tensor is not None
    ]
    to_float32(model, device)
    if shape is None or all(tensors[name].dtype == data.dtype for tensors, name, _, data in own):
        return
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    if _runs(model, x):
        return
    for tensors, name, tensor, data in own:
        tensors[name] = tensor
        tensor.data = data.to(device)
    if not _runs(model, x):
        to_float32(model, device)


def _runs(model: nn.Module, x: Tensor) -> bool:
    try:
        with preserve(model):
            model(x.clone())
    except Exception:  # whatever somebody's network raises
        return False
    return True


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Have `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` call the modules that they consist of."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _direct(function: Any, preserve_rng_state: bool, *args: Any) -> Any:  # noqa: ARG001
    """Takes the place of `torch.utils.checkpoint.CheckpointFunction.apply`: calls the function, keeps all."""
    return function(*args)


def _around(*args: Any, **kwargs: Any) -> Generator[None, None, None]:  # noqa: ARG001
    """Takes the place of the generator that runs before and after a function without reentrant autograd."""
    yield


@contextmanager
def _without_checkpointing() -> Iterator[None]:
    """Have `torch.utils.checkpoint.checkpoint` call its function and keep the activations.

    The gradient is the same. But a checkpointed function is computed again in the backward pass, where
    reentrant checkpointing records no gradients of the layers inside in the first place.
    """
    replaced = {
        "_checkpoint_without_reentrant_generator": _around,
        "_checkpoint_without_reentrant_generator_impl": _around,  # its name since torch 2.15
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(checkpoint.CheckpointFunction, "apply", _direct))
        for name, value in replaced.items():
            if hasattr(checkpoint, name):
                stack.enter_context(patch.object(checkpoint, name, value))
        yield
