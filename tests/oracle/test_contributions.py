"""Contributions: compared with the definition in plain autograd, with ablation, and with algebra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch import Tensor, nn

import torchlurk
from tests.generated.description import Network
from tests.generated.models import build
from tests.generated.networks import networks
from tests.networks import GRAPH_SIZE, GRAPHS, Branching, seeded
from tests.plain_circuits import bias_part, plain_contributions
from tests.zoo import ZOO, made
from torchlurk.circuits.contributions import Contributions, Units, strongest_units, unit_contributions
from torchlurk.circuits.cuts import find_cuts
from torchlurk.graph import Layer, prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner

EXACT, ROUNDED = 1e-12, 1e-5


def names_of(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def images(shape: Sequence[int], count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prepared(model: nn.Module, x: Tensor, names: Sequence[str] = ()) -> tuple[Runner, tuple[Layer, ...]]:
    runner, graph = prepare(model, tuple(x.shape[1:]), names or names_of(model), x)  # type: ignore[arg-type]
    return runner, graph.layers


def some(units: Units, count: int) -> Units:
    return units.part(torch.linspace(0, len(units) - 1, min(count, len(units))).long())


def listed(units: Units) -> list[tuple[int, int, int, int]]:
    return list(zip(*(values.tolist() for values in units.index), strict=True))


def by_layer(found: Contributions) -> dict[str, Tensor]:
    return dict(zip(found.upstream, found.values.split(found.channels, dim=1), strict=True))


def check_definition(
    model: nn.Module,
    x: Tensor,
    tolerance: float = EXACT,
    *,
    names: Sequence[str] = (),
    layers: int = 9,
    count: int = 5,
) -> None:
    """Compare with one backward pass for each unit, in which all layers are cut."""
    with isolated(model):
        runner, own = prepared(model, x, names)
        units = {name: some(u, count) for name, u in strongest_units(runner, own, x).items() if len(u)}
        chosen = list(units)[:: max(1, len(units) // layers)]
        cuts = find_cuts(runner, own, x)
        found = unit_contributions(runner, own, x, {name: units[name] for name in chosen})
        for name in chosen:
            for rows, batch, inside in batches(units[name], x, alone=runner.one_by_one):
                wanted, scores = plain_contributions(model, own, cuts.modules, batch, name, inside)
                torch.testing.assert_close(found[name].scores[rows], scores, rtol=tolerance, atol=tolerance)
                assert set(wanted) <= set(found[name].upstream), name
                for source, values in by_layer(found[name]).items():
                    close(values[rows], wanted.get(source, torch.zeros(1)), found[name], tolerance)


def batches(
    units: Units, x: Tensor, *, alone: bool
) -> Iterator[tuple[list[int], Tensor, list[tuple[int, int, int, int]]]]:
    """Yield the units of each image that runs alone, or all units: numbers, input, and units in it."""
    every = listed(units)
    for image in sorted({unit[0] for unit in every}) if alone else (None,):
        rows = [row for row, unit in enumerate(every) if image in (None, unit[0])]
        inside = [(every[row][0] if image is None else 0, *every[row][1:]) for row in rows]
        yield rows, x if image is None else x[image : image + 1], inside


def close(values: Tensor, wanted: Tensor, found: Contributions, tolerance: float) -> None:
    """Compare relative to the sum of magnitudes, since contributions cancel."""
    scale = max(float(found.values.abs().sum(1).max()), float(found.scores.abs().max()))
    torch.testing.assert_close(values, wanted.to(values).expand_as(values), rtol=0, atol=tolerance * scale)


def check_sums(model: nn.Module, x: Tensor, tolerance: float, *, layers: int = 9, count: int = 8) -> None:
    """Compare scores with the sum of contributions and a bias part that is found on its own."""
    with isolated(model):
        runner, own = prepared(model, x)
        units = {name: some(u, count) for name, u in strongest_units(runner, own, x).items()}
        chosen = list(units)[:: max(1, len(units) // layers)]
        cuts = find_cuts(runner, own, x)
        found = unit_contributions(runner, own, x, {name: units[name] for name in chosen}, cuts=cuts)
        for name in chosen:
            if found[name].upstream:
                bias = bias_part(model, own, cuts.modules, x, name)[units[name].index]
                close(found[name].values.sum(1) + bias, found[name].scores, found[name], tolerance)


@pytest.mark.parametrize("name", GRAPHS)
def test_contributions_of_small_networks_are_the_definition(name: str) -> None:
    check_definition(seeded(GRAPHS[name]).double(), images(GRAPH_SIZE))


CONTAINERS = {
    "residual": ("0", "2.0", "2", "3.0.branches.0.0", "4"),
    "inception": ("0", "1", "1.branches.1.0", "4"),
    "squeeze and excitation": ("0", "1.branches.1", "1", "2"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_contributions_to_and_of_containers_are_the_definition(name: str) -> None:
    check_definition(seeded(GRAPHS[name]).double(), images(GRAPH_SIZE), names=CONTAINERS[name])


def test_contributions_of_attention_are_the_definition() -> None:
    names = [f"encoder.layers.encoder_layer_{number}" for number in range(3)]
    model = made("vit_b_16")
    check_definition(model, images((3, 64, 64)), names=["conv_proj", *names, f"{names[2]}.mlp", "heads.head"])


DEFINED = ["resnet18", "densenet121", "efficientnet_b0", "vit_b_16", "reused and functional ReLUs"]
SUMS = ["googlenet", "mobilenet_v2", "shufflenet_v2_x0_5", "reused and functional ReLUs", "two inputs merged"]


@pytest.mark.parametrize("name", DEFINED)
def test_contributions_of_large_networks_are_the_definition(name: str) -> None:
    check_definition(made(name), images((3, ZOO[name].size, ZOO[name].size)), layers=4, count=3)


@pytest.mark.parametrize("name", SUMS)
def test_contributions_and_biases_sum_to_the_score(name: str) -> None:
    check_sums(made(name), images((3, ZOO[name].size, ZOO[name].size)), EXACT, layers=6)


@pytest.mark.parametrize("name", ["squeezenet1_1", "two inputs merged"])
def test_contributions_and_biases_sum_to_the_score_in_float32(name: str) -> None:
    check_sums(made(name).float(), images((3, ZOO[name].size, ZOO[name].size)).float(), ROUNDED, layers=6)


@settings(
    max_examples=25, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(networks())
def test_contributions_of_generated_networks_are_the_definition(network: Network) -> None:
    if network.used != "no":  # a network that has been trained may hold tensors in float32
        return
    model = build(network).double()
    check_definition(model, images((3, *network.size)), 1e-9, count=3)


def linear_between() -> nn.Sequential:
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.AvgPool2d(2), nn.Conv2d(5, 4, 3, padding=1, stride=2)
        )
    ).double()


def test_contributions_are_ablations_where_the_network_between_is_linear() -> None:
    model, x = linear_between(), images((3, 21, 17))
    with isolated(model):
        runner, layers = prepared(model, x)
        units = strongest_units(runner, layers, x)["3"]
        found = unit_contributions(runner, layers, x, {"3": units})["3"]
        for channel in range(5):

            def ablate(module: nn.Module, inputs: object, output: Tensor, channel: int = channel) -> Tensor:
                return output.index_fill(1, torch.tensor([channel]), 0.0)

            handle = model[1].register_forward_hook(ablate)
            without = model(x)[units.index]
            handle.remove()
            torch.testing.assert_close(
                found.scores - without, found.values[:, channel], rtol=EXACT, atol=EXACT
            )


def test_a_planted_circuit_is_found_with_its_weights() -> None:
    """A filter made by hand of three others; the maps of the others are as strong."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(12, 4, 3)
        )
    )
    planted = {2: 1.5, 7: -0.75, 11: 0.5}
    with torch.no_grad():
        model[0].bias.fill_(0.5)  # so that all maps are active
        model[3].weight[1] = 0
        for channel, weight in planted.items():
            model[3].weight[1, channel, 1, 2] = weight
    x = images((3, 20, 20), 1).float()
    found = torchlurk.contributions(model, x, "3:1")
    pooled = model[:3](x)[0].detach()
    assert found.unit.at is not None
    y, column = found.unit.at
    wanted = {
        channel: weight * float(pooled[channel, y + 1, column + 2]) for channel, weight in planted.items()
    }
    given = {one.channel: one.value for one in found.filters if one.value}
    assert given == pytest.approx(wanted, rel=1e-5)
    assert [one.channel for one in found.filters[:3]] == sorted(wanted, key=lambda c: -abs(wanted[c]))
    assert found.excitation == pytest.approx(sum(value for value in wanted.values() if value > 0), rel=1e-5)
    assert found.inhibition == pytest.approx(sum(value for value in wanted.values() if value < 0), rel=1e-5)
    assert found.rest == pytest.approx(model[3].bias[1].item(), abs=1e-5)


