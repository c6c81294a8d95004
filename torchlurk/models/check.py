"""Whether a network can be scanned at all, found out by one forward of nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import brief
from torchlurk.names import readable


@dataclass(frozen=True)
class Probe:
    """What came out of a network.

    Attributes:
        kind: the type of its output, e.g. `Tensor` or `GoogLeNetOutputs`.
        logits: how many values it gives an image, if that is one row of them; `None` otherwise.
    """

    kind: str
    logits: int | None


def as_network(model: object) -> nn.Module:
    """What was given as a network, if it is one.

    Raises:
        LurkError: it is something else.
    """
    if isinstance(model, nn.Module):
        return model
    raise LurkError(f"the model is a {type(model).__name__}: give a torch.nn.Module")


def check_network(module: nn.Module, shape: tuple[int, int, int]) -> Probe:
    """Feed a network one black image, and name what stands in the way of scanning it.

    Args:
        module: a network on any device; its mode and its parameters come back as they were.
        shape: `(C, H, W)` of its input.

    Returns:
        What came out. Only hooks matter to a scan, so a tuple or a dict of tensors will do.

    Raises:
        LurkError: it has no finite weights, wants more than one input, fails at this size, or gives nothing.
    """
    check_finite(module)
    _check_names(module)
    _check_arguments(module)
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    modes = [(part, part.training) for part in module.modules()]
    size = f"{shape[1]} x {shape[2]} px"
    try:
        module.eval()
        with torch.inference_mode():
            output = module(like.new_zeros(1, *shape))
    except Exception as error:  # whatever somebody's network raises
        line = brief(error) if str(error) else type(error).__name__
        if "channels" in str(error) and "expected input" in str(error):
            raise LurkError(
                f"the network does not take an input of {shape[0]} channels ({line}): give a transform "
                "with it that makes as many channels as it wants (--model FILE.py:FUNCTION)"
            ) from error
        raise LurkError(
            f"an input of {size} does not pass through the network ({line}): choose the --size that it "
            "was made for, or a larger one"
        ) from error
    finally:
        for part, mode in modes:
            part.training = mode
    if first_tensor(output) is None:
        raise LurkError(
            f"the network gives {_kind(output)} for an input of {size}: its forward must return a tensor"
        )
    found = output if isinstance(output, Tensor) else first_tensor(output)
    flat = found is not None and not isinstance(output, Mapping) and found.dim() == 2
    return Probe(type(output).__name__, found.shape[1] if flat and found is not None else None)


def _check_names(module: nn.Module) -> None:
    """Refuse names that no file of JSON can hold."""
    for name, part in module.named_modules():
        for text in (name, type(part).__name__):
            if text != readable(text):
                raise LurkError(
                    f"the module {readable(name)!r} has a name that is no Unicode text: rename it"
                )


def as_logits(output: Any) -> Tensor:
    """The tensor of logits in what a classifier gives: itself, or the first of a tuple.

    Args:
        output: what the forward of a network gave.

    Returns:
        `(N, classes)`.

    Raises:
        LurkError: there is none.
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.dim() == 2:
        return output
    what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else _kind(output)
    raise LurkError(f"the network gives {what}, not a row of logits an image: it is no classifier")


def check_finite(module: nn.Module) -> None:
    """Refuse a network with NaN or infinity in its weights.

    Raises:
        LurkError: the first such parameter or buffer, by name.
    """
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise LurkError(
                f"{name} of the network holds NaN or infinity: the training diverged or the weights were "
                "not loaded, give others"
            )


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor in what a forward gave: itself, or in a tuple, a list or a dict."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | tuple | list):
        return None
    return next((found for value in values if (found := first_tensor(value)) is not None), None)


def _check_arguments(module: nn.Module) -> None:
    """Refuse a forward that wants more than one input, or none."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        p.name for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    takes = any(p.kind in plain or p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(needed) > 1 or not takes:
        wants = f"{len(needed)} inputs ({', '.join(needed)})" if needed else "no input"
        raise LurkError(
            f"the forward of {type(module).__name__} wants {wants}: wrap it in a module that takes one, "
            "a batch of images (N, C, H, W)"
        )


def _kind(output: Any) -> str:
    return "None" if output is None else f"a {type(output).__name__}"
