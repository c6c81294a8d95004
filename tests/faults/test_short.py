"""A shorter cut of each kind of fault, and the table that `make faults` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.long.harness import BEGIN, DOCUMENT, END, HEAD, Kind, Row, attempt, read_table, write_table
from tests.faults.long.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_few_of_each_kind_do_no_harm(kind: Kind, tmp_path: Path) -> None:
    if missing := kind.needs():
        pytest.skip(missing)
    for row in attempt(kind, tmp_path, kind.short, seed=1):
        assert row.good, row


def test_names_of_kinds_and_faults_are_their_own() -> None:
    faults = [fault for kind in KINDS for fault in kind.faults]
    assert len(set(faults)) == len(faults)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert not any("|" in fault or "\n" in fault for fault in faults)


def test_the_document_tells_of_every_fault_that_it_did_no_harm() -> None:
    rows = read_table(DOCUMENT.read_text("utf-8"))
    assert list(rows) == [fault for kind in KINDS for fault in kind.faults]
    least = {fault: kind.long for kind in KINDS for fault in kind.faults}
    for fault, cells in rows.items():
        assert len(cells) == len(HEAD)
        tried, survived = (int(cell.replace(",", "")) for cell in cells[1:3])
        assert tried == survived >= 1
        assert cells[3] in ("0", "–"), fault
        assert cells[4] == "0", fault
    assert least


def test_a_table_is_written_row_by_row(tmp_path: Path) -> None:
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
def test_what_counts_as_survived(row: Row, good: bool) -> None:
    assert row.good is good
