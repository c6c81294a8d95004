"""All the networks over all the images, side by side, in one pass whose memory does not grow."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

import torch
from torch import Tensor

from torchlurk.comparing.moments import LayerSums, Seen, add_layer, begin_layer, look
from torchlurk.datasets.batches import Batch, batches
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import Input
from torchlurk.errors import LurkError
from torchlurk.models.hooks import Observer
from torchlurk.models.record import Network
from torchlurk.models.runner import Runner, forward_until, observing
from torchlurk.runtime.devices import BatchLimiter, copy_to_device, retry_on_oom

Pair = tuple[int, int]
"""Positions of two networks."""


def sums_over(
    networks: Sequence[Network],
    runners: Sequence[Runner],
    layers: Sequence[str],
    pairs: Sequence[Pair],
    folder: ImageSet,
    device: torch.device,
    *,
    batch_size: int,
    workers: int,
    limiter: BatchLimiter,
    advance: Callable[[int], object],
) -> dict[Pair, dict[str, LayerSums]]:
    """Feed all images to all networks, and add up what is compared of each pair.

    Args:
        networks: on the device, isolated.
        runners: how they are run.
        layers: whose outputs are compared, in all of the networks.
        pairs: which of the networks.
        folder: the images; those that cannot be read are left out.
        device: of the networks.
        batch_size: images in one forward.
        workers: processes that decode.
        limiter: how many images fit into the memory at once.
        advance: is told how many images are done.

    Returns:
        For each pair, by layer.

    Raises:
        LurkError: not one image can be read or fits into the memory, or an activation is not finite.
    """
    sums: dict[Pair, dict[str, LayerSums]] = {pair: {} for pair in pairs}
    for inputs, batch in _feed(networks, folder, device, batch_size, workers):
        done, total = 0, len(batch.indices)
        while done < total:
            show = partial(_all_seen, runners, layers, inputs, done)
            at_once = 1 if any(runner.one_by_one for runner in runners) else total - done
            seen, count = retry_on_oom(limiter, at_once, show)
            paths = [folder.paths[at] for at in batch.indices[done:]]
            for shown in seen:
                _check_finite(shown, paths)
            for (first, second), found in sums.items():
                for layer in layers:
                    one, other = seen[first][layer], seen[second][layer]
                    found[layer] = add_layer(found.get(layer) or begin_layer(one, other), one, other)
            done += count
        advance(len(batch.indices) + len(batch.skipped))
    if any(not found for found in sums.values()):
        raise LurkError(f"none of the images of {folder.name!r} could be read: give those of the stores")
    return sums


def _feed(
    networks: Sequence[Network], folder: ImageSet, device: torch.device, batch_size: int, workers: int
) -> Iterator[tuple[list[Tensor], Batch]]:
    """What each network is fed, batch after batch; images are decoded once for all that take them alike."""
    kinds = list({id(network.preprocess): network.preprocess for network in networks}.values())
    kinds = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
    which = [kinds.index(network.preprocess) for network in networks]
    with ExitStack() as stack:
        feeds = [
            stack.enter_context(closing(_batches(folder, kind, batch_size, workers))) for kind in kinds
        ]  # fmt: skip
        for together in zip(*feeds, strict=True):
            pixels = [copy_to_device(batch.pixels, device) for batch in together]
            if len({batch.indices for batch in together}) > 1:
                raise LurkError(
                    "the transforms of the networks do not read the same images: give them one transform"
                )
            yield (
                [n.preprocess.to_input(pixels[at]) for n, at in zip(networks, which, strict=True)],
                together[0],
            )


def _batches(folder: ImageSet, kind: Input, batch_size: int, workers: int) -> Generator[Batch, None, None]:
    # A generator, so that it can be closed, and its processes with it.
    yield from batches(folder, kind, batch_size=batch_size, workers=workers)


def _all_seen(
    runners: Sequence[Runner], layers: Sequence[str], inputs: Sequence[Tensor], start: int, count: int
) -> tuple[list[dict[str, Seen]], int]:
    """What each network shows of so many images of a batch, and how many they are."""
    shown = [
        _seen(runner, layers, x[start : start + count]) for runner, x in zip(runners, inputs, strict=True)
    ]
    return shown, count


def _seen(runner: Runner, layers: Sequence[str], x: Tensor) -> dict[str, Seen]:
    """What a network shows of a batch; of a module that is called again, the first time."""
    found: dict[str, Seen] = {}

    def observer(name: str) -> Observer:
        def observe(output: Tensor) -> None:
            if name not in found:
                found[name] = look(output.detach())

        return observe

    with runner.without_gradients(), observing(runner, {name: observer(name) for name in layers}):
        forward_until(runner, x, layers)
    missing = [name for name in layers if name not in found]
    if missing:
        raise LurkError(f"layer {missing[0]!r} is not reached by every image: leave it out by --layers")
    return found


def _check_finite(seen: dict[str, Seen], paths: Sequence[str]) -> None:
    # One question for all layers: each would make a cuda device wait.
    table = torch.stack([(one.means + one.maxima).isfinite().all(1) for one in seen.values()]).cpu()
    if not table.all():
        layer, row = (~table).nonzero()[0].tolist()
        raise LurkError(
            f"layer {list(seen)[layer]!r} gives NaN or infinity for image {paths[row]!r}: look at the weights"
        )
