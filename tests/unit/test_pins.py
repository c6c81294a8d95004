"""Every package that development needs is pinned, with its own dependencies, and no other package is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"nvidia-|cuda-|triton$|pip$|setuptools$|torchlurk$")
"""Packages that torch pins itself, those that every environment has, and this one."""


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements/constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): pinned for name, pinned in found.items()}


def needed() -> Iterator[str]:
    """Yield the direct and indirect dependencies of `torchlurk[dev]` on this machine."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("torchlurk", frozenset({"dev"}))]
    while waiting:
        name, extras = waiting.pop()
        for line in requires(name) or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if key not in seen:
                seen.add(key)
                waiting.append(key)
                yield key[0]


def test_what_development_needs_is_pinned_and_nothing_else() -> None:
    ours = {name for name in needed() if not ELSEWHERE.match(name)}
    assert ours == set(pins())


def test_the_pinned_versions_are_those_that_are_tested() -> None:
    assert {name: version(name) for name in pins()} == pins()
