"""`python -m tests.faults.long`: make faults, print a table and write it to the documentation."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.faults.long.harness import Row, attempt, table, write_table
from tests.faults.long.kinds import KINDS

NAMES = [kind.name for kind in KINDS]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--count", type=click.IntRange(1), help="Attempts per kind. [default: set by each kind]")
@click.option("--seed", default=0, show_default=True, help="Seed of the random choices.")
@click.option("--write/--no-write", help="Write the table to docs/explanation/reliability.md.")
def main(names: tuple[str, ...], count: int | None, seed: int, write: bool) -> None:
    """Make the faults of the kinds NAMES, or of all kinds."""
    rows: list[Row] = []
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        if missing := kind.needs():
            click.echo(f"{kind.name}: skipped, {missing}", err=True)
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="torchlurk-faults-") as folder:
            rows += attempt(kind, Path(folder), count or kind.long, seed)
        click.echo(f"{kind.name}: {time.monotonic() - start:.0f} s", err=True)
    click.echo(table(rows), nl=False)
    for row in rows:
        for line in row.wrong:
            click.echo(f"{row.fault}: {line}", err=True)
    if write:
        write_table(rows, KINDS)
    sys.exit(0 if rows and all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
