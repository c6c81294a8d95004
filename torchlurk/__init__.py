"""Torchlurk shows what the filters of a convolutional network look for.

Examples:
    The network and the photographs that the other examples have at hand; both come with Torchlurk:

    >>> import sys
    >>> import torch, torchlurk
    >>> from safetensors.torch import load_file
    >>> from torchlurk.runtime.resources import networks_folder, photos_folder
    >>> photos = photos_folder()  # a subfolder a class
    >>> sys.path.insert(0, str(networks_folder()))
    >>> from small import colour
    >>> model, preprocess, names = colour()  # a network, its transform, ten classes
    >>> model.load_state_dict(load_file(networks_folder() / "small-colour.safetensors"))
    <All keys matched successfully>
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

EXPORTS = {
    "Lurk": "torchlurk.api",
    "compare": "torchlurk.comparing",
    "Comparison": "torchlurk.comparing",
    "explain": "torchlurk.explaining.run",
    "gradients": "torchlurk.attribution.sensitivity",
    "transfer": "torchlurk.training",
    "Transferred": "torchlurk.training",
    "FeatureVisualizer": "torchlurk.api.visualizer",
    "FrameRecorder": "torchlurk.api.frames",
    "LiveServer": "torchlurk.web.live_server",
    "Preprocess": "torchlurk.datasets.inputs",
    "LurkError": "torchlurk.errors",
}
"""What can be had from the package itself, and where it is: torch is loaded only for those who want it."""


def __getattr__(name: str) -> Any:
    """One of `EXPORTS`, imported when it is asked for."""
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(EXPORTS[name]), name)


def __dir__() -> list[str]:
    """What there is, with what is not yet imported."""
    return sorted({*globals(), *EXPORTS})
