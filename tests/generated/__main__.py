"""Draw many networks, and tell what fails: `python -m tests.generated 2000 --seed 3`."""

from __future__ import annotations

import argparse
import sys
import time

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

from tests.generated.check import Failure, failures
from tests.generated.description import Network, read
from tests.generated.networks import networks
from tests.generated.shorten import shorten

Group = tuple[str, str, str]


def main() -> int:
    """Run, print a table of failures, and give 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.generated", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100, help="networks to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--source", help="check this network alone, and print each failure in full")
    parser.add_argument("--shorten", type=int, default=40, help="networks to try to shorten each one by")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.source:
        return _print_in_full(failures(read(options.source)))
    start = time.monotonic()
    found, broken = _draw(options.count, options.seed)
    spent = time.monotonic() - start
    for group, (network, failure) in sorted(found.items(), key=lambda item: -broken[item[0]]):
        network, failure = shorten(network, failure, options.shorten)
        kind, call, _ = group
        print(
            f"{broken[group]:5}  {kind}  in {call}\n       {failure.message.splitlines()[0][:200]}\n       {network!r}\n"
        )
    print(f"{options.count} networks, {spent / options.count:.2f} s each; {len(found)} kinds of failures")
    return 1 if found else 0


def _draw(count: int, number: int) -> tuple[dict[Group, tuple[Network, Failure]], dict[Group, int]]:
    """The network with the shortest source for each kind of failure, and how many there are."""
    found: dict[Group, tuple[Network, Failure]] = {}
    broken: dict[Group, int] = {}
    bar = tqdm(total=count, disable=not sys.stderr.isatty())

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(networks())
    def look(network: Network) -> None:
        bar.update()
        for group, failure in {failure.group: failure for failure in failures(network)}.items():
            broken[group] = broken.get(group, 0) + 1
            if group not in found or len(repr(network)) < len(repr(found[group][0])):
                found[group] = network, failure

    look()
    bar.close()
    return found, broken


def _print_in_full(found: list[Failure]) -> int:
    for failure in found:
        print(f"{failure}\n{failure.trace}\n")
    print(f"{len(found)} failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
