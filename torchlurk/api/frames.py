"""A training seen frame by frame: what a filter sees in an image, or looks for, every so many steps."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.api.visualizer import LOGITS, FeatureVisualizer, only_layer
from torchlurk.ascent.optimise import AscentParams
from torchlurk.attribution.gradients import map_gradients
from torchlurk.attribution.relu_rules import ReluRule, relu_rule
from torchlurk.datasets.inputs import Input
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError, in_python
from torchlurk.explaining.images import ImageLike, open_image
from torchlurk.graph import Layer
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.models.validate import as_network
from torchlurk.runtime import pictures
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import deterministic_float32
from torchlurk.runtime.pictures import Pixels
from torchlurk.store.write import write_bytes

KINDS = {".gif": "GIF", ".webp": "WEBP"}
"""What an animation can be, by the suffix of its file."""

SHOWN = 12
"""How many frames a strip has at most: the first, the last, and others evenly between."""

STEPS = 32
"""Of the ascent of a frame: there are many, and few look at one for long."""

Draw = Callable[[], Pixels]
"""Draws a frame of the network as it is now: `(H, W, 3)` or `(H, W, 1)`."""


class FrameRecorder:
    """Records a training as an animation: call it at each step, and it looks now and then.

    With an image, a frame is the gradient of a filter's mean activation (of the output: of a class's logit)
    with respect to that image; without one, it is the image that excites the filter most. At the end there
    is an animation, and beside it a strip of a few frames as PNG; the same frames give the same bytes.

    The training does not notice: parameters, gradients, modes, buffers and the state of torch's random
    numbers are after a frame what they were before.

    Attributes:
        out: the animation.
        frames: those of so far, each `(H, W, 3)` or, of gray, `(H, W, 1)`, uint8.
        every: a frame for each step that this divides.
        duration: of a frame, milliseconds.

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
        """Nothing is computed yet, but the layer is looked for.

        Args:
            model: the network that is trained.
            out: the animation to write, `.gif` or `.webp`; the strip has the same name, and `.png`.
            act_idx: the filter's number in its layer; of the output, the class.
            image: whose gradient to draw: a file, a PIL image, or `(C, H, W)` floats as the network is fed;
                `None` to draw filter images.
            layer: dotted name of a module; by default the one that gives the network's output.
            every: a frame for each step that this divides.
            method: what ReLUs let back in gradients: `vanilla`, `guided` (Springenberg et al. 2014,
                arXiv:1412.6806) or `deconv` (Zeiler and Fergus 2013, arXiv:1311.2901).
            preprocess: see `FeatureVisualizer`.
            size: see `FeatureVisualizer`.
            params: of filter images; by default the engine's, with 32 steps.
            seed: of filter images.
            duration: of a frame, milliseconds.

        Raises:
            LurkError: there is no such layer or filter, or one of the figures makes no sense.
        """
        self.out: Path = Path(out)
        self.frames: list[Pixels] = []
        if self.out.suffix.lower() not in KINDS:
            raise LurkError(f"{str(out)!r}: an animation is one of {', '.join(KINDS)}; choose such a name")
        if every < 1 or duration < 1:
            raise LurkError(f"every={every}, duration={duration}: both must be 1 or more")
        relu_rule(method)  # refuses what it does not know before the training begins
        self.every: int = every
        self.duration: int = duration
        model = as_network(model)
        show = FeatureVisualizer(
            model, preprocess, size=size, params=params or AscentParams(steps=STEPS), seed=seed
        )
        fed = None if image is None else _fed(image, show.preprocess)
        shape = show.preprocess.shape if fed is None else (fed.shape[0], fed.shape[1], fed.shape[2])
        with in_python(), isolated(model):
            found = only_layer(model, shape, layer)
        if not 0 <= act_idx < found.shape[0]:
            raise LurkError(
                f"act_idx {act_idx}: {found.name!r} has {found.shape[0]} filters, numbered from 0 to "
                f"{found.shape[0] - 1}"
            )
        self._draw = (
            _filter(show, act_idx, found)
            if fed is None
            else _gradient(model, fed, found, act_idx, method, show.preprocess.display_channels)
        )

    def __call__(self, step: int) -> None:
        """Draw a frame, if it is time for one.

        Args:
            step: its number.
        """
        if step % self.every == 0:
            self.frames.append(self._draw())

    def close(self) -> list[Path]:
        """Write what was recorded, as the end of a `with` does too.

        Returns:
            The animation and the strip; nothing where there is no frame.

        Raises:
            LurkError: they cannot be written.

        Examples:
            >>> [path.name for path in recorder.close()]
            ['training.gif', 'training.png']
        """
        if not self.frames:
            return []
        strip = self.out.with_suffix(".png")
        write_bytes(self.out, animation(self.frames, KINDS[self.out.suffix.lower()], self.duration))
        write_bytes(strip, _encoded([_picture(pictures.strip(chosen(self.frames, SHOWN)))], "PNG"))
        return [self.out, strip]

    def __enter__(self) -> Self:
        """The recorder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write; also what an interrupted training has left."""
        self.close()


