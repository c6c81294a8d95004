"""`torchlurk inspect`: what a store contains, and whether it is complete and undamaged."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from torchlurk.cli import options
from torchlurk.cli.terminal import echo
from torchlurk.errors import LurkError, Option
from torchlurk.store import inspect as store_inspect
from torchlurk.store.schema import STAGES


@click.command(short_help="Show what a store contains, and check its files.")
@click.argument("store", type=options.PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(store: Path, as_json: bool) -> None:
    """Show what STORE contains. The exit code is 1 if a file is missing or damaged."""
    report = store_inspect.inspect(store)
    if as_json:
        # JSON escapes control characters itself.
        click.echo(msgspec.json.format(msgspec.json.encode(_facts(report)), indent=2).decode())
    else:
        _print_report(report)
    if report.problems:
        count = f"{len(report.problems)} problem{'s' if len(report.problems) > 1 else ''}"
        raise LurkError(
            f"{str(store)!r} is damaged or incomplete: {count}",
            ("compute it again with ", Option("overwrite", True)),
        )


def _facts(report: store_inspect.StoreReport) -> dict[str, object]:
    manifest = report.manifest
    return {
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


def _print_report(report: store_inspect.StoreReport) -> None:
    manifest = report.manifest
    dataset = manifest.dataset
    echo(f"{manifest.name}: {manifest.title}, {manifest.model.source}, {manifest.model.weights}")
    echo(
        f"images    {dataset.images} of {dataset.name}, {len(dataset.classes)} classes, "
        f"{len(dataset.skipped)} skipped, {report.images} in the lists of filters"
    )
    echo(f"layers    {len(manifest.layers)}")
    echo(
        f"filters   {report.filters}, {report.full} of them with "
        f"{min(manifest.k, dataset.images)} max and avg entries each"
    )
    for kind, count in report.pictures.items():
        echo(f"{kind:13} {count}")
    for name in STAGES:
        stage = getattr(manifest.stages, name)
        echo(f"{name:9} {'complete' if stage.complete else 'not complete'}")
    if report.worst_certificate is not None:
        echo(f"crops explain their scores with a relative error of at most {report.worst_certificate:.1e}")
    for problem in report.problems:
        echo(f"problem: {problem}")
    if not report.problems:
        echo("all files of the store exist and decode")
