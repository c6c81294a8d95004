"""Random networks of the operations that people write, through every public call, against plain torch."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.generated.check import failures
from tests.generated.description import Network, read
from tests.generated.networks import networks


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_whatever_people_write_is_computed_rightly_and_left_as_it_was(network: Network) -> None:
    found = failures(network)
    assert not found, f"{network!r}\n" + "\n".join(map(str, found)) + f"\n{found[0].trace}"


@settings(max_examples=30, derandomize=True, deadline=None)
@given(networks())
def test_a_failure_shows_the_source_of_its_network(network: Network) -> None:
    assert read(repr(network)) == network
