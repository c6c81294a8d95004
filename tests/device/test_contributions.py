"""Contributions on any device, compared with those of the CPU in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.device.helpers import check_close
from tests.networks import Branching, seeded, two_convolutions
from torchlurk.circuits.contributions import Contributions, Units, strongest_units, unit_contributions
from torchlurk.circuits.kernels import network_kernels
from torchlurk.graph import prepare
from torchlurk.models.isolation import isolated
from torchlurk.runtime.tensorfloat32 import without_tensorfloat32

pytestmark = pytest.mark.device

CPU = torch.device("cpu")


def computed(model: nn.Module, x: Tensor, units: dict[str, Units] | None) -> dict[str, Contributions]:
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with isolated(model), without_tensorfloat32():
        runner, graph = prepare(model, (3, 30, 34), names, x)
        units = units or strongest_units(runner, graph.layers, x)
        return unit_contributions(runner, graph.layers, x, units)


@pytest.mark.parametrize("make", [lambda: seeded(Branching), two_convolutions])
def test_contributions_are_those_of_the_cpu(make: type[nn.Module], device: torch.device) -> None:
    x = torch.rand(3, 3, 30, 34, generator=torch.Generator().manual_seed(0))
    model = make()
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with isolated(model):
        runner, graph = prepare(model, (3, 30, 34), names, x)
        units = strongest_units(runner, graph.layers, x)
    wanted = computed(make().double(), x.double(), units)
    found = computed(make().to(device), x.to(device), units)
    for name, one in found.items():
        assert one.upstream == wanted[name].upstream
        check_close(one.scores, wanted[name].scores, device)
        if one.upstream:
            check_close(one.values, wanted[name].values, device)


def test_units_and_kernels_are_those_of_the_cpu(device: torch.device) -> None:
    x = torch.rand(2, 3, 30, 34, generator=torch.Generator().manual_seed(0))
    found = {}
    for where in (CPU, device):
        model = two_convolutions().to(where)
        with isolated(model), without_tensorfloat32():
            runner, graph = prepare(model, (3, 30, 34), ("kind:Conv2d",), x.to(where))
            units = strongest_units(runner, graph.layers, x.to(where))
            (kernel,) = network_kernels(runner, graph.layers, ["3"], x[:1].to(where))["3"].kernels
            assert kernel is not None
            found[where.type] = (units, kernel)
    for name, own in found[device.type][0].items():
        assert [v.tolist() for v in own.index] == [v.tolist() for v in found["cpu"][0][name].index]
    check_close(found[device.type][1], found["cpu"][1], device)
