"""A transform that somebody else wrote, as an input: split into what we know, or called as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms._presets import ImageClassification

from torchlurk.datasets.decode import Pixels
from torchlurk.datasets.inputs import Decoded, Input, Preprocess, as_colours
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError

Transform = Callable[[Image.Image], Any]
"""From a PIL image, RGB, to a float tensor (C, H, W)."""

SCALES: Final[tuple[type, ...]] = (transforms.ConvertImageDtype, v2.ToDtype, v2.ConvertImageDtype)
KINDS: Final[dict[str, tuple[type, ...]]] = {
    "none": (nn.Identity, v2.Identity, v2.ToPureTensor, v2.RGB),
    "resize": (transforms.Resize, v2.Resize),
    "crop": (transforms.CenterCrop, v2.CenterCrop),
    "tensor": (transforms.ToTensor, transforms.PILToTensor, v2.ToImage, v2.PILToTensor),
    "scale": SCALES,
    "norm": (transforms.Normalize, v2.Normalize),
}
"""What steps do, by type: a subclass may do otherwise."""
ORDER: Final = ("gray", "resize", "crop", "tensor", "scale", "norm")
"""The order in which `Preprocess` does them."""


@dataclass(frozen=True)
class CustomTransform:
    """An input that a function makes of an image, in this process; what it gives is what is kept.

    Attributes:
        transform: The function.
        shape: (C, H, W) of what it gives.
        mean: Of each channel: value * std + mean is what a picture shows, of 0 to 1.
        std: Of each channel, likewise.
        shown: Which channels a picture shows: as red, green and blue, or one as gray.
        stretched: Whether each image is drawn from its own lowest value to its highest, as nothing is
            known of the scale.
    """

    transform: Transform = field(repr=False, compare=False)
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shown: tuple[int, ...]
    stretched: bool = False

    @property
    def cut(self) -> None:
        """Nothing that a decoding process could do."""
        return

    def decoded(self, image: Image.Image) -> Decoded:
        """Call the transform: (H, W, C), float32.

        Raises:
            BadImage: It fails on this image, or gives something else than on the first one.
        """
        try:
            value = call(self.transform, image)
        except LurkError as error:
            raise BadImage(str(error)[:120]) from None
        if tuple(value.shape) != self.shape:
            raise BadImage(f"the transform gives {tuple(value.shape)}, for the first image {self.shape}")
        return value.permute(1, 2, 0).numpy()

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """From (N, H, W, C) to (N, C, H, W); the values are as the transform gave them."""
        return batch.permute(0, 3, 1, 2).contiguous()

    def display(self, decoded: Decoded) -> Pixels:
        """A picture of what the transform gave: (H, W, 3), uint8."""
        if self.stretched:
            seen = decoded[:, :, list(self.shown)]
            low, high = float(seen.min()), float(seen.max())
            values = (decoded - low) / ((high - low) or 1)
        else:
            values = decoded * np.array(self.std, np.float32) + np.array(self.mean, np.float32)
        return as_colours((values.clip(0, 1) * 255).round().astype(np.uint8), self.shown)


def call(transform: Transform, image: Image.Image) -> torch.Tensor:
    """Call a transform and check what it gives.

    Args:
        transform: The function.
        image: RGB.

    Returns:
        (C, H, W), float32, contiguous, on the CPU.

    Raises:
        LurkError: It fails, or gives anything but finite numbers of that form.
    """
    name = _name(transform)
    # what it draws at random must neither differ between two calls nor move the caller's generator
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(0)
        try:
            value = transform(image)
        except Exception as error:
            line = next(iter(str(error).splitlines()), "")
            raise LurkError(
                f"the transform {name} fails on an image of {image.width} x {image.height} px "
                f"({type(error).__name__}: {line[:120]}): it must take a PIL image, RGB"
            ) from error
    wanted = "give a transform from a PIL image to a float tensor (C, H, W)"
    if not isinstance(value, torch.Tensor):
        raise LurkError(f"the transform {name} gives a {type(value).__name__}: {wanted}")
    if value.dim() != 3 or not value.numel() or not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise LurkError(f"the transform {name} gives {kind} of shape {tuple(value.shape)}: {wanted}")
    if not bool(torch.isfinite(value).all()):
        raise LurkError(f"the transform {name} gives NaN or infinity: mend it (a std of 0 in it?)")
    plain = value.detach().as_subclass(torch.Tensor)
    return plain.to("cpu", torch.float32).contiguous()


def input_of(transform: Transform, first: Callable[[], Image.Image], shown: tuple[int, ...] = ()) -> Input:
    """Make an input of a transform.

    A composition of torchvision's usual steps becomes a `Preprocess`, which decoding processes can do;
    anything else is called as it is, and a `Normalize` in it says what a picture of its values is.

    Args:
        transform: From a PIL image, RGB, to a float tensor (C, H, W).
        first: Opens the first image that can be read; what the transform gives for it, all must.
        shown: Which channels to show, for other than one or three; () for the first three.

    Returns:
        The input.

    Raises:
        LurkError: The transform does not do that for the first image.
    """
    image = first()
    value = call(transform, image)
    steps = list(_steps(transform))
    shape = (value.shape[0], value.shape[1], value.shape[2])
    known = _known(steps, shape)
    if known is not None and not shown:
        # a photograph may be black, and tell nothing of how it is scaled
        noise = _noise(image.size)
        again = call(transform, noise)
        for same in (known, replace(known, reciprocal=True)):
            if _same(same, image, value) and _same(same, noise, again):
                return same
    shown = shown_channels(shape[0], shown)
    norms = [step for step in steps if isinstance(step, transforms.Normalize | v2.Normalize)]
    if len(norms) == 1:
        mean, std = (_all(values, shape[0]) for values in (norms[0].mean, norms[0].std))
        if len(mean) == len(std) == shape[0] and min(std) > 0:
            return CustomTransform(transform, shape, mean, std, shown)
    low, high = float(value.min()), float(value.max())
    if norms or low < 0 or high > 1:
        spread = (high - low) or 1.0
        mean, std = _all((-low / spread,), shape[0]), _all((1 / spread,), shape[0])
        return CustomTransform(transform, shape, mean, std, shown, stretched=True)
    return CustomTransform(transform, shape, _all((0.0,), shape[0]), _all((1.0,), shape[0]), shown)


def shown_channels(channels: int, wanted: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Which channels of an input a picture shows.

    Args:
        channels: How many there are.
        wanted: What the user asked for, one or three; () for the first three, or the first alone.

    Raises:
        LurkError: There are no such channels, or neither one nor three of them.
    """
    if not wanted:
        return (0, 1, 2) if channels >= 3 else (0,)
    if len(wanted) not in (1, 3) or not all(0 <= channel < channels for channel in wanted):
        raise LurkError(
            f"--show-channels {','.join(map(str, wanted))}: name three channels for red, green and blue, or "
            f"one for gray, of 0 to {channels - 1}"
        )
    return wanted


