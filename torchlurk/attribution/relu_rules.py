"""What a ReLU lets back: the rules of deconvolution, guided and vanilla backprop.

All three send the activation's gradient back through the network and differ in one place, the ReLU:

- *vanilla* (Simonyan et al. 2013): the derivative; passes where the input was positive.
- *deconv* (Zeiler and Fergus 2013): rectifies the gradient itself, whatever the input was.
- *guided* (Springenberg et al. 2014): both.

A rule is applied by a `TorchFunctionMode`, which sees every call of a ReLU: by a module, by a function, in
place, or by a module used twice. The model is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from torchlurk.errors import LurkError

Rule = Literal["deconv", "guided", "vanilla"]
RULES: tuple[Rule, ...] = get_args(Rule)


class _Rectify(torch.autograd.Function):
    """`min(max(x, 0), ceiling)` forward, in place or not; a ReLU rule backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, ceiling: float, in_place: bool, by_input: bool, by_gradient: bool
    ) -> Tensor:
        if by_input:
            ctx.save_for_backward((x > 0) & (x < ceiling))
        ctx.by_gradient = by_gradient
        if in_place:
            # The network may go on with `x` itself rather than with what the call returns.
            ctx.mark_dirty(x)
            return x.clamp_(0, ceiling)
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.by_gradient:
            gradient = gradient.clamp(min=0)
        for passes in ctx.saved_tensors:
            gradient = gradient * passes
        return gradient, None, None, None, None


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


class ReluRule(TorchFunctionMode):
    """While active, every ReLU and ReLU6 follows a rule on the way back.

    Raises:
        LurkError: the rule has no such name.
    """

    def __init__(self, rule: Rule) -> None:
        if rule not in RULES:
            raise LurkError(f"there is no ReLU rule {rule!r}: choose one of {', '.join(RULES)}")
        super().__init__()
        self._by_input = rule in ("guided", "vanilla")
        self._by_gradient = rule in ("deconv", "guided")

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
        in_place = func in _IN_PLACE or bool(
            given.get("inplace")
            or (func in _INPLACE_ARGUMENT and args[_INPLACE_ARGUMENT[func] :][:1] == (True,))
        )
        return _Rectify.apply(x, ceiling, in_place, self._by_input, self._by_gradient)


_IN_PLACE: frozenset[Any] = frozenset({F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_})
_INPLACE_ARGUMENT: dict[Any, int] = {F.relu: 1, F.relu6: 1, F.hardtanh: 3}
"""Where `inplace` stands among the arguments of the functions that take it."""


def _ceiling(func: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> float | None:
    """Where the function stops rising, if it is a rectifier; `None` if it is none."""
    if func in _RELUS:
        return float("inf")
    if func in _RELU6S:
        return 6.0
    if func in _HARDTANHS:
        low = args[1] if len(args) > 1 else given.get("min_val", -1.0)
        high = args[2] if len(args) > 2 else given.get("max_val", 1.0)
        return float(high) if low == 0 else None
    return None
