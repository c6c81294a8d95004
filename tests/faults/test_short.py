"""A few faults of each kind, and the table that `make faults` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.long.harness import BEGIN, DOCUMENT, END, HEAD, Kind, Row, attempt, read_table, write_table
from tests.faults.long.kinds import KINDS

LEAST_TRIED = {
    "kills": 210,
    "memory": 1,
    "images": 1001,
    "costs": 17,
    "space": 126,
    "names": 400,
    "requests": 40_000,
    "reader": 13_000,
    "supply": 7000,
}
"""The least number of attempts in the document for each kind, summed over its rows."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_few_faults_of_each_kind_do_no_harm(kind: Kind, tmp_path: Path) -> None:
    if missing := kind.needs():
        pytest.skip(missing)
    for row in attempt(kind, tmp_path, kind.short, seed=1):
        assert row.good, row


def test_names_of_kinds_and_faults_are_unique() -> None:
    faults = [fault for kind in KINDS for fault in kind.faults]
    assert len(set(faults)) == len(faults)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert not any("|" in fault or "\n" in fault for fault in faults)


def test_the_document_has_a_harmless_row_for_each_fault() -> None:
    rows = read_table(DOCUMENT.read_text("utf-8"))
    assert list(rows) == [fault for kind in KINDS for fault in kind.faults]
    for fault, cells in rows.items():
        assert len(cells) == len(HEAD)
        tried, survived = (int(cell.replace(",", "")) for cell in cells[1:3])
        assert tried == survived >= 1
        assert cells[3] in ("0", "–"), fault
        assert cells[4] == "0", fault


def test_the_document_reports_as_many_attempts_as_make_faults_makes() -> None:
    rows = read_table(DOCUMENT.read_text("utf-8"))
    tried = {kind.name: sum(int(rows[fault][1].replace(",", "")) for fault in kind.faults) for kind in KINDS}
    assert tried.keys() == LEAST_TRIED.keys()
    for name, least in LEAST_TRIED.items():
        assert tried[name] >= least, name


def test_write_table_replaces_only_the_rows_it_gets(tmp_path: Path) -> None:
    kinds = [Kind("a", ("one", "two"), lambda _: (), 1, 1), Kind("b", ("three",), lambda _: (), 1, 1)]
    document = tmp_path / "x.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n", "utf-8")
    write_table([Row("three", 3, 3), Row("one", 1000, 999, 5, 1, "note")], kinds, document)
    write_table([Row("two", 2, 2, 0)], kinds, document)
    text = document.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert read_table(text) == {
        "one": ["one", "1,000", "999", "5", "1", "note"],
        "two": ["two", "2", "2", "0", "0", ""],
        "three": ["three", "3", "3", "–", "0", ""],
    }


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (Row("x", 2, 2), True),
        (Row("x", 2, 2, 0), True),
        (Row("x", 0, 0), False),
        (Row("x", 2, 1), False),
        (Row("x", 2, 2, 1), False),
        (Row("x", 2, 2, 0, 1), False),
    ],
)
def test_a_row_is_good_only_without_any_harm(row: Row, good: bool) -> None:
    assert row.good is good