def _all(values: float | Iterable[float], channels: int) -> tuple[float, ...]:
    """A value for each channel, of which one may stand for all."""
    kept = tuple(float(value) for value in values) if isinstance(values, Iterable) else (float(values),)
    return kept * channels if len(kept) == 1 else kept


def _name(transform: Transform) -> str:
    return getattr(transform, "__name__", type(transform).__name__)


def _steps(transform: Any) -> Iterable[Any]:
    """The steps of a composition, those of inner compositions among them."""
    inner = getattr(transform, "transforms", None)
    if type(transform) in (transforms.Compose, v2.Compose) and inner is not None:
        for step in inner:
            yield from _steps(step)
    elif isinstance(transform, nn.Sequential):
        for step in transform:
            yield from _steps(step)
    else:
        yield transform


def _known(steps: list[Any], shape: tuple[int, int, int]) -> Preprocess | None:
    """The same as a `Preprocess`, if these steps are all of a kind that one knows."""
    if len(steps) == 1 and type(steps[0]) is ImageClassification:
        return from_preset(steps[0])
    found = Preprocess(size=shape[1:], resize=None, mean=(0.0,) * 3, std=(1.0,) * 3)
    at = 0
    for step in steps:
        kind = _kind(step)
        if kind == "none":
            continue
        if kind not in ORDER[at:]:
            return None
        at = ORDER.index(kind) + 1
        if kind == "gray":
            found = replace(found, mean=(0.0,), std=(1.0,))
        elif kind == "resize":
            if step.max_size is not None:
                return None
            size = (step.size,) if isinstance(step.size, int) else tuple(step.size)
            short: Any = size[0] if len(size) == 1 else size
            found = replace(found, resize=short, interpolation=_interpolation(step.interpolation))
        elif kind == "norm":
            mean, std = (_all(values, len(found.mean)) for values in (step.mean, step.std))
            if len(mean) != len(found.mean) or len(std) != len(found.mean) or min(std) <= 0:
                return None
            found = replace(found, mean=mean, std=std)
    # Without a cut, images of other proportions would come out in another size, and are to be told; what
    # is cut but not resized may be of any size, where `Preprocess` wants one.
    cut = any(_kind(step) == "crop" for step in steps)
    loose = (isinstance(found.resize, int) and not cut) or (found.resize is None and cut)
    return found if len(found.mean) == shape[0] and not loose else None


def _kind(step: Any) -> str:
    """What a step does; "other" if it is none that `Preprocess` knows."""
    kind = type(step)
    if kind in (transforms.Grayscale, v2.Grayscale) and step.num_output_channels == 1:
        return "gray"
    if kind in SCALES and step.dtype is not torch.float32:
        return "other"
    # timm's own, which differs in that it lets tensors pass
    if kind.__module__.startswith("timm.") and kind.__name__ == "MaybeToTensor":
        return "tensor"
    return next((name for name, kinds in KINDS.items() if kind in kinds), "other")


def _interpolation(mode: Any) -> str:
    """Pillow's name of an interpolation."""
    if isinstance(mode, int):
        return Image.Resampling(mode).name.lower()
    return {InterpolationMode.NEAREST_EXACT: "nearest"}.get(mode, str(InterpolationMode(mode).value))


def _noise(size: tuple[int, int]) -> Image.Image:
    """An image of all values, the same each time: (width, height) pixels, RGB."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _same(known: Preprocess, image: Image.Image, value: torch.Tensor) -> bool:
    """Whether it gives what the transform gave, to the bit."""
    try:
        ours = known.normalise(torch.from_numpy(known.decoded(image))[None])[0]
    except BadImage:
        return False
    return torch.equal(ours, value)


def from_preset(preset: ImageClassification) -> Preprocess:
    """What torchvision's preset of a classifier (`weights.transforms()`) does, to the bit."""
    return Preprocess(
        size=int(preset.crop_size[-1]),
        resize=int(preset.resize_size[-1]),
        mean=_all(preset.mean, 1),
        std=_all(preset.std, 1),
        interpolation=_interpolation(preset.interpolation),
    )
