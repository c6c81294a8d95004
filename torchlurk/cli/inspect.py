"""`torchlurk inspect`: what a store holds, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from torchlurk.errors import LurkError
from torchlurk.runtime.names import printable
from torchlurk.store import read
from torchlurk.store.schema import STAGES

FOLDER = click.Path(path_type=Path)


@click.command(short_help="Say what a store holds, and whether it is whole.")
@click.argument("store", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def inspect(store: Path, as_json: bool) -> None:
    """Say what STORE holds; fail if a file is missing or damaged."""
    report = read.inspect(store)
    manifest = report.manifest
    if as_json:
        facts = {
            "name": manifest.name,
            "layers": len(manifest.layers),
            "filters": report.filters,
            "full": report.full,
            "k": manifest.k,
            "images": manifest.dataset.images,
            "skipped": len(manifest.dataset.skipped),
            "referred": report.images,
            "pictures": report.pictures,
            "stages": {name: getattr(manifest.stages, name).complete for name in STAGES},
            "worst_certificate": report.worst_certificate,
            "problems": list(report.problems),
        }
        click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        _print_report(report)
    if report.problems:
        raise LurkError(
            f"{str(store)!r} is not whole, {len(report.problems)} problems: compute it again with --overwrite"
        )


def _print_report(report: read.StoreReport) -> None:
    manifest = report.manifest
    dataset = manifest.dataset
    _tell(f"{manifest.name}: {manifest.title}, {manifest.model.source}, {manifest.model.weights}")
    _tell(
        f"images    {dataset.images} of {dataset.name}, {len(dataset.classes)} classes, "
        f"{len(dataset.skipped)} skipped, {report.images} referred to"
    )
    _tell(f"layers    {len(manifest.layers)}")
    _tell(
        f"filters   {report.filters}, {report.full} of them with "
        f"{min(manifest.k, dataset.images)} max and avg entries each"
    )
    for kind, count in report.pictures.items():
        _tell(f"{kind:13} {count}")
    for name in STAGES:
        stage = getattr(manifest.stages, name)
        _tell(f"{name:9} {'complete' if stage.complete else 'not complete'}")
    if report.worst_certificate is not None:
        _tell(f"crops explain their scores to {report.worst_certificate:.1e}")
    for problem in report.problems:
        _tell(f"problem: {problem}")
    if not report.problems:
        _tell("every file that it names is there and decodes")


def _tell(line: str) -> None:
    """Print a line in which names of others may be."""
    click.echo(printable(line))
