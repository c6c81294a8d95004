"""What stores do not hold: activations over all images, weights, and what filters say to pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from torchlurk.comparing.assemble import Beyond
from torchlurk.comparing.compatibility import Store
from torchlurk.comparing.cross_activation import Cross, cross_layer, crossable, unanswered
from torchlurk.comparing.embedding import Embedder, embedding_of
from torchlurk.comparing.forward import Pair, sums_over
from torchlurk.comparing.moments import LayerSums, correlations, differences, partners
from torchlurk.comparing.parameters import filter_parameters, parameter_changes
from torchlurk.comparing.sources import check_images, check_scores
from torchlurk.comparing.store_measures import Values
from torchlurk.datasets.batches import probe_inputs
from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError
from torchlurk.graph import PROBE_IMAGES, prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.record import Network
from torchlurk.models.runner import Runner
from torchlurk.runtime.devices import BatchLimiter, cpu_threads, deterministic_float32
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.comparison import EmbedderRecord
from torchlurk.store.schema import LayerRecord, round_float32

Found = dict[tuple[str, Pair], Beyond]
"""By layer and pair."""

FILTERS_AT_ONCE = 32
"""Filters whose pictures are in memory together."""


@dataclass(frozen=True)
class Setting:
    """How it is computed: where, in which batches, by how many decoding processes, and how to tell."""

    device: torch.device
    batch_size: int
    workers: int
    reporter: Reporter


def look_beyond(
    stores: Sequence[Store],
    networks: Sequence[Network],
    folder: ImageSet,
    pairs: Sequence[Pair],
    setting: Setting,
) -> tuple[Found, str | None]:
    """Measure what needs the networks; they come back as they were.

    Args:
        stores: alike.
        networks: theirs.
        folder: the images.
        pairs: which of the stores.
        setting: how.

    Returns:
        What was found, and why filter images could not be compared, if they could not.

    Raises:
        LurkError: the networks or the images are not those of the stores, or an activation is not finite.
    """
    layers = [layer.name for layer in stores[0].layers]
    check_images(stores[0], folder)
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(isolated(network.module, setting.device, network.shape))
        stack.enter_context(deterministic_float32(setting.device))
        # As many as the first store was computed with, so that the digits do not depend on the machine.
        stack.enter_context(cpu_threads(stores[0].manifest.threads))
        runners = [_runner(network, layers, folder, setting.device) for network in networks]
        for runner in runners:
            stack.enter_context(runner.laid_out())
        for store, network, runner in zip(stores, networks, runners, strict=True):
            check_scores(store, network, runner, folder, setting.device)
        weights = _weights(stores, networks, pairs)
        with setting.reporter.bar("forward", len(folder.paths), "image") as advance:
            sums = sums_over(
                networks, runners, layers, pairs, folder, setting.device, batch_size=setting.batch_size,
                workers=setting.workers, limiter=BatchLimiter(setting.reporter.report), advance=advance,
            )  # fmt: skip
        found = {
            (layer, pair): _of_sums(sums[pair][layer], weights[layer, pair])
            for layer in layers
            for pair in pairs
        }
        why_not = crossable(stores, networks)
        if why_not is None and not _cross(found, stores, networks, runners, layers, pairs, setting):
            why_not = "no filter has a filter image in two of the stores"
    return found, why_not


def _runner(network: Network, layers: Sequence[str], folder: ImageSet, device: torch.device) -> Runner:
    """How to run a network whose layers are compared.

    Raises:
        LurkError: one of them does not give feature maps of single images.
    """
    images = probe_inputs(folder, network.preprocess, PROBE_IMAGES).to(device)
    runner, graph = prepare(network.module, network.shape, layers, images)
    for one in graph.skipped:
        raise LurkError(f"layer {one.name!r} ({one.kind}) {one.reason}: leave it out by --layers")
    return runner


def _weights(
    stores: Sequence[Store], networks: Sequence[Network], pairs: Sequence[Pair]
) -> dict[tuple[str, Pair], Values]:
    found: dict[tuple[str, Pair], Values] = {}
    for layer in stores[0].layers:
        own = [filter_parameters(n.module.get_submodule(layer.name), layer.channels) for n in networks]
        for a, b in pairs:
            before, after = own[a], own[b]
            values: Values = {}
            if before is not None and after is not None:
                size, direction = parameter_changes(layer.name, before, after)
                values = {"weights": column(size), "direction": column(direction)}
            found[layer.name, (a, b)] = values
    return found


def _of_sums(sums: LayerSums, weights: Values) -> Beyond:
    who, how = partners(sums)
    alike = column(how)
    values = {
        "maps": column(1 - correlations(sums.cells)),
        "means": column(1 - correlations(sums.means)),
        "maxima": column(1 - correlations(sums.maxima)),
        "difference": column(differences(sums)),
        "partner": column(1 - how),
        **weights,
    }
    pairs = [None if r is None else (c, r) for c, r in zip(who.tolist(), alike, strict=True)]
    return Beyond(values=values, partners=pairs)


def column(values: Tensor) -> list[float | None]:
    """Numbers of the format, `None` for NaN."""
    return [None if math.isnan(value) else round_float32(value) for value in values.tolist()]


def _cross(
    found: Found, stores: Sequence[Store], networks: Sequence[Network], runners: Sequence[Runner],
    layers: Sequence[str], pairs: Sequence[Pair], setting: Setting,
) -> bool:  # fmt: skip
    """Add the cross-check of filter images to what was found; whether there was any."""
    some = False
    with setting.reporter.bar("crossing", len(layers), "layer") as advance:
        for layer in layers:
            for pair, rows in cross_layer(stores, networks, runners, layer, pairs, setting.device).items():
                if any(row is not None for row in rows):
                    some = True
                    found[layer, pair] = _with_cross(found[layer, pair], rows)
            advance(1)
    return some


def _with_cross(one: Beyond, rows: Sequence[Cross | None]) -> Beyond:
    lost = [unanswered(row) for row in rows]
    values = {**one.values, "cross": [None if value is None else round_float32(value) for value in lost]}
    kept = [
        None
        if r is None
        else (round_float32(r[0]), round_float32(r[1]), round_float32(r[2]), round_float32(r[3]))
        for r in rows
    ]
    return replace(one, values=values, cross=kept)


def embed(
    stores: Sequence[Store],
    network: Network,
    pairs: Sequence[Pair],
    found: Mapping[tuple[str, Pair], Beyond],
    setting: Setting,
) -> tuple[Found, EmbedderRecord]:
    """Add the distances of pictures in a third network, which comes back as it was.

    Args:
        stores: alike.
        network: the third.
        pairs: which of the stores.
        found: what there is.
        setting: how.

    Returns:
        The same with more, and what to record of the network.

    Raises:
        LurkError: a picture cannot be read, or the network has no vectors.
    """
    more: Found = dict(found)
    layers = stores[0].layers
    total = sum(layer.channels for layer in layers) * len(stores)
    with (
        isolated(network.module, setting.device, network.shape),
        deterministic_float32(setting.device),
        cpu_threads(stores[0].manifest.threads),
        setting.reporter.bar("embedding", total, "filter") as advance,
    ):
        embedding = embedding_of(network)
        embedder = Embedder(embedding, setting.batch_size)
        for layer in layers:
            for pair, values in _apart(embedder, stores, layer, pairs, advance).items():
                old = more.get((layer.name, pair), Beyond())
                more[layer.name, pair] = replace(old, values={**old.values, **values})
    record = EmbedderRecord(network.source, network.weights, network.weights_sha256, embedding.layer)
    return more, record


def _apart(
    embedder: Embedder, stores: Sequence[Store], layer: LayerRecord, pairs: Sequence[Pair],
    advance: Callable[[int], object],
) -> dict[Pair, Values]:  # fmt: skip
    """How far the pictures of a layer's filters lie apart, some filters at a time."""
    found: dict[Pair, Values] = {pair: {"embed_image": [], "embed_crops": []} for pair in pairs}
    rows = [store.file(layer.name).filters for store in stores]
    for start in range(0, layer.channels, FILTERS_AT_ONCE):
        own = [filters[start : start + FILTERS_AT_ONCE] for filters in rows]
        for name, shown in (("embed_image", embedder.filter_image), ("embed_crops", embedder.crops)):
            pictures = [
                [shown(store, layer.name, entry) for entry in entries]
                for store, entries in zip(stores, own, strict=True)
            ]
            for pair, values in embedder.distances(pictures, pairs).items():
                found[pair][name] += values
        advance(sum(map(len, own)))
    return found
