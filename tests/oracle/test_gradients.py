"""Gradients of units from their cuts, and of maps, compared with Captum on whole images."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import captum.attr
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import Branching, Call, conv, inception, module_relus, residual, seeded
from torchlurk import graph
from torchlurk.attribution import gradients
from torchlurk.attribution.gradients import unit_scores
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.graph import Layer
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import ForwardError, activation

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]

SIZE = (3, 41, 54)


def mixed() -> nn.Module:
    return nn.Sequential(
        conv(3, 6, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
        residual(6), inception(6), nn.ReLU(), conv(7, 4, 3, 2, dilation=2), residual(4), conv(4, 3, 2),
    )  # fmt: skip


def reduction() -> nn.Module:
    """A layer that runs after one whose kernel is larger than the receptive fields of that layer."""

    class Reduction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = conv(3, 4, 3, 2)
            self.large = conv(4, 2, 7)
            self.small = conv(4, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).relu()
            return self.large(x).mean((2, 3)).sum(1) + self.small(x).mean((1, 2, 3))

    return Reduction()


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "mixed": mixed,
    "branching": Branching,
    "reduction": reduction,
}
LAYERS = [
    ("mixed", "0"),
    ("mixed", "3.0.branches.0.0"),
    ("mixed", "3.0.branches.0.3"),
    ("mixed", "4.branches.1.2"),
    ("mixed", "4.branches.3.1"),
    ("mixed", "6"),
    ("mixed", "7.0.branches.0.0"),
    ("mixed", "8"),
    ("branching", "first"),
    ("branching", "narrow"),
    ("branching", "wide"),
    ("branching", "last"),
    ("reduction", "small"),
]


@cache
def prepared(name: str) -> tuple[nn.Module, nn.Module, dict[str, Layer]]:
    """Return the network, its rewrite with module ReLUs, and its layers."""
    model = seeded(MAKERS[name]).double()
    with torch.no_grad():
        for number, (_, module) in enumerate(model.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.fill_(0.1 * number)
                module.running_var.fill_(1.7)
    result = graph.trace(model, SIZE, lambda _, module: isinstance(module, nn.Conv2d))
    return model, module_relus(model), {layer.name: layer for layer in result.layers}


def images(count: int = 3) -> list[Tensor]:
    draw = torch.Generator().manual_seed(11)
    return list(torch.randn(count, *SIZE, generator=draw, dtype=torch.float64))


def some_units(layer: Layer) -> list[Unit]:
    channels, height, width = layer.shape
    places = [(0, 0), (height - 1, width - 1), (0, width - 1), (height // 2, width // 2)]
    places += [(height // 3, 0), (height - 1, width // 3), (height // 2, width // 3)]
    return [Unit(i % 3, (2 * i) % channels, y, x) for i, (y, x) in enumerate(places)]


NEURON = {
    "deconv": captum.attr.NeuronDeconvolution,
    "guided": captum.attr.NeuronGuidedBackprop,
    "vanilla": captum.attr.NeuronGradient,
}


def captum_gradient(model: nn.Module, layer: str, image: Tensor, rule: ReluRule, selector: object) -> Tensor:
    x = image[None].clone().requires_grad_()
    result = NEURON[rule](model, model.get_submodule(layer)).attribute(x, selector)
    return result[0].detach()


def check_same(result: Tensor, expected: Tensor, relative: float = 1e-10) -> None:
    """Compare relative to the largest value; a zero gradient must be exactly zero."""
    assert (result - expected).abs().max() <= relative * expected.abs().max()


@pytest.mark.parametrize("rule", RELU_RULES)
@pytest.mark.parametrize(("name", "layer_name"), LAYERS)
def test_unit_gradients_are_those_of_captum(name: str, layer_name: str, rule: ReluRule) -> None:
    model, rewritten, layers = prepared(name)
    layer, pictures = layers[layer_name], images()
    units = some_units(layer)
    result = list(
        gradients.unit_gradients(model, layer_name, layer.field, pictures, units, rule, batch_pixels=30)
    )
    assert sorted(one.index for one in result) == list(range(len(units)))
    kept: list[Tensor] = []
    handle = rewritten.get_submodule(layer_name).register_forward_hook(
        lambda module, inputs, output: kept.append(output.detach().clone())
    )
    rewritten(torch.stack(pictures))
    handle.remove()
    alive = 0
    for one in result:
        unit = units[one.index]
        where = (unit.channel, unit.y, unit.x)
        assert one.score.item() == pytest.approx(float(kept[0][(unit.image, *where)]), rel=1e-10)
        expected = captum_gradient(rewritten, layer_name, pictures[unit.image], rule, where)
        check_same(gradients.place_in_input(one, SIZE[1:]), expected)
        alive += bool(expected.any())
    assert alive >= 3


@pytest.mark.parametrize("rule", RELU_RULES)
@pytest.mark.parametrize(("name", "layer_name"), LAYERS)
def test_map_gradients_are_those_of_captum(name: str, layer_name: str, rule: ReluRule) -> None:
    model, rewritten, layers = prepared(name)
    image = images()[1]
    last = layers[layer_name].shape[0] - 1
    channels = [last, 0, last // 2, 0]
    result = list(gradients.map_gradients(model, layer_name, image, channels, rule))
    assert len(result) == 4
    assert any(gradient.any() for gradient in result)
    for channel, gradient in zip(channels, result, strict=True):
        own = channel

        def mean(maps: Tensor, own: int = own) -> Tensor:
            return maps[:, own].mean((1, 2))

        check_same(gradient, captum_gradient(rewritten, layer_name, image, rule, mean))


@pytest.mark.parametrize("layer_name", ["3.0.branches.0.3", "6"])
def test_gradients_do_not_depend_on_the_batch_size(layer_name: str) -> None:
    model, _, layers = prepared("mixed")
    layer = layers[layer_name]
    units = some_units(layer) * 2
    one, many = (
        sorted(
            gradients.unit_gradients(
                model, layer_name, layer.field, images(), units, "deconv", batch_pixels=pixels
            ),
            key=lambda result: result.index,
        )
        for pixels in (1, 10**9)
    )
    assert [result.index for result in one] == [result.index for result in many]
    for a, b in zip(one, many, strict=True):
        assert (a.left, a.top) == (b.left, b.top)
        assert a.score.item() == pytest.approx(b.score.item(), rel=1e-12)
        torch.testing.assert_close(a.gradient, b.gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("name", "layer_name"), LAYERS)
def test_unit_scores_are_those_of_the_whole_image(name: str, layer_name: str) -> None:
    model, _, layers = prepared(name)
    layer = layers[layer_name]
    units = some_units(layer)
    # Several filters at one position share a forward, which must not change their order.
    units = [*units, *(Unit(u.image, (u.channel + 1) % layer.shape[0], u.y, u.x) for u in reversed(units))]
    with isolated(model), torch.inference_mode():
        maps = activation(model, layer_name, torch.stack(images()))
        expected = [float(maps[u.image, u.channel, u.y, u.x]) for u in units]
        result = unit_scores(model, layer_name, layer.field, images(), units, batch_pixels=3000)
    assert result == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_only_a_cut_runs() -> None:
    """No more of the image runs than the receptive field, widened by less than a stride."""
    model, _, layers = prepared("mixed")
    layer = layers["3.0.branches.0.0"]  # field: 5 + 2·2, then + 2·4 = 17, stride 4
    units = [Unit(0, 0, 4, 6)]
    (result,) = gradients.unit_gradients(model, layer.name, layer.field, images(), units, "deconv")
    left, top, right, bottom = layer.field.box(4, 6)
    assert (right - left, bottom - top) == (17, 17)
    assert 0 <= left - result.left < 4
    assert 0 <= top - result.top < 4
    assert result.gradient.shape == (3, bottom - result.top, right - result.left)


def test_inception_v3_whose_parallel_branch_does_not_accept_a_cut() -> None:
    model = seeded(
        lambda: torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False)
    ).double()
    shape = (3, 107, 123)
    layers = graph.trace(model, shape, lambda _, module: isinstance(module, nn.Conv2d))
    draw = torch.Generator().manual_seed(5)
    image = torch.randn(*shape, generator=draw, dtype=torch.float64)
    rewritten = module_relus(model)
    for name in ("Mixed_5b.branch_pool.conv", "Mixed_6a.branch3x3dbl_1.conv"):
        layer = layers.layer(name)
        unit = Unit(0, 3, layer.shape[1] // 2, layer.shape[2] - 1)
        (result,) = gradients.unit_gradients(model, name, layer.field, [image], [unit], "guided")
        expected = captum_gradient(rewritten, name, image, "guided", (unit.channel, unit.y, unit.x))
        check_same(gradients.place_in_input(result, shape[1:]), expected)


def test_errors_of_the_network_are_not_swallowed() -> None:
    def fail(x: Tensor) -> Tensor:
        raise RuntimeError("no more")

    model = nn.Sequential(conv(3, 2, 3), conv(2, 2, 3))
    layer = graph.trace(model, SIZE, lambda name, _: name == "1").layer("1")
    broken = nn.Sequential(model[0], Call(fail))
    images32 = [image.float() for image in images()]
    with pytest.raises(ForwardError, match="RuntimeError: no more"):
        list(gradients.unit_gradients(broken, "1", layer.field, images32, [Unit(0, 0, 3, 3)], "deconv"))


def subtract(x: Tensor) -> Tensor:
    return x.sub_(0.5).mul_(2.0)


@pytest.mark.parametrize("memory", ["normal", "inference"])
def test_a_network_that_starts_in_place_does_not_change_the_images(memory: str) -> None:
    model = seeded(lambda: nn.Sequential(Call(subtract), conv(1, 2, 3), nn.ReLU(), conv(2, 2, 3)))
    layer = graph.trace(model, (1, 9, 9), lambda _, module: isinstance(module, nn.Conv2d)).layer("3")
    with torch.inference_mode(memory == "inference"):
        image = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(0))
        before = image.clone()
    a, b = model[1].weight.detach(), model[3].weight.detach()
    assert layer.field.rows.rule is not None
    (result,) = gradients.unit_gradients(model, "3", layer.field, [image], [Unit(0, 1, 2, 2)], "deconv")
    (mean,) = gradients.map_gradients(model, "3", image, [1], "deconv")
    assert torch.equal(image, before)
    # By hand: the second kernel, rectified at the ReLU, spread by the first, and doubled.
    single, whole = torch.zeros(1, 1, 5, 5), torch.full((1, 1, 5, 5), 1 / 25)
    single[0, 0, 2, 2] = 1.0
    for gradient, start in ((gradients.place_in_input(result, (9, 9)), single), (mean, whole)):
        passed = F.conv_transpose2d(start, b[1:2]).clamp(min=0)
        expected = 2 * F.conv_transpose2d(passed, a)[0]
        assert expected.any()
        check_same(gradient, expected, 1e-5)
