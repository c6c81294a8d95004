"""The same network with random weights, and how alike two attributions are (Adebayo et al. 2018).

What an attribution shows on a network that has learnt nothing, it does not show of what was learnt
(*Sanity Checks for Saliency Maps*, arXiv:1810.03292).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.models.isolation import copy_network
from torchlurk.models.runner import Runnable, Runner, as_runner

RandomisationStrategy = Literal["all", "cascading"]
"""Which layers get random weights: all, or one more after the other, from the output towards the input."""
RANDOMISATION_STRATEGIES: tuple[RandomisationStrategy, ...] = get_args(RandomisationStrategy)

STAGES = 4
"""How many networks a cascade stops at."""

ATTEMPTS = 16
"""How often weights are drawn again for a target that gives nothing."""


@dataclass(frozen=True)
class RandomisedNetwork:
    """A network of which some layers have random weights.

    Attributes:
        layers: their dotted names, from the output towards the input.
        of: how many layers with weights there are.
        model: the network; the next of a cascade is the same object, randomised further.
    """

    layers: tuple[str, ...]
    of: int
    model: nn.Module = field(repr=False)


def randomised_copies(
    model: Runnable,
    x: Tensor,
    way: RandomisationStrategy,
    seed: int,
    alive: Callable[[nn.Module], bool] = lambda random: True,  # noqa: ARG005
) -> Iterator[RandomisedNetwork]:
    """Copies of a network whose weights are random.

    Each parameter is drawn anew from a normal distribution: weights of two dimensions or more around zero
    with the size (root mean square) of the trained ones, others, such as biases, with the mean and spread
    of the trained ones. So a network of any kind keeps its scale. Buffers, such as the statistics of a
    batch norm, stay.

    Args:
        model: the network, isolated; it is not changed.
        x: `(N, C, H, W)`, an input, from whose way through the network the layers' order is known.
        way: `all` weights at once; or `cascading`, from the output towards the input, in `STAGES` steps of
            which the first is the last layer alone and the last is all.
        seed: of the weights; what a parameter is drawn from depends on the seed and its name.
        alive: whether a network will do. Behind a ReLU the half of all random units give nothing whatever
            they see; the layers that were drawn last are then drawn again, up to `ATTEMPTS` times.

    Yields:
        One network, or those of the cascade.

    Raises:
        LurkError: there is no such way, or the network has no parameters.
    """
    if way not in RANDOMISATION_STRATEGIES:
        raise LurkError(
            f"weights cannot be randomised {way!r}: choose {' or '.join(RANDOMISATION_STRATEGIES)}"
        )
    runner = as_runner(model)
    groups = _groups(runner, x)
    if not groups:
        raise LurkError("the network has no parameters, so there is nothing to randomise: do without")
    names = list(groups)
    random = copy_network(runner.model)
    trained, parameters = (dict(one.named_parameters()) for one in (runner.model, random))
    done = 0
    for count in [len(names)] if way == "all" else _stops(len(names)):
        for attempt in range(ATTEMPTS):
            for name in (name for layer in names[done:count] for name in groups[layer]):
                _redraw(parameters[name], trained[name], f"{seed}/{attempt}/{name}")
            if alive(random):
                break
        done = count
        yield RandomisedNetwork(tuple(names[:count]), len(names), random)


def _stops(count: int) -> list[int]:
    """After how many layers, of so many, a cascade is looked at: one, then even shares."""
    return sorted({1, *(max(1, round(count * k / (STAGES - 1))) for k in range(1, STAGES))})


def _groups(runner: Runner, x: Tensor) -> dict[str, list[str]]:
    """The names of parameters by the module that uses them, the module called last first."""
    called: dict[str, None] = {}
    handles = []

    def note(name: str) -> None:
        called.setdefault(name)

    try:
        for name, module in runner.model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: note(name)))
        with runner.without_gradients():
            runner(x)
    finally:
        for handle in handles:
            handle.remove()
    groups: dict[str, list[str]] = {name: [] for name in reversed(called)}
    for parameter, _ in runner.model.named_parameters():
        owner = parameter.rpartition(".")[0]
        while owner and owner not in called:  # as of an attention that is computed by one function
            owner = owner.rpartition(".")[0]
        # What the network itself holds comes last, under its own name.
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
            # Around zero, as networks are initialised: a mean below it would silence what follows.
            parameter.copy_(values.to(old.device) * old.square().mean().sqrt())
        else:
            parameter.copy_(values.to(old.device) * old.std(correction=0) + old.mean())


def rank_correlation(a: Tensor, b: Tensor) -> float | None:
    """Spearman's rank correlation of the values of two tensors of one shape; ties share their mean rank.

    Returns:
        From -1 to 1; `None` if all values of one are the same.
    """
    first, second = (_centred_ranks(values) for values in (a, b))
    spread = float(first.square().sum().sqrt() * second.square().sum().sqrt())
    return None if spread == 0 else float((first * second).sum()) / spread


def _centred_ranks(values: Tensor) -> Tensor:
    _, inverse, counts = torch.unique(values.flatten(), return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts - 1) / 2).double()[inverse]
    return ranks - ranks.mean()


def magnitude(attribution: Tensor) -> Tensor:
    """How much each pixel counts: `(..., C, H, W)` to `(..., H, W)`, the sum of sizes over channels."""
    return attribution.abs().sum(dim=-3)


def similarities(a: Sequence[Tensor], b: Sequence[Tensor], seen: Tensor) -> list[float | None]:
    """The rank correlation of the magnitudes of attributions, pair by pair.

    Args:
        a: each `(C, H, W)`.
        b: likewise.
        seen: `(H, W)` bool, the pixels to compare; of those that the target does not see, any two
            attributions say the same.
    """
    pairs = zip(a, b, strict=True)
    return [rank_correlation(magnitude(first)[seen], magnitude(second)[seen]) for first, second in pairs]
