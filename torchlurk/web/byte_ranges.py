"""Ranges of bytes of a file that a request asks for, as RFC 9110 defines them."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class UnsatisfiableRangeError(Exception):
    """A requested range begins after the end of the file."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the half-open range of bytes that a `Range` header asks for.

    Args:
        header: The header's value, such as `bytes=0-99`, `bytes=100-` or `bytes=-100`.
        size: Size of the file.

    Returns:
        The range; `None` for the whole file: HTTP allows a server to ignore headers that it does not
        understand, and requests for several ranges.

    Raises:
        UnsatisfiableRangeError: The range begins after the end of the file.

    Examples:
        >>> parse_range("bytes=2-4", 10), parse_range("bytes=-3", 10), parse_range("bytes=8-99", 10)
        ((2, 5), (7, 10), (8, 10))
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        start, last = max(0, size - int(match[2])), size - 1
    else:
        start, last = int(match[1]), int(match[2] or size)
        if match[2] and last < start:
            return None
    if start >= size:
        raise UnsatisfiableRangeError
    return start, min(last + 1, size)
