"""Compare stores: open them, ask their networks where there are any, and write what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlurk.comparing.assemble import Extras, join, pairs_of
from torchlurk.comparing.compatibility import Store, open_stores
from torchlurk.comparing.files import check_out, write_comparison
from torchlurk.comparing.table import Comparison
from torchlurk.errors import LurkError, in_python

if TYPE_CHECKING:
    from torch import nn

    from torchlurk.comparing.network_measures import Setting
    from torchlurk.datasets.images import ImageSet
    from torchlurk.datasets.preprocess import PreprocessLike
    from torchlurk.models.record import Network

WITHOUT = (
    "Made of the stores alone: correlations over all images, weights, partners and crossed filter images "
    "need the networks and the images, torchlurk compare --images."
)


AT_ONCE = 64
"""Images in one forward, at most: what all networks show of a batch is in memory together."""


@dataclass(frozen=True)
class Request:
    """What a comparison is asked for; see `compare`, whose `model` are `models` here."""

    stores: tuple[Path, ...]
    out: Path | None = None
    images: Any = None
    data_root: Path | None = None
    models: tuple[str | nn.Module, ...] = ()
    preprocess: PreprocessLike = None
    weights: tuple[Path, ...] = ()
    layers: tuple[str, ...] | None = None
    embed: str | None = None
    embed_weights: str = "auto"
    unsafe_pickle: bool = False
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    overwrite: bool = False
    progress: bool | None = None


def compare(
    *stores: str | Path,
    images: Any = None,
    model: str | nn.Module | Sequence[str | nn.Module] = (),
    preprocess: PreprocessLike = None,
    weights: str | Path | Sequence[str | Path] = (),
    layers: str | Sequence[str] | None = None,
    embed: str | None = None,
    embed_weights: str = "auto",
    out: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    allow_unsafe_pickle: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Say what became of each filter, from one store to another of one architecture over the same images.

    The stores alone tell how top images, class profiles and statistics changed, for which torch is not
    needed. With the images, the networks are loaded as the stores say, and tell the rest in one pass.

    Args:
        stores: folders, two or more, in the order of time.
        images: those that the stores were computed from, see `Lurk`; `None` for the stores alone.
        model: the networks, where the stores do not say enough: one for all or one each, a name as of
            `--model` or a module; modules come back as they were.
        preprocess: what modules are fed, see `Lurk`.
        weights: files, in any order: each is known by its digest.
        layers: which to compare, patterns see `--layers`; all without.
        embed: a third network, in which filter images and crops are compared too.
        embed_weights: its weights, see `--weights`.
        out: a folder beside the stores to write; nothing is written without.
        device: `auto`, `cpu` or `cuda`.
        batch_size: images in one forward.
        workers: processes that decode.
        allow_unsafe_pickle: whether files of weights may run code.
        overwrite: lose a comparison of other stores in `out`.
        progress: whether bars are shown; `None` for where there is someone to see them.

    Returns:
        The comparison, as a table with a row a filter.

    Raises:
        LurkError: the stores are not alike, or something else is not theirs.

    Examples:
        The same network, with two filters exchanged:

        >>> import copy
        >>> swapped = copy.deepcopy(model)
        >>> with torch.no_grad():
        ...     swapped.features[14].weight[[0, 1]] = model.features[14].weight[[1, 0]]
        >>> for name, network in {"before": model, "after": swapped}.items():
        ...     lurker = torchlurk.Lurk(
        ...         network, preprocess, images=photos, out=f"saved_model/{name}", layers="features.1?",
        ...         progress=False,
        ...     )
        ...     lurker.compute_top_imgs()
        >>> print(torchlurk.compare("saved_model/before", "saved_model/after").layer("features.14").summary)
        Of 3 layers, 2 changed. ...
        features.14: 2 of its 128 filters changed. ...
        >>> found = torchlurk.compare(
        ...     "saved_model/before", "saved_model/after", images=photos, model=[model, swapped],
        ...     preprocess=preprocess, progress=False,
        ... )
        >>> [row.partner for row in found.layer("features.14").head(4)]
        [1, 0, 2, 3]
    """
    request = Request(
        stores=tuple(Path(store) for store in stores),
        out=None if out is None else Path(out),
        images=images,
        models=(model,) if isinstance(model, str) or not isinstance(model, Sequence) else tuple(model),
        preprocess=preprocess,
        weights=tuple(Path(file) for file in ((weights,) if isinstance(weights, str | Path) else weights)),
        layers=(layers,) if isinstance(layers, str) else None if layers is None else tuple(layers),
        embed=embed,
        embed_weights=embed_weights,
        unsafe_pickle=allow_unsafe_pickle,
        device=device,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )
    with in_python():
        return compare_stores(request)


