"""Kinds of fault, their results, and the table of all results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/explanation/reliability.md"
BEGIN, END = "<!-- faults: written by make faults -->", "<!-- end of faults -->"
HEAD = ("fault", "tried", "survived", "bytes differing", "tracebacks", "measured")


@dataclass(frozen=True)
class Row:
    """The results of one fault.

    Attributes:
        fault: the name of the fault, one of `Kind.faults`.
        tried: the number of attempts.
        survived: the number of attempts with the expected result.
        differing: the number of bytes that differ from the expected result; `None` if none are compared.
        tracebacks: the number of tracebacks and of exceptions other than `LurkError` that reached the user.
        measured: measurements as text; "" for none.
        wrong: one line for each failed attempt, for debugging; not in the table.
    """

    fault: str
    tried: int
    survived: int
    differing: int | None = None
    tracebacks: int = 0
    measured: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the fault was tried and did no harm."""
        return 0 < self.tried == self.survived and not self.differing and not self.tracebacks


@dataclass(frozen=True)
class Trial:
    """The arguments of one test of a kind.

    Attributes:
        folder: an empty temporary folder.
        count: the number of attempts.
        random: the seeded random generator.
    """

    folder: Path
    count: int
    random: Random


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: the name on the command line.
        faults: the names of its rows in the table, in order.
        run: makes the faults and returns a row for each of `faults`.
        long: the number of attempts in `make faults`.
        short: the number of attempts in `make test`.
        needs: returns why this machine cannot make the faults; "" if it can.
    """

    name: str
    faults: tuple[str, ...]
    run: Callable[[Trial], Iterable[Row]]
    long: int
    short: int
    needs: Callable[[], str] = lambda: ""


def attempt(kind: Kind, folder: Path, count: int, seed: int) -> list[Row]:
    """Make the faults of a kind and return the rows.

    Raises:
        AssertionError: the rows do not match `kind.faults`.
    """
    rows = list(kind.run(Trial(folder, count, Random(f"{kind.name} {seed}"))))
    assert tuple(row.fault for row in rows) == kind.faults, (kind.name, [row.fault for row in rows])
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in rows:
        bytes_ = "–" if row.differing is None else f"{row.differing:,}"
        cells = (row.fault, f"{row.tried:,}", f"{row.survived:,}", bytes_, str(row.tracebacks), row.measured)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def read_table(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of the table in a document, by fault.

    Raises:
        ValueError: the document lacks the markers.
    """
    match = re.search(f"{re.escape(BEGIN)}\n(.*){re.escape(END)}", text, re.DOTALL)
    if match is None:
        raise ValueError(f"the document lacks {BEGIN!r} or {END!r}")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in match[1].splitlines()[2:]]
    return {row[0]: row for row in rows}


def write_table(rows: Sequence[Row], kinds: Sequence[Kind], document: Path = DOCUMENT) -> None:
    """Write rows to the table of a document; rows of other faults remain unchanged."""
    text = document.read_text("utf-8")
    lines = {fault: f"| {' | '.join(cells)} |" for fault, cells in read_table(text).items()}
    head, rule, *fresh = table(rows).splitlines()
    lines |= dict(zip((row.fault for row in rows), fresh, strict=True))
    order = [fault for kind in kinds for fault in kind.faults if fault in lines]
    body = "\n".join([head, rule, *(lines[fault] for fault in order)])
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", "utf-8")
