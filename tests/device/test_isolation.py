"""A user's network comes back from any device as it was: device, memory, values, modes, random numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.device.helpers import needs_cuda
from tests.networks import seeded
from torchlurk.models.isolation import isolated
from torchlurk.models.preserve import random_states, reproducible

pytestmark = pytest.mark.device


class Counting(nn.Module):
    """Counts its forwards in a buffer, keeps what it computed, and draws random numbers on its device."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.norm(self.conv(x))
        self.kept = x + torch.rand(x.shape, device=x.device)
        return self.kept


@pytest.mark.parametrize("failure", [None, KeyboardInterrupt, torch.OutOfMemoryError])
def test_a_network_on_the_cpu_comes_back(device: torch.device, failure: type[BaseException] | None) -> None:
    model = seeded(Counting).train()
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = {name: (tensor, tensor.data_ptr(), tensor.detach().clone()) for name, tensor in tensors.items()}
    states = random_states()
    try:
        with isolated(model, device):
            assert {tensor.device.type for tensor in model.state_dict().values()} == {device.type}
            assert not model.training
            model(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(device))
            if failure is not None:
                raise failure("stop")
    except (KeyboardInterrupt, torch.OutOfMemoryError):
        assert failure is not None
    assert random_states() == states
    assert model.training
    assert model.kept is None
    assert model.conv.weight.grad is not None
    assert model.conv.weight.requires_grad
    for name, tensor in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items():
        same, memory, values = before[name]
        assert tensor is same
        assert tensor.device.type == "cpu"
        assert tensor.data_ptr() == memory
        assert torch.equal(tensor, values)


def test_a_network_on_the_device_stays_there(device: torch.device) -> None:
    model = seeded(Counting).to(device)
    memory = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    for where in (None, device, torch.device("cpu")):
        with isolated(model, where):
            own = next(model.parameters()).device
            assert own.type == (device if where is None else where).type
            model(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(own))
        assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == memory
        assert model.calls.item() == 0


def test_forwards_that_draw_on_the_device_are_reproducible(device: torch.device) -> None:
    model = seeded(Counting).to(device)
    x = torch.zeros(1, 3, 8, 8, device=device)
    found = []
    for _ in range(2):
        with torch.no_grad(), reproducible(model):
            found.append(model(x))
    assert torch.equal(*found)


def test_random_numbers_of_cuda_are_part_of_the_states(device: torch.device) -> None:
    needs_cuda(device)
    before = random_states()
    torch.rand(3, device=device)
    assert random_states() != before
