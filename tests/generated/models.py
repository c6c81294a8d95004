"""Build the module of a network in the described state."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.generated import heads, joins, layers, maps, stateful  # noqa: F401  # register their blocks
from tests.generated.description import Network, chain

Named = namedtuple("Named", ["logits", "features"])  # as in user code


class FaultPoint(nn.Module):
    """Calls a function, which may raise, in each forward, and returns its input."""

    def __init__(self, on_call: Callable[[], None]) -> None:
        super().__init__()
        self.on_call = on_call

    def forward(self, x: Tensor) -> Tensor:
        self.on_call()
        return x


class Net(nn.Module):
    """A body and a head."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x))


class NetDefaults(Net):
    def forward(self, x: Tensor, scale: float = 1.0, return_features: bool = False) -> Any:
        features = self.body(x) * scale
        logits = self.head(features)
        if return_features:
            return logits, features
        return logits


class NetTuple(Net):
    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return self.head(features.clone()), features


class NetDict(Net):
    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return {"logits": self.head(features.clone()), "features": features}


class NetNamed(Net):
    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return Named(self.head(features.clone()), features)


FORMS: dict[str, type[Net]] = {
    "tensor": Net,
    "default arguments": NetDefaults,
    "tuple": NetTuple,
    "dict": NetDict,
    "namedtuple": NetNamed,
}


def do_nothing() -> None:
    """Do nothing."""


def observe(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """A forward hook that returns nothing."""


def observe_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """A forward pre-hook that returns nothing."""


def double(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that changes the output."""
    return output * 2


def build(network: Network, on_call: Callable[[], None] = do_nothing) -> nn.Module:
    """Build the module; equal descriptions give equal modules.

    Args:
        network: the description.
        on_call: called in each forward of the `FaultPoint`.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(network.seed)
        blocks, shape = chain(network.steps, (3, *network.size))
        blocks.insert(min(network.fault, len(blocks)), FaultPoint(on_call))
        model = FORMS[network.output](nn.Sequential(*blocks), network.head.build(shape))
        _freeze(model, network.frozen)
        if network.hooks != "none":
            _add_hooks(model, network.hooks)
        _use(model, network)
        modules = list(model.modules())
        model.train(network.mode == "train")
        if network.mode == "mixed":
            for at, module in enumerate(modules):
                module.training = at % 3 == 0
    return model


def _freeze(model: nn.Module, frozen: str) -> None:
    for at, parameter in enumerate(model.parameters()):
        if frozen == "all" or (frozen == "some" and at % 3 == 0):
            parameter.requires_grad_(False)


def _add_hooks(model: nn.Module, hooks: str) -> None:
    """Add hooks to the first convolution or linear layer and to the model."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    first.register_forward_hook(double if hooks == "change" else observe)
    model.register_forward_pre_hook(observe_input)


def _use(model: nn.Module, network: Network) -> None:
    x = torch.rand(2, 3, *network.size)
    if network.used == "evaluated":
        model.eval()
        with torch.no_grad():
            model(x)
    elif network.used == "trained":
        train(model, x)


def train(model: nn.Module, x: Tensor) -> float:
    """Train one step with a fixed seed and return the loss."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(7)
        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        loss = logits(model(x.clone())).square().mean()
        if loss.requires_grad:
            loss.backward()
            optimiser.step()
    return loss.item()


def logits(output: Any) -> Tensor:
    """Return the logits from the output of a network."""
    if isinstance(output, Tensor):
        return output
    return output["logits"] if isinstance(output, Mapping) else output[0]
