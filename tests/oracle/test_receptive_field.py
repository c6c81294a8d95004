"""Receptive fields, compared with the support of the input's gradient.

The oracle is the same network with positive weights, sums in place of maxima and no nonlinearity, on an input
of ones: no two paths cancel, so a unit's gradient is positive exactly at the pixels that it sees.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tests.networks import GRAPH_SIZE, GRAPHS, conv, inception, residual, seeded
from torchlurk import graph
from torchlurk.errors import LurkError
from torchlurk.graph import Layer, tracing
from torchlurk.models.hooks import as_feature_map

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

IDENTITIES: set[Any] = {
    F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.batch_norm,
    F.dropout, F.sigmoid, torch.sigmoid, F.local_response_norm, F.gelu, F.layer_norm, F.group_norm, F.silu,
    F.hardswish, F.hardsigmoid,
}  # fmt: skip
PRODUCTS: set[Any] = {torch.mul, Tensor.mul, Tensor.mul_}
POOLINGS: set[Any] = {F.max_pool2d, torch.max_pool2d}


class Linearised(TorchFunctionMode):
    """Replaces nonlinear functions by the identity, and maxima by sums."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in IDENTITIES:
            return args[0].clone()
        if func in POOLINGS:
            length = func(*args, **given).shape[2:]
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            return window_sums(args[0], length, **(dict(zip(names, args[1:], strict=False)) | given))
        if func in PRODUCTS and all(isinstance(x, Tensor) and x.requires_grad for x in args[:2]):
            return args[0] + args[1]  # where a factor is nearly zero, the other's gradient would be lost
        if func is F.adaptive_max_pool2d:
            return F.adaptive_avg_pool2d(*args[:2])
        return func(*args, **given)


def window_sums(
    x: Tensor, length: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any, **_: Any
) -> Tensor:
    """Return the sums of a pooling's windows, `length` in number; the last may extend over the end."""
    kernel, step, before, gap = (
        value if isinstance(value, tuple) else (value, value)
        for value in (kernel_size, stride or kernel_size, padding, dilation)
    )
    channels = x.shape[1]
    after = [step[i] * length[i] + gap[i] * kernel[i] for i in (0, 1)]
    x = F.pad(x, (before[1], after[1], before[0], after[0]))
    ones = x.new_full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
    return F.conv2d(x, ones, None, step, 0, gap, channels)[:, :, : length[0], : length[1]]


@contextmanager
def keep_outputs(model: nn.Module, kept: dict[str, Tensor]) -> Iterator[None]:
    """Keep a copy of the first output of each module."""

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            if name not in kept and isinstance(output, Tensor):
                kept[name] = as_feature_map(module, output.clone())

        return hook

    handles = [m.register_forward_hook(listen(name)) for name, m in model.named_modules()]
    yield
    for handle in handles:
        handle.remove()


def positive(model: nn.Module) -> nn.Module:
    """Return a copy of the network in float64, all of whose weights average."""
    model = copy.deepcopy(model).double()
    for parameter in model.parameters():
        share = 1 / max(1, parameter[0].numel()) if parameter.dim() > 1 else 1.0
        parameter.data.fill_(share)
        parameter.requires_grad_(False)
    return model


Unit = tuple[int, int]
Box = tuple[int, int, int, int]


def supports(
    model: nn.Module, shape: tuple[int, int, int], units: Mapping[str, list[Unit]]
) -> Iterator[tuple[str, Unit, Box | None]]:
    """Yield the hull `(left, top, right, bottom)` of what each unit sees; `None` for nothing."""
    most = max(len(own) for own in units.values())
    x = torch.ones(most, *shape, dtype=torch.float64, requires_grad=True)
    kept: dict[str, Tensor] = {}
    model = positive(model)
    with keep_outputs(model, kept), Linearised():
        model(x)
    for name, own in units.items():
        summed = kept[name].sum(1)
        score = sum(summed[index, y, x] for index, (y, x) in enumerate(own))
        (gradient,) = torch.autograd.grad(score, x, retain_graph=True)
        for index, unit in enumerate(own):
            assert gradient[index].min() >= 0
            seen = gradient[index].sum(0) > 0
            rows, columns = (seen.any(i).nonzero().flatten().tolist() for i in (1, 0))
            box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if rows else None
            yield name, unit, box


