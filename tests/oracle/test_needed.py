"""Gradients from the needed parts of convolutions, compared with plain autograd on whole images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import GRAPH_SIZE as SIZE
from tests.networks import GRAPHS, Call, Together, add, conv, half_and_half, inception, residual, seeded
from torchlurk import graph
from torchlurk.attribution import needed
from torchlurk.attribution.convolution import Convolution, convolve_part
from torchlurk.attribution.gradients import map_gradients, place_in_input, unit_gradients, unit_scores
from torchlurk.attribution.needed import NeededConvolutions, needed_by
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.graph import Layer
from torchlurk.graph.receptive_field import Field
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import ForwardError, MemoryFormat, Runner, activation


@dataclass(frozen=True)
class Part:
    """The rows and columns of a convolution's output that were computed, and their share of it."""

    rows: int
    columns: int
    share: float


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Narrow the convolutions of small networks, and record their parts."""
    found: list[Part] = []

    def recording(call: Convolution, rows: range, columns: range, *, bfloat16: bool) -> Tensor:
        height, width = call.output_size
        found.append(Part(len(rows), len(columns), len(rows) * len(columns) / (height * width)))
        return convolve_part(call, rows, columns, bfloat16=bfloat16)

    monkeypatch.setattr(needed, "_MIN_PIXELS", 0)
    monkeypatch.setattr(needed, "_MIN_SAVED", 1)
    monkeypatch.setattr(needed, "_MIN_SHARE_SAVED", 0.0)
    monkeypatch.setattr(needed, "convolve_part", recording)
    return found


def vgg() -> nn.Module:
    return nn.Sequential(
        conv(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        conv(4, 5, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        conv(5, 6, 3, padding=1), nn.ReLU(inplace=True), conv(6, 7, 3, padding=1),
    )  # fmt: skip


def functional() -> nn.Module:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
            self.last = conv(4, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(input=x, weight=self.weight, padding=(1, 2), stride=2)
            x = F.avg_pool2d(F.relu(x), 2)
            return self.last(F.relu(torch.conv2d(x, self.weight[:, :1].repeat(1, 4, 1, 1))))

    return Functional()


def twice() -> nn.Module:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.last = conv(3, 4, 3), conv(4, 4, 3, padding=1), conv(4, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).relu_()
            x = x + self.again(self.again(x).relu())
            return self.last(x)

    return Twice()


def divided() -> nn.Module:
    """Divides by what is zero where nothing is computed."""
    return nn.Sequential(
        conv(3, 4, 3, padding=1, bias=False), Call(lambda x: x * x / x.abs().sqrt()),
        conv(4, 4, 3, padding=1), nn.ReLU(), conv(4, 2, 3, padding=1),
    )  # fmt: skip


def split() -> nn.Module:
    """Splits and shuffles channels, pads by a function and has a depthwise convolution."""

    def halves(x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        return torch.cat([right, F.relu(left)], 1)

    return nn.Sequential(
        conv(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), Call(halves), conv(6, 6, 3, padding=1, groups=6),
        nn.ZeroPad2d(1), conv(6, 4, 3, dilation=2), nn.ReLU6(), conv(4, 3, 2),
    )  # fmt: skip


def squeezed() -> nn.Module:
    """A branch that sees the whole map."""

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gate, self.last = conv(3, 4, 3), conv(4, 4, 1), conv(4, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).relu()
            gate = self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
            return self.last(x) * gate[:, :3]

    return Squeezed()


def transposed() -> nn.Module:
    return nn.Sequential(
        conv(3, 4, 3, 2), nn.ReLU(), nn.ConvTranspose2d(4, 4, 3, 2), nn.ReLU(), conv(4, 2, 3)
    )


def padded(mode: str) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        conv(3, 4, 3, padding=1, padding_mode=mode), nn.ReLU(), conv(4, 4, 3, padding=1), nn.ReLU(),
        conv(4, 3, 5, 2, padding=2, padding_mode=mode),
    )  # fmt: skip


# A network, the layer of the units, and whether something of the convolutions is left out.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, bool]] = {
    "vgg": (vgg, "8", True),
    "functional": (functional, "last", True),
    "module called twice": (twice, "last", True),
    "residual": (lambda: nn.Sequential(conv(3, 4, 3), residual(4), residual(4, 2), conv(4, 3, 3)), "3", True),
    "inception": (lambda: nn.Sequential(conv(3, 6, 3), inception(6), nn.ReLU(), conv(7, 3, 3)), "3", True),
    "divided": (divided, "4", True),
    "split": (split, "8", True),
    "squeezed": (squeezed, "last", False),
    "transposed": (transposed, "4", False),
    "even kernels": (
        lambda: nn.Sequential(conv(3, 4, 4, 2, 1), nn.ReLU(), conv(4, 4, 2), nn.ReLU(), conv(4, 3, (2, 4))),
        "4",
        True,
    ),
    **{f"padding {mode}": (padded(mode), "4", False) for mode in ("reflect", "replicate", "circular")},
    "padding zeros": (padded("zeros"), "4", True),
}


def prepared(make: Callable[[], nn.Module], layer: str) -> tuple[nn.Module, Layer]:
    model = seeded(make).double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.fill_(0.1)
    return model, graph.trace(model, SIZE, lambda name, _: name == layer).layer(layer)


def images() -> list[Tensor]:
    draw = torch.Generator().manual_seed(7)
    return list(torch.randn(2, *SIZE, generator=draw, dtype=torch.float64))


def some_units(layer: Layer) -> list[Unit]:
    count, height, width = layer.shape
    rows = sorted({0, min(1, height - 1), height // 2, height - 1})
    columns = sorted({0, width // 2, max(0, width - 2), width - 1})
    return [Unit((y + x) % 2, (y + 2 * x) % count, y, x) for y in rows for x in columns]


def plain_gradient(model: nn.Module, layer: str, image: Tensor, target: Callable[[Tensor], Tensor]) -> Tensor:
    x = image[None].clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(target(activation(model, layer, x)[0]), x)[0][0]


def check_network(model: nn.Module, layer: Layer, memory_format: MemoryFormat = "contiguous") -> None:
    """Compare the gradients and scores of units, and the gradients of maps, with plain autograd."""
    pictures, units = images(), some_units(layer)
    with isolated(model):
        runner = Runner(model, memory_format)
        results = list(unit_gradients(runner, layer.name, layer.field, pictures, units, "vanilla"))
        scores = unit_scores(runner, layer.name, layer.field, pictures, units)
        means = list(map_gradients(runner, layer.name, pictures[0], [0, 1], "vanilla"))
        assert sorted(result.index for result in results) == list(range(len(units)))
        with torch.no_grad():
            maps = torch.cat([activation(model, layer.name, picture[None]) for picture in pictures])
        for result in results:
            unit = units[result.index]
            expected = plain_gradient(
                model, layer.name, pictures[unit.image], lambda m, u=unit: m[u.channel, u.y, u.x]
            )
            found = place_in_input(result, SIZE[1:])
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
            score = float(maps[unit.image, unit.channel, unit.y, unit.x])
            assert (result.score.item(), scores[result.index]) == pytest.approx(
                (score, score), rel=1e-9, abs=1e-12
            )
        for channel, mean in enumerate(means):
            expected = plain_gradient(model, layer.name, pictures[0], lambda m, c=channel: m[c].mean())
            torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_scores_are_those_of_plain_autograd(
    name: str, memory_format: MemoryFormat, parts: list[Part]
) -> None:
    make, layer_name, narrowed = NETWORKS[name]
    check_network(*prepared(make, layer_name), memory_format)
    assert (min((part.share for part in parts), default=1.0) < 0.5) == narrowed


@pytest.mark.parametrize("name", GRAPHS)
def test_the_last_convolution_of_networks_with_unusual_operations(name: str) -> None:
    convolutions = [n for n, m in seeded(GRAPHS[name]).named_modules() if isinstance(m, nn.Conv2d)]
    check_network(*prepared(GRAPHS[name], convolutions[-1]))


def test_a_unit_needs_a_cone(parts: list[Part]) -> None:
    model, layer = prepared(vgg, "8")
    with isolated(model):
        list(unit_gradients(model, "8", layer.field, images(), [Unit(0, 0, 4, 6)], "deconv"))
    # By hand: 3 x 3 more for each convolution, twice as many for each pooling.
    assert [(part.rows, part.columns) for part in parts] == [(24, 24), (10, 10), (3, 3), (1, 1)]


def test_a_cone_ends_at_the_border_of_the_image(parts: list[Part]) -> None:
    model, layer = prepared(vgg, "8")
    with isolated(model):
        unit_scores(model, "8", layer.field, images(), [Unit(0, 0, 0, 12)])
    # Rows: 0 of the last map, 0 to 1, 0 to 5, 0 to 13. Columns: 12 of 13, 11 to 12, 20 to 25 of 26, 38 to 52
    # of 53; the last one lies in the window of a position that the pooling does not have.
    assert [(part.rows, part.columns) for part in parts] == [(14, 15), (6, 6), (2, 2), (1, 1)]


def test_zeros_that_are_divided_by_do_not_reach_a_gradient(parts: list[Part]) -> None:
    """Where nothing was computed, the quotient is not a number, nor is the dividend's gradient."""

    class Quotient(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = conv(3, 1, 5, padding=2, bias=False), conv(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x[:, :1] / self.first(x))

    check_network(*prepared(Quotient, "last"))
    assert min(part.share for part in parts) < 0.5


def test_the_forward_of_a_custom_function_is_computed_as_a_whole(parts: list[Part]) -> None:
    """It records no gradients, and its backward may need every number."""
    layer = conv(3, 2, 3, padding=1).requires_grad_(False)
    x = torch.rand(1, *SIZE).requires_grad_()
    with NeededConvolutions(needed_by(x, seen_by_first(layer), [((8, 9), (0, 0))])):
        assert layer(x).count_nonzero() == 2
        with torch.no_grad():
            assert layer(x).count_nonzero() > 1000
    assert [(part.rows, part.columns) for part in parts] == [(1, 1)]


def seen_by_first(layer: nn.Conv2d) -> Field:
    return graph.trace(nn.Sequential(layer), SIZE, lambda name, _: name == "0").layer("0").field


def test_errors_of_torch_in_the_network_are_those_of_its_forward() -> None:
    def fail(x: Tensor) -> Tensor:
        return x.view(7, 11, 13, 17)

    model = nn.Sequential(conv(3, 2, 3), conv(2, 2, 3))
    layer = graph.trace(model, SIZE, lambda name, _: name == "1").layer("1")
    broken = nn.Sequential(model[0], Call(fail))
    with pytest.raises(ForwardError, match="RuntimeError"):
        list(unit_gradients(broken, "1", layer.field, [torch.rand(SIZE)], [Unit(0, 0, 3, 3)], "deconv"))


@pytest.mark.parametrize("rule", RELU_RULES)
def test_bfloat16_changes_neither_scores_nor_the_look_of_gradients(rule: ReluRule) -> None:
    model = seeded(vgg)
    layer = graph.trace(model, SIZE, lambda name, _: name == "8").layer("8")
    pictures, units = [image.float() for image in images()], some_units(layer)
    with isolated(model):
        exact, rounded = (
            {r.index: r for r in unit_gradients(model, "8", layer.field, pictures, units, rule, bfloat16=b)}
            for b in (False, True)
        )
        means = [
            list(map_gradients(model, "8", pictures[0], [0, 3], rule, bfloat16=b)) for b in (False, True)
        ]
    pairs = [(exact[i].gradient, rounded[i].gradient) for i in exact] + list(zip(*means, strict=True))
    assert [exact[i].score for i in exact] == [rounded[i].score for i in exact]
    assert any(not torch.equal(*pair) for pair in pairs)
    for a, b in pairs:
        # Four convolutions, each with three roundings of at most 2^-9.
        assert float((a - b).norm()) <= 4 * 3 * 2**-9 * float(a.norm())


@st.composite
def layers(draw: st.DrawFn, channels: int) -> tuple[Callable[[], nn.Module], int]:
    """Draw a layer, and the number of its output channels."""
    out, kernel = draw(st.integers(1, 5)), draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    stride, padding = draw(st.tuples(st.integers(1, 2), st.integers(1, 3))), draw(st.integers(0, 2))
    dilation, ceil = draw(st.integers(1, 2)), draw(st.booleans())
    same = conv(channels, channels, 3, padding=1)
    choices: list[tuple[Callable[[], nn.Module], int]] = [
        (lambda: conv(channels, out, kernel, stride, padding, dilation=dilation), out),
        (lambda: conv(channels, channels, kernel, padding=padding, groups=channels), channels),
        (lambda: nn.Sequential(conv(channels, out, 1, stride), nn.ReLU(inplace=ceil)), out),
        (lambda: nn.MaxPool2d(3, 2, padding % 2, ceil_mode=ceil), channels),
        (lambda: nn.AvgPool2d(2, stride, ceil_mode=ceil), channels),
        (lambda: residual(channels, 1 + ceil), channels),
        (lambda: inception(channels), 7),
        (lambda: Together(add, nn.ZeroPad2d(1), conv(channels, channels, 1, padding=1)), channels),
        (lambda: nn.Sequential(same, Call(half_and_half)) if channels % 2 == 0 else same, channels),
    ]
    return draw(st.sampled_from(choices))


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    made, channels = [], 3
    for _ in range(draw(st.integers(1, 6))):
        make, channels = draw(layers(channels))
        made.append(make())
    return nn.Sequential(*made, conv(channels, 2, draw(st.integers(1, 2))))


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(networks())
def test_random_networks(model: nn.Sequential) -> None:
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *SIZE))
    except RuntimeError:  # a map became smaller than the kernel
        return
    check_network(*prepared(lambda: model, str(len(model) - 1)))
