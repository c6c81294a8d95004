"""Networks of all kinds against what they do themselves: every claim of a scan, checked by running them."""

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
from torchlurk.attribution.gradients import Unit, unit_gradients, unit_scores
from torchlurk.graph import Graph, Layer, select
from torchlurk.models.hooks import as_map
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
def listening(
    model: nn.Module, names: set[str], heard: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """Give the first output of each module to `heard`, which may return another to go on with."""
    done: set[str] = set()

    def listen(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
            if name in done:
                return None
            done.add(name)
            return heard(name, output)

        return hook

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(listen(name)) for name in names]
    yield
    for handle in handles:
        handle.remove()


@cache
def outputs(name: str) -> dict[str, Tensor]:
    """What each layer gives for the photographs, kept whole, image by image."""
    model = made(name)
    modules = dict(model.named_modules())
    kept: dict[str, list[Tensor]] = {}

    def keep(layer: str, output: Tensor) -> None:
        kept.setdefault(layer, []).append(as_map(modules[layer], output).clone())

    for image in photographs(name):
        with torch.no_grad(), listening(model, {layer.name for layer in traced(name).layers}, keep):
            model(image[None])
    return {layer: torch.cat(maps) for layer, maps in kept.items()}


def some(layers: tuple[Layer, ...], count: int = 6) -> list[Layer]:
    """A few layers from first to last."""
    step = max(1, len(layers) // count)
    chosen = [*layers[::step], layers[-1]]
    return list({layer.name: layer for layer in chosen}.values())


def test_the_layers_are_those_that_run_in_their_order(name: str) -> None:
    found = traced(name)
    assert [layer.name for layer in found.layers] == list(outputs(name))
    for layer in found.layers:
        assert layer.shape == outputs(name)[layer.name].shape[1:]


def test_the_scan_is_what_a_sort_of_all_activations_says(name: str) -> None:
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
            # The image in each place has that score; ranks may differ where scores are equal to rounding.
            torch.testing.assert_close(scores.gather(0, kept.images.T), wanted, **same)
        at_place = maps[lists.max.images.T, torch.arange(layer.shape[0]), lists.max.positions.T]
        torch.testing.assert_close(at_place, lists.max.scores.T, rtol=1e-5, atol=1e-6, check_dtype=False)
    # The network is as it was: values, modes, hooks.
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def winners(layer: Layer, maps: Tensor, count: int = 4) -> list[Unit]:
    """The places of the maxima of some filters."""
    units = []
    for number in range(min(count, layer.shape[0])):
        channel = number * (layer.shape[0] // min(count, layer.shape[0]))
        image = number % len(maps)
        y, x = divmod(int(maps[image, channel].argmax()), layer.shape[2])
        units.append(Unit(image, channel, y, x))
    return units


def test_each_crop_gives_its_score_again(name: str) -> None:
    model = made(name)
    with isolated(model):
        for layer in some(traced(name).layers):
            maps = outputs(name)[layer.name]
            units = winners(layer, maps)
            found = unit_scores(model, layer.name, layer.field, list(photographs(name)), units)
            wanted = [float(maps[u.image, u.channel, u.y, u.x]) for u in units]
            assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5 * float(maps.abs().max())), layer.name


def test_a_field_holds_the_support_of_the_gradient(name: str) -> None:
    model, came_back = made(name), 0
    for layer in some(traced(name).layers):
        images = photographs(name)[:2].requires_grad_()
        kept: dict[str, Tensor] = {}
        with listening(model, {layer.name}, kept.__setitem__):  # type: ignore[arg-type]
            model(images)
        maps = as_map(dict(model.named_modules())[layer.name], kept[layer.name])
        for unit in winners(layer, outputs(name)[layer.name][:2], 2):
            (gradient,) = torch.autograd.grad(
                maps[unit.image, unit.channel, unit.y, unit.x], images, retain_graph=True
            )
            left, top, right, bottom = layer.field.box(unit.y, unit.x)
            inside = gradient[unit.image, :, top:bottom, left:right]
            assert gradient.count_nonzero() == inside.count_nonzero(), layer.name
            came_back += int(inside.count_nonzero())
    assert came_back


WHOLE_BY_ATTENTION = {"vit_b_16"}


def test_a_field_is_no_larger_than_positive_weights_say(name: str) -> None:
    found, size = traced(name), ZOO[name].size
    layers = [
        layer for layer in some(found.layers) if name not in WHOLE_BY_ATTENTION or layer.kind == "Conv2d"
    ]
    places = {
        layer.name: [
            (0, 0),
            (layer.shape[1] // 2, layer.shape[2] // 3),
            (layer.shape[1] - 1, layer.shape[2] - 1),
        ]
        for layer in layers
    }
    fields = {layer.name: layer.field for layer in layers}
    for layer, (y, x), seen in supports(made(name), (3, size, size), places):
        assert fields[layer].box(y, x) == seen, layer


def test_the_edges_are_the_flow_of_the_data(name: str) -> None:
    """Disturb a layer, hold all others at what they gave: those that would change follow it directly."""
    model, found = made(name), traced(name)
    names = [layer.name for layer in found.layers]
    image = photographs(name)[:1]
    clean: dict[str, Tensor] = {}

    def keep(layer: str, output: Tensor) -> None:
        clean[layer] = output.clone()

    with torch.no_grad(), listening(model, set(names), keep):
        model(image)
    edges: set[tuple[str, str]] = set()
    draw = torch.Generator().manual_seed(3)
    for source in sources(names):

        def disturb(layer: str, output: Tensor, source: str = source) -> Tensor:
            if layer == source:
                noise = torch.randn(output.shape, generator=draw, dtype=output.dtype) * (
                    clean[layer].std() + 1
                )
                return output + noise
            if not torch.equal(output, clean[layer]):
                edges.add((source, layer))
            return clean[layer].clone()

        with torch.no_grad(), listening(model, set(names), disturb):
            model(image)
    chosen = set(sources(names))
    claimed = {edge for edge in found.edges if edge[0] in chosen}
    if name in BY_CHANNELS:
        assert edges < claimed
    else:
        assert edges == claimed


BY_CHANNELS = {"shufflenet_v2_x0_5"}
"""Edges are of tensors; here some channels are parted and shuffled, so that none of a tensor's come far."""


def sources(names: list[str]) -> list[str]:
    """The layers that are disturbed: all of a small network, every few of a large one."""
    return names[:: max(1, len(names) // 25)]


RECTIFIED = {
    "alexnet", "vgg11", "vgg16_bn", "resnet18", "resnet50", "densenet121", "googlenet", "inception_v3",
    "squeezenet1_1", "shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5",
    "reused and functional ReLUs", "two inputs merged",
}  # fmt: skip


def test_nothing_passes_a_rectifier_that_the_rule_holds_back(name: str) -> None:
    """What the rules let back, against a rewrite in which each call of a ReLU is a module of its own."""
    if name not in RECTIFIED:
        # No ReLU, or none that a rewrite reaches: there is nothing to compare, and that is checked.
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


def test_the_document_says_what_was_found(name: str) -> None:
    """`python -m tests.oracle.zoo_table` writes the table anew."""
    _, table, _ = parts(DOCUMENT.read_text("utf-8"))
    assert row(name) in table