def compare_stores(request: Request) -> Comparison:
    """Do what was asked for; see `compare`.

    Raises:
        LurkError: it cannot be done; what lay in the folder before still does.
    """
    stores = open_stores(request.stores, request.layers)
    if request.out is not None:
        check_out(stores, request.out, overwrite=request.overwrite)
    if request.images is None and (request.models or request.weights):
        raise LurkError("networks without images have nothing to look at: give --images too")
    extras = Extras(note=WITHOUT)
    if request.images is not None or request.embed is not None:
        setting = _setting(request)
        if request.images is not None:
            extras = _ask(request, stores, setting)
        if request.embed is not None:
            extras = _embed(stores, request.embed, request.embed_weights, extras, setting)
    name = f"{stores[0].name}-to-{stores[-1].name}" if request.out is None else request.out.name
    compared = join(name, stores, extras)
    if request.out is not None:
        write_comparison(compared, request.out)
    return Comparison(compared)


def _setting(request: Request) -> Setting:
    from torchlurk.comparing.network_measures import Setting
    from torchlurk.pipeline.session import make_reporter
    from torchlurk.runtime.devices import choose_device, default_batch_size, default_workers

    device = choose_device(request.device)
    return Setting(
        device=device,
        batch_size=request.batch_size or min(default_batch_size(device), AT_ONCE),
        workers=default_workers(device) if request.workers is None else request.workers,
        reporter=make_reporter(request.progress),
    )


def _ask(request: Request, stores: Sequence[Store], setting: Setting) -> Extras:
    """What the networks say."""
    from torchlurk.comparing.network_measures import look_beyond
    from torchlurk.comparing.sources import check_images
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.pipeline.session import resolve_images

    if isinstance(request.images, str) and request.data_root is not None:
        folder: ImageSet = open_images(request.images, class_names_file=None, data_root=request.data_root)
    else:
        folder = resolve_images(request.images, None)
    for line in notes_of(folder):
        setting.reporter.report(line)
    check_images(stores[0], folder)
    networks = _networks(request, stores, folder, setting)
    found, why_not = look_beyond(stores, networks, folder, pairs_of(len(stores)), setting)
    note = f"Filter images are not crossed: {why_not}." if why_not else None
    return Extras(networks=True, beyond=found, note=note)


def _networks(
    request: Request, stores: Sequence[Store], folder: ImageSet, setting: Setting
) -> Sequence[Network]:
    from torchlurk.comparing.sources import Asked, handed_over, load_networks
    from torchlurk.datasets.batches import first_image
    from torchlurk.models.weights import default_cache

    models = request.models
    named = tuple(one for one in models if isinstance(one, str))
    if models and not named:
        if len(models) != len(stores):
            raise LurkError(f"{len(models)} modules for {len(stores)} stores: give --model one for each")
        if request.weights:
            raise LurkError("--weights beside modules, which have theirs: leave it out")
        pairs = zip(stores, models, strict=True)
        return [handed_over(store, module, request.preprocess, folder) for store, module in pairs]
    if len(named) != len(models):
        raise LurkError("--model holds names and modules: give all as the one or all as the other")
    if request.preprocess is not None:
        raise LurkError("a preprocess beside names, which have their own: leave it out, or give modules")
    asked = Asked(named, request.weights, request.unsafe_pickle)
    return load_networks(
        stores, asked, default_cache(), report=setting.reporter.report, first=lambda: first_image(folder)
    )


def _embed(stores: Sequence[Store], model: str, weights: str, extras: Extras, setting: Setting) -> Extras:
    """The same with the distances of pictures in a third network."""
    from torchlurk.comparing.network_measures import embed
    from torchlurk.models.network import load_network
    from torchlurk.models.weights import default_cache

    network = load_network(model, weights, None, default_cache(), report=setting.reporter.report)
    found, record = embed(stores, network, pairs_of(len(stores)), extras.beyond, setting)
    return replace(extras, beyond=found, embedding=record)
