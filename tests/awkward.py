"""A network on which everything shows that disturbs it, and what it is like at a moment."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tests.networks import BRANCHING_LAYERS, Branching, seeded

SIZE = (3, 21, 26)


COUNTS: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How often each fuse was used: no attribute of it, which would be restored after each call."""


class Fuse(nn.Module):
    """Blows when it is told to: at its n-th use, or at each."""

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
    """All that may be disturbed: buffers, mixed flags, frozen and shared parameters, own hooks."""

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
    """It trains, but for a part of it; has a frozen parameter, an odd layout, a gradient and a hook."""
    made = seeded(Awkward)
    made.train()
    made.body.eval()
    made.body.pool.train()
    made.norm.running_mean += torch.tensor([0.1, 0.2, 0.3])
    made.body.first.weight.requires_grad_(False)
    made.body.wide.weight.grad = torch.ones_like(made.body.wide.weight)
    narrow = made.body.last.weight
    narrow.data = narrow.data.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    made.body.pool.register_forward_hook(lambda module, inputs, output: None)
    return made


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All of a network's state that one can get hold of, and torch's own."""

    def memory(x: Tensor | None) -> object:
        if x is None:
            return None
        place = (x.data_ptr(), x.untyped_storage().data_ptr(), x.stride(), x.storage_offset())
        return (id(x), place, x.dtype, x.requires_grad, x.detach().clone().tolist())

    found: dict[str, Any] = {"modes": torch.overrides._get_current_function_mode_stack()}
    found["grad"], found["inference"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    found["global hooks"] = [
        list(value)
        for name, value in sorted(vars(torch.nn.modules.module).items())
        if name.startswith("_global_") and name.endswith("_hooks")
    ]
    for name, module in model.named_modules():
        own = vars(module)
        found[f"{name}: training"] = module.training
        found[f"{name}: hooks"] = {k: dict(v) for k, v in own.items() if "hooks" in k}
        found[f"{name}: attributes"] = sorted(own)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[f"{name}: parameter"] = memory(parameter)
        found[f"{name}: gradient"] = memory(parameter.grad)
        found[f"{name}: leaf"] = parameter.is_leaf
    for name, buffer in model.named_buffers():
        found[f"{name}: buffer"] = memory(buffer)
    return found
