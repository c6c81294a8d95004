"""The ReLU rules on any device: in a module, a function, in place and in autocast, compared with algebra."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.device.helpers import check_close
from torchlurk.attribution.backward import LeakyRelu, input_gradients, relu_rule
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule

pytestmark = pytest.mark.device

ALGEBRA: dict[ReluRule, Callable[[Tensor, Tensor, float], Tensor]] = {
    "vanilla": lambda g, z, top: torch.where((z > 0) & (z < top), g, 0.0),
    "deconv": lambda g, z, top: torch.where(g > 0, g, 0.0),
    "guided": lambda g, z, top: torch.where((z > 0) & (z < top) & (g > 0), g, 0.0),
}

INFINITE = float("inf")
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "module": (nn.ReLU(), INFINITE),
    "module in place": (nn.ReLU(inplace=True), INFINITE),
    "function": (F.relu, INFINITE),
    "method in place": (Tensor.relu_, INFINITE),
    "ReLU6": (nn.ReLU6(), 6.0),
    "Hardtanh in place": (nn.Hardtanh(0.0, 6.0, inplace=True), 6.0),
}


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 4


@pytest.mark.parametrize("rule", RELU_RULES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_rules(device: torch.device, form: str, rule: ReluRule, channels_last: bool) -> None:
    relu, top = FORMS[form]
    z, weight = numbers(2, 4, 5, 6, seed=0), numbers(2, 4, 5, 6, seed=1)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x = z.to(device).contiguous(memory_format=memory_format).requires_grad_()
    with relu_rule(rule):
        result = relu(x.clone())
        (gradient,) = input_gradients((result * weight.to(device)).sum(), [x])
    check_close(result.detach(), z.clamp(0, top), device)
    check_close(gradient, ALGEBRA[rule](weight, z, top), device)


def test_inactive_relus_pass_a_share_in_the_first_steps_of_an_ascent(device: torch.device) -> None:
    z, weight = numbers(40, seed=0), numbers(40, seed=1)
    x = z.to(device).requires_grad_()
    with torch.autocast(device.type, torch.bfloat16), LeakyRelu(0.1):
        (gradient,) = torch.autograd.grad((F.relu(x) * weight.to(device)).sum(), [x])
    check_close(gradient, torch.where(z > 0, weight, weight * 0.1), device)
