"""Cuts of the input: a unit computed from its cut alone has the activation and the gradient of the whole."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn

from tests.networks import GRAPH_SIZE, GRAPHS
from tests.oracle.test_receptive_field import (
    built,
    chains,
    convolutions,
    keep_outputs,
    leaves,
    sides,
    some_units,
)
from torchlurk import graph
from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.graph.receptive_field import Axis

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

Cut = Callable[[Axis, int], tuple[int, int, int]]
"""Returns the cut of an index."""


@settings(max_examples=120)
@given(chains, sides, sides)
def test_cuts_of_chains(modules: list[nn.Module], height: int, width: int) -> None:
    model = nn.Sequential(*modules).eval()
    try:
        layers = graph.trace(model, (2, height, width), leaves).layers
    except LurkError:
        assume(False)
    for cut in (Axis.cut, Axis.equal_cut):
        check_cuts(model, (2, height, width), layers[-1:], cut)


@pytest.mark.parametrize("cut", [Axis.cut, Axis.equal_cut])
@pytest.mark.parametrize("name", GRAPHS)
def test_cuts_give_the_numbers_of_the_whole_image(name: str, cut: Cut) -> None:
    model, layers = built(name)
    check_cuts(model, GRAPH_SIZE, layers, cut)


@pytest.mark.parametrize("name", GRAPHS)
def test_equal_cuts_are_equal(name: str) -> None:
    """All have one length, at most two strides longer than the longest cut, or the whole axis."""
    _, layers = built(name)
    for axis in (axis for layer in layers for axis in (layer.field.rows, layer.field.columns)):
        cuts = [axis.cut(index) for index in range(len(axis))]
        equal = [axis.equal_cut(index) for index in range(len(axis))]
        lengths = {stop - start for start, stop, _ in equal} - {axis.extent}
        assert len(lengths) <= 1
        for (start, stop, _), (first, last, _) in zip(cuts, equal, strict=True):
            assert 0 <= first <= start < stop <= last <= axis.extent
            assert stop < axis.extent or last == axis.extent
        if lengths:
            assert axis.rule is not None
            assert lengths.pop() < axis.rule.size + 2 * axis.rule.stride


def check_cuts(
    model: nn.Module, shape: tuple[int, int, int], layers: tuple[Layer, ...], cut: Cut = Axis.cut
) -> None:
    """Check that the activation and the gradient from a unit's cut equal those from the whole image."""
    model = copy.deepcopy(model).double()
    draw = torch.Generator().manual_seed(3)
    image = torch.randn(1, *shape, generator=draw, dtype=torch.float64).requires_grad_()
    maps: dict[str, Tensor] = {}
    with keep_outputs(model, maps):
        model(image)
    for layer in layers:
        # An in-place module may change the output of a module inside it; a copy of the first output was kept.
        for channel, (y, x) in enumerate(some_units(layer)):
            score = maps[layer.name][0, channel % layer.shape[0], y, x]
            if not score.isfinite():  # a maximum of padding alone, which has no gradient
                continue
            (whole,) = torch.autograd.grad(score, image, retain_graph=True)
            top, bottom, cy = cut(layer.field.rows, y)
            left, right, cx = cut(layer.field.columns, x)
            part = image.detach()[:, :, top:bottom, left:right].clone().requires_grad_()
            kept: dict[str, Tensor] = {}
            with keep_outputs(model, kept):
                run_to(model, layer.name, part)
            again = kept[layer.name][0, channel % layer.shape[0], cy, cx]
            torch.testing.assert_close(again, score, rtol=1e-9, atol=1e-12)
            (gradient,) = torch.autograd.grad(again, part)
            placed = torch.zeros_like(whole)
            placed[:, :, top:bottom, left:right] = gradient
            torch.testing.assert_close(placed, whole, rtol=1e-9, atol=1e-12)


def run_to(model: nn.Module, name: str, x: Tensor) -> None:
    """Run a sequence of modules up to the one that contains the layer."""
    for child, module in model.named_children():
        x = module(x)
        if name.split(".")[0] == child:
            return


def test_cuts_are_small() -> None:
    """A cut is the receptive field, widened by less than the total stride."""
    _, layers = built("residual")
    last = layers[-1].field
    model = nn.Sequential(nn.Conv2d(3, 2, 3, 1, 1), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, 1, 1))
    inside = graph.trace(model.eval(), (3, 64, 64), convolutions).layers[-1].field
    assert inside.box(10, 12) == (21, 17, 29, 25)
    assert inside.rows.cut(10) == (16, 25, 2)
    assert inside.columns.cut(12) == (20, 29, 2)
    assert last.rows.rule is not None
