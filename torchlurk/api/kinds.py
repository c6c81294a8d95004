"""The kinds of lists and gradients of a filter. It does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from torchlurk.errors import LurkError, Option

_T = TypeVar("_T")

ListKind = Literal["max", "avg"]
"""A top list: by the highest activation of the feature map, or by its mean."""

GradientKind = Literal["max", "avg", "crop"]
"""A gradient: of the unit with the highest activation, of the map's mean, or of the unit within its crop."""

GRADIENT_PICTURES: Mapping[str, str] = {"max": "max_grads", "avg": "avg_grads", "crop": "cropped_grad"}
"""The kind of picture in the store of each kind of gradient."""


def lookup_kind(kind: str, kinds: Mapping[str, _T]) -> _T:
    """Return the value of a kind.

    Raises:
        LurkError: There is no such kind.
    """
    if kind not in kinds:
        raise LurkError("unknown", f"choose one of {', '.join(kinds)}", Option("kind", repr(kind)))
    return kinds[kind]
