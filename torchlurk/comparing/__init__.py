"""What became of each filter from one store to another: measured, told in sentences, written and read."""

from torchlurk.comparing.run import compare
from torchlurk.comparing.table import Comparison

__all__ = ["Comparison", "compare"]
