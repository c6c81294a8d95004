"""What all records of the format share: number types, paths, digests and the base class."""

from __future__ import annotations

from typing import Annotated

import msgspec

FORMAT = 2
"""Number of the format, in each JSON file. Format 1 has a file for each picture instead of packs."""

Format = Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
"""The number of a format that can be read, 1 or 2."""

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
"""An integer from 0."""

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
"""An integer from 1."""

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A number from 0 to 1."""

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 digest in hexadecimal."""

Relative = Annotated[str, msgspec.Meta(pattern=r"(?s)\A(?!/)(?!.*(\A|/)\.\.(/|\Z))[^\\\x00]+\Z")]
"""A path inside the store, with `/` as the separator."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of all records of the format: immutable, without unknown keys."""


def round_float32(value: float) -> float:
    """Return a number with the seven significant digits of float32, so that files contain no noise."""
    return float(f"{value:.7g}")
