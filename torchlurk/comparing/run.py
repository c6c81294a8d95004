"""Compare stores: open them, run their networks if there are any, and write the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlurk.comparing.assemble import NetworkResults, assemble, store_pairs
from torchlurk.comparing.compatibility import Store, open_stores
from torchlurk.comparing.files import check_out, write_comparison
from torchlurk.comparing.table import Comparison
from torchlurk.errors import LurkError, Option, as_texts

if TYPE_CHECKING:
    from torch import nn

    from torchlurk.comparing.network_measures import ComputeSettings
    from torchlurk.datasets.images import ImageSet
    from torchlurk.datasets.preprocess import PreprocessLike
    from torchlurk.models.network import Network

_STORES_ONLY_NOTE = (
    "Computed from the stores alone. Correlations over all images, weights, best partners and "
    "cross-activations need the networks and the images: run torchlurk compare with --images."
)

_MAX_BATCH_SIZE = 64
"""The default limit of images in one forward: the maps of a batch in all networks are in memory together."""


@dataclass(frozen=True)
class ComparisonRequest:
    """The arguments of a comparison; see `compare`, whose `model` is called `models` here."""

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
    """Measure how each filter changed between stores of one architecture over the same images.

    The stores alone show how top images, class profiles and statistics changed; this does not need torch.
    With the images, the networks are loaded as the stores describe them, and run once over all images for the
    rest.

    Args:
        stores: The folders of two or more stores, in chronological order.
        images: The images that the stores were computed from, see `Lurk`; `None` to use the stores alone.
        model: The networks, if the stores do not describe them fully: one for all stores or one per store,
            each a name as for `Lurk` or a module. Modules are restored afterwards.
        preprocess: The preprocessing of modules, see `Lurk`.
        weights: Weights files in any order; each is identified by its digest.
        layers: Patterns of the layers to compare, see `Lurk`; by default all.
        embed: An embedding network in which filter images and crops are compared as well.
        embed_weights: The weights of the embedding network.
        out: A folder next to the stores to write to; by default nothing is written.
        device: `auto`, `cpu` or `cuda`.
        batch_size: Images in one forward.
        workers: Processes that decode images.
        allow_unsafe_pickle: Whether weights files may execute code.
        overwrite: Whether to replace a comparison of other stores in `out`.
        progress: Whether to show progress bars; `None` shows them in a terminal or notebook.

    Returns:
        The comparison as a table with one row per filter.

    Raises:
        LurkError: The stores are not compatible, or the networks or images are not those of the stores.

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
    request = ComparisonRequest(
        stores=tuple(Path(store) for store in stores),
        out=None if out is None else Path(out),
        images=images,
        models=(model,) if isinstance(model, str) or not isinstance(model, Sequence) else tuple(model),
        preprocess=preprocess,
        weights=tuple(Path(file) for file in ((weights,) if isinstance(weights, str | Path) else weights)),
        layers=None if layers is None else as_texts("layers", layers),
        embed=embed,
        embed_weights=embed_weights,
        unsafe_pickle=allow_unsafe_pickle,
        device=device,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )
    return compare_stores(request)


def compare_stores(request: ComparisonRequest) -> Comparison:
    """Run a comparison; see `compare`.

    Raises:
        LurkError: The comparison cannot be computed; the output folder is unchanged.
    """
    stores = open_stores(request.stores, request.layers)
    if request.out is not None:
        check_out(stores, request.out, overwrite=request.overwrite)
    if request.images is None and (request.models or request.weights):
        raise LurkError("networks are given without images", ("give the images with ", Option("images")))
    results = NetworkResults(note=_STORES_ONLY_NOTE)
    if request.images is not None or request.embed is not None:
        settings = _compute_settings(request)
        if request.images is not None:
            results = _measure_networks(request, stores, settings)
        if request.embed is not None:
            results = _add_embeddings(stores, request.embed, request.embed_weights, results, settings)
    name = f"{stores[0].name}-to-{stores[-1].name}" if request.out is None else request.out.name
    compared = assemble(name, stores, results)
    if request.out is not None:
        write_comparison(compared, request.out)
    return Comparison(compared)


def _compute_settings(request: ComparisonRequest) -> ComputeSettings:
    from torchlurk.comparing.network_measures import ComputeSettings
    from torchlurk.pipeline.session import make_reporter
    from torchlurk.runtime.devices import choose_device, default_batch_size, default_workers

    device = choose_device(request.device)
    return ComputeSettings(
        device=device,
        batch_size=request.batch_size or min(default_batch_size(device), _MAX_BATCH_SIZE),
        workers=default_workers(device) if request.workers is None else request.workers,
        reporter=make_reporter(request.progress),
    )


def _measure_networks(
    request: ComparisonRequest, stores: Sequence[Store], settings: ComputeSettings
) -> NetworkResults:
    from torchlurk.comparing.network_measures import measure_networks
    from torchlurk.comparing.sources import check_same_images
    from torchlurk.datasets.images import notes_of
    from torchlurk.datasets.open import open_images
    from torchlurk.pipeline.session import resolve_images

    if isinstance(request.images, str) and request.data_root is not None:
        images: ImageSet = open_images(request.images, class_names_file=None, data_root=request.data_root)
    else:
        images = resolve_images(request.images, None)
    for line in notes_of(images):
        settings.reporter.report(line)
    check_same_images(stores[0], images)
    networks = _networks(request, stores, images, settings)
    measures, reason = measure_networks(stores, networks, images, store_pairs(len(stores)), settings)
    note = f"There are no cross-activations: {reason}." if reason else None
    return NetworkResults(networks=True, measures=measures, note=note)


def _networks(
    request: ComparisonRequest, stores: Sequence[Store], images: ImageSet, settings: ComputeSettings
) -> Sequence[Network]:
    """Return the networks of the stores: the given modules, or loaded by name."""
    from torchlurk.comparing.sources import NetworkSources, load_networks, wrap_module
    from torchlurk.datasets.batches import first_image
    from torchlurk.models.weights import default_cache

    models, option = request.models, Option("model")
    names = tuple(model for model in models if isinstance(model, str))
    if models and not names:
        if len(models) != len(stores):
            raise LurkError(
                f"{len(models)} modules for {len(stores)} stores", "give one module per store", option
            )
        if request.weights:
            raise LurkError("modules have their own weights", ("leave out ", Option("weights")), option)
        pairs = zip(stores, models, strict=True)
        return [wrap_module(store, module, request.preprocess, images) for store, module in pairs]
    if len(names) != len(models):
        raise LurkError("names and modules are mixed", "give only names or only modules", option)
    if request.preprocess is not None:
        raise LurkError(
            "networks given by name have their own preprocessing",
            "leave it out, or give modules",
            Option("preprocess"),
        )
    sources = NetworkSources(names, request.weights, request.unsafe_pickle)
    return load_networks(
        stores,
        sources,
        default_cache(),
        report=settings.reporter.report,
        first=lambda: first_image(images),
    )


def _add_embeddings(
    stores: Sequence[Store], model: str, weights: str, results: NetworkResults, settings: ComputeSettings
) -> NetworkResults:
    from torchlurk.comparing.network_measures import measure_embeddings
    from torchlurk.models.load import load_network
    from torchlurk.models.weights import default_cache

    network = load_network(model, weights, None, default_cache(), report=settings.reporter.report)
    measures, record = measure_embeddings(
        stores, network, store_pairs(len(stores)), results.measures, settings
    )
    return replace(results, measures=measures, embedding=record)