def _gradient(
    model: nn.Module, image: Tensor, layer: Layer, channel: int, method: ReluRule, shown: Sequence[int]
) -> Draw:
    tile = (image.shape[1], image.shape[2])

    def draw() -> Pixels:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        runner = Runner(model, axes={layer.name: layer.axes})
        shape = (image.shape[0], image.shape[1], image.shape[2])
        with isolated(model, device, shape), deterministic_float32(device):
            fed = image.to(device, torch.float32)
            (gradient,) = map_gradients(runner, layer.name, fed, [channel], method)
            return pictures.gradient_tiles(gradient[None][:, list(shown)], tile)[0]

    return draw


def _filter(show: FeatureVisualizer, channel: int, layer: Layer) -> Draw:
    def draw() -> Pixels:
        made = np.asarray(show(channel, layer.name))
        return made if made.ndim == 3 else made[:, :, None]

    return draw


def _fed(image: ImageLike | Tensor, preprocess: Input) -> Tensor:
    """`(C, H, W)` as the network is fed, on the CPU or where it was."""
    if not isinstance(image, Tensor):
        pixels = torch.from_numpy(preprocess.to_array(open_image(image)))
        return preprocess.to_input(pixels[None])[0]
    given = image.detach().clone()
    if given.dim() == 4 and given.shape[0] == 1:
        given = given[0]
    if given.dim() != 3 or not given.is_floating_point():
        raise LurkError(
            f"an image of shape {tuple(image.shape)} and type {image.dtype}: give (C, H, W), floats, as the "
            "network is fed"
        )
    return given


def chosen(frames: Sequence[Pixels], most: int) -> list[Pixels]:
    """The first frame, the last, and others evenly between, at most so many."""
    count = min(most, len(frames))
    if count == 1:
        return [frames[-1]]
    return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]


def animation(frames: Sequence[Pixels], kind: str, duration: int) -> bytes:
    """Encode frames of one size as an animation that begins anew at its end.

    Args:
        frames: each `(H, W, 3)` or `(H, W, 1)`.
        kind: `GIF` or `WEBP`.
        duration: of a frame, milliseconds.
    """
    drawn = [_picture(frame) for frame in frames]
    if kind == "WEBP":
        return _encoded(drawn, kind, duration=duration, loop=0, quality=85, method=4)
    return _encoded(drawn, kind, duration=duration, loop=0, optimize=False)


def _picture(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)


def _encoded(drawn: Sequence[Image.Image], kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    if len(drawn) > 1:
        drawn[0].save(buffer, kind, save_all=True, append_images=list(drawn[1:]), **options)
    else:
        drawn[0].save(buffer, kind, **options)
    return buffer.getvalue()
