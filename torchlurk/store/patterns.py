"""The pattern language that names layers: on the command line, in Python, in networks and in stores.

A pattern is the dotted name of a layer, a glob of names, `kind:` with a glob of class names, or `logits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torchlurk.errors import LurkError

_KIND = "kind:"


def match_layers(
    patterns: Sequence[str],
    layers: Mapping[str, Sequence[str]],
    *,
    logits: str | None = None,
    default_kind: str = "*",
    described: str = "layer",
) -> set[str]:
    """Return the names of the layers that patterns match.

    A dotted name matches its layer, whatever its kind. Globs and kinds narrow each other: a layer matches if
    its name matches one of the globs and one of its classes matches one of the kinds. Kinds ignore case.

    Args:
        patterns: The patterns, at least one.
        layers: The available layers: for each name its class and the classes that this derives from.
        logits: The layer that `logits` stands for, if there is one.
        default_kind: The kind of layer that globs match if no kind is given.
        described: What an error calls a layer.

    Raises:
        LurkError: A glob matches no name, or all patterns together match no layer. A kind may match none, so
            that the same patterns serve for several networks.

    Examples:
        >>> from torchlurk.store.patterns import match_layers
        >>> layers = {"stem": ["Conv2d"], "body.0": ["Conv2d"], "body.1": ["ReLU"], "head": ["Linear"]}
        >>> sorted(match_layers(["body.*", "head"], layers))
        ['body.0', 'body.1', 'head']
        >>> sorted(match_layers(["body.*", "kind:conv*"], layers))
        ['body.0']
        >>> match_layers(["logits"], layers, logits="head")
        {'head'}
    """
    exact = {pattern for pattern in patterns if pattern in layers}
    if "logits" in patterns and logits in layers:
        exact.add(str(logits))
    others = [p for p in patterns if p not in layers and not (p == "logits" and logits in layers)]
    kinds = [pattern for pattern in others if pattern.startswith(_KIND)]
    globs = [pattern for pattern in others if not pattern.startswith(_KIND)]
    without_match = [p for p in others if not any(_matches(p, *layer) for layer in layers.items())]
    for pattern in without_match:
        if pattern in globs or (not exact and without_match == others):
            raise no_layer_match(pattern, layers, described)
    matched = {
        layer[0]
        for layer in layers.items()
        if others
        and any(_matches(glob, *layer) for glob in globs or ["*"])
        and any(_matches(kind, *layer) for kind in kinds or [_KIND + default_kind])
    }
    if not exact and not matched:
        both = (
            f"{' or '.join(map(repr, globs))} and {' or '.join(map(repr, kinds or [_KIND + default_kind]))}"
        )
        raise LurkError(f"no {described} matches {both}", _available_kinds(layers))
    return exact | matched


def _matches(pattern: str, name: str, kinds: Sequence[str]) -> bool:
    if pattern.startswith(_KIND):
        kind = pattern.removeprefix(_KIND).lower()
        return any(fnmatchcase(own.lower(), kind) for own in kinds)
    return fnmatchcase(name, pattern)


def no_layer_match(pattern: str, layers: Mapping[str, Sequence[str]], described: str = "layer") -> LurkError:
    """Return the error for a pattern without a match; it suggests the nearest names or kinds.

    Args:
        pattern: The pattern.
        layers: The available layers, see `match_layers`.
        described: What the error calls a layer.
    """
    if pattern.startswith(_KIND):
        by_lower = {kinds[0].lower(): kinds[0] for kinds in layers.values()}
        close = get_close_matches(pattern.removeprefix(_KIND).lower(), by_lower, n=3, cutoff=0.5)
        near = [f"{_KIND}{by_lower[kind]}" for kind in close]
    else:
        near = get_close_matches(pattern, layers, n=3, cutoff=0.4)
    suggestion = f"did you mean {' or '.join(near)}? " if near else ""
    examples = "" if near else f", such as {', '.join(list(layers)[:3])}"
    return LurkError(
        f"no {described} matches {pattern!r}", f"{suggestion}{_available_kinds(layers)}{examples}"
    )


def _available_kinds(layers: Mapping[str, Sequence[str]]) -> str:
    counts = Counter(kinds[0] for kinds in layers.values())
    return f"there are {', '.join(f'{count} {kind}' for kind, count in counts.most_common(5))}"
