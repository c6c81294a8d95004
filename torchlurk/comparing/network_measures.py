"""Measures that need the networks: activations over all images, weights, and cross-activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from torchlurk.comparing.assemble import NetworkMeasures, StorePair
from torchlurk.comparing.compatibility import Store
from torchlurk.comparing.cross_activation import (
    CrossActivations,
    cross_activation_loss,
    cross_activations,
    reason_not_crossable,
)
from torchlurk.comparing.embedding import PictureEmbedder, find_embedding
from torchlurk.comparing.forward import accumulate_moments
from torchlurk.comparing.moments import LayerMoments, best_partners, correlations, relative_differences
from torchlurk.comparing.parameters import filter_parameters, parameter_changes
from torchlurk.comparing.sources import check_same_images, check_scores
from torchlurk.comparing.store_measures import Values
from torchlurk.datasets.batches import probe_inputs
from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError, Option
from torchlurk.graph import PROBE_IMAGES, prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner
from torchlurk.runtime.devices import BatchLimiter, cpu_threads, deterministic_float32
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.comparison import EmbedderRecord
from torchlurk.store.pictures import layer_pictures, stored_images
from torchlurk.store.read import read_images
from torchlurk.store.schema import LayerRecord, round_float32

MeasuresByLayer = dict[tuple[str, StorePair], NetworkMeasures]
"""Measures by layer name and store pair."""

_FILTERS_AT_ONCE = 32
"""Filters whose pictures are in memory at the same time."""


@dataclass(frozen=True)
class ComputeSettings:
    """How the networks are run.

    Attributes:
        device: Where to compute.
        batch_size: Images in one forward.
        workers: Processes that decode images.
        reporter: Where progress is reported.
    """

    device: torch.device
    batch_size: int
    workers: int
    reporter: Reporter


def measure_networks(
    stores: Sequence[Store],
    networks: Sequence[Network],
    images: ImageSet,
    pairs: Sequence[StorePair],
    settings: ComputeSettings,
) -> tuple[MeasuresByLayer, str | None]:
    """Compute the measures that need the networks, which are restored afterwards.

    Args:
        stores: Compatible stores.
        networks: Their networks, in the same order.
        images: The images that the stores were computed from.
        pairs: The store pairs.
        settings: How the networks are run.

    Returns:
        The measures, and the reason why there are no cross-activations, or `None` if there are some.

    Raises:
        LurkError: The networks or the images are not those of the stores, or an activation is not finite.
    """
    layers = [layer.name for layer in stores[0].layers]
    device, reporter = settings.device, settings.reporter
    check_same_images(stores[0], images)
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(isolated(network.module, device, network.shape))
        stack.enter_context(deterministic_float32(device))
        # The thread count of the first store, so that the last digits do not depend on the machine.
        stack.enter_context(cpu_threads(stores[0].manifest.threads))
        runners = [_runner(network, layers, images, device) for network in networks]
        for runner in runners:
            stack.enter_context(runner.in_memory_format())
        for store, network, runner in zip(stores, networks, runners, strict=True):
            check_scores(store, network, runner, images, device)
        weights = _weight_changes(stores, networks, pairs)
        with reporter.bar("forward", len(images.paths), "image") as advance:
            moments = accumulate_moments(
                networks, runners, layers, pairs, images, device, batch_size=settings.batch_size,
                workers=settings.workers, limiter=BatchLimiter(reporter.report), advance=advance,
            )  # fmt: skip
        measures = {
            (layer, pair): _measures_of_moments(moments[pair][layer], weights[layer, pair])
            for layer in layers
            for pair in pairs
        }
        reason = reason_not_crossable(stores, networks)
        if reason is None:
            with reporter.bar("crossing", len(layers), "layer") as advance:
                crossed: MeasuresByLayer = {}
                for layer in layers:
                    rows = cross_activations(stores, networks, runners, layer, pairs, device)
                    crossed |= _with_cross_activations(measures, layer, rows)
                    advance(1)
            reason = None if crossed else "no filter has a filter image in two of the stores"
            measures |= crossed
    return measures, reason


def _runner(network: Network, layers: Sequence[str], images: ImageSet, device: torch.device) -> Runner:
    """Return how to run a network whose layers are compared.

    Raises:
        LurkError: A layer does not give a feature map per image.
    """
    inputs = probe_inputs(images, network.preprocess, PROBE_IMAGES).to(device)
    runner, graph = prepare(network.module, network.shape, layers, inputs)
    for skipped in graph.skipped:
        raise LurkError(
            f"layer {skipped.name!r} ({skipped.kind}) {skipped.reason}",
            ("choose the other layers with ", Option("layers")),
        )
    return runner


def _weight_changes(
    stores: Sequence[Store], networks: Sequence[Network], pairs: Sequence[StorePair]
) -> dict[tuple[str, StorePair], Values]:
    """Return the measures `weights` and `direction`; nothing for layers without parameters of their own."""
    changes: dict[tuple[str, StorePair], Values] = {}
    for layer in stores[0].layers:
        vectors = [filter_parameters(n.module.get_submodule(layer.name), layer.channels) for n in networks]
        for a, b in pairs:
            before, after = vectors[a], vectors[b]
            values: Values = {}
            if before is not None and after is not None:
                size, direction = parameter_changes(layer.name, before, after)
                values = {"weights": to_column(size), "direction": to_column(direction)}
            changes[layer.name, (a, b)] = values
    return changes


def _measures_of_moments(moments: LayerMoments, weights: Values) -> NetworkMeasures:
    channels, r = best_partners(moments)
    values = {
        "maps": to_column(1 - correlations(moments.cells)),
        "means": to_column(1 - correlations(moments.means)),
        "maxima": to_column(1 - correlations(moments.maxima)),
        "difference": to_column(relative_differences(moments)),
        "partner": to_column(1 - r),
        **weights,
    }
    partners = [
        None if value is None else (channel, value)
        for channel, value in zip(channels.tolist(), to_column(r), strict=True)
    ]
    return NetworkMeasures(values=values, partners=partners)


def to_column(values: Tensor) -> list[float | None]:
    """Return the numbers of a tensor `(C,)` as the format records them, with `None` for NaN."""
    return [None if math.isnan(value) else round_float32(value) for value in values.tolist()]


def _with_cross_activations(
    measures: MeasuresByLayer, layer: str, rows_by_pair: Mapping[StorePair, Sequence[CrossActivations | None]]
) -> MeasuresByLayer:
    """Return the measures of a layer with its cross-activations, for the pairs that have some."""
    result: MeasuresByLayer = {}
    for pair, rows in rows_by_pair.items():
        if all(row is None for row in rows):
            continue
        losses = [cross_activation_loss(row) for row in rows]
        added = {"cross": [None if loss is None else round_float32(loss) for loss in losses]}
        cross = [
            None
            if r is None
            else (round_float32(r[0]), round_float32(r[1]), round_float32(r[2]), round_float32(r[3]))
            for r in rows
        ]
        old = measures[layer, pair]
        result[layer, pair] = replace(old, values={**old.values, **added}, cross=cross)
    return result


def measure_embeddings(
    stores: Sequence[Store],
    network: Network,
    pairs: Sequence[StorePair],
    measures: Mapping[tuple[str, StorePair], NetworkMeasures],
    settings: ComputeSettings,
) -> tuple[MeasuresByLayer, EmbedderRecord]:
    """Add the distances of pictures in an embedding network, which is restored afterwards.

    Args:
        stores: Compatible stores.
        network: The embedding network.
        pairs: The store pairs.
        measures: The measures so far.
        settings: How the network is run.

    Returns:
        The measures with the distances added, and the record of the embedding network.

    Raises:
        LurkError: A picture cannot be read, or the network has no layer that gives vectors.
    """
    result: MeasuresByLayer = dict(measures)
    layers = stores[0].layers
    total = sum(layer.channels for layer in layers) * len(stores)
    with (
        isolated(network.module, settings.device, network.shape),
        deterministic_float32(settings.device),
        cpu_threads(stores[0].manifest.threads),
        settings.reporter.bar("embedding", total, "filter") as advance,
    ):
        embedding = find_embedding(network)
        embedder = PictureEmbedder(embedding, settings.batch_size)
        for layer in layers:
            for pair, values in _embedding_distances(embedder, stores, layer, pairs, advance).items():
                old = result.get((layer.name, pair), NetworkMeasures())
                result[layer.name, pair] = replace(old, values={**old.values, **values})
    record = EmbedderRecord(network.source, network.weights, network.weights_sha256, embedding.layer)
    return result, record


def _embedding_distances(
    embedder: PictureEmbedder, stores: Sequence[Store], layer: LayerRecord, pairs: Sequence[StorePair],
    advance: Callable[[int], object],
) -> dict[StorePair, Values]:  # fmt: skip
    """Return the distances between the pictures of a layer's filters, a few filters at a time."""
    result: dict[StorePair, Values] = {pair: {"embed_image": [], "embed_crops": []} for pair in pairs}
    files = [store.file(layer.name) for store in stores]
    stored = [
        layer_pictures(store.path, file) | stored_images(store.path, read_images(store.path))
        for store, file in zip(stores, files, strict=True)
    ]
    for start in range(0, layer.channels, _FILTERS_AT_ONCE):
        chunk = [file.filters[start : start + _FILTERS_AT_ONCE] for file in files]
        for name, pictures_of in (("embed_image", embedder.filter_image), ("embed_crops", embedder.crops)):
            pictures = [
                [pictures_of(pictures_of_store, entry) for entry in entries]
                for pictures_of_store, entries in zip(stored, chunk, strict=True)
            ]
            for pair, values in embedder.distances(pictures, pairs).items():
                result[pair][name] += values
        advance(sum(map(len, chunk)))
    return result
