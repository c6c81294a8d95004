"""Options that several commands share, and the types of their values besides plain texts and numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from torchlurk.store.schema import STAGES

C = TypeVar("C", bound=Callable[..., Any] | click.Command)


class OptionDecorator(Protocol):
    """A decorator that adds an option to a command."""

    def __call__(self, command: C, /) -> C:
        """Return the command with the option added."""
        ...


class FiltersType(click.ParamType[int | str]):
    """A number of filters, or `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """From the text that was given, or its own value."""
        if value == "all" or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither a number from 1 nor 'all'", param, ctx)
        return int(value)


class StagesType(click.ParamType[tuple[str, ...]]):
    """Names of stages with commas between."""

    name = "STAGE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """From the text that was given, or its own value."""
        names = tuple(value) if isinstance(value, tuple) else tuple(str(value).split(","))
        unknown = [name for name in names if name not in STAGES]
        if unknown:
            self.fail(f"there is no stage {unknown[0]!r}: choose of {','.join(STAGES)}", param, ctx)
        return tuple(stage for stage in STAGES if stage in names)


class SizeType(click.ParamType[int | tuple[int, int]]):
    """A number of pixels, or height and width with an x between."""

    name = "N|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int]:
        """From the text that was given, or its own value."""
        if isinstance(value, int | tuple):
            return value
        sides = [int(side) if side.isdigit() else 0 for side in str(value).split("x")]
        if len(sides) > 2 or not all(1 <= side <= 4096 for side in sides):
            self.fail(f"{value!r} is neither pixels, 1 to 4096, nor HEIGHTxWIDTH", param, ctx)
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


class ChannelsType(click.ParamType[tuple[int, ...]]):
    """Numbers with commas between."""

    name = "N,N,N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """From the text that was given, or its own value."""
        parts = [str(part) for part in value] if isinstance(value, tuple) else str(value).split(",")
        if not all(part.isdigit() for part in parts):
            self.fail(f"{value!r} are not numbers of channels with commas between", param, ctx)
        return tuple(int(part) for part in parts)


model: OptionDecorator = click.option(
    "--model",
    default="vgg16",
    metavar="NAME|timm:NAME|FILE.py:FUNCTION|MODULE:FUNCTION",
    help="A classifier of torchvision or of timm, or a function without arguments that returns a network, "
    "or (network, transform).",
)

weights: OptionDecorator = click.option(
    "--weights",
    default="auto",
    metavar="auto|imagenet|trunk|caffe|NAME|FILE[:KEY]|random",
    help="imagenet: torchvision's best; trunk: the convolutions alone, 64 MB; caffe: SqueezeNet 1.1 "
    "as its authors trained it, 5 MB; auto: the first that can be had, or what your function gives; NAME: "
    "torchvision's name of some, such as IMAGENET1K_V2; FILE: a state dict or a checkpoint (safetensors, "
    "or torch's own format), with KEY where it holds several; random: untrained.",
)

allow_unsafe_pickle: OptionDecorator = click.option(
    "--allow-unsafe-pickle",
    is_flag=True,
    help="Let a FILE of weights run any code while it is read; only if you trust whoever made it.",
)

data_root: OptionDecorator = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Folder for torchvision's data sets. [default: datasets in the user's cache]",
)

size: OptionDecorator = click.option(
    "--size",
    type=SizeType(),
    help="Height and width of the input, pixels. [default: what the network was made for]",
)

show_channels: OptionDecorator = click.option(
    "--show-channels",
    type=ChannelsType(),
    help="Which channels of the input to show as red, green and blue, where it has more than three. "
    "[default: 0,1,2]",
)

device: OptionDecorator = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute."
)
