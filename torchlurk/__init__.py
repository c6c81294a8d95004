"""Torchlurk shows what the filters of a convolutional network look for.

torch is imported only when a name that needs it is used, so reading a store does not load it.

Examples:
    All examples of the reference use this network and these photographs, which Torchlurk installs:

    >>> import sys
    >>> import torch, torchlurk
    >>> from safetensors.torch import load_file
    >>> photos = torchlurk.photos_folder()  # one subfolder per class
    >>> sys.path.insert(0, str(torchlurk.networks_folder()))
    >>> from small import colour
    >>> model, preprocess, names = colour()  # a network, its transform, ten classes
    >>> model.load_state_dict(load_file(torchlurk.networks_folder() / "small-colour.safetensors"))
    <All keys matched successfully>
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchlurk.api.circuits import DownstreamFilter, UpstreamFilter
    from torchlurk.api.contributions import Contribution, UnitContributions, contributions
    from torchlurk.api.entries import TopImage
    from torchlurk.api.filters import FilterView
    from torchlurk.api.frames import FrameRecorder
    from torchlurk.api.lurker import Lurk
    from torchlurk.api.reading import LayerView, StoreView, open_store
    from torchlurk.api.visualizer import FeatureVisualizer
    from torchlurk.ascent.optimise import AscentParams
    from torchlurk.ascent.transforms import Jitter
    from torchlurk.attribution.sensitivity import Gradients, gradients
    from torchlurk.attribution.targets import ClassLogit, LayerUnit
    from torchlurk.circuits.ablation_table import Ablation, ClassEffect, FilterEffect
    from torchlurk.comparing.row import ComparisonRow
    from torchlurk.comparing.run import compare
    from torchlurk.comparing.table import Comparison
    from torchlurk.datasets.inputs import Preprocess
    from torchlurk.errors import LurkError
    from torchlurk.explaining.explanation import Explanation
    from torchlurk.explaining.params import AttributionParams
    from torchlurk.explaining.run import explain
    from torchlurk.runtime.resources import networks_folder, photos_folder
    from torchlurk.training.api import Transferred, transfer
    from torchlurk.web.live_server import LiveServer

__version__ = "0.1.0"

__all__ = [
    "Ablation",
    "AscentParams",
    "AttributionParams",
    "ClassEffect",
    "ClassLogit",
    "Comparison",
    "ComparisonRow",
    "Contribution",
    "DownstreamFilter",
    "Explanation",
    "FeatureVisualizer",
    "FilterEffect",
    "FilterView",
    "FrameRecorder",
    "Gradients",
    "Jitter",
    "LayerUnit",
    "LayerView",
    "LiveServer",
    "Lurk",
    "LurkError",
    "Preprocess",
    "StoreView",
    "TopImage",
    "Transferred",
    "UnitContributions",
    "UpstreamFilter",
    "__version__",
    "compare",
    "contributions",
    "explain",
    "gradients",
    "networks_folder",
    "open_store",
    "photos_folder",
    "transfer",
]

_EXPORTS = {
    "Ablation": "torchlurk.circuits.ablation_table:Ablation",
    "AscentParams": "torchlurk.ascent.optimise:AscentParams",
    "AttributionParams": "torchlurk.explaining.params:AttributionParams",
    "ClassEffect": "torchlurk.circuits.ablation_table:ClassEffect",
    "ClassLogit": "torchlurk.attribution.targets:ClassLogit",
    "Comparison": "torchlurk.comparing.table:Comparison",
    "ComparisonRow": "torchlurk.comparing.row:ComparisonRow",
    "Contribution": "torchlurk.api.contributions:Contribution",
    "DownstreamFilter": "torchlurk.api.circuits:DownstreamFilter",
    "Explanation": "torchlurk.explaining.explanation:Explanation",
    "FeatureVisualizer": "torchlurk.api.visualizer:FeatureVisualizer",
    "FilterEffect": "torchlurk.circuits.ablation_table:FilterEffect",
    "FilterView": "torchlurk.api.filters:FilterView",
    "FrameRecorder": "torchlurk.api.frames:FrameRecorder",
    "Gradients": "torchlurk.attribution.sensitivity:Gradients",
    "Jitter": "torchlurk.ascent.transforms:Jitter",
    "LayerUnit": "torchlurk.attribution.targets:LayerUnit",
    "LayerView": "torchlurk.api.reading:LayerView",
    "LiveServer": "torchlurk.web.live_server:LiveServer",
    "Lurk": "torchlurk.api.lurker:Lurk",
    "LurkError": "torchlurk.errors:LurkError",
    "Preprocess": "torchlurk.datasets.inputs:Preprocess",
    "StoreView": "torchlurk.api.reading:StoreView",
    "TopImage": "torchlurk.api.entries:TopImage",
    "Transferred": "torchlurk.training.api:Transferred",
    "UnitContributions": "torchlurk.api.contributions:UnitContributions",
    "UpstreamFilter": "torchlurk.api.circuits:UpstreamFilter",
    "compare": "torchlurk.comparing.run:compare",
    "contributions": "torchlurk.api.contributions:contributions",
    "explain": "torchlurk.explaining.run:explain",
    "gradients": "torchlurk.attribution.sensitivity:gradients",
    "networks_folder": "torchlurk.runtime.resources:networks_folder",
    "open_store": "torchlurk.api.reading:open_store",
    "photos_folder": "torchlurk.runtime.resources:photos_folder",
    "transfer": "torchlurk.training.api:transfer",
}
"""Module and name of each export. `__getattr__` imports them at run time, as type checkers do above."""

if not TYPE_CHECKING:  # with this function, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import an export when it is first used."""
        if name not in _EXPORTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _EXPORTS[name].partition(":")
        value = getattr(import_module(module), attribute)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return all names, including those that are not yet imported."""
        return sorted({*globals(), *__all__})
