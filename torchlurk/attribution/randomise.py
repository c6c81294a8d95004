"""Model randomisation: copies of a network with random weights, and the similarity of attributions.

What an attribution shows on a network with random weights is not evidence of what a network has learned
(Adebayo et al. 2018, *Sanity Checks for Saliency Maps*, arXiv:1810.03292).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError, check_choice
from torchlurk.models.isolation import copy_network
from torchlurk.models.runner import Runnable, Runner, as_runner

RandomisationStrategy = Literal["all", "cascading"]
"""Which layers get random weights: all of them, or more and more of them from the output to the input."""
RANDOMISATION_STRATEGIES: tuple[RandomisationStrategy, ...] = get_args(RandomisationStrategy)

_CASCADE_STEPS = 4
"""The number of networks of a cascade."""

_MAX_DRAWS = 16
"""How often the weights of a step are drawn until the network is accepted."""


@dataclass(frozen=True)
class RandomisedNetwork:
    """A network some of whose layers have random weights.

    Attributes:
        layers: Dotted names of these layers, from the output to the input.
        total: The number of all layers with weights.
        model: The network; the next one of a cascade is the same object, randomised further.
    """

    layers: tuple[str, ...]
    total: int
    model: nn.Module = field(repr=False)


def randomised_copies(
    model: Runnable,
    x: Tensor,
    strategy: RandomisationStrategy,
    seed: int,
    accept: Callable[[nn.Module], bool] = lambda random: True,  # noqa: ARG005
) -> Iterator[RandomisedNetwork]:
    """Copy a network and randomise its weights.

    Each parameter is drawn from a normal distribution. Weights of two dimensions or more have mean zero and
    the root mean square of the trained ones. Others, such as biases, have the mean and the standard deviation
    of the trained ones. So any network keeps its scale. Buffers, such as the statistics of a batch norm, do
    not change.

    Args:
        model: The network, isolated; it is not changed.
        x: `(N, C, H, W)`, an input, to find the order in which layers are called.
        strategy: `all` layers at once; or `cascading` from the output to the input, in four steps, of which
            the first is the last layer alone and the last is all layers.
        seed: Seed of the weights; a parameter's values depend on the seed and its name.
        accept: Whether a network can be used. Behind a ReLU half of all random units are zero for any input;
            then the layers of the last step are drawn again, up to 16 times.

    Yields:
        One network, or those of the cascade.

    Raises:
        LurkError: The strategy is unknown, or the network has no parameters.
    """
    check_choice("randomize", strategy, RANDOMISATION_STRATEGIES)
    runner = as_runner(model)
    groups = _parameters_by_layer(runner, x)
    if not groups:
        raise LurkError("the network has no parameters to randomise", "explain it without randomisation")
    layers = list(groups)
    copy = copy_network(runner.model)
    trained, parameters = (dict(network.named_parameters()) for network in (runner.model, copy))
    done = 0
    for count in [len(layers)] if strategy == "all" else _cascade(len(layers)):
        for attempt in range(_MAX_DRAWS):
            for name in (name for layer in layers[done:count] for name in groups[layer]):
                _redraw(parameters[name], trained[name], f"{seed}/{attempt}/{name}")
            if accept(copy):
                break
        done = count
        yield RandomisedNetwork(tuple(layers[:count]), len(layers), copy)


def _cascade(count: int) -> list[int]:
    """Return how many of `count` layers are random at each step: one, then equal shares."""
    steps = _CASCADE_STEPS - 1
    return sorted({1, *(max(1, round(count * step / steps)) for step in range(1, steps + 1))})


def _parameters_by_layer(runner: Runner, x: Tensor) -> dict[str, list[str]]:
    """Return the names of parameters by the module that uses them, the module called last first."""
    called: dict[str, None] = {}
    handles = []

    def add(name: str) -> None:
        called.setdefault(name)

    try:
        for name, module in runner.model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: add(name)))
        with runner.without_gradients():
            runner(x)
    finally:
        for handle in handles:
            handle.remove()
    groups: dict[str, list[str]] = {name: [] for name in reversed(called)}
    for parameter, _ in runner.model.named_parameters():
        owner = parameter.rpartition(".")[0]
        while owner and owner not in called:  # such as the projections of a fused attention
            owner = owner.rpartition(".")[0]
        # Parameters of the network itself come last, under their own names.
        groups.setdefault(owner or parameter.rpartition(".")[0] or parameter, []).append(parameter)
    return {name: parameters for name, parameters in groups.items() if parameters}


def _redraw(parameter: nn.Parameter, trained: nn.Parameter, seed: str) -> None:
    if not parameter.is_floating_point():
        return
    digest = hashlib.sha256(seed.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    values = torch.randn(parameter.shape, generator=generator)
    old = trained.detach().float()
    with torch.no_grad():
        if parameter.dim() > 1:
            # Around zero, as networks are initialised: a negative mean would silence the layers that follow.
            parameter.copy_(values.to(old.device) * old.square().mean().sqrt())
        else:
            parameter.copy_(values.to(old.device) * old.std(correction=0) + old.mean())


def rank_correlation(a: Tensor, b: Tensor) -> float | None:
    """Compute Spearman's rank correlation of two tensors of one shape; ties share their mean rank.

    Returns:
        A number from -1 to 1; `None` if all values of one tensor are equal.
    """
    first, second = (_centred_ranks(values) for values in (a, b))
    spread = float(first.square().sum().sqrt() * second.square().sum().sqrt())
    return None if spread == 0 else float((first * second).sum()) / spread


def _centred_ranks(values: Tensor) -> Tensor:
    _, inverse, counts = torch.unique(values.flatten(), return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts - 1) / 2).double()[inverse]
    return ranks - ranks.mean()


def magnitude(attribution: Tensor) -> Tensor:
    """Sum the absolute values of each pixel over its channels: `(..., C, H, W)` to `(..., H, W)`."""
    return attribution.abs().sum(dim=-3)


def similarities(a: Sequence[Tensor], b: Sequence[Tensor], mask: Tensor) -> list[float | None]:
    """Compute the rank correlation of the magnitudes of attributions, pair by pair.

    Args:
        a: Attributions, each `(C, H, W)`.
        b: Attributions, each `(C, H, W)`.
        mask: `(H, W)` bool, the pixels to compare. On pixels that the target does not see, all attributions
            agree.
    """
    pairs = zip(a, b, strict=True)
    return [rank_correlation(magnitude(first)[mask], magnitude(second)[mask]) for first, second in pairs]
