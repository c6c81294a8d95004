"""What in one image a class or a unit depends on: by all usual methods, beside a random network."""

from torchlurk.explaining.explain import Control, Explanation, Prediction, explain
from torchlurk.explaining.params import METHODS, AttributionParams, Completeness
from torchlurk.runtime.deprecation import former_names

__all__ = ["METHODS", "AttributionParams", "Completeness", "Control", "Explanation", "Prediction", "explain"]

__getattr__ = former_names(globals(), Recipe="AttributionParams")
