"""A network with every kind of state that a call may disturb, and a snapshot of that state."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tests.networks import BRANCHING_LAYERS, Branching, seeded

SIZE = (3, 21, 26)


COUNTS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""The number of uses of each fuse; an attribute of the module would be restored after each call."""


class Fuse(nn.Module):
    """Raises `error` at use number `at`, or at every use if `at` is None."""

    def __init__(self) -> None:
        super().__init__()
        self.error: type[BaseException] | None = None
        self.at: int | None = None

    @property
    def calls(self) -> int:
        return COUNTS.get(self, 0)

    def use(self) -> None:
        COUNTS[self] = self.calls + 1
        if self.error and self.at in (None, self.calls):
            raise self.error("blown")

    def forward(self, x: Tensor) -> Tensor:
        self.use()
        return x


class Awkward(nn.Module):
    """A network with buffers, mixed training flags, frozen and shared parameters, and hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.body = Branching()
        self.fuse = Fuse()
        self.end = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 3))
        self.end[2].weight = self.end[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(self.fuse(self.norm(x))))


LAYERS = {f"body.{name}": channels for name, channels in BRANCHING_LAYERS.items()}


def awkward() -> Awkward:
    """Return the network, partly training, with a frozen and a strided parameter, a gradient and a hook."""
    model = seeded(Awkward)
    model.train()
    model.body.eval()
    model.body.pool.train()
    model.norm.running_mean += torch.tensor([0.1, 0.2, 0.3])
    model.body.first.weight.requires_grad_(False)
    model.body.wide.weight.grad = torch.ones_like(model.body.wide.weight)
    narrow = model.body.last.weight
    narrow.data = narrow.data.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    model.body.pool.register_forward_hook(lambda module, inputs, output: None)
    return model


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Return all accessible state of a network, and the global state of torch."""

    def memory(x: Tensor | None) -> object:
        if x is None:
            return None
        storage = (x.data_ptr(), x.untyped_storage().data_ptr(), x.stride(), x.storage_offset())
        return (id(x), storage, x.dtype, x.requires_grad, x.detach().clone().tolist())

    state: dict[str, Any] = {"modes": torch.overrides._get_current_function_mode_stack()}
    state["grad"], state["inference"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    state["global hooks"] = [
        list(value)
        for name, value in sorted(vars(torch.nn.modules.module).items())
        if name.startswith("_global_") and name.endswith("_hooks")
    ]
    for name, module in model.named_modules():
        own = vars(module)
        state[f"{name}: training"] = module.training
        state[f"{name}: hooks"] = {k: dict(v) for k, v in own.items() if "hooks" in k}
        state[f"{name}: attributes"] = sorted(own)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        state[f"{name}: parameter"] = memory(parameter)
        state[f"{name}: gradient"] = memory(parameter.grad)
        state[f"{name}: leaf"] = parameter.is_leaf
    for name, buffer in model.named_buffers():
        state[f"{name}: buffer"] = memory(buffer)
    return state
