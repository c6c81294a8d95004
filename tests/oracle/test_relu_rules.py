"""The ReLU rules against plain algebra, Captum and zennit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
import torchvision
import zennit.composites
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import Branching, module_relus, residual, seeded
from torchlurk.attribution.backward import relu_rule
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.errors import LurkError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]

# The rules, as algebra: what comes back of the gradient `g` where the input was `z`.
ALGEBRA: dict[ReluRule, Callable[[Tensor, Tensor, float], Tensor]] = {
    "vanilla": lambda g, z, top: torch.where((z > 0) & (z < top), g, 0.0),
    "deconv": lambda g, z, top: torch.where(g > 0, g, 0.0),
    "guided": lambda g, z, top: torch.where((z > 0) & (z < top) & (g > 0), g, 0.0),
}


def works_in_place(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """As a network does that goes on with its own tensor, not with what the call returned."""

    def call(x: Tensor) -> Tensor:
        function(x)
        return x

    return call


def on_a_view(x: Tensor) -> Tensor:
    """In place through another tensor of the same memory."""
    F.relu_(x[:, 0:4])
    return x


INFINITE = float("inf")
FORMS: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], float]] = {
    "module": (nn.ReLU, INFINITE),
    "module in place": (lambda: nn.ReLU(inplace=True), INFINITE),
    "module in place, its input used": (lambda: works_in_place(nn.ReLU(inplace=True)), INFINITE),
    "F.relu": (lambda: F.relu, INFINITE),
    "F.relu(x, True)": (lambda: works_in_place(lambda x: F.relu(x, True)), INFINITE),
    "F.relu(inplace=True)": (lambda: works_in_place(lambda x: F.relu(x, inplace=True)), INFINITE),
    "F.relu(input=x)": (lambda: lambda x: F.relu(input=x), INFINITE),
    "F.relu_": (lambda: works_in_place(F.relu_), INFINITE),
    "torch.relu": (lambda: torch.relu, INFINITE),
    "torch.relu_": (lambda: works_in_place(torch.relu_), INFINITE),
    "x.relu()": (lambda: lambda x: x.relu(), INFINITE),
    "x.relu_()": (lambda: works_in_place(lambda x: x.relu_()), INFINITE),
    "a view, in place": (lambda: on_a_view, INFINITE),
    "ReLU6": (nn.ReLU6, 6.0),
    "ReLU6 in place": (lambda: nn.ReLU6(inplace=True), 6.0),
    "F.relu6": (lambda: F.relu6, 6.0),
    "F.relu6(x, True)": (lambda: works_in_place(lambda x: F.relu6(x, True)), 6.0),
    "Hardtanh(0, 6)": (lambda: nn.Hardtanh(0.0, 6.0), 6.0),
    "Hardtanh(0, 6) in place": (lambda: works_in_place(nn.Hardtanh(0, 6, inplace=True)), 6.0),
    "F.hardtanh(x, 0, 6)": (lambda: lambda x: F.hardtanh(x, 0.0, 6.0), 6.0),
    "F.hardtanh(x, 0, 6, True)": (lambda: works_in_place(lambda x: F.hardtanh(x, 0, 6, True)), 6.0),
    "F.hardtanh_": (lambda: works_in_place(lambda x: F.hardtanh_(x, 0.0, 6.0)), 6.0),
    "F.hardtanh(min_val=0)": (lambda: lambda x: F.hardtanh(x, min_val=0.0), 1.0),
}


def random(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def matrix(layer: nn.Conv2d, shape: tuple[int, int, int]) -> Tensor:
    """A convolution without bias as a matrix, column by column."""
    size = shape[0] * shape[1] * shape[2]
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return F.conv2d(basis, layer.weight.detach(), None, layer.stride, layer.padding).flatten(1).T


class Small(nn.Module):
    """Two convolutions and a linear layer; one ReLU, used twice."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, stride=2)
        self.c = nn.Linear(4 * 2 * 3, 3)
        self.relu = relu
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.relu(self.b(self.relu(self.a(x)))).flatten(1))


