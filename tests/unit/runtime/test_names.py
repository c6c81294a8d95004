"""Names from outside, for any text: as JSON, as a line, as a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.errors import LurkError
from torchlurk.runtime.names import check_store_name, escape_surrogates, printable

# Lone surrogates too, as names of files that are no UTF-8 have them.
ANY = st.text(st.characters(exclude_categories=())) | st.text("./\\%az\x00\n", max_size=300)


@given(ANY)
def test_escape_surrogates_returns_valid_unicode_and_keeps_it(name: str) -> None:
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
def test_printable_is_one_line_without_control_characters(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert line.isprintable()
    assert len(line) <= limit + 3
    if text.isprintable() and len(text) <= limit:
        assert line == text


@pytest.mark.parametrize(
    "name", ["mine", "<img src=x onerror=alert(1)>", "né", "a b", "100%", "a?b#c", "x" * 200]
)
def test_almost_any_store_name_is_accepted(tmp_path: Path, name: str) -> None:
    check_store_name(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [".", "..", ".hidden", "a\nb", "a\0b", "a\\b", "\udcff", "\x1b[2J", "index.json", "live.json", "\u202e"],
)
def test_a_store_name_that_a_site_cannot_show_is_rejected(name: str) -> None:
    with pytest.raises(LurkError, match=r"choose another, such as saved_model/mine$") as caught:
        check_store_name(Path(name))
    assert printable(str(caught.value)).isprintable()
