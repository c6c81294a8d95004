"""The command `torchlurk`: the group of all commands, and how their errors are printed.

Each command has a file of its own in this package; it parses options and prints, and calls the package for
everything else.
"""

from __future__ import annotations

import errno
from typing import Any

import click

import torchlurk
from torchlurk.cli.ablate import ablate
from torchlurk.cli.compare import compare
from torchlurk.cli.data import data
from torchlurk.cli.demo import demo
from torchlurk.cli.explain import explain
from torchlurk.cli.inspect import inspect
from torchlurk.cli.precompute import precompute
from torchlurk.cli.serve import serve
from torchlurk.cli.site import site
from torchlurk.cli.terminal import terminated
from torchlurk.cli.transfer import transfer
from torchlurk.errors import LurkError, Terminated
from torchlurk.runtime.names import printable

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of a disk that nothing can be written to any more, which may also be that of stdout."""


class _Commands(click.Group):
    """A group that turns exceptions into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with terminated():
                return super().invoke(ctx)
        except LurkError as problem:
            if ctx.params["debug"]:
                raise
            _print_error(problem.for_command_line())
            ctx.exit(problem.exit_code)
        except KeyboardInterrupt as stop:
            _print_error("stopped")
            ctx.exit(143 if isinstance(stop, Terminated) else 130)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise  # click handles these; a pipe breaks when its reader, such as `head`, ends
        except Exception as problem:
            if ctx.params["debug"]:
                raise
            if isinstance(problem, OSError) and problem.errno in _DISK_ERRORS:
                hint = "free some space, and run the same command again to resume"
            else:
                hint = "internal error; run with --debug for a traceback"
            text = printable(" ".join(str(problem).split()), 300)
            _print_error(f"{type(problem).__name__}: {text} ({hint})")
            ctx.exit(1)


def _print_error(text: str) -> None:
    click.echo(f"torchlurk: {printable(text)}", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(torchlurk.__version__, prog_name="torchlurk")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Show what the filters of a convolutional network respond to."""


_COMMANDS = (precompute, explain, ablate, compare, demo, site, serve, transfer, inspect, data)
for _command in _COMMANDS:
    main.add_command(_command)
