"""What all tests share: examples are drawn the same way on every run, and none is timed."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
