"""Random changes of files: bits, lengths and values in JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

MAX_DEPTH = 100_000
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", ".", "..", "../../etc/passwd", "/etc/passwd", "a\0b",
    "\ud800", "\u202e", "<img src=x onerror=alert(1)>", "x" * 10_000, "1e400", [], {}, [[]], [0],
    [0, 0, 0, 0], [[0, 2**62]], [[-1, 1]], {"": None}, {"format": 1}, [None] * 1000,
)  # fmt: skip
"""Replacements of a JSON value, written as Python's `json` writes them, including `NaN`."""


def flip_bits(data: bytes, random: Random) -> bytes:
    """Flip one bit or several."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8, 64)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """Remove the end, the beginning or a piece of the middle."""
    at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return random.choice((data[:at], data[at:], data[:at] + data[to:]))


def repeat(data: bytes, random: Random) -> bytes:
    """Repeat a piece, or insert unexpected bytes."""
    at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    strange = (data[at:to], b"\xff\xfe", b"\xef\xbb\xbf", b"\0" * 64, b"\\ud800", b'"', b"{", b"9" * 5000)
    return data[:at] + random.choice(strange) + data[at:]


def nest(data: bytes, random: Random) -> bytes:
    """Replace a value by a deeply nested one, or nest the whole file."""
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = random.choice((50, 1_000, MAX_DEPTH))
    if random.random() < 0.3:
        return opening * depth + data + closing * depth
    at = random.randrange(len(data) + 1)
    colon = data.find(b":", at)
    middle = opening * depth + (b"1" + closing * depth if random.random() < 0.5 else b"")
    return data[: colon + 1] + middle + data[colon + 1 :]


def duplicate_key(data: bytes, random: Random) -> bytes:
    """Add a second occurrence of a key to an object."""
    at = data.find(b"{", random.randrange(len(data)))
    key = random.choice((b"format", b"name", b"layers", b"path", b"filters", b"0"))
    value = random.choice((b"1", b"2", b"null", b'""', b"[]", b"{}", b"1e999", b"-0"))
    return data[: at + 1] + b'"' + key + b'":' + value + b"," + data[at + 1 :]


def change_values(data: bytes, random: Random) -> bytes:
    """Change one value or several: delete, duplicate, copy, change or replace it."""
    value = json.loads(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        _change_value(value, random)
    return json.dumps(value).encode()


def _change_value(value: Any, random: Random) -> None:
    positions = list(_positions(value))
    if not positions:
        return
    holder, key = random.choice(positions)
    choice = random.randrange(6)
    if choice == 0:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        holder[random.choice(("", "more", "format", "\ud800", "0", "-1", "9" * 400))] = holder[key]
    elif choice == 1:
        holder.insert(key, holder[key])
    elif choice == 2:
        other, at = random.choice(positions)
        holder[key] = json.loads(json.dumps(other[at]))
    elif choice == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = random.choice((-holder[key], holder[key] + 1, holder[key] * 1e300, str(holder[key])))
    else:
        holder[key] = random.choice(STRANGE)


def _positions(value: Any) -> list[tuple[Any, Any]]:
    """Return the container and the key or index of each value in a JSON document."""
    positions: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        holder = pending.pop()
        keys = holder.keys() if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            positions.append((holder, key))
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])
    return positions


JSON_MUTATIONS = (
    flip_bits,
    truncate,
    repeat,
    nest,
    duplicate_key,
    change_values,
    change_values,
    change_values,
)
BYTE_MUTATIONS = (flip_bits, truncate, repeat)
