"""`FrameRecorder`: an animation of what a filter responds to while a network is trained."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.api.targets import check_channels, find_single_layer
from torchlurk.api.visualizer import FeatureVisualizer
from torchlurk.ascent.optimise import AscentParams
from torchlurk.attribution.backward import relu_rule
from torchlurk.attribution.gradients import map_gradients
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.attribution.targets import LOGITS
from torchlurk.datasets.inputs import Input
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError, Option
from torchlurk.explaining.images import ImageLike, open_image
from torchlurk.graph import Layer
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.models.validate import as_module
from torchlurk.runtime import pictures
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import deterministic_float32
from torchlurk.runtime.jpeg import Pixels, pixels_to_image
from torchlurk.store.write import write_bytes

_FORMATS: Mapping[str, str] = {".gif": "GIF", ".webp": "WEBP"}
"""Pillow's name of the format for each suffix of an animation."""

_STRIP_FRAMES = 12
"""Maximum number of frames in a strip."""

DrawFrame = Callable[[], Pixels]
"""Draws a frame of the network in its current state: `(H, W, 3)` or `(H, W, 1)`, uint8."""


class FrameRecorder:
    """Records an animation of a training run: call it at each step, and it draws a frame every few steps.

    With an image, a frame is the gradient of a filter's mean activation, or for the output of a class's
    logit, with respect to that image. Without an image, a frame is the filter image. Closing the recorder
    writes the animation, and beside it a strip of a few frames as PNG. Equal frames give equal bytes.

    Recording does not affect the training: drawing a frame restores parameters, gradients, modes, buffers and
    the state of torch's random number generators.

    Attributes:
        out: File of the animation.
        frames: The frames drawn so far, each `(H, W, 3)`, or `(H, W, 1)` for gray, uint8.
        every: A frame is drawn at each step that this divides.
        duration: Duration of a frame in milliseconds.

    Examples:
        >>> photo = photos / "farm/kitten.jpg"
        >>> optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        >>> recorder = torchlurk.FrameRecorder(
        ...     model, "training.gif", act_idx=3, image=photo, every=2, preprocess=preprocess
        ... )
        >>> with recorder:
        ...     for step in range(6):
        ...         model(torch.rand(8, 3, 32, 32)).square().mean().backward()
        ...         optimiser.step()
        ...         recorder(step)
        >>> len(recorder.frames), recorder.frames[0].shape
        (3, (32, 32, 3))
    """

    @renamed_arguments(recipe="params")
    def __init__(
        self,
        model: nn.Module,
        out: str | Path,
        act_idx: int,
        *,
        image: ImageLike | Tensor | None = None,
        layer: str = LOGITS,
        every: int = 100,
        method: ReluRule = "vanilla",
        preprocess: PreprocessLike = None,
        size: int | tuple[int, int] | None = None,
        params: AscentParams | None = None,
        seed: int = 0,
        duration: int = 120,
    ) -> None:
        """Check the arguments. The network is run to find the layer; no frame is drawn.

        Args:
            model: The network that is trained.
            out: File of the animation, `.gif` or `.webp`; the strip has the same name with `.png`.
            act_idx: Number of the filter in its layer, or for the output, of the class.
            image: Image whose gradient is drawn: a file, a PIL image, or a preprocessed float tensor `(C, H,
                W)`; `None` to draw filter images.
            layer: Dotted name of a module; by default the layer that computes the network's output.
            every: A frame is drawn at each step that this divides.
            method: Rule for the backward pass of ReLUs: `vanilla`, the plain gradient; `guided` (Springenberg
                et al. 2014, arXiv:1412.6806); or `deconv` (Zeiler and Fergus 2013, arXiv:1311.2901).
            preprocess: See `FeatureVisualizer`.
            size: See `FeatureVisualizer`.
            params: Parameters of filter images; by default `AscentParams()`.
            seed: Seed of filter images.
            duration: Duration of a frame in milliseconds.

        Raises:
            LurkError: There is no such layer or filter, or an argument is out of range.
        """
        self.out: Path = Path(out)
        self.frames: list[Pixels] = []
        if self.out.suffix.lower() not in _FORMATS:
            raise LurkError(
                f"unknown format of an animation: {str(out)!r}", f"use one of {', '.join(_FORMATS)}"
            )
        for name, value in (("every", every), ("duration", duration)):
            if value < 1:
                raise LurkError("must be at least 1", option=Option(name, value))
        relu_rule(method)  # refuses unknown rules before the training begins
        self.every: int = every
        self.duration: int = duration
        model = as_module(model)
        params = params or AscentParams()
        visualizer = FeatureVisualizer(model, preprocess, size=size, params=params, seed=seed)
        network_input = None if image is None else _as_input(image, visualizer.preprocess)
        shape = visualizer.preprocess.shape if network_input is None else _shape(network_input)
        with isolated(model):
            found = find_single_layer(model, shape, layer)
        check_channels(found, [act_idx])
        self._draw = (
            _filter_image_frames(visualizer, act_idx, found)
            if network_input is None
            else _gradient_frames(
                model, network_input, found, act_idx, method, visualizer.preprocess.display_channels
            )
        )

    def __call__(self, step: int) -> None:
        """Draw a frame if `every` divides the step.

        Args:
            step: Number of the training step.
        """
        if step % self.every == 0:
            self.frames.append(self._draw())

    def close(self) -> list[Path]:
        """Write the frames drawn so far, as does leaving a `with` block.

        Returns:
            The files of the animation and the strip; an empty list if there are no frames.

        Raises:
            LurkError: The files cannot be written.

        Examples:
            >>> [path.name for path in recorder.close()]
            ['training.gif', 'training.png']
        """
        if not self.frames:
            return []
        strip = self.out.with_suffix(".png")
        write_bytes(self.out, encode_animation(self.frames, _FORMATS[self.out.suffix.lower()], self.duration))
        tiles = sample_frames(self.frames, _STRIP_FRAMES)
        write_bytes(strip, _encode([pixels_to_image(pictures.strip(tiles))], "PNG"))
        return [self.out, strip]

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the frames, also those of an interrupted training run."""
        self.close()


def sample_frames(frames: Sequence[Pixels], maximum: int) -> list[Pixels]:
    """Return the first frame, the last, and others at equal distances, at most `maximum`."""
    count = min(maximum, len(frames))
    if count == 1:
        return [frames[-1]]
    return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]


def encode_animation(frames: Sequence[Pixels], kind: str, duration: int) -> bytes:
    """Encode frames of one size as an animation that loops.

    Args:
        frames: Each `(H, W, 3)` or `(H, W, 1)`, uint8.
        kind: `GIF` or `WEBP`.
        duration: Duration of a frame in milliseconds.
    """
    images = [pixels_to_image(frame) for frame in frames]
    if kind == "WEBP":
        return _encode(images, kind, duration=duration, loop=0, quality=85, method=4)
    return _encode(images, kind, duration=duration, loop=0, optimize=False)


def _gradient_frames(
    model: nn.Module,
    network_input: Tensor,
    layer: Layer,
    channel: int,
    method: ReluRule,
    display_channels: Sequence[int],
) -> DrawFrame:
    """Return a function that draws the gradient with respect to an image."""
    shape = _shape(network_input)

    def draw() -> Pixels:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        runner = Runner(model, axes={layer.name: layer.axes})
        with isolated(model, device, shape), deterministic_float32(device):
            x = network_input.to(device, torch.float32)
            (gradient,) = map_gradients(runner, layer.name, x, [channel], method)
            return pictures.gradient_tiles(gradient[None][:, list(display_channels)], shape[1:])[0]

    return draw


def _filter_image_frames(visualizer: FeatureVisualizer, channel: int, layer: Layer) -> DrawFrame:
    """Return a function that draws the filter image."""

    def draw() -> Pixels:
        pixels = np.asarray(visualizer(channel, layer.name))
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    return draw


def _as_input(image: ImageLike | Tensor, preprocess: Input) -> Tensor:
    """Return an image as the network's input `(C, H, W)`, on the CPU or the tensor's device."""
    if not isinstance(image, Tensor):
        array = torch.from_numpy(preprocess.to_array(open_image(image)))
        return preprocess.to_input(array[None])[0]
    tensor = image.detach().clone()
    if tensor.dim() == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() != 3 or not tensor.is_floating_point():
        raise LurkError(
            f"the image has shape {tuple(image.shape)} and type {image.dtype}",
            "pass preprocessed floats of shape (C, H, W)",
        )
    return tensor


def _shape(network_input: Tensor) -> tuple[int, int, int]:
    channels, height, width = network_input.shape
    return channels, height, width


def _encode(images: Sequence[Image.Image], kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    if len(images) > 1:
        images[0].save(buffer, kind, save_all=True, append_images=list(images[1:]), **options)
    else:
        images[0].save(buffer, kind, **options)
    return buffer.getvalue()
