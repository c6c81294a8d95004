"""Networks of all kinds: every result of a scan, compared with running the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.oracle.test_receptive_field import supports
from tests.oracle.zoo_table import DOCUMENT, parts, row
from tests.zoo import ZOO, made
from torchlurk.attribution.gradients import unit_gradients, unit_scores
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.graph import Graph, Layer, select
from torchlurk.models.hooks import as_feature_map
from torchlurk.models.isolation import isolated
from torchlurk.scan import scan
from torchlurk.scan.state import initial_state

K, CLASSES = 3, 2

pytestmark = [
    pytest.mark.parametrize("name", ZOO),
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]


@cache
def traced(name: str) -> Graph:
    model, case = made(name), ZOO[name]
    with isolated(model):
        return select(model, (3, case.size, case.size), case.layers)


def photographs(name: str, count: int = 5) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.rand(count, 3, ZOO[name].size, ZOO[name].size, generator=draw, dtype=torch.float64)


@contextmanager
def intercept_outputs(
    model: nn.Module, names: set[str], replace_output: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """Pass the first output of each module to `replace_output`, which may return another one for it."""
    done: set[str] = set()

    def listen(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
            if name in done:
                return None
            done.add(name)
            return replace_output(name, output)

        return hook

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(listen(name)) for name in names]
    yield
    for handle in handles:
        handle.remove()


@cache
def outputs(name: str) -> dict[str, Tensor]:
    """Return the whole output of each layer for the photographs, computed image by image."""
    model = made(name)
    modules = dict(model.named_modules())
    kept: dict[str, list[Tensor]] = {}

    def keep(layer: str, output: Tensor) -> None:
        kept.setdefault(layer, []).append(as_feature_map(modules[layer], output).clone())

    for image in photographs(name):
        with torch.no_grad(), intercept_outputs(model, {layer.name for layer in traced(name).layers}, keep):
            model(image[None])
    return {layer: torch.cat(maps) for layer, maps in kept.items()}


def some(layers: tuple[Layer, ...], count: int = 6) -> list[Layer]:
    """Return a few layers from first to last."""
    step = max(1, len(layers) // count)
    chosen = [*layers[::step], layers[-1]]
    return list({layer.name: layer for layer in chosen}.values())


def test_the_layers_are_those_that_run_in_execution_order(name: str) -> None:
    found = traced(name)
    assert [layer.name for layer in found.layers] == list(outputs(name))
    for layer in found.layers:
        assert layer.shape == outputs(name)[layer.name].shape[1:]


def test_the_scan_equals_a_sort_of_all_activations(name: str) -> None:
    model, found = made(name), traced(name)
    images = photographs(name)
    channels = {layer.name: layer.shape[0] for layer in found.layers}
    labels = torch.arange(len(images)) % CLASSES
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    with isolated(model):
        batches = [
            scan.ScanBatch(torch.arange(a, min(a + 2, len(images))), labels[a : a + 2], images[a : a + 2])
            for a in range(0, len(images), 2)
        ]
        *_, state = scan.scan(model, initial_state(channels, CLASSES, K), batches)
    for layer in found.layers:
        maps = outputs(name)[layer.name].flatten(2)
        lists = state.layers[layer.name]
        for kept, scores in ((lists.max, maps.amax(2)), (lists.avg, maps.mean(2))):
            wanted = scores.sort(dim=0, descending=True, stable=True).values[:K]
            same = {"rtol": 1e-5, "atol": 1e-6 * float(scores.abs().max()), "check_dtype": False}
            torch.testing.assert_close(kept.scores.T, wanted, **same)
            # The image in each slot has that score; ranks may differ where scores are equal up to rounding.
            torch.testing.assert_close(scores.gather(0, kept.images.T), wanted, **same)
        at_position = maps[lists.max.images.T, torch.arange(layer.shape[0]), lists.max.positions.T]
        torch.testing.assert_close(at_position, lists.max.scores.T, rtol=1e-5, atol=1e-6, check_dtype=False)
    # The network is unchanged: values, modes, hooks.
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def winners(layer: Layer, maps: Tensor, count: int = 4) -> list[Unit]:
    """Return the units at the maxima of some filters."""
    units = []
    for number in range(min(count, layer.shape[0])):
        channel = number * (layer.shape[0] // min(count, layer.shape[0]))
        image = number % len(maps)
        y, x = divmod(int(maps[image, channel].argmax()), layer.shape[2])
        units.append(Unit(image, channel, y, x))
    return units


def test_each_cut_reproduces_its_score(name: str) -> None:
    model = made(name)
    with isolated(model):
        for layer in some(traced(name).layers):
            maps = outputs(name)[layer.name]
            units = winners(layer, maps)
            found = unit_scores(model, layer.name, layer.field, list(photographs(name)), units)
            wanted = [float(maps[u.image, u.channel, u.y, u.x]) for u in units]
            assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5 * float(maps.abs().max())), layer.name


def test_a_field_contains_the_support_of_the_gradient(name: str) -> None:
    model, nonzero = made(name), 0
    for layer in some(traced(name).layers):
        images = photographs(name)[:2].requires_grad_()
        kept: dict[str, Tensor] = {}
        with intercept_outputs(model, {layer.name}, kept.__setitem__):  # type: ignore[arg-type]
            model(images)
        maps = as_feature_map(dict(model.named_modules())[layer.name], kept[layer.name])
        for unit in winners(layer, outputs(name)[layer.name][:2], 2):
            (gradient,) = torch.autograd.grad(
                maps[unit.image, unit.channel, unit.y, unit.x], images, retain_graph=True
            )
            left, top, right, bottom = layer.field.box(unit.y, unit.x)
            inside = gradient[unit.image, :, top:bottom, left:right]
            assert gradient.count_nonzero() == inside.count_nonzero(), layer.name
            nonzero += int(inside.count_nonzero())
    assert nonzero


WHOLE_BY_ATTENTION = {"vit_b_16"}


def test_a_field_is_the_support_with_positive_weights(name: str) -> None:
    found, size = traced(name), ZOO[name].size
    layers = [
        layer for layer in some(found.layers) if name not in WHOLE_BY_ATTENTION or layer.kind == "Conv2d"
    ]
    units = {
        layer.name: [
            (0, 0),
            (layer.shape[1] // 2, layer.shape[2] // 3),
            (layer.shape[1] - 1, layer.shape[2] - 1),
        ]
        for layer in layers
    }
    fields = {layer.name: layer.field for layer in layers}
    for layer, (y, x), seen in supports(made(name), (3, size, size), units):
        assert fields[layer].box(y, x) == seen, layer


def test_the_edges_are_the_flow_of_the_data(name: str) -> None:
    """Perturb one layer and fix the others: the layers whose output would change follow it directly."""
    model, found = made(name), traced(name)
    names = [layer.name for layer in found.layers]
    image = photographs(name)[:1]
    clean: dict[str, Tensor] = {}

    def keep(layer: str, output: Tensor) -> None:
        clean[layer] = output.clone()

    with torch.no_grad(), intercept_outputs(model, set(names), keep):
        model(image)
    edges: set[tuple[str, str]] = set()
    draw = torch.Generator().manual_seed(3)
    for source in sources(names):

        def perturb(layer: str, output: Tensor, source: str = source) -> Tensor:
            if layer == source:
                noise = torch.randn(output.shape, generator=draw, dtype=output.dtype) * (
                    clean[layer].std() + 1
                )
                return output + noise
            if not torch.equal(output, clean[layer]):
                edges.add((source, layer))
            return clean[layer].clone()

        with torch.no_grad(), intercept_outputs(model, set(names), perturb):
            model(image)
    chosen = set(sources(names))
    claimed = {edge for edge in found.edges if edge[0] in chosen}
    if name in BY_CHANNELS:
        assert edges < claimed
    else:
        assert edges == claimed


BY_CHANNELS = {"shufflenet_v2_x0_5"}
"""Edges join tensors; these networks shuffle channels, so some edges carry none of a tensor's channels."""


