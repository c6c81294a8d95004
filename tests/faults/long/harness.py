"""What a kind of fault is, what trying it gives, and the table of them all."""

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
    """What came of one fault.

    Attributes:
        fault: one of the names that its `Kind` gives.
        tried: how often the fault was made.
        survived: how often all was then as it must be.
        differing: bytes of the result that are not as they must be; `None` where none are compared.
        tracebacks: how often Python's own words reached the user, or an exception that is no `LurkError`.
        measured: figures, in a few words; "" for none.
        wrong: for whoever mends it, a line for each that was not survived; not in the table.
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
        """Whether the fault did no harm, and was made at all."""
        return 0 < self.tried == self.survived and not self.differing and not self.tracebacks


@dataclass(frozen=True)
class Trial:
    """What a kind is tried with.

    Attributes:
        folder: an empty folder, which goes afterwards.
        count: how often to make the fault.
        random: what chance decides; seeded.
    """

    folder: Path
    count: int
    random: Random


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: a word, for the command line.
        faults: what its rows are called, in order: what a reader of the table sees.
        run: makes the faults; gives a row for each of `faults`.
        long: how often to make it by `make faults`.
        short: how often by `make test`.
        needs: says why it cannot be tried on this machine; "" where it can.
    """

    name: str
    faults: tuple[str, ...]
    run: Callable[[Trial], Iterable[Row]]
    long: int
    short: int
    needs: Callable[[], str] = lambda: ""


def attempt(kind: Kind, folder: Path, count: int, seed: int) -> list[Row]:
    """Try a kind.

    Raises:
        AssertionError: its rows are not those that it has announced.
    """
    rows = list(kind.run(Trial(folder, count, Random(f"{kind.name} {seed}"))))
    assert tuple(row.fault for row in rows) == kind.faults, (kind.name, [row.fault for row in rows])
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in rows:
        bytes_ = "–" if row.differing is None else f"{row.differing:,}"
        cells = (row.fault, f"{row.tried:,}", f"{row.survived:,}", bytes_, str(row.tracebacks), row.measured)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def read_table(text: str) -> dict[str, list[str]]:
    """From a document that holds the table, the cells of each row by its fault.

    Raises:
        ValueError: there are no markers in it.
    """
    found = re.search(f"{re.escape(BEGIN)}\n(.*){re.escape(END)}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"there is no {BEGIN!r} and {END!r} in it")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]
    return {row[0]: row for row in rows}


def write_table(rows: Sequence[Row], kinds: Sequence[Kind], document: Path = DOCUMENT) -> None:
    """Put rows into the table of a document; those of faults that were not tried stay as they are."""
    text = document.read_text("utf-8")
    lines = {fault: f"| {' | '.join(cells)} |" for fault, cells in read_table(text).items()}
    head, rule, *fresh = table(rows).splitlines()
    lines |= dict(zip((row.fault for row in rows), fresh, strict=True))
    order = [fault for kind in kinds for fault in kind.faults if fault in lines]
    body = "\n".join([head, rule, *(lines[fault] for fault in order)])
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", "utf-8")
