"""Backpropagation under a ReLU rule, and gradients with respect to the input.

A rule is applied by a `TorchFunctionMode`, which intercepts each call of a ReLU, whether a module, a function
or an in-place method makes it. The model is not modified.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from torchlurk.attribution.relu_rules import RELU_RULES, BackwardRule, ReluRule
from torchlurk.errors import LurkError

_RELUS: frozenset[Any] = frozenset(
    {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_},
)
_RELU6S: frozenset[Any] = frozenset({F.relu6})
_HARDTANHS: frozenset[Any] = frozenset({F.hardtanh, F.hardtanh_, torch._C._nn.hardtanh})

_IN_PLACE: frozenset[Any] = frozenset({F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_})


def relu_rule(rule: ReluRule) -> AbstractContextManager[object]:
    """Return a context in which every ReLU and ReLU6 passes gradients back by a rule.

    The rule takes effect for forwards that run inside the context. Values are not changed.

    Raises:
        LurkError: `rule` is not a key of `RELU_RULES`.
    """
    if rule not in RELU_RULES:
        raise LurkError(f"there is no ReLU rule {rule!r}", f"choose one of {', '.join(RELU_RULES)}")
    backward_rule = RELU_RULES[rule]
    return nullcontext() if backward_rule is None else _RectifierMode(backward_rule)


class _RectifierMode(TorchFunctionMode):
    """A context in which every rectifier uses a backward rule; all other functions run unchanged."""

    def __init__(self, rule: BackwardRule) -> None:
        super().__init__()
        self._rule = rule

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        ceiling = _ceiling(func, args, options)
        if ceiling is None:
            return func(*args, **options)
        x = args[0] if args else options["input"]
        # The Python functions of torch pass their options on by keyword, even if called with positions.
        in_place = func in _IN_PLACE or bool(options.get("inplace"))
        return _Rectify.apply(x, ceiling, in_place, self._rule)


class LeakyRelu(_RectifierMode):
    """A context in which inactive ReLUs pass a share of the gradient, so that an ascent can activate them.

    It is not an attribution rule: gradient ascent starts with it, from images that may excite nothing.
    """

    def __init__(self, share: float) -> None:
        super().__init__(BackwardRule(lambda gradient, active: gradient.where(active, gradient * share)))


class _Rectify(torch.autograd.Function):
    """`min(max(x, 0), ceiling)`, in place or not, with the backward pass of a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, in_place: bool, rule: BackwardRule) -> Tensor:
        ctx.rule = rule
        if rule.uses_input:
            ctx.save_for_backward((x > 0) & (x < ceiling) if ceiling < math.inf else x > 0)
        if not in_place:
            return x.clamp(0, ceiling)
        # The network may continue with `x` itself rather than with what the call returns.
        ctx.mark_dirty(x)
        return x.clamp_(0, ceiling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.rule.uses_input:
            (active,) = ctx.saved_tensors
        else:
            active = torch.ones((), dtype=torch.bool, device=gradient.device)
        return ctx.rule.backward(gradient, active), None, None, None


def _ceiling(func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> float | None:
    """Return the largest value of a rectifier; `None` if the function is not one."""
    if func in _RELUS:
        return math.inf
    if func in _RELU6S:
        return 6.0
    if func in _HARDTANHS:
        low = args[1] if len(args) > 1 else options.get("min_val", -1.0)
        high = args[2] if len(args) > 2 else options.get("max_val", 1.0)
        return float(high) if low == 0 else None
    return None


def input_gradients(
    value: Tensor, inputs: Sequence[Tensor], *, retain_graph: bool = False
) -> tuple[Tensor, ...]:
    """Compute the gradients of a scalar under the active ReLU rule.

    Args:
        value: A tensor of one number, with a gradient history.
        inputs: Tensors in that history.
        retain_graph: Whether the history is needed again.

    Returns:
        For each of `inputs` a tensor of its shape; zero where the value does not depend on it.

    Raises:
        LurkError: The value has no gradient history.
    """
    return vector_jacobian_products([value], [torch.ones_like(value)], inputs, retain_graph=retain_graph)


def vector_jacobian_products(
    outputs: Sequence[Tensor],
    vectors: Sequence[Tensor],
    inputs: Sequence[Tensor],
    *,
    retain_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Compute the products of vectors and Jacobian matrices, summed over outputs, under the active ReLU rule.

    `torch.autograd.grad` disables function modes while it runs, and with them the rule for ReLUs that a
    custom function computes again in the backward pass, as reversible and memory-efficient blocks do. So the
    engine is called directly.

    Args:
        outputs: Tensors; those without a gradient history are constant.
        vectors: For each of them a tensor of its shape, the weights of its values.
        inputs: Tensors in the history of the outputs.
        retain_graph: Whether the history is needed again.

    Returns:
        For each of `inputs` a tensor of its shape; zero where no output depends on it.

    Raises:
        LurkError: No output has a gradient history.
    """
    pairs = [(y, vector) for y, vector in zip(outputs, vectors, strict=True) if y.requires_grad]
    if not pairs:
        raise no_history()
    with_history, weights = zip(*pairs, strict=True)
    gradients = torch.autograd.Variable._execution_engine.run_backward(
        with_history, weights, retain_graph, False, tuple(inputs),
        allow_unreachable=True, accumulate_grad=False,
    )  # fmt: skip
    found = zip(gradients, inputs, strict=True)
    return tuple(torch.zeros_like(x) if gradient is None else gradient for gradient, x in found)


def require_history(values: Tensor) -> None:
    """Refuse values without a gradient history.

    Raises:
        LurkError: They have none.
    """
    if not values.requires_grad:
        raise no_history()


def no_history() -> LurkError:
    """Return the error for a target without a gradient with respect to the input."""
    return LurkError(
        "the target has no gradient with respect to the input: the network computes it without gradients",
        "remove no_grad, detach or inference_mode from its forward",
    )
