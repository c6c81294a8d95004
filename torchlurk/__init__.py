"""Torchlurk shows what the filters of a convolutional network look for."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "Comparison": "torchlurk.comparing",
    "FeatureVisualizer": "torchlurk.visualizer",
    "FrameRecorder": "torchlurk.frames",
    "LiveServer": "torchlurk.live",
    "Lurk": "torchlurk.lurk",
    "compare": "torchlurk.comparing",
    "explain": "torchlurk.explaining",
    "gradients": "torchlurk.attribution.sensitivity",
}
"""What can be had from the package itself, and where it is: torch is loaded only for those who want it."""


def __getattr__(name: str) -> Any:
    """One of `_LAZY`, imported when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """What there is, with what is not yet imported."""
    return sorted({*globals(), *_LAZY})
