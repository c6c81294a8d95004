"""Compositions of torchvision's usual steps, such as Resize and Normalize, as a `Preprocess`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms._presets import ImageClassification

from torchlurk.datasets.inputs import Preprocess

_TO_FLOAT: Final = (transforms.ConvertImageDtype, v2.ToDtype, v2.ConvertImageDtype)
_STEP_KINDS: Final = {
    "none": (nn.Identity, v2.Identity, v2.ToPureTensor, v2.RGB),
    "resize": (transforms.Resize, v2.Resize),
    "crop": (transforms.CenterCrop, v2.CenterCrop),
    "tensor": (transforms.ToTensor, transforms.PILToTensor, v2.ToImage, v2.PILToTensor),
    "scale": _TO_FLOAT,
    "normalise": (transforms.Normalize, v2.Normalize),
}
"""What a step does, by its exact type: a subclass may do something else."""

_STEP_ORDER: Final = ("gray", "resize", "crop", "tensor", "scale", "normalise")
"""The order in which `Preprocess` does these steps."""


def preprocess_from_preset(preset: ImageClassification) -> Preprocess:
    """Return the preset of weights of torchvision (`weights.transforms()`) as an equal `Preprocess`."""
    return Preprocess(
        size=int(preset.crop_size[-1]),
        resize=int(preset.resize_size[-1]),
        mean=repeated(preset.mean, 1),
        std=repeated(preset.std, 1),
        interpolation=_interpolation(preset.interpolation),
    )


def transform_steps(transform: Any) -> Iterable[Any]:
    """Yield the steps of a composition, and those of compositions inside it."""
    inner = getattr(transform, "transforms", None)
    if type(transform) in (transforms.Compose, v2.Compose) and inner is not None:
        for step in inner:
            yield from transform_steps(step)
    elif isinstance(transform, nn.Sequential):
        for step in transform:
            yield from transform_steps(step)
    else:
        yield transform


def steps_as_preprocess(steps: list[Any], shape: tuple[int, int, int]) -> Preprocess | None:
    """Return steps as a `Preprocess`, or `None` if it lacks one of them or does them in another order."""
    if len(steps) == 1 and type(steps[0]) is ImageClassification:
        return preprocess_from_preset(steps[0])
    found = Preprocess(size=shape[1:], resize=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    position = 0
    for step in steps:
        kind = _kind(step)
        if kind == "none":
            continue
        if kind not in _STEP_ORDER[position:]:
            return None
        position = _STEP_ORDER.index(kind) + 1
        if kind == "gray":
            found = replace(found, mean=(0.0,), std=(1.0,))
        elif kind == "resize":
            if step.max_size is not None:
                return None
            size = (step.size,) if isinstance(step.size, int) else tuple(step.size)
            resize: Any = size[0] if len(size) == 1 else size
            found = replace(found, resize=resize, interpolation=_interpolation(step.interpolation))
        elif kind == "normalise":
            mean, std = (repeated(values, len(found.mean)) for values in (step.mean, step.std))
            if len(mean) != len(found.mean) or len(std) != len(found.mean) or min(std) <= 0:
                return None
            found = replace(found, mean=mean, std=std)
    # Without a crop, images of other proportions give another size and must be reported; images that are
    # cropped but not resized may have any size, where `Preprocess` accepts a single one.
    crops = any(_kind(step) == "crop" for step in steps)
    differs = (isinstance(found.resize, int) and not crops) or (found.resize is None and crops)
    return found if len(found.mean) == shape[0] and not differs else None


def _kind(step: Any) -> str:
    """Return what a step does, "other" if `Preprocess` does not know it."""
    kind = type(step)
    if kind in (transforms.Grayscale, v2.Grayscale) and step.num_output_channels == 1:
        return "gray"
    if kind in _TO_FLOAT and step.dtype is not torch.float32:
        return "other"
    # timm's own `ToTensor`, which lets tensors pass
    if kind.__module__.startswith("timm.") and kind.__name__ == "MaybeToTensor":
        return "tensor"
    return next((name for name, kinds in _STEP_KINDS.items() if kind in kinds), "other")


def _interpolation(mode: Any) -> str:
    """Return Pillow's name of an interpolation mode."""
    if isinstance(mode, int):
        return Image.Resampling(mode).name.lower()
    return {InterpolationMode.NEAREST_EXACT: "nearest"}.get(mode, str(InterpolationMode(mode).value))


def repeated(values: float | Iterable[float], channels: int) -> tuple[float, ...]:
    """Return a value for each channel; a single one is repeated."""
    kept = tuple(float(value) for value in values) if isinstance(values, Iterable) else (float(values),)
    return kept * channels if len(kept) == 1 else kept
