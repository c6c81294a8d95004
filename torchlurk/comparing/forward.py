"""Run all networks over all images side by side, in one pass whose memory does not grow with the images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

import torch
from torch import Tensor

from torchlurk.comparing.assemble import StorePair
from torchlurk.comparing.moments import (
    LayerMoments,
    MapSummary,
    init_layer_moments,
    summarise_maps,
    update_layer_moments,
)
from torchlurk.datasets.batches import Batch, batches
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import Input
from torchlurk.errors import LurkError, Option
from torchlurk.models.hooks import Observer
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner, capture_outputs, forward_until
from torchlurk.runtime.devices import BatchLimiter, retry_on_oom
from torchlurk.runtime.transfer import copy_to_device


def accumulate_moments(
    networks: Sequence[Network],
    runners: Sequence[Runner],
    layers: Sequence[str],
    pairs: Sequence[StorePair],
    images: ImageSet,
    device: torch.device,
    *,
    batch_size: int,
    workers: int,
    limiter: BatchLimiter,
    advance: Callable[[int], object],
) -> dict[StorePair, dict[str, LayerMoments]]:
    """Feed all images to all networks, and accumulate the moments of each pair.

    Args:
        networks: The networks, on the device and isolated.
        runners: How the networks are run.
        layers: The names of the layers whose outputs are compared.
        pairs: The pairs of networks.
        images: The images; those that cannot be read are skipped.
        device: The networks' device.
        batch_size: Images in one forward.
        workers: Processes that decode images.
        limiter: How many images fit into memory at once.
        advance: Called with the number of images that are done.

    Returns:
        The moments by pair and by layer.

    Raises:
        LurkError: No image can be read or fits into memory, or an activation is not finite.
    """
    moments: dict[StorePair, dict[str, LayerMoments]] = {pair: {} for pair in pairs}
    for inputs, batch in _input_batches(networks, images, device, batch_size, workers):
        done, total = 0, len(batch.indices)
        while done < total:
            run = partial(_run_all, runners, layers, inputs, done)
            at_once = 1 if any(runner.one_by_one for runner in runners) else total - done
            summaries, count = retry_on_oom(limiter, at_once, run)
            paths = [images.paths[index] for index in batch.indices[done:]]
            for summary in summaries:
                _check_finite(summary, paths)
            for (first, second), by_layer in moments.items():
                for layer in layers:
                    x, y = summaries[first][layer], summaries[second][layer]
                    before = by_layer.get(layer) or init_layer_moments(x, y)
                    by_layer[layer] = update_layer_moments(before, x, y)
            done += count
        advance(len(batch.indices) + len(batch.skipped))
    if any(not by_layer for by_layer in moments.values()):
        raise LurkError(f"none of the images of {images.name!r} can be read", "give the images of the stores")
    return moments


def _input_batches(
    networks: Sequence[Network], images: ImageSet, device: torch.device, batch_size: int, workers: int
) -> Iterator[tuple[list[Tensor], Batch]]:
    """Yield the inputs of each network by batch; networks with equal preprocessing share the decoding."""
    kinds = list({id(network.preprocess): network.preprocess for network in networks}.values())
    kinds = [kind for index, kind in enumerate(kinds) if kind not in kinds[:index]]
    kind_of_network = [kinds.index(network.preprocess) for network in networks]
    with ExitStack() as stack:
        sources = [
            stack.enter_context(closing(_batches(images, kind, batch_size, workers))) for kind in kinds
        ]  # fmt: skip
        for together in zip(*sources, strict=True):
            pixels = [copy_to_device(batch.pixels, device) for batch in together]
            if len({batch.indices for batch in together}) > 1:
                raise LurkError(
                    "the transforms of the networks do not read the same images", "give them one transform"
                )
            yield (
                [
                    network.preprocess.to_input(pixels[kind])
                    for network, kind in zip(networks, kind_of_network, strict=True)
                ],
                together[0],
            )


def _batches(
    images: ImageSet, preprocess: Input, batch_size: int, workers: int
) -> Generator[Batch, None, None]:
    # A generator can be closed, and its decoding processes with it.
    yield from batches(images, preprocess, batch_size=batch_size, workers=workers)


def _run_all(
    runners: Sequence[Runner], layers: Sequence[str], inputs: Sequence[Tensor], start: int, count: int
) -> tuple[list[dict[str, MapSummary]], int]:
    """Run all networks on `count` images of a batch; return the summaries and the count."""
    summaries = [
        _run(runner, layers, x[start : start + count]) for runner, x in zip(runners, inputs, strict=True)
    ]
    return summaries, count


def _run(runner: Runner, layers: Sequence[str], x: Tensor) -> dict[str, MapSummary]:
    """Summarise a network's maps of a batch; a module that is called repeatedly counts by its first call."""
    summaries: dict[str, MapSummary] = {}

    def observer(name: str) -> Observer:
        def observe(output: Tensor) -> None:
            if name not in summaries:
                summaries[name] = summarise_maps(output.detach())

        return observe

    with runner.without_gradients(), capture_outputs(runner, {name: observer(name) for name in layers}):
        forward_until(runner, x, layers)
    missing = [name for name in layers if name not in summaries]
    if missing:
        raise LurkError(
            f"layer {missing[0]!r} is not reached by every image",
            ("choose the other layers with ", Option("layers")),
        )
    return summaries


def _check_finite(summaries: dict[str, MapSummary], paths: Sequence[str]) -> None:
    # One transfer for all layers: a transfer per layer would synchronise a CUDA device each time.
    table = torch.stack([(one.means + one.maxima).isfinite().all(1) for one in summaries.values()]).cpu()
    if not table.all():
        layer, row = (~table).nonzero()[0].tolist()
        raise LurkError(
            f"layer {list(summaries)[layer]!r} gives NaN or infinity for image {paths[row]!r}",
            "check the weights",
        )
