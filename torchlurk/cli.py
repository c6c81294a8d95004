"""The command line: parses and prints, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from tqdm import tqdm

import torchlurk
from torchlurk import options
from torchlurk.errors import LurkError
from torchlurk.explain_command import explain
from torchlurk.serve_command import serve
from torchlurk.store.schema import STAGES

FOLDER = click.Path(path_type=Path)


class _Commands(click.Group):
    """Turns failures into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LurkError as problem:
            if ctx.params["debug"]:
                raise
            click.echo(f"torchlurk: {problem}", err=True)
            ctx.exit(problem.exit_code)
        except KeyboardInterrupt:
            click.echo("torchlurk: stopped", err=True)
            ctx.exit(130)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as problem:
            if ctx.params["debug"]:
                raise
            click.echo(
                f"torchlurk: {type(problem).__name__}: {_one_line(problem)} "
                "(an error of ours: torchlurk --debug shows where)",
                err=True,
            )
            ctx.exit(1)


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:300]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(torchlurk.__version__, prog_name="torchlurk")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def main(debug: bool) -> None:
    """See what the filters of a convolutional network look for."""


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    with tqdm(total=total, desc=f"{label:9}", unit=f" {unit}s", file=sys.stderr, disable=None) as bar:
        yield bar.update


@main.command(short_help="Scan images with a network and write a store.")
@click.option(
    "--model",
    default="vgg16",
    metavar="NAME|timm:NAME|FILE.py:FUNCTION|MODULE:FUNCTION",
    help="A classifier of torchvision or of timm, or a function without arguments that returns a network, "
    "or (network, transform).",
)
@click.option(
    "--weights",
    default="auto",
    metavar="auto|imagenet|trunk|caffe|NAME|FILE|random",
    help="imagenet: torchvision's best; trunk: the convolutions alone, 64 MB; caffe: SqueezeNet 1.1 "
    "as its authors trained it, 5 MB; auto: the first that can be had, or what your function gives; NAME: "
    "torchvision's name of some, such as IMAGENET1K_V2; FILE: a state dict (safetensors, or torch's own "
    "format); random: untrained.",
)
@click.option(
    "--allow-unsafe-pickle",
    is_flag=True,
    help="Let a FILE of weights run any code while it is read; only if you trust whoever made it.",
)
@click.option(
    "--images",
    required=True,
    metavar="FOLDER|FILE.csv|torchvision:NAME[:SPLIT]",
    help="A folder of images, whose subfolders are classes; a table of path,label; or a data set of "
    "torchvision, by name.",
)
@click.option(
    "--data-root",
    type=FOLDER,
    help="Folder for torchvision's data sets. [default: datasets in the user's cache]",
)
@click.option("--out", required=True, type=FOLDER, help="The store to write, e.g. saved_model/NAME.")
@click.option(
    "--words",
    type=FOLDER,
    help="File that names the classes: lines 'folder name<TAB>words', or a name a line, in order. "
    "[default: classes.txt in or beside the images, if there is one]",
)
@click.option(
    "--layers", multiple=True, default=("kind:Conv2d",), metavar="NAME|GLOB|kind:KIND|logits",
    help="Layers to scan: a module's dotted name; a glob of names, of convolutions if no kind is given; a "
    "kind, such as kind:ReLU; or the network's output. May be repeated.",
)  # fmt: skip
@click.option(
    "--filters", type=options.Filters(), default="all",
    help="Gradients and ascent for the first N filters of each layer.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(1, 64), default=4, help="Images to keep for each filter.")
@click.option(
    "--size",
    type=options.Size(),
    help="Height and width of the input, pixels. [default: what the network was made for]",
)
@click.option(
    "--show-channels",
    type=options.Channels(),
    help="Which channels of the input to show as red, green and blue, where it has more than three. "
    "[default: 0,1,2]",
)
@click.option(
    "--stages",
    type=options.Stages(),
    default=",".join(STAGES),
    help="What to compute, with commas between.",
)
@click.option(
    "--method", type=click.Choice(["deconv", "guided", "vanilla"]), default="deconv",
    help="What ReLUs let back in gradients.",
)  # fmt: skip
@click.option(
    "--certify", type=click.Choice(["chosen", "all"]), default="chosen",
    help="Feed the crops of these filters to the network again, to prove that they explain their scores: of "
    "those chosen by --filters, which costs nothing, or of all.",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute."
)
@click.option(
    "--ascent", type=click.Choice(["fourier", "naive"]), default="fourier",
    help="How filter images are made; naive: plain pixels, as the first Torchlurk did.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(["mean", "position"]), default="mean",
    help="What filter images excite: the whole feature map, or the unit in its middle.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto",
    help="Of the steps of the ascent; auto: bfloat16 where the device is fast at it.",
)  # fmt: skip
@click.option(
    "--scan-precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Of the scan; bfloat16 scores its candidates again in float32, which pays for many images.",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 4096),
    help="Images in one forward. [default: 8 on a cpu, 64 or 256 on cuda]",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(0, 64),
    help="Processes that decode images, and threads that write pictures; 0 does both in the main one. "
    "[default: 1 on a cpu, up to 16 before cuda]",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of all randomness.")
@click.option("--overwrite", is_flag=True, help="Begin anew if the store holds something else.")
def precompute(**given: Any) -> None:
    """Scan a folder of images with a network and write what excites each filter.

    Stages that are complete already are not computed again.
    """
    _precompute(**given)


def _precompute(
    *, model: str, weights: str, allow_unsafe_pickle: bool, images: str, data_root: Path | None, out: Path,
    words: Path | None, layers: tuple[str, ...], filters: int | str, top: int,
    size: int | tuple[int, int] | None, show_channels: tuple[int, ...] | None, stages: tuple[str, ...],
    method: Any, certify: str, device: str, ascent: str, objective: str, precision: str, scan_precision: str,
    batch_size: int | None, workers: int | None, seed: int, overwrite: bool,
) -> None:  # fmt: skip
    from torchlurk.config import AscentConfig, GradientsConfig, RunConfig, ScanConfig
    from torchlurk.datasets.choose import open_images
    from torchlurk.datasets.folder import first_image
    from torchlurk.devices import ascent_batch, choose_device, fast_precision, usual_batch, usual_workers
    from torchlurk.models.network import load_network
    from torchlurk.models.weights import default_cache
    from torchlurk.pipeline import precompute
    from torchlurk.selection import Selection
    from torchlurk.stages.job import Terminal
    from torchlurk.store.write import check_writable

    chosen = choose_device(device)
    check_writable(out)
    cache = default_cache()
    folder = open_images(str(images), words=words, data_root=data_root or cache / "datasets")
    network = load_network(
        model,
        weights,
        size,
        cache,
        say=_say,
        seed=seed,
        first=lambda: first_image(folder),
        show=show_channels or (),
        unsafe_pickle=allow_unsafe_pickle,
    )
    batch = batch_size or usual_batch(chosen)
    config = RunConfig(
        scan=ScanConfig(layers=layers, k=top, batch_size=batch, precision=scan_precision),
        gradients=GradientsConfig(method=method, certify=certify, batch_size=2 * batch),
        ascent=AscentConfig(
            way=ascent,
            objective=objective,
            seed=seed,
            batch_size=ascent_batch(chosen, batch),
            precision=fast_precision(chosen) if precision == "auto" else precision,
        ),
        stages=stages,
        chosen=Selection(filters=None if filters == "all" else int(filters)),
        workers=usual_workers(chosen) if workers is None else workers,
        overwrite=overwrite,
    )
    _say(f"{network.title} ({network.weights}) over {len(folder.paths)} images on {chosen.type}")
    manifest = precompute(network, folder, out, config, chosen, Terminal(say=_say, bar=_bar))
    total = sum(layer.channels for layer in manifest.layers)
    click.echo(
        f"{out}: {len(manifest.layers)} layers, {total} filters, {manifest.dataset.images} images, "
        f"{len(manifest.dataset.skipped)} skipped"
    )


main.add_command(explain)


@main.command(short_help="Run the whole of it on the photographs that come with Torchlurk.")
@click.option("--weights", default="trunk", help="As of precompute.")
@click.option("--filters", type=options.Filters(), default=8, help="As of precompute.")
@click.option("--out", type=FOLDER, default="saved_model/vgg16-photos", help="The store to write.")
@click.option("--site", "site_out", type=FOLDER, default="_site", help="The site to write.")
@click.pass_context
def demo(ctx: click.Context, weights: str, filters: int | str, out: Path, site_out: Path) -> None:
    """Scan the photographs that come with Torchlurk with VGG16 and a small network, and build the site."""
    from torchlurk.resources import networks_folder, photos_folder

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
    click.echo(f"to look at it: torchlurk serve {site_out}")


@main.command(short_help="Build the site from one store or several.")
@click.argument("stores", nargs=-1, type=FOLDER)
@click.option("--out", type=FOLDER, default="_site", help="Folder to write; any static host can serve it.")
def site(stores: tuple[Path, ...], out: Path) -> None:
    """Build a folder that any static host can serve.

    STORES are the networks to show; without any, all those in saved_model/.
    """
    from torchlurk.publish import build_site

    if not stores:
        stores = tuple(path.parent for path in sorted(Path("saved_model").glob("*/network.json")))
    if not stores:
        raise LurkError("there is no store in saved_model/: run torchlurk precompute first, or name one")
    report = build_site(stores, out)
    click.echo(f"{out}: {', '.join(report.networks)}")
    click.echo(f"{'':10}{'files':>8}{'MB':>9}{'MB gzip':>9}")
    for kind, share in [*report.kinds.items(), ("total", report.total)]:
        click.echo(f"{kind:10}{share.files:8}{share.bytes / 1e6:9.2f}{share.gzip_bytes / 1e6:9.2f}")
    click.echo(f"first view, besides data and pictures: {report.first_view_gzip_bytes / 1e3:.0f} KB gzip")
    for warning in report.warnings:
        _say(f"warning: {warning}")


main.add_command(serve)


@main.command(short_help="Say what a store holds, and whether it is whole.")
@click.argument("store", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def inspect(store: Path, as_json: bool) -> None:
    """Say what STORE holds; fail if a file is missing or damaged."""
    from torchlurk.store import read

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


def _print_report(report: Any) -> None:
    manifest = report.manifest
    dataset = manifest.dataset
    click.echo(f"{manifest.name}: {manifest.title}, {manifest.model.source}, {manifest.model.weights}")
    click.echo(
        f"images    {dataset.images} of {dataset.name}, {len(dataset.classes)} classes, "
        f"{len(dataset.skipped)} skipped, {report.images} referred to"
    )
    click.echo(f"layers    {len(manifest.layers)}")
    click.echo(
        f"filters   {report.filters}, {report.full} of them with "
        f"{min(manifest.k, dataset.images)} max and avg entries each"
    )
    for kind, count in report.pictures.items():
        click.echo(f"{kind:13} {count}")
    for name in STAGES:
        stage = getattr(manifest.stages, name)
        click.echo(f"{name:9} {'complete' if stage.complete else 'not complete'}")
    if report.worst_certificate is not None:
        click.echo(f"crops explain their scores to {report.worst_certificate:.1e}")
    for problem in report.problems:
        click.echo(f"problem: {problem}")
    if not report.problems:
        click.echo("every file that it names is there and decodes")


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

    report = fetch_tiny_imagenet(out, per_class=per_class, archive=archive, cache=default_cache(), say=_say)
    click.echo(f"{out}: {report.images} images of {report.classes} classes")
