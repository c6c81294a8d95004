"""What a ReLU lets back: the rules of deconvolution, guided and vanilla backprop.

All three send the activation's gradient back through the network and differ in one place, the ReLU:

- *vanilla* (Simonyan et al. 2013): the derivative; passes where the input was positive.
- *deconv* (Zeiler and Fergus 2013): rectifies the gradient itself, whatever the input was.
- *guided* (Springenberg et al. 2014): both.

A rule is applied by a `TorchFunctionMode`, which sees every call of a ReLU: by a module, by a function, in
place, or by a module used twice. The model is not touched.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from torchlurk.errors import LurkError

ReluRule = Literal["deconv", "guided", "vanilla"]
"""What ReLUs let back: as docs/explain.md says of `deconv` and `guided`, or `vanilla`, autograd's own."""
NO_HISTORY = (
    "nothing flows back from the target: the network computes it without gradients, take no_grad, detach or "
    "inference_mode out of its forward"
)
"""What is said of a target that has no gradient with respect to the input."""

RELU_RULES: tuple[ReluRule, ...] = get_args(ReluRule)


def _rectified(ctx: Any, x: Tensor, ceiling: float, in_place: bool) -> Tensor:
    if not in_place:
        return x.clamp(0, ceiling)
    # The network may go on with `x` itself rather than with what the call returns.
    ctx.mark_dirty(x)
    return x.clamp_(0, ceiling)


class _Rectify(torch.autograd.Function):
    """`min(max(x, 0), ceiling)` forward, in place or not; deconv or guided backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, in_place: bool, by_input: bool) -> Tensor:
        if by_input:
            ctx.save_for_backward((x > 0) & (x < ceiling) if ceiling < math.inf else x > 0)
        return _rectified(ctx, x, ceiling, in_place)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.clamp(min=0)
        for passes in ctx.saved_tensors:
            gradient = gradient.masked_fill(~passes, 0)
        return gradient, None, None, None


class _Leak(torch.autograd.Function):
    """`min(max(x, 0), ceiling)` forward, in place or not; backward, a share passes where nothing would."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, in_place: bool, share: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < ceiling))
        ctx.share = share
        return _rectified(ctx, x, ceiling, in_place)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (passes,) = ctx.saved_tensors
        return gradient.where(passes, gradient * ctx.share), None, None, None


_RELUS: frozenset[Any] = frozenset(
    {
        F.relu,
        F.relu_,
        torch.relu,
        torch.relu_,
        Tensor.relu,
        Tensor.relu_,
    }
)
_RELU6S: frozenset[Any] = frozenset({F.relu6})
_HARDTANHS: frozenset[Any] = frozenset({F.hardtanh, F.hardtanh_, torch._C._nn.hardtanh})

_IN_PLACE: frozenset[Any] = frozenset({F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_})


class _Rectifiers(TorchFunctionMode, ABC):
    """While active, every rectifier is computed by `rectify`; all other functions as ever."""

    @abstractmethod
    def rectify(self, x: Tensor, ceiling: float, in_place: bool) -> Tensor:
        """`min(max(x, 0), ceiling)`, with a backward of its own."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        ceiling = _ceiling(func, args, given)
        if ceiling is None:
            return func(*args, **given)
        x = args[0] if args else given["input"]
        # torch's own Python functions hand their options on by name, however they were given.
        return self.rectify(x, ceiling, func in _IN_PLACE or bool(given.get("inplace")))


class _Rule(_Rectifiers):
    """Deconvolution, or guided backprop."""

    def __init__(self, by_input: bool) -> None:
        super().__init__()
        self._by_input = by_input

    def rectify(self, x: Tensor, ceiling: float, in_place: bool) -> Tensor:
        found: Tensor = _Rectify.apply(x, ceiling, in_place, self._by_input)
        return found


class LeakyRelu(_Rectifiers):
    """While active, a share of the gradient passes every ReLU that is off, so that a dead one can wake.

    It is no attribution: an ascent begins with it, from images that may excite nothing.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def rectify(self, x: Tensor, ceiling: float, in_place: bool) -> Tensor:
        """The same value as ever; backward, all where it is on and a share where it is off."""
        found: Tensor = _Leak.apply(x, ceiling, in_place, self._share)
        return found


def relu_rule(rule: ReluRule) -> AbstractContextManager[object]:
    """While active, every ReLU and ReLU6 follows a rule on the way back; vanilla is autograd's own.

    Raises:
        LurkError: the rule has no such name.
    """
    if rule not in RELU_RULES:
        raise LurkError(f"there is no ReLU rule {rule!r}: choose one of {', '.join(RELU_RULES)}")
    return nullcontext() if rule == "vanilla" else _Rule(by_input=rule == "guided")


def input_gradients(
    value: Tensor, inputs: Sequence[Tensor], *, retain_graph: bool = False
) -> tuple[Tensor, ...]:
    """The gradient of a number with respect to some tensors, under the rule that is active.

    `torch.autograd.grad` switches the rule off while it runs, and with it the rule of all ReLUs that a
    custom function computes again in the backward pass, as reversible and memory-efficient blocks do.

    Args:
        value: a tensor of one number, with a gradient history.
        inputs: tensors in that history.
        retain_graph: whether the history is needed again.

    Returns:
        For each of `inputs` a tensor of its shape; zero where the value does not depend on it.

    Raises:
        LurkError: the value has no gradient history.
    """
    require_history(value)
    found = torch.autograd.Variable._execution_engine.run_backward(
        (value,), (torch.ones_like(value),), retain_graph, False, tuple(inputs),
        allow_unreachable=True, accumulate_grad=False,
    )  # fmt: skip
    pairs = zip(found, inputs, strict=True)
    return tuple(torch.zeros_like(x) if gradient is None else gradient for gradient, x in pairs)


def require_history(values: Tensor) -> None:
    """Refuse values that nothing flows back from.

    Raises:
        LurkError: they have no gradient history.
    """
    if not values.requires_grad:
        raise LurkError(NO_HISTORY)


def _ceiling(func: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> float | None:
    """Where the function stops rising, if it is a rectifier; `None` if it is none."""
    if func in _RELUS:
        return math.inf
    if func in _RELU6S:
        return 6.0
    if func in _HARDTANHS:
        low = args[1] if len(args) > 1 else given.get("min_val", -1.0)
        high = args[2] if len(args) > 2 else given.get("max_val", 1.0)
        return float(high) if low == 0 else None
    return None
