"""Settings of all tests: Hypothesis draws the same examples on every run, without a deadline.

`pytest --device cuda tests/device` runs the tests with the marker `device` on a CUDA device.
"""

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from torchlurk.runtime.devices import choose_device, deterministic_float32

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: the networks are small, and results are the same on every machine.

    The processes that tests start do so too; threads of theirs would wait for the other tests' cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the tests with the marker device")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another device than the CPU, run only the tests that use it."""
    if config.getoption("--device") == "cpu":
        return
    others = [item for item in items if item.get_closest_marker("device") is None]
    items[:] = [item for item in items if item.get_closest_marker("device") is not None]
    config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device of `--device`; on CUDA, float32 is computed in full precision."""
    chosen = choose_device(request.config.getoption("--device"))
    with deterministic_float32(chosen):
        yield chosen
