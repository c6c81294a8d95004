"""Check many random networks and print the failures: `python -m tests.generated 2000 --seed 3`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

from tests.generated.check import Failure, failures
from tests.generated.description import Network, read
from tests.generated.networks import networks
from tests.generated.shorten import shorten


@dataclass
class Kind:
    """Failures of one kind.

    Attributes:
        network: the failing network with the shortest source.
        failure: its failure.
        count: the number of networks with such a failure.
        calls: the number of failures by public call.
    """

    network: Network
    failure: Failure
    count: int = 0
    calls: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Check the networks, print a table of failures and return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.generated", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100, help="number of networks")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random networks")
    parser.add_argument("--source", help="check only this network and print each failure in full")
    parser.add_argument(
        "--shorten", type=int, default=40, help="maximum number of attempts to shorten each failing network"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.source:
        return _print_in_full(failures(read(options.source)))
    start = time.monotonic()
    kinds, drawn = _draw(options.count, options.seed)
    spent = time.monotonic() - start
    for kind in sorted(kinds, key=lambda kind: -kind.count):
        network, failure = shorten(kind.network, kind.failure, options.shorten)
        calls = ", ".join(f"{name} {count}" for name, count in kind.calls.most_common())
        first = next(iter(failure.message.splitlines()), "")
        print(
            f"{kind.count:5}  {failure.kind}: {first[:200]}\n       in {calls}\n       {network!r}\n",
            flush=True,
        )
    print(f"{drawn} networks, {spent / max(drawn, 1):.2f} s each; {len(kinds)} kinds of failures")
    return 1 if kinds else 0


def _draw(count: int, first_seed: int) -> tuple[list[Kind], int]:
    """Draw and check networks; return the failures by kind and the number of networks checked."""
    kinds: dict[tuple[str, str], Kind] = {}
    bar = tqdm(total=count, disable=not sys.stderr.isatty())
    drawn = 0

    @seed(first_seed)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(networks())
    def check(network: Network) -> None:
        nonlocal drawn
        drawn += 1
        bar.update()
        seen = set()
        for failure in failures(network):
            kind = kinds.setdefault(failure.group, Kind(network, failure))
            kind.calls[failure.call] += 1
            if failure.group not in seen:
                kind.count += 1
            seen.add(failure.group)
            if len(repr(network)) < len(repr(kind.network)):
                kind.network, kind.failure = network, failure

    check()
    bar.close()
    return list(kinds.values()), drawn


def _print_in_full(found: list[Failure]) -> int:
    for failure in found:
        print(f"{failure}\n{failure.trace}\n")
    print(f"{len(found)} failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
