"""Gradients of units and maps on any device, compared with autograd in float64 on whole images."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.device.helpers import check_close, no_synchronisation
from tests.networks import BRANCHING_LAYERS, Branching, seeded
from torchlurk import graph
from torchlurk.attribution import gradients, unit_cuts
from torchlurk.attribution.gradients import (
    gradients_of_maps,
    map_gradients,
    place_in_input,
    unit_gradients,
    unit_scores,
)
from torchlurk.attribution.methods import integrated_gradients, smooth_gradient
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.graph import Layer
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import activation

pytestmark = pytest.mark.device

SIZE = (3, 41, 54)


@cache
def layers() -> dict[str, Layer]:
    found = graph.trace(seeded(Branching), SIZE, lambda _, module: isinstance(module, nn.Conv2d))
    return {layer.name: layer for layer in found.layers}


def images(count: int = 3) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(11))


def some_units(layer: Layer) -> list[Unit]:
    channels, height, width = layer.shape
    places = [(0, 0), (height - 1, width - 1), (0, width - 1), (height // 2, width // 2), (height // 3, 0)]
    return [Unit(i % 3, (2 * i) % channels, y, x) for i, (y, x) in enumerate(places)]


class _Relu(torch.autograd.Function):
    """A ReLU whose backward pass is a rule, as algebra."""

    @staticmethod
    def forward(ctx, x: Tensor, rule: ReluRule) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        rules = {
            "vanilla": torch.where(x > 0, g, 0.0),
            "deconv": torch.where(g > 0, g, 0.0),
            "guided": torch.where((x > 0) & (g > 0), g, 0.0),
        }
        return rules[ctx.rule], None


def reference(layer: str, x: Tensor, rule: ReluRule) -> Tensor:
    """Return the maps of a layer of `Branching` in float64 on the CPU, with ReLUs that use a rule."""
    model = seeded(Branching).double()
    first = model.first(x)
    if layer == "first":
        return first
    pooled = model.pool(_Relu.apply(first, rule))
    narrow, wide = model.narrow(pooled), model.wide(pooled)
    if layer in ("narrow", "wide"):
        return narrow if layer == "narrow" else wide
    return model.last(torch.cat([_Relu.apply(narrow, rule), _Relu.apply(wide, rule)], 1))


@pytest.mark.parametrize("equal", [None, False, True])
@pytest.mark.parametrize("rule", RELU_RULES)
@pytest.mark.parametrize("name", BRANCHING_LAYERS)
def test_unit_gradients_and_scores(
    device: torch.device, name: str, rule: ReluRule, equal: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if equal is not None:
        for module in (gradients, unit_cuts):
            monkeypatch.setattr(module, "prefers_equal_sizes", lambda _: equal)
    layer, model, x = layers()[name], seeded(Branching), images()
    units = some_units(layer)
    with isolated(model, device):
        pictures = list(x.to(device))
        found = {
            one.index: one
            for one in unit_gradients(
                model, name, layer.field, pictures, units, rule, batch_pixels=2 * 41 * 54
            )
        }
        scores = unit_scores(model, name, layer.field, pictures, units, batch_pixels=2 * 41 * 54)
    assert sorted(found) == list(range(len(units)))
    for index, unit in enumerate(units):
        leaf = x[unit.image][None].double().requires_grad_()
        value = reference(name, leaf, rule)[0, unit.channel, unit.y, unit.x]
        (expected,) = torch.autograd.grad(value, leaf)
        check_close(place_in_input(found[index], SIZE[1:]), expected[0], device)
        assert found[index].score.item() == pytest.approx(value.item(), rel=1e-4, abs=1e-5)
        assert scores[index] == pytest.approx(value.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("rule", RELU_RULES)
@pytest.mark.parametrize("name", ["first", "last"])
def test_map_gradients(device: torch.device, name: str, rule: ReluRule) -> None:
    """Of one image, and of several with lists of different lengths."""
    model, x = seeded(Branching), images(3)
    channels: list[list[int]] = [[2, 0, 3, 2], [1, 3], []]
    with isolated(model, device):
        found = list(map_gradients(model, name, x[0].to(device), channels[0], rule))
        maps = [[(name, channel) for channel in of_image] for of_image in channels]
        together = list(gradients_of_maps(model, x.to(device), maps, rule))
    assert [len(gradient) for gradient in together] == [2, 2, 1, 1]
    assert len(found) == 4
    for image, of_image in enumerate(channels):
        for position, channel in enumerate(of_image):
            leaf = x[image][None].double().requires_grad_()
            (expected,) = torch.autograd.grad(reference(name, leaf, rule)[0, channel].mean(), leaf)
            check_close(together[position][image], expected[0], device)
            if image == 0:
                check_close(found[position], expected[0], device)


@pytest.mark.parametrize("rule", RELU_RULES)
def test_the_next_gradients_are_started_without_waiting(device: torch.device, rule: ReluRule) -> None:
    layer, model, x = layers()["last"], seeded(Branching), images(2)
    maps = [[("last", 2), ("first", 0)], [("first", 1)]]
    with isolated(model, device):
        pictures = x.to(device)

        def start() -> list[Tensor]:
            units = unit_gradients(model, "last", layer.field, list(pictures), some_units(layer)[:1], rule)
            return [*gradients_of_maps(model, pictures, maps, rule), *(one.gradient for one in units)]

        expected = start()  # chooses algorithms, and waits
        with no_synchronisation(device):
            found = start()
    assert len(found) == 3
    for one, again in zip(expected, found, strict=True):
        torch.testing.assert_close(one, again)


def test_methods_draw_the_same_numbers_on_every_device(device: torch.device) -> None:
    x = images(2)

    def attributions(where: torch.device) -> list[Tensor]:
        model = seeded(Branching)
        with isolated(model, where):

            def score(inputs: Tensor) -> Tensor:
                return activation(model, "last", inputs)[:, 1].mean((1, 2))

            noise = torch.Generator().manual_seed(4)
            moved = x.to(where)
            smooth = smooth_gradient(score, moved, samples=5, sigma=0.1, generator=noise)
            integrated = integrated_gradients(score, moved, torch.zeros_like(moved), steps=6)
            return [smooth, integrated.values, integrated.totals, integrated.differences]

    for found, expected in zip(attributions(device), attributions(torch.device("cpu")), strict=True):
        check_close(found, expected, device, relative=1e-4)
