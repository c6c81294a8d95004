"""Errors: one line, with options as the reader knows them."""

import pickle

import pytest

from torchlurk.errors import LurkError, Option, as_texts, check_choice


def test_an_error_names_options_as_arguments_or_as_flags() -> None:
    error = LurkError(
        ("a batch of ", Option("batch_size", 8), " does not fit"),
        ("set ", Option("overwrite", True), " or ", Option("target", flag="--unit")),
        Option("size", 64),
    )
    assert str(error) == "size=64: a batch of batch_size=8 does not fit; set overwrite=True or target="
    line = "--size 64: a batch of --batch-size 8 does not fit; set --overwrite or --unit"
    assert error.for_command_line() == line
    assert pickle.loads(pickle.dumps(error)).for_command_line() == line


def test_an_error_without_a_hint_is_its_message() -> None:
    assert str(LurkError("no {braces} are read")) == "no {braces} are read"


def test_an_error_among_others_is_listed_without_its_hint() -> None:
    assert LurkError("too small", "use a larger one", Option("size", 6)).without_hint() == "size=6: too small"


def test_arguments_are_checked() -> None:
    assert as_texts("names", "a") == ("a",)
    assert as_texts("names", ["a", "b"]) == ("a", "b")
    with pytest.raises(LurkError, match=r"^names=\[1\]: not a string or a list of strings$"):
        as_texts("names", [1])  # type: ignore[list-item]
    check_choice("kind", "max", ("max", "avg"))
    with pytest.raises(LurkError, match=r"^kind='sum': unknown; choose one of max, avg$"):
        check_choice("kind", "sum", ("max", "avg"))