def leaves(_: str, module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def convolutions(_: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def some_units(layer: Layer) -> list[Unit]:
    """Return units at corners, at borders and inside."""
    height, width = layer.shape[1:]
    places = [
        (0, 0),
        (height - 1, width - 1),
        (0, width - 1),
        (height - 1, 0),
        (height // 2, width // 2),
        (0, width // 3),
        (height // 3, 0),
        (min(1, height - 1), max(0, width - 2)),
        (2 * height // 3, width // 4),
    ]
    return list(dict.fromkeys(places))


def check_exact(model: nn.Module, shape: tuple[int, int, int], layers: list[Layer], count: int = 99) -> None:
    by_name = {layer.name: layer for layer in layers}
    units = {layer.name: some_units(layer)[:count] for layer in layers}
    for name, (y, x), seen in supports(model, shape, units):
        left, top, right, bottom = by_name[name].field.box(y, x)
        if seen is None:
            assert left >= right or top >= bottom, (name, y, x)
        else:
            assert (left, top, right, bottom) == seen, (name, y, x)


@cache
def built(name: str) -> tuple[nn.Sequential, tuple[Layer, ...]]:
    model = seeded(GRAPHS[name])
    return model, graph.trace(model, GRAPH_SIZE, leaves).layers


# The oracle's normalisations are the identity, while the real ones compute statistics of the map. A field
# cannot express a map whose rows are the image's columns.
DECLARED_WHOLE = {"measured batch norm", "group norm", "flipped map"}


@pytest.mark.parametrize("name", GRAPHS)
def test_fields_are_the_support_of_the_gradient(name: str) -> None:
    model, layers = built(name)
    if name in DECLARED_WHOLE:
        (last,) = (layer for layer in layers if layer.name == "2")
        assert {last.field.box(*unit) for unit in some_units(last)} == {(0, 0, 53, 37)}
        return
    check_exact(model, GRAPH_SIZE, list(layers))


small = st.integers(1, 3)


@st.composite
def windows(draw: st.DrawFn) -> nn.Module:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride, gap = (draw(small), draw(small)), (draw(small), draw(small))
    kind = draw(st.sampled_from(["conv", "conv", "max", "average"]))
    if kind == "conv":
        padding = (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
        return nn.Conv2d(2, 2, kernel, stride, padding, gap)
    half = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    ceil = draw(st.booleans())
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, half, gap, ceil_mode=ceil)
    return nn.AvgPool2d(kernel, stride, half, ceil, draw(st.booleans()))


chains = st.lists(windows(), min_size=1, max_size=4)
sides = st.integers(5, 41)


@settings(max_examples=120)
@given(chains, sides, sides)
def test_chains_of_windows(modules: list[nn.Module], height: int, width: int) -> None:
    model = nn.Sequential(*modules).eval()
    try:
        layers = graph.trace(model, (2, height, width), leaves).layers
    except LurkError:
        assume(False)
    check_exact(model, (2, height, width), list(layers))


VGG = [("0", 3, 1), ("2", 5, 1), ("5", 10, 2), ("7", 14, 2), ("14", 40, 4), ("21", 92, 8), ("28", 196, 16)]


def test_vgg16_has_its_known_sizes() -> None:
    model = torchvision.models.vgg16(weights=None, init_weights=False).features.eval()
    found = graph.trace(model, (3, 64, 48), convolutions)
    assert len(found.layers) == 13
    for name, size, stride in VGG:
        for axis in (found.layer(name).field.rows, found.layer(name).field.columns):
            assert axis.rule is not None
            assert (axis.rule.size, axis.rule.stride) == (size, stride)


def googlenet() -> nn.Module:
    # Loading trained weights sets `transform_input`.
    return torchvision.models.googlenet(
        weights=None, init_weights=False, aux_logits=False, transform_input=True
    )


def inception_v3() -> nn.Module:
    return torchvision.models.inception_v3(
        weights=None, init_weights=False, aux_logits=False, transform_input=True
    )


TORCHVISION: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "vgg16": (
        lambda: torchvision.models.vgg16(weights=None, init_weights=False).features,
        (3, 75, 93),
    ),
    "resnet18": (lambda: torchvision.models.resnet18(weights=None), (3, 75, 93)),
    "densenet121": (lambda: torchvision.models.densenet121(weights=None), (3, 75, 93)),
    "googlenet": (googlenet, (3, 75, 93)),
    "inception_v3": (inception_v3, (3, 91, 107)),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(weights=None), (3, 75, 93)),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(weights=None), (3, 75, 93)),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_fields_of_torchvision_networks(name: str) -> None:
    make, shape = TORCHVISION[name]
    model = seeded(make)
    layers = graph.trace(model, shape, convolutions).layers
    assert len(layers) == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    step = max(1, len(layers) // 6)
    check_exact(model, shape, [*layers[::step], layers[-1]], 3)


def test_edges_join_layers_without_a_third_between_them() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 4, 1), residual(4), residual(4, 2), inception(4)))
    found = graph.trace(model, GRAPH_SIZE, convolutions)
    first, second = "1.0.branches.0.", "2.0.branches."
    names = ["0", f"{first}0", f"{first}3", f"{second}0.0", f"{second}0.3", f"{second}1"]
    names += [f"3.branches.{branch}" for branch in ("0", "1.0", "1.2", "2", "3.1")]
    assert [layer.name for layer in found.layers] == names
    sums = {f"{second}0.3", f"{second}1"}
    assert set(found.edges) == {
        ("0", f"{first}0"),
        (f"{first}0", f"{first}3"),
        *((source, to) for source in ("0", f"{first}3") for to in (f"{second}0.0", f"{second}1")),
        (f"{second}0.0", f"{second}0.3"),
        *((source, f"3.branches.{to}") for source in sums for to in ("0", "1.0", "2", "3.1")),
        ("3.branches.1.0", "3.branches.1.2"),
    }
    assert len(found.edges) == len(set(found.edges))
    assert found.layer(f"{second}1").shape == (4, 19, 27)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_recorded_forward_gives_the_same_graph_as_the_symbolic_trace(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields and edges agree; but a recorded graph is never cut, since a cut may take another path."""
    model, layers = built(name)
    edges = graph.trace(model, GRAPH_SIZE, leaves).edges

    def refuse(self: object, root: object) -> None:
        raise TypeError("not traceable")

    monkeypatch.setattr(tracing._Tracer, "trace", refuse)
    found = graph.trace(model, GRAPH_SIZE, leaves)
    assert found.recorded
    assert set(found.edges) == set(edges)
    assert [layer.name for layer in found.layers] == [layer.name for layer in layers]
    for one, other in zip(found.layers, layers, strict=True):
        assert one.shape == other.shape
        for unit in some_units(one):
            assert one.field.box(*unit) == other.field.box(*unit)
        assert one.field.needs_whole_input


def test_an_input_that_does_not_pass_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        LurkError, match=r"^an input of 5 x 53 px does not pass .* one of 28 x 28 px does; give size=28,"
    ):
        graph.trace(GRAPHS["ceil mode"](), (3, 5, 53), leaves)

    assert capsys.readouterr() == ("", "")
