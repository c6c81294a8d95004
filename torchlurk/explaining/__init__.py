"""Explanations: which pixels of an image a class or a unit depends on, by several attribution methods.

Names other than `AttributionParams` are imported when they are first used, as they import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from torchlurk.explaining.params import AttributionParams
from torchlurk.runtime.deprecation import warn_renamed

if TYPE_CHECKING:
    from torchlurk.explaining.circuit import CircuitPart, UnitCircuit, explain_circuits
    from torchlurk.explaining.explanation import Completeness, Control, Explanation, Prediction
    from torchlurk.explaining.methods import METHODS
    from torchlurk.explaining.run import explain

__all__ = [
    "METHODS",
    "AttributionParams",
    "CircuitPart",
    "Completeness",
    "Control",
    "Explanation",
    "Prediction",
    "UnitCircuit",
    "explain",
    "explain_circuits",
]

_MODULES = {
    "METHODS": "methods",
    "CircuitPart": "circuit",
    "Completeness": "explanation",
    "Control": "explanation",
    "Explanation": "explanation",
    "Prediction": "explanation",
    "UnitCircuit": "circuit",
    "explain": "run",
    "explain_circuits": "circuit",
}
"""Module of each export that is imported when it is first used."""

if not TYPE_CHECKING:  # with this function, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import an export when it is first used; give the former name of one with a warning."""
        if name == "Recipe":
            warn_renamed("Recipe", "AttributionParams", stacklevel=2)
            return AttributionParams
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
