"""Random networks of the operations that people write, through every public call, against plain torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.generated.check import failures
from tests.generated.description import Network, read
from tests.generated.networks import networks
from tests.generated.shorten import shorten


@pytest.fixture(scope="module", autouse=True)
def without_torch_traces() -> Iterator[None]:
    """Torch logs each graph that it cannot run, in thousands of lines that would hide the failure."""
    logger = logging.getLogger("torch.__trace")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # `shorten` needs fewer networks than Hypothesis' own shrinking
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks())
def test_calls_agree_with_plain_torch_and_leave_the_network_unchanged(network: Network) -> None:
    found = failures(network)
    if found:
        shorter, failure = shorten(network, found[0], tries=30)
        others = "\n".join(map(str, found))
        pytest.fail(f"{shorter!r}\n{failure}\n{failure.trace}\nfound with {network!r}:\n{others}")


@settings(max_examples=30, derandomize=True, deadline=None)
@given(networks())
def test_a_failure_shows_the_source_of_its_network(network: Network) -> None:
    assert read(repr(network)) == network
