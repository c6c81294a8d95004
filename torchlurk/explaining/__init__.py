"""What in one image a class or a unit depends on: by all usual methods, beside a random network."""

from torchlurk.explaining.explain import Control, Explanation, Prediction, explain
from torchlurk.explaining.recipe import METHODS, Completeness, Recipe

__all__ = ["METHODS", "Completeness", "Control", "Explanation", "Prediction", "Recipe", "explain"]
