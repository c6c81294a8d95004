"""One forward on random numbers, and an error message that explains why a forward fails."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError, Option
from torchlurk.models.exceptions import FORWARD_ERRORS, short_message, type_and_message, where_raised
from torchlurk.models.outputs import first_tensor
from torchlurk.models.preserve import preserve

_COMMON_SIZES = (
    28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 288, 299, 320, 331, 384, 448, 512,
)  # fmt: skip
"""Sides of square inputs that networks are commonly made for, in pixels."""


def random_input(module: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Return `(1, C, H, W)` values in [0, 1), the same each time.

    Args:
        module: A network; the values have the dtype and the device of its first floating-point parameter.
        shape: `(C, H, W)`.
    """
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(like)


def trial_forward(module: nn.Module, shape: tuple[int, int, int]) -> Any:
    """Run one forward on `random_input` and return the output; the network comes back as it was.

    Gradients are recorded only if the forward fails without them.

    Args:
        module: A network inside `isolated`.
        shape: `(C, H, W)` of its input.

    Raises:
        LurkError: The forward fails.
    """
    x = random_input(module, shape)
    try:
        with preserve(module):
            return module(x.clone())
    except FORWARD_ERRORS as error:  # a user's network may raise anything
        if needs_autograd(error):
            with contextlib.suppress(*FORWARD_ERRORS), torch.enable_grad(), preserve(module):
                return module(x.requires_grad_().clone())
        raise explain_failed_forward(module, shape, error) from error


def needs_autograd(error: BaseException) -> bool:
    """Return whether a forward failed because gradients were not recorded.

    A forward that registers a hook on a tensor needs them.
    """
    return isinstance(error, RuntimeError) and "grad" in str(error)


def explain_failed_forward(module: nn.Module, shape: tuple[int, int, int], error: BaseException) -> LurkError:
    """Return the error that tells a user why a forward failed.

    Another size is suggested only if the network accepts it on the meta device.

    Args:
        module: A network inside `isolated`.
        shape: `(C, H, W)` of the input that failed.
        error: What the forward raised.
    """
    reason = short_message(error)
    size = f"{shape[1]} x {shape[2]} px"
    if "channels" in str(error) and "expected input" in str(error):
        return LurkError(
            f"the network does not take an input of {shape[0]} channels ({reason})",
            (
                "give a transform that makes as many channels as the network takes: return (network, "
                "transform) from the function of ",
                Option("model", "FILE.py:FUNCTION"),
            ),
        )
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return LurkError(
            f"an input of {size} does not fit into memory ({reason})", ("give a smaller ", Option("size"))
        )
    side = _size_that_passes(module, shape)
    if side is not None:
        return LurkError(
            f"an input of {size} does not pass through the network ({reason}), "
            f"one of {side} x {side} px does",
            ("give ", Option("size", side), ", or a transform that ends in that size"),
        )
    quantised = any("quantized" in type(part).__module__ for part in module.modules())
    kind = "quantized network" if quantised else "network"
    return LurkError(
        f"the forward of the {kind} fails for an image of {size} ({type_and_message(error)})"
        f"{where_raised(error)}",
        "it must run in evaluation mode on a batch of images (N, C, H, W)",
    )


def _size_that_passes(module: nn.Module, shape: tuple[int, int, int]) -> int | None:
    """Return the nearest common side of a square input that passes; `None` if the size is not at fault."""
    # On the meta device only shapes are computed: attention on a large image would take all the memory.
    if any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        return None
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    meta = {name: tensor.to("meta") for name, tensor in named}
    dtype = random_input(module, (1, 1, 1)).dtype

    def passes(height: int, width: int) -> bool:
        x = torch.empty(1, shape[0], height, width, dtype=dtype, device="meta")
        with contextlib.suppress(*FORWARD_ERRORS), torch.no_grad(), preserve(module):
            output = first_tensor(torch.func.functional_call(module, meta, (x,), tie_weights=False))
            # x.view(-1, 400) accepts other sizes too, and makes several rows of one image
            return output is not None and output.shape[:1] == (1,)
        return False

    if passes(*shape[1:]):
        return None
    nearest = sorted(_COMMON_SIZES, key=lambda side: (side < shape[1], abs(side - shape[1])))
    return next((side for side in nearest if (side, side) != shape[1:] and passes(side, side)), None)
