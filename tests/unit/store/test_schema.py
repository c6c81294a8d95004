"""Records of the format: written and read again, they are the same, for any values."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from torchlurk.errors import LurkError
from torchlurk.store import read, schema
from torchlurk.store.write import write_json

FILES: dict[str, Any] = {
    "index.json": schema.Index,
    "network.json": schema.Manifest,
    "images.json": schema.ImagesFile,
    "images-of-format-1.json": schema.ImageEntries,
    "classes.json": schema.Classes,
    "progress.json": schema.Progress,
    "layer.json": schema.LayerFile,
    "circuits.json": schema.CircuitFile,
}


TEXT = st.text(max_size=20)


PATHS = st.lists(st.text("ab<>%. ", min_size=1, max_size=5).filter(lambda p: p != ".."), min_size=1).map(
    "/".join
)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """What a type of the schema may hold, from the type itself: all its limits are respected."""
    match kind:
        case inspect.IntType(ge=low, le=high):
            return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
        case inspect.FloatType(ge=low, le=high):
            found = st.floats(low, high, allow_nan=False, allow_infinity=False)
            return found.map(schema.round_float32).filter(
                lambda v: v != float("inf") and (high is None or v <= high)
            )
        case inspect.StrType(pattern=None):
            return TEXT
        case inspect.StrType(pattern=r"\A[a-q]*\Z"):
            return st.text("abcdefghijklmnopq", max_size=9)
        case inspect.StrType(pattern=pattern):
            return PATHS if "A-Z" not in str(pattern) and "64" not in str(pattern) else st.just("0" * 64)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case inspect.UnionType(types=types):
            return st.one_of(*map(values, types))
        case inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=3)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(values, items))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: values(field.type) for field in fields})
        case inspect.Metadata(type=inner):
            return values(inner)
    raise TypeError(kind)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    kind = FILES[name]
    record = data.draw(values(inspect.type_info(kind)))
    path = tmp_path_factory.getbasetemp() / f"round-{name}"
    write_json(path, record)
    first = path.read_bytes()
    found = msgspec.json.decode(first, type=kind)
    assert found == record
    write_json(path, found)
    assert path.read_bytes() == first
    assert first.count(b"\n") == 1
    first.decode("utf-8")


@given(data=st.data())
def test_a_manifest_is_read_or_reported_as_inconsistent(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    record = data.draw(values(inspect.type_info(schema.Manifest)))
    store: Path = tmp_path_factory.getbasetemp()
    write_json(store / "network.json", record)
    with suppress(LurkError):
        assert read.read_manifest(store) == record
