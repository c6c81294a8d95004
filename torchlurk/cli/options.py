"""What options of the command line can be, besides plain texts and numbers."""

from __future__ import annotations

from typing import Any

import click

from torchlurk.store.schema import STAGES


class Filters(click.ParamType[int | str]):
    """A number of filters, or `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """From the text that was given, or its own value."""
        if value == "all" or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither a number from 1 nor 'all'", param, ctx)
        return int(value)


class Stages(click.ParamType[tuple[str, ...]]):
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


class Size(click.ParamType[int | tuple[int, int]]):
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


class Channels(click.ParamType[tuple[int, ...]]):
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
