"""Files changed by chance: bits, lengths, and the values in JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

DEEP = 100_000
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", ".", "..", "../../etc/passwd", "/etc/passwd", "a\0b",
    "\ud800", "\u202e", "<img src=x onerror=alert(1)>", "x" * 10_000, "1e400", [], {}, [[]], [0],
    [0, 0, 0, 0], [[0, 2**62]], [[-1, 1]], {"": None}, {"format": 1}, [None] * 1000,
)  # fmt: skip
"""What a value is replaced by; JSON of all of them is what Python writes, `NaN` included."""


def flip(data: bytes, random: Random) -> bytes:
    """Change a bit, or some."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8, 64)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(data: bytes, random: Random) -> bytes:
    """Take off the end, or the beginning, or a piece of the middle."""
    at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return random.choice((data[:at], data[at:], data[:at] + data[to:]))


def repeat(data: bytes, random: Random) -> bytes:
    """Have a piece twice, or something strange in between."""
    at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    strange = (data[at:to], b"\xff\xfe", b"\xef\xbb\xbf", b"\0" * 64, b"\\ud800", b'"', b"{", b"9" * 5000)
    return data[:at] + random.choice(strange) + data[at:]


def nest(data: bytes, random: Random) -> bytes:
    """Put something very deep in place of a value, or around all."""
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = random.choice((50, 1_000, DEEP))
    if random.random() < 0.3:
        return opening * depth + data + closing * depth
    at = random.randrange(len(data) + 1)
    colon = data.find(b":", at)
    middle = opening * depth + (b"1" + closing * depth if random.random() < 0.5 else b"")
    return data[: colon + 1] + middle + data[colon + 1 :]


def double(data: bytes, random: Random) -> bytes:
    """Have a key twice in an object."""
    at = data.find(b"{", random.randrange(len(data)))
    key = random.choice((b"format", b"name", b"layers", b"path", b"filters", b"0"))
    value = random.choice((b"1", b"2", b"null", b'""', b"[]", b"{}", b"1e999", b"-0"))
    return data[: at + 1] + b'"' + key + b'":' + value + b"," + data[at + 1 :]


def change(data: bytes, random: Random) -> bytes:
    """Change a value or some: another type, a strange one, one more, one fewer, another key."""
    value = json.loads(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        _change(value, random)
    return json.dumps(value).encode()


def _change(value: Any, random: Random) -> None:
    places = list(_places(value))
    if not places:
        return
    holder, key = random.choice(places)
    way = random.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[random.choice(("", "more", "format", "\ud800", "0", "-1", "9" * 400))] = holder[key]
    elif way == 1:
        holder.insert(key, holder[key])
    elif way == 2:
        other, at = random.choice(places)
        holder[key] = json.loads(json.dumps(other[at]))
    elif way == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = random.choice((-holder[key], holder[key] + 1, holder[key] * 1e300, str(holder[key])))
    else:
        holder[key] = random.choice(STRANGE)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each value in some JSON, as what holds it and where."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = holder.keys() if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found


JSON_WAYS = (flip, cut, repeat, nest, double, change, change, change)
BYTE_WAYS = (flip, cut, repeat)
