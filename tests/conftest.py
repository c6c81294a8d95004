"""What all tests share: examples are drawn the same way on every run, and none is timed."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """For networks so small that threads would only wait for each other, and digits that machines share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
