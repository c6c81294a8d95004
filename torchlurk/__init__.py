"""Torchlurk shows what the filters of a convolutional network look for."""

from typing import Any

__version__ = "0.1.0"

_LAZY = {"explain": "torchlurk.explaining", "gradients": "torchlurk.attribution.sensitivity"}
"""What may be had from here, and where it lies; torch is imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
