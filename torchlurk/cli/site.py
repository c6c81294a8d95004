"""`torchlurk site`: stores and comparisons to a folder that any static host can serve."""

from __future__ import annotations

from pathlib import Path

import click

from torchlurk.cli import options, terminal
from torchlurk.cli.terminal import echo
from torchlurk.errors import LurkError


def find_in_saved_model(name: str) -> tuple[Path, ...]:
    """Return the folders in `saved_model/` that contain a file of a name, sorted."""
    return tuple(path.parent for path in sorted(Path("saved_model").glob(f"*/{name}")))


@click.command(short_help="Build a site from stores.")
@click.argument("stores", nargs=-1, type=options.PATH)
@click.option(
    "--out", type=options.PATH, default="_site", help="Folder to write, which any static host can serve."
)
def site(stores: tuple[Path, ...], out: Path) -> None:
    """Build a site that any static host can serve.

    STORES are the stores to show, and comparisons of them. Without STORES, the site shows all in
    saved_model/.
    """
    from torchlurk.web.publish import build_site

    optional: tuple[Path, ...] = ()
    if not stores:
        stores, optional = (find_in_saved_model(name) for name in ("network.json", "comparison.json"))
    if not stores:
        raise LurkError(
            "there is no store in saved_model/",
            "run torchlurk precompute first, or give the folder of a store",
        )
    site_report = build_site(stores, out, optional)
    echo(f"{out}: {', '.join([*site_report.networks, *site_report.comparisons])}")
    echo(f"{'':10}{'files':>8}{'MB':>9}{'MB gzip':>9}")
    for kind, totals in [*site_report.kinds.items(), ("total", site_report.total)]:
        echo(f"{kind:10}{totals.files:8}{totals.bytes / 1e6:9.2f}{totals.gzip_bytes / 1e6:9.2f}")
    first_view = site_report.first_view_gzip_bytes / 1e3
    echo(f"first view, without data and pictures: {first_view:.0f} KB gzip")
    for error in site_report.left_out:
        terminal.report(f"warning: left out: {error.for_command_line()}")
    for warning in site_report.warnings:
        terminal.report(f"warning: {warning}")
