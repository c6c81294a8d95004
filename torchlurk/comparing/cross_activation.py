"""Cross-activations: how each network's filter responds to the filter image of the other network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.comparing.assemble import StorePair
from torchlurk.comparing.compatibility import Store
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner, activation
from torchlurk.store.pictures import StoredPicture, find_picture, layer_pictures

_FILTER_IMAGES_AT_ONCE = 8
"""Filter images in one forward."""

CrossActivations = tuple[float, float, float, float]
"""The activations of the first network's filter on its own image and on the second's, then of the second
network's filter on the first's image and on its own."""


def reason_not_crossable(stores: Sequence[Store], networks: Sequence[Network]) -> str | None:
    """Return why the filter images of the stores cannot be compared, or `None` if they can.

    Args:
        stores: The stores.
        networks: Their networks, in the same order.
    """
    depth, displayed = networks[0].shape[0], networks[0].preprocess.display_channels
    if depth not in (1, 3) or tuple(displayed) != tuple(range(depth)):
        return "the filter images do not display all channels of the input and cannot be given to a network"
    configs = [store.manifest.stages.ascent.config for store in stores]
    if any(config is None for config in configs):
        return "not all stores have filter images; compute them with torchlurk precompute --stages ascent"
    objectives = {(config or {}).get("objective") for config in configs}
    if len(objectives) > 1 or not objectives <= OBJECTIVES.keys():
        return "the filter images of the stores were made for different objectives"
    return None


def cross_activations(
    stores: Sequence[Store],
    networks: Sequence[Network],
    runners: Sequence[Runner],
    layer: str,
    pairs: Sequence[StorePair],
    device: torch.device,
) -> dict[StorePair, list[CrossActivations | None]]:
    """Compute the cross-activations of all filters of a layer.

    Args:
        stores: The stores with the filter images; `reason_not_crossable` returns `None` for them.
        networks: Their networks, on the device and isolated.
        runners: How the networks are run.
        layer: The layer's name.
        pairs: The store pairs.
        device: The networks' device.

    Returns:
        For each pair a list with an entry per channel: four activations as defined by the objective of the
        images, or `None` if one of the two stores has no image of the filter.

    Raises:
        LurkError: An image cannot be read.
    """
    channels = [
        [entry.channel for entry in store.file(layer).filters if "max_activ" in entry.pictures]
        for store in stores
    ]
    combinations = {(network, store) for pair in pairs for network in pair for store in pair}
    scores = {
        (network, store): _scores(
            networks[network], runners[network], stores[store], layer, channels[store], device
        )
        for network, store in sorted(combinations)
    }
    result: dict[StorePair, list[CrossActivations | None]] = {}
    for a, b in pairs:
        both = set(channels[a]) & set(channels[b])
        result[a, b] = [
            (scores[a, a][c], scores[a, b][c], scores[b, a][c], scores[b, b][c]) if c in both else None
            for c in range(len(stores[a].file(layer).filters))
        ]
    return result


def _scores(
    network: Network, runner: Runner, store: Store, layer: str, channels: Sequence[int], device: torch.device
) -> dict[int, float]:
    """Return by channel the activation of a network's filter on a store's image of the same filter."""
    config = store.manifest.stages.ascent.config or {}
    objective = OBJECTIVES[str(config["objective"])].score
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (network.preprocess.mean, network.preprocess.std)
    )
    pictures = layer_pictures(store.path, store.file(layer))
    scores: dict[int, float] = {}
    for start in range(0, len(channels), _FILTER_IMAGES_AT_ONCE):
        chunk = channels[start : start + _FILTER_IMAGES_AT_ONCE]
        images = torch.stack([_read(find_picture(pictures, c, "max_activ"), network.shape[0]) for c in chunk])
        x = (images.to(device) - mean) / std
        with runner.without_gradients():
            values = objective(activation(runner, layer, x).float(), torch.tensor(chunk, device=device))
        scores.update(zip(chunk, values.tolist(), strict=True))
    return scores


def _read(picture: StoredPicture, depth: int) -> Tensor:
    """Read a picture as a float32 tensor `(C, H, W)` with values in [0, 1]."""
    pixels: Tensor = pil_to_tensor(picture.open().convert("L" if depth == 1 else "RGB"))
    return pixels.float() / 255


def cross_activation_loss(cross: CrossActivations | None) -> float | None:
    """Return how much less the filters respond to each other's image than to their own.

    Args:
        cross: The activations of the two filters.

    Returns:
        0 if neither responds less to the other's image, 1 if neither responds to it at all; `None` if a
        filter does not respond even to its own image.

    Examples:
        >>> cross_activation_loss((4.0, 2.0, 3.0, 4.0))
        0.375
    """
    if cross is None or cross[0] <= 0 or cross[3] <= 0:
        return None
    first_on_own, first_on_second, second_on_first, second_on_own = cross
    ratios = min(first_on_second / first_on_own, 1.0) + min(second_on_first / second_on_own, 1.0)
    return 1 - ratios / 2