@pytest.fixture(params=RELU_RULES)
def rule(request: pytest.FixtureRequest) -> ReluRule:
    return request.param


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def back(model: nn.Module, x: Tensor, rule: ReluRule, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    with relu_rule(rule):
        score = model(x)[:, target].sum()
    return torch.autograd.grad(score, x)[0]


def test_rules_are_their_algebra(form: str, rule: ReluRule) -> None:
    make, top = FORMS[form]
    model = seeded(lambda: Small(make()))
    x = 9 * random(1, 2, 5, 7)
    with torch.no_grad():
        first, second = matrix(model.a, (2, 5, 7)), matrix(model.b, (4, 5, 7))
        bias_a = model.a.bias.repeat_interleave(35)
        bias_b = model.b.bias.repeat_interleave(6)
        z1 = first @ x.flatten() + bias_a
        z2 = second @ z1.clamp(0, top) + bias_b
        assert ((z1 > 0) & (z1 < top)).any()
        assert (z1 < 0).any()
        assert top == INFINITE or (z1 > top).any()
        assert torch.allclose(model(x)[0], model.c.weight @ z2.clamp(0, top) + model.c.bias)
    for target in range(3):
        g2 = ALGEBRA[rule](model.c.weight.detach()[target], z2, top)
        g1 = ALGEBRA[rule](second.T @ g2, z1, top)
        wanted = (first.T @ g1).reshape(x.shape)
        assert wanted.abs().max() > 0
        torch.testing.assert_close(back(model, x, rule, target), wanted, rtol=1e-10, atol=1e-12)


def test_the_value_is_the_networks_own(form: str, rule: ReluRule) -> None:
    make, _ = FORMS[form]
    model = seeded(lambda: Small(make()))
    x = 9 * random(1, 2, 5, 7)
    with torch.no_grad():
        plain = model(x.clone())
        with relu_rule(rule):
            assert torch.equal(model(x.clone()), plain)


@pytest.mark.parametrize("top", [INFINITE, 6.0])
def test_at_the_corners(top: float, rule: ReluRule) -> None:
    """Exactly 0, and exactly the ceiling, count as not passing, as in torch's own derivative."""
    z = torch.tensor([-1.0, -0.0, 0.0, 1.0, 6.0, 7.0], dtype=torch.float64)
    g = torch.tensor([2.0, 2.0, 2.0, -2.0, 2.0, 2.0], dtype=torch.float64)
    function = F.relu if top == INFINITE else F.relu6
    x = z.clone().requires_grad_()
    with relu_rule(rule):
        (found,) = torch.autograd.grad(function(x), x, g)
    passes = [0, 0, 0, 1, 1, 1] if top == INFINITE else [0, 0, 0, 1, 0, 0]
    wanted = {
        "vanilla": g * torch.tensor(passes),
        "deconv": g.clamp(min=0),
        "guided": g.clamp(min=0) * torch.tensor(passes),
    }[rule]
    assert torch.equal(found, wanted)


def test_vanilla_is_autograd(form: str) -> None:
    make, _ = FORMS[form]
    model = seeded(lambda: Small(make()))
    x = 9 * random(1, 2, 5, 7)
    x[0, 0, :2] = float("inf")
    x[0, 1, 3:] = 0
    for value in (x, x.nan_to_num(posinf=0.0), torch.zeros_like(x)):
        plain = value.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(model(plain)[0, 1], plain)
        found = back(model, value, "vanilla", 1)
        assert torch.equal(found.nan_to_num(7.0), wanted.nan_to_num(7.0))


LEFT_ALONE: dict[str, Callable[[Tensor], Tensor]] = {
    "Hardtanh(-1, 1)": nn.Hardtanh(-1.0, 1.0),
    "F.hardtanh": F.hardtanh,
    "LeakyReLU": nn.LeakyReLU(0.1),
    "sigmoid": torch.sigmoid,
    "Hardswish": nn.Hardswish(),
    "GELU": nn.GELU(),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_no_rectifier_is_left_alone(name: str, rule: ReluRule) -> None:
    model = seeded(lambda: Small(LEFT_ALONE[name]))
    x = random(1, 2, 5, 7)
    plain = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(model(plain)[0, 1], plain)
    assert wanted.min() < 0 < wanted.max()
    assert torch.equal(back(model, x, rule, 1), wanted)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(LurkError, match=r"'relu'.*deconv, guided, vanilla"):
        relu_rule("relu")  # type: ignore[arg-type]


def captum_says(model: nn.Module, x: Tensor, rule: ReluRule, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    if rule == "deconv":
        return captum.attr.Deconvolution(model).attribute(x, target=target)
    if rule == "guided":
        return captum.attr.GuidedBackprop(model).attribute(x, target=target)
    return captum.attr.Saliency(model).attribute(x, target=target, abs=False)


def zennit_says(model: nn.Module, x: Tensor, rule: ReluRule, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    if rule == "vanilla":
        return torch.autograd.grad(model(x)[:, target].sum(), x)[0]
    kinds: dict[str, Any] = {
        "deconv": zennit.composites.DeconvNet,
        "guided": zennit.composites.GuidedBackprop,
    }
    with kinds[rule]().context(model) as ready:
        return torch.autograd.grad(ready(x)[:, target].sum(), x)[0]


def check_same(found: Tensor, wanted: Tensor, relative: float) -> None:
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= relative * wanted.abs().max()


def modules_only() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        residual(6),
        residual(6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


@pytest.mark.parametrize("oracle", [captum_says, zennit_says])
@pytest.mark.parametrize("target", [0, 3])
def test_others_agree_where_relus_are_modules(
    oracle: Callable[..., Tensor], target: int, rule: ReluRule
) -> None:
    model = seeded(modules_only).double()
    x = random(2, 3, 27, 30)
    found = back(model, x, rule, target)
    check_same(found, oracle(module_relus(model), x, rule, target), 1e-10)


@pytest.mark.parametrize("oracle", [captum_says, zennit_says])
def test_others_agree_on_the_rewrite_of_a_network_with_every_kind(
    oracle: Callable[..., Tensor], rule: ReluRule
) -> None:
    model = seeded(Branching).double()
    x = random(2, 3, 21, 26)
    rewritten = module_relus(model)
    assert torch.equal(rewritten(x.clone()), model(x.clone()))
    check_same(back(model, x, rule, 1), oracle(rewritten, x, rule, 1), 1e-10)


def googlenet() -> nn.Module:
    return torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False)


def inception_v3() -> nn.Module:
    return torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False)


TORCHVISION: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "densenet121": (lambda: torchvision.models.densenet121(weights=None), 64),
    "googlenet": (googlenet, 64),
    "inception_v3": (inception_v3, 75),
    "resnet18": (lambda: torchvision.models.resnet18(weights=None), 64),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(weights=None), 64),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_as_captum_on_its_rewrite(name: str) -> None:
    make, side = TORCHVISION[name]
    model = seeded(make).double()
    x = random(1, 3, side, side)
    rewritten = module_relus(model)
    for rule in RELU_RULES:
        found = back(model, x, rule, 4)
        check_same(found, captum_says(rewritten, x, rule, 4), 1e-8)


class Ruled(nn.Module):
    """A rectifier with a ceiling that goes back by the algebra of a rule."""

    def __init__(self, rule: ReluRule, top: float) -> None:
        super().__init__()
        self.rule, self.top = rule, top

    def forward(self, x: Tensor) -> Tensor:
        back, top = ALGEBRA[self.rule], self.top

        class Rectify(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, z: Tensor) -> Tensor:
                ctx.save_for_backward(z)
                return z.clamp(0, top)

            @staticmethod
            def backward(ctx: Any, g: Tensor) -> Tensor:
                return back(g, ctx.saved_tensors[0], top)

        return Rectify.apply(x.clone())


@pytest.mark.parametrize("make", [torchvision.models.mobilenet_v2, torchvision.models.mnasnet0_5])
def test_torchvision_rectifiers_with_a_ceiling(make: Callable[..., nn.Module], rule: ReluRule) -> None:
    """No other library has the rules for ReLU6: against modules that go back by plain algebra."""
    model = seeded(lambda: make(weights=None)).double()
    rewritten = copy.deepcopy(model)
    replaced = 0
    for module in list(rewritten.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU6 | nn.ReLU):
                setattr(module, name, Ruled(rule, 6.0 if isinstance(child, nn.ReLU6) else INFINITE))
                replaced += 1
    assert replaced > 30
    x = random(1, 3, 64, 64)
    wanted = torch.autograd.grad(rewritten(x.requires_grad_())[0, 4], x)[0]
    check_same(back(model, x.detach(), rule, 4), wanted, 1e-10)
