"""`python -m benchmarks [--json] [--quick] [--busy]`: compare Torchlurk with its alternatives."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict

import click

from benchmarks.ascents import ascents_row
from benchmarks.gradients import gradients_row
from benchmarks.measure import Row, busy_core, ceilings, machine, peak_memory
from benchmarks.scanning import command_row, memory_row, scan_rows
from benchmarks.setting import make_setting


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON rather than a table.")
@click.option("--quick", is_flag=True, help="Run a tenth of the work.")
@click.option("--busy", is_flag=True, help="Keep one core busy meanwhile.")
@click.option(
    "--only", default="scan,command,gradients,ascent,memory", help="Rows to measure, separated by commas."
)
def run(as_json: bool, quick: bool, busy: bool, only: str) -> None:
    """Compare Torchlurk with its alternatives and print the results."""
    setting = make_setting()
    work: dict[str, Callable[[], list[Row]]] = {
        "scan": lambda: scan_rows(setting, 48 if quick else 200, 1 if quick else 3, 1.15 if busy else 1.05),
        "command": lambda: [command_row(setting, 200 if busy else 400, 1.3 if busy else 1.15)],
        "gradients": lambda: [gradients_row(setting, 2 if quick else 8)],
        "ascent": lambda: [ascents_row(setting, 1)],
        "memory": lambda: [memory_row(50 if quick else 500, 200 if quick else 5000)],
    }
    rows: list[Row] = []
    with busy_core() if busy else nullcontext():
        facts = {"machine": machine(), "ceilings": ceilings()}
        if not as_json:
            click.echo(json.dumps(facts))
        for name in only.split(","):
            for row in work[name]():
                rows.append(row)
                if not as_json:
                    click.echo(format_row(row))
    if as_json:
        peak = {"peak_memory_gb": peak_memory() / 1e9}
        click.echo(json.dumps({**facts, **peak, "rows": [asdict(row) for row in rows]}, indent=2))


def format_row(row: Row) -> str:
    """Return a row of the table as one or two lines of text."""
    line = (
        f"{'reached' if row.reached else 'MISSED ':8} {row.ratio:7.2f}  {row.work} | "
        f"compared with {row.baseline} | {row.ours:.4g} s, {row.theirs:.4g} s | {row.goal}"
    )
    return f"{line}\n{'':17} {row.note}" if row.note else line


if __name__ == "__main__":
    run()
