"""The cross-check of filter images: what each network's filter says to the other's image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from torchlurk.ascent.objectives import OBJECTIVES
from torchlurk.comparing.compatibility import Store
from torchlurk.comparing.forward import Pair
from torchlurk.errors import LurkError
from torchlurk.models.record import Network
from torchlurk.models.runner import Runner, activation
from torchlurk.store.read import PICTURE_FORMATS
from torchlurk.store.schema import picture_path

AT_ONCE = 8
"""Filter images in one forward."""

Cross = tuple[float, float, float, float]
"""The first filter on its own image, on the other's; the second on the first's image, on its own."""


def crossable(stores: Sequence[Store], networks: Sequence[Network]) -> str | None:
    """Why the filter images of these stores cannot be compared; `None` if they can."""
    depth, shown = networks[0].shape[0], networks[0].preprocess.display_channels
    if depth not in (1, 3) or tuple(shown) != tuple(range(depth)):
        return "the filter images do not show all channels of the input, and cannot be fed to a network"
    configs = [store.manifest.stages.ascent.config for store in stores]
    if any(config is None for config in configs):
        return "not all stores have filter images: compute them with torchlurk precompute --stages ascent"
    ways = {(config or {}).get("objective") for config in configs}
    if len(ways) > 1 or not ways <= OBJECTIVES.keys():
        return "the filter images of the stores were made for different objectives"
    return None


def cross_layer(
    stores: Sequence[Store],
    networks: Sequence[Network],
    runners: Sequence[Runner],
    layer: str,
    pairs: Sequence[Pair],
    device: torch.device,
) -> dict[Pair, list[Cross | None]]:
    """What the filters of a layer say to each other's images, for each pair a list by channel.

    Args:
        stores: where the images are, `crossable`.
        networks: theirs, on the device, isolated.
        runners: how these are run.
        layer: its name.
        pairs: which of them.
        device: of the networks.

    Returns:
        For each pair and channel four activations, as the images' own objective has them; `None` where one of
        the two has no image.

    Raises:
        LurkError: an image cannot be read.
    """
    channels = [
        [entry.channel for entry in store.file(layer).filters if "max_activ" in entry.pictures]
        for store in stores
    ]
    wanted = {(who, whose) for pair in pairs for who in pair for whose in pair}
    said: dict[tuple[int, int], dict[int, float]] = {}
    for who, whose in sorted(wanted):
        said[who, whose] = _said(networks[who], runners[who], stores[whose], layer, channels[whose], device)
    found: dict[Pair, list[Cross | None]] = {}
    for a, b in pairs:
        both = set(channels[a]) & set(channels[b])
        found[a, b] = [
            (said[a, a][c], said[a, b][c], said[b, a][c], said[b, b][c]) if c in both else None
            for c in range(len(stores[a].file(layer).filters))
        ]
    return found


def _said(
    network: Network, runner: Runner, store: Store, layer: str, channels: Sequence[int], device: torch.device
) -> dict[int, float]:
    """The activation of each of a network's filters on its namesake's image in a store."""
    config = store.manifest.stages.ascent.config or {}
    objective = OBJECTIVES[str(config["objective"])].score
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (network.preprocess.mean, network.preprocess.std)
    )
    found: dict[int, float] = {}
    for start in range(0, len(channels), AT_ONCE):
        own = channels[start : start + AT_ONCE]
        images = torch.stack(
            [_read(store.path / picture_path("max_activ", layer, c), network.shape[0]) for c in own]
        )
        x = (images.to(device) - mean) / std
        with runner.without_gradients():
            scores = objective(activation(runner, layer, x).float(), torch.tensor(own, device=device))
        found.update(zip(own, scores.tolist(), strict=True))
    return found


def _read(path: Path, depth: int) -> Tensor:
    """A picture as `(C, H, W)` in [0, 1]."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            pixels: Tensor = pil_to_tensor(picture.convert("L" if depth == 1 else "RGB"))
            return pixels.float() / 255
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise LurkError(f"{str(path)!r} cannot be read ({problem}): compute its store again") from problem


def unanswered(cross: Cross | None) -> float | None:
    """How much less each filter answers the other's image than its own: 0 for no less, 1 for not at all.

    `None` where a filter has no positive answer even to its own.

    >>> unanswered((4.0, 2.0, 3.0, 4.0))
    0.375
    """
    if cross is None or cross[0] <= 0 or cross[3] <= 0:
        return None
    own, foreign, here, other = cross
    return 1 - (min(foreign / own, 1.0) + min(here / other, 1.0)) / 2
