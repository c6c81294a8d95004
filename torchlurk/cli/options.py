"""Options that several commands share, and the types of option values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from torchlurk.store.schema import STAGES

_C = TypeVar("_C", bound=Callable[..., Any] | click.Command)

PATH = click.Path(path_type=Path)
"""Type of a path, which need not exist."""

IMAGES_METAVAR = "FOLDER|FILE.csv|torchvision:NAME[:SPLIT]"
"""How help texts name the value of an option that takes images."""


class OptionDecorator(Protocol):
    """A decorator that adds an option to a command."""

    def __call__(self, command: _C, /) -> _C:
        """Return the command with the option added."""
        ...


class LazyDefaultOption(click.Option):
    """An option whose default is a function, called also for `--help`.

    The function imports the dataclass that has the default. Commands thus start without torch.
    """

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:  # noqa: ARG002
        """Return the default value."""
        return super().get_default(ctx, call=True)


class FiltersType(click.ParamType[int | str]):
    """A number of filters, or `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Convert a text; other values are returned as they are."""
        if value == "all" or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither a positive integer nor 'all'", param, ctx)
        return int(value)


class StagesType(click.ParamType[tuple[str, ...]]):
    """Names of stages, separated by commas."""

    name = "STAGE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Convert a text; a tuple of names is checked and sorted."""
        names = tuple(value) if isinstance(value, tuple) else tuple(str(value).split(","))
        unknown = [name for name in names if name not in STAGES]
        if unknown:
            self.fail(f"unknown stage {unknown[0]!r}; choose from {','.join(STAGES)}", param, ctx)
        return tuple(stage for stage in STAGES if stage in names)


class SizeType(click.ParamType[int | tuple[int, int]]):
    """A number of pixels, or height and width separated by an x."""

    name = "N|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int]:
        """Convert a text; other values are returned as they are."""
        if isinstance(value, int | tuple):
            return value
        sides = [int(side) if side.isdigit() else 0 for side in str(value).split("x")]
        if len(sides) > 2 or not all(1 <= side <= 4096 for side in sides):
            self.fail(f"{value!r} is neither an integer from 1 to 4096 nor HEIGHTxWIDTH", param, ctx)
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


class ChannelsType(click.ParamType[tuple[int, ...]]):
    """Numbers separated by commas."""

    name = "N,N,N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Convert a text or a tuple of numbers."""
        parts = [str(part) for part in value] if isinstance(value, tuple) else str(value).split(",")
        if not all(part.isdigit() for part in parts):
            self.fail(f"{value!r} is not a list of channel numbers separated by commas", param, ctx)
        return tuple(int(part) for part in parts)


model: OptionDecorator = click.option(
    "--model",
    default="vgg16",
    metavar="NAME|timm:NAME|FILE.py:FUNCTION|MODULE:FUNCTION",
    help="Network: a torchvision or timm classifier by name, or a function without arguments that returns a "
    "network or a pair (network, transform).",
)

weights: OptionDecorator = click.option(
    "--weights",
    default="auto",
    metavar="auto|imagenet|trunk|caffe|NAME|FILE[:KEY]|random",
    help="Weights. imagenet: torchvision's best; trunk: the convolutions only (64 MB); caffe: SqueezeNet 1.1 "
    "as its authors trained it (5 MB); NAME: torchvision weights by name, such as IMAGENET1K_V2; FILE: a "
    "state dict or a checkpoint, in safetensors or torch format, with KEY if it contains several; random: "
    "untrained; auto: the first of these that is available, or those that your function loads.",
)

allow_unsafe_pickle: OptionDecorator = click.option(
    "--allow-unsafe-pickle",
    is_flag=True,
    help="Allow a weights FILE to run arbitrary code while it is loaded. Only for files that you trust.",
)

data_root: OptionDecorator = click.option(
    "--data-root",
    type=PATH,
    help="Folder of torchvision datasets. [default: datasets in the user's cache folder]",
)

size: OptionDecorator = click.option(
    "--size",
    type=SizeType(),
    help="Height and width of the input in pixels. [default: the size the network was trained with]",
)

show_channels: OptionDecorator = click.option(
    "--show-channels",
    type=ChannelsType(),
    help="Input channels to display as red, green and blue, if there are more than three. [default: 0,1,2]",
)

device: OptionDecorator = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Device to compute on; auto: cuda if available.",
)


def workers(purpose: str = "decode images") -> OptionDecorator:
    """Return the option `--workers`.

    Args:
        purpose: What the processes do.
    """
    return click.option(
        "--workers",
        type=click.IntRange(0, 64),
        help=f"Number of processes that {purpose}; 0 uses the main process. [default: 1 on a CPU, up to 16 "
        "with CUDA]",
    )


def words(description: str) -> OptionDecorator:
    """Return the option `--words`, a file of class names.

    Args:
        description: Help text.
    """
    return click.option("--words", type=PATH, help=description)
