"""Compare stores: measure how each filter changed, summarise it in sentences, write it and read it again."""

from torchlurk.comparing.run import compare
from torchlurk.comparing.table import Comparison, ComparisonRow

__all__ = ["Comparison", "ComparisonRow", "compare"]