def test_permuted_channels_permute_the_contributions() -> None:
    model, x = seeded(Branching).double(), images((3, 24, 24))
    permuted = seeded(Branching).double()
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    with torch.no_grad():
        permuted.first.weight.copy_(model.first.weight[order])
        permuted.first.bias.copy_(model.first.bias[order])
        for name in ("narrow", "wide"):
            getattr(permuted, name).weight.copy_(getattr(model, name).weight[:, order])
    values = []
    for network in (model, permuted):
        with isolated(network):
            runner, layers = prepared(network, x)
            units = {"wide": strongest_units(runner, layers, x)["wide"]}
            values.append(unit_contributions(runner, layers, x, units)["wide"].values)
    torch.testing.assert_close(values[1], values[0][:, order], rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("filters", ["first", "wide"])
def test_a_zero_filter_contributes_nothing_and_is_made_of_nothing(filters: str) -> None:
    model, x = seeded(Branching).double(), images((3, 24, 24))
    with torch.no_grad():
        getattr(model, filters).weight[1] = 0
        getattr(model, filters).bias[1] = 0
    with isolated(model):
        runner, layers = prepared(model, x)
        found = unit_contributions(runner, layers, x, strongest_units(runner, layers, x))
    made_of = by_layer(found["wide"])["first"]
    assert bool(made_of.any())
    zero = made_of[:, 1] if filters == "first" else made_of.view(2, 5, 6)[:, 1]
    assert not bool(zero.any())
    if filters == "wide":
        assert not bool(by_layer(found["last"])["wide"][:, 1].any())
