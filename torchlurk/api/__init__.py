"""Torchlurk from Python: compute a store or read one, visualise filters, plot and serve."""

from torchlurk.api.lurker import Lurk

__all__ = ["Lurk"]