def sources(names: list[str]) -> list[str]:
    """Return the layers to perturb: all of a small network, some of a large one."""
    return names[:: max(1, len(names) // 25)]


RECTIFIED = {
    "alexnet", "vgg11", "vgg16_bn", "resnet18", "resnet50", "densenet121", "googlenet", "inception_v3",
    "squeezenet1_1", "shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5",
    "reused and functional ReLUs", "two inputs merged",
}  # fmt: skip


def test_guided_gradients_equal_those_of_captum(name: str) -> None:
    """Compare with Captum on a rewrite in which each call of a ReLU is a module of its own."""
    if name not in RECTIFIED:
        # No ReLU, or none that the rewrite reaches, so there is nothing to compare.
        kinds = {type(m).__name__ for m in made(name).modules()}
        assert (
            name == "a path that depends on the data"
            or not kinds & {"ReLU"}
            or "SqueezeExcitation" in str(kinds)
        )
        return
    import captum.attr

    from tests.networks import module_relus

    model = made(name)
    rewritten = module_relus(model)
    layer = next(layer for layer in traced(name).layers[len(traced(name).layers) // 2 :] if not layer.flat)
    image = photographs(name)[:1]
    unit = Unit(0, 0, layer.shape[1] // 2, layer.shape[2] // 2)
    with isolated(model):
        (found,) = unit_gradients(model, layer.name, layer.field, [image[0]], [unit], "guided")
    attribution = captum.attr.NeuronGuidedBackprop(rewritten, rewritten.get_submodule(layer.name))
    wanted = attribution.attribute(image.requires_grad_(), (unit.channel, unit.y, unit.x))[0].detach()
    height, width = found.gradient.shape[1:]
    box = (slice(None), slice(found.top, found.top + height), slice(found.left, found.left + width))
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found.gradient, wanted[box], rtol=1e-7, atol=1e-9 * scale)


def test_the_table_in_the_documents_is_up_to_date(name: str) -> None:
    """Run `python -m tests.oracle.zoo_table` to update it."""
    _, table, _ = parts(DOCUMENT.read_text("utf-8"))
    assert row(name) in table
