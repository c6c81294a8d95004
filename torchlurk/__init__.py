"""Torchlurk shows what the filters of a convolutional network look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlurk.lurk import Lurk

__version__ = "0.1.0"
__all__ = ["Lurk", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Lurk` when it is asked for, so that commands which need none of it start at once."""
    if name == "Lurk":
        from torchlurk.lurk import Lurk

        return Lurk
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
