"""How a ReLU passes the gradient back: the rules of deconvolution, guided and vanilla backpropagation.

All three send the gradient of an activation back through the network and differ only at the ReLU:

- *vanilla* (Simonyan et al. 2013, arXiv:1312.6034): the derivative; passes where the input was positive.
- *deconv* (Zeiler and Fergus 2013, arXiv:1311.2901): rectifies the gradient itself, whatever the input was.
- *guided* (Springenberg et al. 2014, arXiv:1412.6806): both.

A rule is a pure function and an entry of `RELU_RULES`; `attribution.backward` applies it to a network. The
configuration, the command line and Python take their choices from `RELU_RULES`. Importing this module does
not load torch, so that the command line starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from torchlurk.runtime.deprecation import former_names

if TYPE_CHECKING:
    from torch import Tensor

ReluRule = Literal["deconv", "guided", "vanilla"]
"""The names of `RELU_RULES`: how ReLUs pass the gradient back."""


@dataclass(frozen=True)
class BackwardRule:
    """The backward pass of a ReLU.

    Attributes:
        backward: Takes the gradient of the output and a bool tensor that is true where the ReLU is active
            (where its derivative is 1), both of the output's shape; returns the gradient of the input.
        uses_input: Whether `backward` depends on where the ReLU is active. If not, nothing is stored in the
            forward pass, and `backward` gets a scalar that is true.
    """

    backward: Callable[[Tensor, Tensor], Tensor]
    uses_input: bool = True


def deconv(gradient: Tensor, active: Tensor) -> Tensor:  # noqa: ARG001
    """Pass the positive part of the gradient."""
    return gradient.clamp(min=0)


def guided(gradient: Tensor, active: Tensor) -> Tensor:
    """Pass the positive part of the gradient where the ReLU is active."""
    return gradient.clamp(min=0).masked_fill(~active, 0)


RELU_RULES: Mapping[str, BackwardRule | None] = MappingProxyType(
    {
        "deconv": BackwardRule(deconv, uses_input=False),
        "guided": BackwardRule(guided),
        "vanilla": None,
    }
)
"""The rules that users choose by name; `None` leaves autograd's own derivative."""


if not TYPE_CHECKING:  # with this function, type checkers would accept any name
    __getattr__ = former_names(globals(), Rule="ReluRule")
