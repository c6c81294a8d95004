"""Paths in a store, for any name of a layer."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.store.schema import LONGEST, Relative, image_path, layer_path, picture_path, safe_name

# Lone surrogates too, as names of files that are no UTF-8 have them.
ANY = st.text(st.characters(exclude_categories=())) | st.text("./\\%az\x00\n", max_size=300)


@given(ANY)
def test_a_layer_stays_in_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._%-]*", safe)
    assert not safe.startswith(".")
    assert len(safe) <= LONGEST
    for path in (layer_path(name), picture_path("cropped", name, 3), image_path(7)):
        assert ".." not in PurePosixPath(path).parts
        assert msgspec.json.decode(msgspec.json.encode(path), type=Relative) == path


@given(ANY, ANY)
def test_two_layers_never_share_a_file(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_long_names_with_a_common_prefix_have_different_files() -> None:
    names = ["x" * 10_000, "x" * 9_999, "x" * LONGEST, "x" * (LONGEST + 1), "é" * 5000, "é" * 4999]
    assert len({safe_name(name) for name in names}) == len(names)
    assert safe_name("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/..",
        "..",
        "a\\b",
        "a\0b",
        "x\n/../../etc/passwd",
        "x\n../y\n",
        "\n/..",
    ],
)
def test_a_path_that_leads_out_of_the_store_is_rejected(path: str) -> None:
    if path == "x\n../y\n":  # a folder of a strange name, and no step up
        assert msgspec.json.decode(msgspec.json.encode(path), type=Relative) == path
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(path), type=Relative)


@given(st.text())
def test_a_valid_path_stays_inside_the_store(path: str) -> None:
    try:
        found = msgspec.json.decode(msgspec.json.encode(path), type=Relative)
    except msgspec.ValidationError:
        return
    assert not found.startswith("/")
    assert ".." not in found.split("/")
