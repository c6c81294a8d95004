"""The sum of contributions that gives a score, as text. It imports no torch."""

from __future__ import annotations


def format_sum(score: float, excitation: float, inhibition: float, rest: float) -> str:
    """Return `score = excitation + inhibition + rest` for people.

    >>> format_sum(1.75, 2.0, -0.5, 0.25)
    '1.75 = 2 excitation - 0.5 inhibition + 0.25 rest'
    """
    return (
        f"{score:.4g} = {excitation:.4g} excitation - {abs(inhibition):.4g} inhibition "
        f"{'-' if rest < 0 else '+'} {abs(rest):.4g} rest"
    )
