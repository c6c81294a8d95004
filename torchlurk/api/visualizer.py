"""`FeatureVisualizer`: filter images of a network in memory, for notebooks, scripts and training loops."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import overload

import torch
from PIL import Image
from torch import nn

from torchlurk.api.targets import AscentTarget, check_channels, parse_channels, resolve_ascent_target
from torchlurk.ascent.diversity import DiversityPenalty
from torchlurk.ascent.objectives import Objective
from torchlurk.ascent.optimise import AscentParams, ascend, filter_generator
from torchlurk.ascent.transforms import Jitter
from torchlurk.attribution.targets import LOGITS
from torchlurk.datasets.inputs import Input
from torchlurk.datasets.preprocess import PreprocessLike, resolve_preprocess
from torchlurk.errors import LurkError, Option
from torchlurk.graph import prepare
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.models.validate import as_module, check_module
from torchlurk.pipeline.stages.ascent import jitter_for_size
from torchlurk.runtime import pictures
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import default_batch_size, deterministic_float32

WHOLE_IMAGE_PARAMS = AscentParams(
    steps=64, rate=0.025, jitter=Jitter(shift=12.0, scale=0.2, turn=12.0), resolutions=1
)
"""Parameters for layers without feature maps, such as the logits.

Their units see the whole image: with a higher learning rate or less jitter, colours become garish.
"""


class FeatureVisualizer:
    """Computes the image that maximises the activation of a filter or of an output class.

    By gradient ascent in Fourier space (Olah et al. 2017, https://distill.pub/2017/feature-visualization/).
    Equal calls give equal images. Each call restores the state of the network, its modes, parameters,
    gradients and buffers, and the state of torch's random number generators.

    Examples:
        >>> show = torchlurk.FeatureVisualizer(model, preprocess)
        >>> show(8).save("ship.png")
    """

    @renamed_arguments(recipe="params")
    def __init__(
        self,
        model: nn.Module,
        preprocess: PreprocessLike = None,
        *,
        size: int | tuple[int, int] | None = None,
        params: AscentParams | None = None,
        seed: int = 0,
    ) -> None:
        """Check the arguments; nothing is computed.

        Args:
            model: The network, on any device, in any mode.
            preprocess: A function from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`;
                `(mean, std)`; or `None` for ImageNet's.
            size: Height and width of the input in pixels, instead of those of `preprocess`.
            params: Parameters of the ascent; by default `AscentParams()`, and `WHOLE_IMAGE_PARAMS` for layers
                without feature maps.
            seed: Seed of all random numbers.

        Raises:
            LurkError: The number of input channels is neither 1 nor 3 and no `preprocess` is given, or the
                scale of the preprocessed values is unknown.
        """
        self.model: nn.Module = as_module(model)
        check_module(self.model)
        self.preprocess: Input = resolve_preprocess(self.model, preprocess, size)
        if getattr(self.preprocess, "stretched", False):
            raise LurkError(
                "the preprocessing does not tell how it scales values in [0, 1]",
                ("end it with a Normalize of torchvision, or pass (mean, std) and ", Option("size")),
            )
        self.params = params
        self.seed = seed

    @overload
    def __call__(
        self, act_idx: int, layer: str = ..., position: tuple[int, int] | None = ..., *,
        objective: str | Objective = ..., size: int | tuple[int, int] | None = ..., steps: int | None = ...,
        jitter: Jitter | None = ..., seed: int | None = ...,
    ) -> Image.Image: ...  # fmt: skip

    @overload
    def __call__(
        self, act_idx: int, layer: str = ..., position: tuple[int, int] | None = ..., *,
        objective: str | Objective = ..., size: int | tuple[int, int] | None = ..., steps: int | None = ...,
        jitter: Jitter | None = ..., seed: int | None = ..., diversity: int, spread: float = ...,
    ) -> list[Image.Image]: ...  # fmt: skip

    @overload
    def __call__(
        self, act_idx: Sequence[int], layer: str = ..., position: tuple[int, int] | None = ..., *,
        objective: str | Objective = ..., size: int | tuple[int, int] | None = ..., steps: int | None = ...,
        jitter: Jitter | None = ..., seed: int | None = ...,
    ) -> list[Image.Image]: ...  # fmt: skip

    @renamed_arguments(wobble="jitter")
    def __call__(
        self,
        act_idx: int | Sequence[int],
        layer: str = LOGITS,
        position: tuple[int, int] | None = None,
        *,
        objective: str | Objective = "mean",
        size: int | tuple[int, int] | None = None,
        steps: int | None = None,
        jitter: Jitter | None = None,
        seed: int | None = None,
        diversity: int | None = None,
        spread: float = 1.0,
    ) -> Image.Image | list[Image.Image]:
        """Compute the image of a filter, or of several.

        Args:
            act_idx: Number of the filter in its layer, or for the output, of the class. A sequence gives a
                list.
            layer: Dotted name of a module; by default the layer that computes the network's output.
            position: `(y, x)` of one unit in the layer's feature map, for an input of full size; `None` for
                the whole map.
            objective: A key of `ascent.objectives.OBJECTIVES`, such as `mean` or `position` (the centre unit
                of the map), or a function.
            size: Height and width of the image in pixels; by default, what the layer needs.
            steps: Optimiser steps, instead of those of `params`.
            jitter: Random transforms between the steps, instead of those of `params`.
            seed: Seed, instead of the visualizer's.
            diversity: Number of different images of one filter, at least 2; the result is a list.
            spread: Weight of the penalty on similarity, see `ascent.diversity.DiversityPenalty`.

        Returns:
            An image of `size`, RGB, or gray for a network with one input channel; or a list of images.

        Raises:
            LurkError: There is no such layer, filter or unit, or the network does not accept images of that
                size.

        Examples:
            Two filters; one unit in the middle of a map; three different images of one filter:

            >>> [image.size for image in show([3, 7], layer="features.14")]
            [(32, 32), (32, 32)]
            >>> show(7, layer="features.14", position=(4, 4)).size
            (32, 32)
            >>> len(show(7, layer="features.14", diversity=3, steps=16))
            3

            A custom objective, a function of the activations `(N, C, H, W)`:

            >>> def darkest(maps, channels):
            ...     return -maps[torch.arange(len(maps)), channels].mean(dim=(1, 2))
            >>> show(7, layer="features.14", objective=darkest, steps=16).mode
            'RGB'
        """
        is_sequence, channels = parse_channels(act_idx)
        if diversity is not None and (is_sequence or diversity < 2):
            raise LurkError(
                "needs one filter and at least 2 images",
                ("pass one filter, and a number of images from 2, or leave out ", Option("diversity")),
                Option("diversity", diversity),
            )
        if steps is not None and steps < 1:
            raise LurkError("must be at least 1", option=Option("steps", steps))
        seed = self.seed if seed is None else seed
        device = self._device()
        with (
            isolated(self.model, device, self.preprocess.shape),
            deterministic_float32(device),
            ExitStack() as stack,
        ):
            target = resolve_ascent_target(
                self.model, self.preprocess.shape, layer, position, objective, size
            )
            runner = self._runner(target, device)
            stack.enter_context(runner.in_memory_format())
            check_channels(target.layer, channels)
            params = self._params(target, steps, jitter)
            if position is not None or callable(objective):
                params = replace(params, resolutions=1)  # it may refer to positions in the final map
            name = target.layer.name
            if diversity is not None:
                generators = [filter_generator(seed, name, channels[0], n) for n in range(diversity)]
                penalty = DiversityPenalty(target.diversity_layer, spread)
                return self._ascend(runner, target, channels * diversity, generators, params, penalty)
            images: list[Image.Image] = []
            batch_size = default_batch_size(device)
            for start in range(0, len(channels), batch_size):
                batch = channels[start : start + batch_size]
                generators = [filter_generator(seed, name, channel) for channel in batch]
                images += self._ascend(runner, target, batch, generators, params, None)
        return images if is_sequence else images[0]

    def _ascend(
        self,
        runner: Runner,
        target: AscentTarget,
        channels: Sequence[int],
        generators: Sequence[torch.Generator],
        params: AscentParams,
        penalty: DiversityPenalty | None,
    ) -> list[Image.Image]:
        """Compute one image per channel and generator."""
        result = ascend(
            runner, target.layer.name, channels, target.size, self.preprocess.normalise, target.objective,
            params, generators, depth=self.preprocess.shape[0], diversity=penalty,
        )  # fmt: skip
        tiles = pictures.to_pixels(result.images[:, list(self.preprocess.display_channels)])
        return [Image.fromarray(tile.squeeze(-1) if tile.shape[2] == 1 else tile) for tile in tiles]

    def _params(self, target: AscentTarget, steps: int | None, jitter: Jitter | None) -> AscentParams:
        """Return the parameters for a target, with those that a call replaces."""
        params = self.params or (WHOLE_IMAGE_PARAMS if target.layer.flat else AscentParams())
        return replace(
            params,
            steps=params.steps if steps is None else steps,
            jitter=jitter_for_size(params.jitter, target.size) if jitter is None else jitter,
        )

    def _runner(self, target: AscentTarget, device: torch.device) -> Runner:
        """Return the way to run the network for images of a target."""
        shape = self.preprocess.shape
        noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
        names = tuple(dict.fromkeys((target.layer.name, target.diversity_layer)))
        return prepare(self.model, shape, names, self.preprocess.normalise(noise))[0]

    def _device(self) -> torch.device:
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))
