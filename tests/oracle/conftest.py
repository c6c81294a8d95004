"""The networks of these tests are all small."""

import pytest


@pytest.fixture(autouse=True)
def small(one_thread: None) -> None:
    pass
