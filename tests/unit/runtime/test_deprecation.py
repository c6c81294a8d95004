"""Former names still work, and warn."""

import pytest

from torchlurk import explaining
from torchlurk.ascent import optimise, transforms
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.store import comparison, schema


@renamed_arguments(recipe="params")
def function(*, params: int = 0) -> int:
    return params


def test_a_renamed_argument_is_accepted_with_a_warning() -> None:
    assert function(params=3) == 3
    with pytest.warns(DeprecationWarning, match="^recipe= is now params=$"):
        assert function(recipe=3) == 3  # type: ignore[call-arg]


def test_an_argument_by_both_names_is_refused() -> None:
    with (
        pytest.warns(DeprecationWarning, match="recipe"),
        pytest.raises(TypeError, match=r"function\(\) got both params= and its former name recipe="),
    ):
        function(recipe=3, params=4)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (explaining, "Recipe", "AttributionParams"),
        (optimise, "Recipe", "AscentParams"),
        (transforms, "Wobble", "Jitter"),
        (schema, "Layer", "LayerRecord"),
        (comparison, "Pair", "PairRecord"),
    ],
)
def test_a_renamed_class_is_found_by_its_former_name(module: object, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is now {new}$") as caught:
        assert getattr(module, old) is getattr(module, new)
    assert caught[0].filename == __file__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        explaining.Nothing  # noqa: B018
