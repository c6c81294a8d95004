"""Which outputs of the network as it was given stand for the classes that it is trained for."""

from __future__ import annotations

from collections.abc import Sequence


def match_outputs(classes: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Find each class among the names of a network's outputs.

    They are compared by what stands before the first comma, case aside: data sets write `goldfish,
    Carassius auratus` where networks have `goldfish`.

    Args:
        classes: of the images.
        names: of the network's outputs; may be none.

    Returns:
        For each class its output; `None` unless each has exactly one, and all another.
    """
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(_first(name), []).append(index)
    found = [places.get(_first(name), []) for name in classes]
    outputs = [one[0] for one in found if len(one) == 1]
    return outputs if len(outputs) == len(set(outputs)) == len(classes) else None


def _first(name: str) -> str:
    return name.split(",")[0].strip().casefold()
