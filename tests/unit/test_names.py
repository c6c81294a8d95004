"""Names of others as text, as lines and as paths: for any text at all."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.errors import LurkError
from torchlurk.runtime.names import check_store_name, escape_surrogates, printable
from torchlurk.store.schema import LONGEST, Relative, image_path, layer_path, picture_path, safe_name

# Lone surrogates too, as names of files that are no UTF-8 have them.
ANY = st.text(st.characters(exclude_categories=())) | st.text("./\\%az\x00\n", max_size=300)


@given(ANY)
def test_readable_is_text_and_leaves_text_alone(name: str) -> None:
    found = escape_surrogates(name)
    assert json.loads(json.dumps(found).encode("utf-8")) == found
    assert escape_surrogates(found) == found
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        assert found != name
    else:
        assert found == name


@given(ANY, st.integers(2, 300))
def test_shown_is_one_line_that_moves_no_cursor(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert line.isprintable()
    assert len(line) <= limit + 3
    if text.isprintable() and len(text) <= limit:
        assert line == text


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


def test_long_names_of_one_beginning_have_files_of_their_own() -> None:
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
def test_a_path_of_a_store_that_leads_out_is_refused(path: str) -> None:
    if path == "x\n../y\n":  # a folder of a strange name, and no step up
        assert msgspec.json.decode(msgspec.json.encode(path), type=Relative) == path
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(path), type=Relative)


@given(st.text())
def test_what_the_schema_takes_for_a_path_stays_below(path: str) -> None:
    try:
        found = msgspec.json.decode(msgspec.json.encode(path), type=Relative)
    except msgspec.ValidationError:
        return
    assert not found.startswith("/")
    assert ".." not in found.split("/")


@pytest.mark.parametrize(
    "name", ["mine", "<img src=x onerror=alert(1)>", "né", "a b", "100%", "a?b#c", "x" * 200]
)
def test_a_folder_may_be_called_almost_anything(tmp_path: Path, name: str) -> None:
    check_store_name(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [".", "..", ".hidden", "a\nb", "a\0b", "a\\b", "\udcff", "\x1b[2J", "index.json", "live.json", "\u202e"],
)
def test_a_folder_that_no_page_could_show_is_refused(name: str) -> None:
    with pytest.raises(LurkError, match=r"choose another, such as saved_model/mine$") as caught:
        check_store_name(Path(name))
    assert printable(str(caught.value)).isprintable()
