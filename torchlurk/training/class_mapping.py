"""Match the classes of images with the outputs of the original network."""

from __future__ import annotations

from collections.abc import Sequence


def match_outputs(classes: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Find the output of a network for each class by name.

    Names are compared up to the first comma, ignoring case: data sets write `goldfish, Carassius auratus`
    where networks have `goldfish`.

    Args:
        classes: The class names of the images.
        names: The class names of the network's outputs; may be empty.

    Returns:
        The index of the output for each class; `None` unless each class matches exactly one output, and no
        two classes the same.
    """
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(_key(name), []).append(index)
    matches = [indices.get(_key(name), []) for name in classes]
    outputs = [match[0] for match in matches if len(match) == 1]
    return outputs if len(outputs) == len(set(outputs)) == len(classes) else None


def _key(name: str) -> str:
    return name.split(",")[0].strip().casefold()
