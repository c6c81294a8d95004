"""The command line: parses and prints, nothing else."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

import torchlurk
from torchlurk.cli import options, terminal
from torchlurk.cli.compare import compare
from torchlurk.cli.explain import explain
from torchlurk.cli.inspect import inspect
from torchlurk.cli.precompute import precompute
from torchlurk.cli.serve import serve
from torchlurk.cli.terminal import terminated
from torchlurk.cli.transfer import transfer
from torchlurk.errors import LurkError, Terminated
from torchlurk.runtime.names import printable

FOLDER = click.Path(path_type=Path)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What the system says where nothing can be written any more; stdout may lie there too."""


class _Commands(click.Group):
    """Turns failures into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with terminated():
                return super().invoke(ctx)
        except LurkError as problem:
            if ctx.params["debug"]:
                raise
            click.echo(f"torchlurk: {printable(problem.for_command_line())}", err=True)
            ctx.exit(problem.exit_code)
        except KeyboardInterrupt as stop:
            click.echo("torchlurk: stopped", err=True)
            ctx.exit(143 if isinstance(stop, Terminated) else 130)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise  # click knows what to do; a pipe breaks when `head` has seen enough
        except Exception as problem:
            if ctx.params["debug"]:
                raise
            if isinstance(problem, OSError) and problem.errno in NO_ROOM:
                why = "make room there, and run the same command again to go on"
            else:
                why = "internal error; run with --debug for a traceback"
            click.echo(f"torchlurk: {type(problem).__name__}: {_one_line(problem)} ({why})", err=True)
            ctx.exit(1)


def _one_line(problem: BaseException) -> str:
    return printable(" ".join(str(problem).split()), 300)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(torchlurk.__version__, prog_name="torchlurk")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def main(debug: bool) -> None:
    """See what the filters of a convolutional network look for."""


main.add_command(precompute)
main.add_command(explain)
main.add_command(compare)


@main.command(short_help="Run the whole of it on the photographs that come with Torchlurk.")
@click.option(
    "--weights",
    default="trunk",
    metavar="trunk|imagenet|FILE|random",
    help="Weights of VGG16, see precompute --help.",
)
@click.option(
    "--filters",
    type=options.FiltersType(),
    default=8,
    help="Gradients and filter images for the first N filters of each layer.",
)
@click.option("--out", type=FOLDER, default="saved_model/vgg16-photos", help="The store to write.")
@click.option("--site", "site_out", type=FOLDER, default="_site", help="The site to write.")
@click.pass_context
def demo(ctx: click.Context, weights: str, filters: int | str, out: Path, site_out: Path) -> None:
    """Scan the photographs that come with Torchlurk with VGG16 and a small network, and build the site."""
    from torchlurk.runtime.resources import networks_folder, photos_folder

    ctx.invoke(
        precompute,
        images=photos_folder(),
        out=out,
        weights=weights,
        filters=filters,
        overwrite=False,
    )
    small = out.parent / "small-photos"
    networks = networks_folder()
    ctx.invoke(
        precompute,
        model=f"{networks / 'small.py'}:colour",
        weights=str(networks / "small-colour.safetensors"),
        images=str(photos_folder()),
        out=small,
        layers=("kind:Conv2d", "logits"),
        filters=max(filters, 32) if isinstance(filters, int) else filters,
    )
    ctx.invoke(site, stores=(out, small), out=site_out)
    click.echo(printable(f"to look at it: torchlurk serve {site_out}"))


def _in_saved_model(name: str) -> tuple[Path, ...]:
    return tuple(path.parent for path in sorted(Path("saved_model").glob(f"*/{name}")))


@main.command(short_help="Build the site from one store or several.")
@click.argument("stores", nargs=-1, type=FOLDER)
@click.option("--out", type=FOLDER, default="_site", help="Folder to write; any static host can serve it.")
def site(stores: tuple[Path, ...], out: Path) -> None:
    """Build a folder that any static host can serve.

    STORES are the networks to show, and the comparisons of them; without any, all those in saved_model/.
    """
    from torchlurk.web.publish import build_site

    beside: tuple[Path, ...] = ()
    if not stores:
        stores, beside = (_in_saved_model(name) for name in ("network.json", "comparison.json"))
    if not stores:
        raise LurkError("there is no store in saved_model/: run torchlurk precompute first, or name one")
    report = build_site(stores, out, beside)
    click.echo(printable(f"{out}: {', '.join([*report.networks, *report.comparisons])}"))
    click.echo(f"{'':10}{'files':>8}{'MB':>9}{'MB gzip':>9}")
    for kind, share in [*report.kinds.items(), ("total", report.total)]:
        click.echo(f"{kind:10}{share.files:8}{share.bytes / 1e6:9.2f}{share.gzip_bytes / 1e6:9.2f}")
    click.echo(f"first view, besides data and pictures: {report.first_view_gzip_bytes / 1e3:.0f} KB gzip")
    for warning in report.warnings:
        terminal.report(f"warning: {warning}")


main.add_command(serve)
main.add_command(transfer)


main.add_command(inspect)


@main.group(short_help="Fetch a data set.")
def data() -> None:
    """Fetch a data set to run on."""


@data.command("tiny-imagenet", short_help="A fixed subset of tiny-ImageNet.")
@click.option("--per-class", type=click.IntRange(1, 500), default=10, help="Images of each of 200 classes.")
@click.option("--out", type=FOLDER, default="data/tiny-imagenet", help="Folder to write.")
@click.option("--archive", type=FOLDER, help="A local copy of tiny-imagenet-200.zip, not to download it.")
def tiny_imagenet(per_class: int, out: Path, archive: Path | None) -> None:
    """Fetch Stanford's tiny-imagenet-200.zip (237 MB) and unpack a fixed subset of it.

    ImageNet's terms allow research use only.
    """
    from torchlurk.datasets.tiny_imagenet import fetch_tiny_imagenet
    from torchlurk.models.weights import default_cache

    report = fetch_tiny_imagenet(
        out, per_class=per_class, archive=archive, cache=default_cache(), report=terminal.report
    )
    click.echo(printable(f"{out}: {report.images} images of {report.classes} classes"))
