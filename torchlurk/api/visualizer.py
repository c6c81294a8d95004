"""Filter images of a network at hand: for a notebook, a script, a training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import index
from typing import overload

import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.ascent.diversity import DiversityPenalty
from torchlurk.ascent.objectives import OBJECTIVES, Objective, unit_at
from torchlurk.ascent.optimise import AscentParams, ascend, filter_generator, supported_canvas_size
from torchlurk.ascent.transforms import Jitter
from torchlurk.datasets.inputs import Input
from torchlurk.datasets.preprocess import PreprocessLike, resolve_preprocess
from torchlurk.errors import LurkError, in_python
from torchlurk.graph import Layer, prepare, select
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.models.validate import as_network, check_kind, random_input
from torchlurk.pipeline.stages.ascent import STEADY
from torchlurk.runtime import pictures
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import default_batch_size, deterministic_float32

LOGITS = "logits"

WHOLE = AscentParams(rate=0.025, jitter=Jitter(shift=12.0, scale=0.2, turn=12.0))
"""Of what sees all of the image, such as a class: slower, and moved more, or its colours become shrill."""


@dataclass(frozen=True)
class Target:
    """What an image is to excite.

    Attributes:
        layer: the layer, as the network has it.
        objective: what of its maps.
        size: `(H, W)` of the image, pixels.
        apart: the layer in which several images of a filter are to differ.
    """

    layer: Layer
    objective: Objective
    size: tuple[int, int]
    apart: str


class FeatureVisualizer:
    """Makes the image that excites a filter, or an output class, most.

    By gradient ascent in Fourier space (Olah et al. 2017, https://distill.pub/2017/feature-visualization/).
    The same call gives the same image. The network comes back as it was: its modes, parameters, gradients
    and buffers, and the state of torch's random numbers.

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
        """Nothing is computed yet.

        Args:
            model: the network, on any device, in any mode.
            preprocess: what it is fed: from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`;
                `(mean, std)`; or `None` for ImageNet's.
            size: height and width of its input, pixels, in place of those of `preprocess`.
            params: how images are made; by default the engine's, and `WHOLE` for layers without a map.
            seed: of all randomness.

        Raises:
            LurkError: the network takes neither colours nor gray and nothing says what, or the transform does
                not tell how its values are scaled.
        """
        self.model = as_network(model)
        check_kind(self.model)
        with in_python():
            self.preprocess = resolve_preprocess(self.model, preprocess, size)
        if getattr(self.preprocess, "stretched", False):
            raise LurkError(
                "the preprocess does not tell what its values are of those in [0, 1]: end it with a "
                "Normalize of torchvision, or give (mean, std) and size="
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
        """Make the image of a filter, or of several.

        Args:
            act_idx: the filter's number in its layer; of the output, the class. Several give a list.
            layer: dotted name of a module; by default the one that gives the network's output.
            position: `(y, x)` of one unit in the layer's map, for an input of full size; else all of the map.
            objective: `mean`, `position` for the unit in the middle, or a function, see `ascent.objectives`.
            size: height and width of the image, pixels; by default what the layer needs.
            steps: of the optimiser, in place of the params'.
            jitter: how the image is moved between steps, in place of the params'.
            seed: in place of the visualizer's.
            diversity: make so many images of one filter, which differ; then the result is a list.
            spread: how much likeness costs them, see `ascent.diversity.Apart`.

        Returns:
            An image of `size`, RGB, or gray of a network of one channel; or a list of such.

        Raises:
            LurkError: there is no such layer, filter or unit, or the network does not take such an image.

        Examples:
            Two filters; one unit in the middle of a map; three different images of one filter:

            >>> [image.size for image in show([3, 7], layer="features.14")]
            [(32, 32), (32, 32)]
            >>> show(7, layer="features.14", position=(4, 4)).size
            (32, 32)
            >>> len(show(7, layer="features.14", diversity=3, steps=16))
            3

            An objective of one's own, of the activations `(N, C, H, W)`:

            >>> def darkest(maps, channels):
            ...     return -maps[torch.arange(len(maps)), channels].mean(dim=(1, 2))
            >>> show(7, layer="features.14", objective=darkest, steps=16).mode
            'RGB'
        """
        several, channels = _numbers(act_idx)
        if diversity is not None and (several or diversity < 2):
            raise LurkError(
                f"diversity={diversity}, act_idx={act_idx}: it makes 2 or more images of one filter; give "
                "that, or leave it out"
            )
        if steps is not None and steps < 1:
            raise LurkError(f"steps={steps}: give 1 or more")
        seed = self.seed if seed is None else seed
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        shape = self.preprocess.shape
        with (
            in_python(),
            isolated(self.model, device, shape),
            deterministic_float32(device),
            ExitStack() as stack,
        ):
            target = self._target(layer, position, objective, size)
            runner = self._runner(target)
            stack.enter_context(runner.laid_out())
            _check(target.layer, channels)
            params = self.params or (WHOLE if target.layer.flat else AscentParams())
            params = replace(
                params,
                steps=params.steps if steps is None else steps,
                jitter=_calm(params.jitter, target.size) if jitter is None else jitter,
            )
            if diversity is not None:
                tries = [filter_generator(seed, target.layer.name, channels[0], n) for n in range(diversity)]
                apart = DiversityPenalty(target.apart, spread)
                return self._make(runner, target, channels * diversity, tries, params, apart)
            made: list[Image.Image] = []
            at_once = default_batch_size(device)
            for start in range(0, len(channels), at_once):
                block = channels[start : start + at_once]
                own = [filter_generator(seed, target.layer.name, channel) for channel in block]
                made += self._make(runner, target, block, own, params, None)
        return made if several else made[0]

    def _make(
        self,
        runner: Runner,
        target: Target,
        channels: Sequence[int],
        generators: Sequence[torch.Generator],
        params: AscentParams,
        apart: DiversityPenalty | None,
    ) -> list[Image.Image]:
        found = ascend(
            runner, target.layer.name, channels, target.size, _normalise(self.preprocess),
            target.objective, params, generators, depth=self.preprocess.shape[0], diversity=apart,
        )  # fmt: skip
        drawn = pictures.to_pixels(found.images[:, list(self.preprocess.display_channels)])
        return [Image.fromarray(one.squeeze(-1) if one.shape[2] == 1 else one) for one in drawn]

    def _target(
        self,
        name: str,
        position: tuple[int, int] | None,
        objective: str | Objective,
        size: int | tuple[int, int] | None,
    ) -> Target:
        whole = self.preprocess.shape[1:]
        layer = only_layer(self.model, self.preprocess.shape, name)
        if isinstance(objective, str) and objective not in OBJECTIVES:
            raise LurkError(f"there is no objective {objective!r}: choose one of {', '.join(OBJECTIVES)}")
        wanted = OBJECTIVES[objective] if isinstance(objective, str) else objective
        runner = Runner(self.model, axes={layer.name: layer.axes})
        extent = supported_canvas_size(runner, layer.name, layer.field, whole, self.preprocess.shape[0])
        if position is not None:
            y, x = position
            if not (0 <= y < layer.shape[1] and 0 <= x < layer.shape[2]):
                raise LurkError(
                    f"position {position}: the map of {layer.name!r} has {layer.shape[1]} rows and "
                    f"{layer.shape[2]} columns, numbered from 0"
                )
            wanted, extent = unit_at(y, x), whole
        if size is not None:
            extent = (size, size) if isinstance(size, int) else size
            if min(extent) < 1 or (position is not None and extent != whole):
                raise LurkError(
                    f"size {size}: take 1 pixel or more; a position is one of an input of {whole[0]} x "
                    f"{whole[1]} pixels, so leave size out there"
                )
        return Target(layer, wanted, extent, _where_to_differ(self.model, self.preprocess.shape, layer))

    def _runner(self, target: Target) -> Runner:
        """How to run the network for images of that target."""
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        shape = self.preprocess.shape
        noise = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
        names = tuple(dict.fromkeys((target.layer.name, target.apart)))
        return prepare(self.model, shape, names, _normalise(self.preprocess)(noise))[0]


def only_layer(model: nn.Module, shape: tuple[int, int, int], name: str) -> Layer:
    """The layer of that name.

    Args:
        model: the network, isolated.
        shape: `(C, H, W)` of its input.
        name: dotted, or `logits`.

    Raises:
        LurkError: there is none, or several.
    """
    _, graph = prepare(model, shape, (name,), random_input(model, shape))
    layers = graph.layers
    if len(layers) != 1:
        names = ", ".join(layer.name for layer in layers[:5])
        raise LurkError(f"{name!r} means {len(layers)} layers ({names}, ...): name one")
    return layers[0]


def _where_to_differ(model: nn.Module, shape: tuple[int, int, int], layer: Layer) -> str:
    """The layer in which several images of a filter of this one are to differ.

    That is itself, if it has a map; else the last convolution before it that has one. A convolution with as
    many filters as the layer itself gives the classes, in a network that ends without a linear layer, and the
    images of a class cannot differ in what makes them one.
    """
    if not layer.flat:
        return layer.name
    try:
        before = select(model, shape, ("kind:Conv*d", layer.name)).layers
    except LurkError:  # no convolution
        return layer.name
    order = [one.name for one in before].index(layer.name)
    maps = [one for one in before[:order] if not one.flat and one.shape[0] != layer.shape[0]]
    return maps[-1].name if maps else layer.name


def _calm(jitter: Jitter, size: tuple[int, int]) -> Jitter:
    """The same for an image of that size: a small one is moved less, or its pattern would be all blur."""
    return replace(jitter, shift=jitter.shift * min(1.0, min(size) / STEADY))


def _numbers(act_idx: int | Sequence[int]) -> tuple[bool, list[int]]:
    """Whether several were given, and which; an integer of numpy or of torch is one too."""
    try:
        return False, [index(act_idx)]  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return True, [index(one) for one in act_idx]  # type: ignore[union-attr]
    except TypeError:
        raise LurkError(f"act_idx {act_idx!r}: give the number of a filter, or several") from None


def _check(layer: Layer, channels: Sequence[int]) -> None:
    for channel in channels:
        if not 0 <= channel < layer.shape[0]:
            raise LurkError(
                f"act_idx {channel}: {layer.name!r} has {layer.shape[0]} filters, numbered from 0 to "
                f"{layer.shape[0] - 1}"
            )
    if not channels:
        raise LurkError("act_idx is empty: give the number of a filter, or several")


def _normalise(preprocess: Input) -> Callable[[Tensor], Tensor]:
    """From values in [0, 1] to what the network is fed."""

    def normalise(images: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values, device=images.device).view(-1, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )
        return (images - mean) / std

    return normalise
