"""Reduce a failing network to a shorter one with the same failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from tests.generated.check import Failure, failures
from tests.generated.description import BLOCKS, Network, Step, step
from tests.generated.networks import find_problem


def shorten(network: Network, failure: Failure, tries: int) -> tuple[Network, Failure]:
    """Remove blocks and options as long as the failure remains.

    Args:
        network: a failing network.
        failure: its failure.
        tries: the maximum number of networks to check.
    """
    left = tries
    while left > 0:
        for shorter in _shorter(network):
            if left <= 0 or find_problem(shorter) is not None:
                continue
            left -= 1
            same = next(
                (one for one in failures(shorter, only=[failure.call]) if one.group == failure.group), None
            )
            if same is not None:
                network, failure = shorter, same
                break
        else:
            break
    return network, failure


def _shorter(network: Network) -> Iterator[Network]:
    """Yield networks with one block or option less; the seed selects the calls' arguments and remains."""
    for at in range(len(network.steps)):
        if len(network.steps) > 1:
            yield replace(network, steps=(*network.steps[:at], *network.steps[at + 1 :]))
    for name in (one.name for one in fields(Network) if one.name not in ("steps", "seed")):
        plain = getattr(Network(()), name)
        if getattr(network, name) != plain:
            yield replace(network, **{name: plain})
    for at, one in enumerate(network.steps):
        for simpler in _simpler(one):
            yield replace(network, steps=(*network.steps[:at], simpler, *network.steps[at + 1 :]))
    if network.head.options:
        yield replace(network, head=step(network.head.kind))


def _simpler(one: Step) -> Iterator[Step]:
    for name, value in one.options:
        rest = {key: own for key, own in one.options if key != name}
        yield step(one.kind, **rest)
        if BLOCKS[one.kind].nested and isinstance(value, tuple) and len(value) > 1:
            for at in range(len(value)):
                yield step(one.kind, **{**dict(one.options), name: (*value[:at], *value[at + 1 :])})
