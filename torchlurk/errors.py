"""Errors that the user can act on, and the checks of arguments that raise them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """An option that an error refers to: `--batch-size 8` on the command line, `batch_size=8` in Python.

    Attributes:
        name: Name of the argument in Python.
        value: Value to quote. `None` quotes the name alone; `True` stands for a flag that is set.
        flag: Name of the command-line option, where it differs from `name`: `--unit` for `target`.
    """

    name: str
    value: object = None
    flag: str | None = None

    def __str__(self) -> str:
        """Return the option as an argument in Python."""
        return f"{self.name}=" if self.value is None else f"{self.name}={self.value}"

    def as_flag(self) -> str:
        """Return the option as it is typed on the command line."""
        flag = self.flag or f"--{self.name.replace('_', '-')}"
        return flag if self.value is None or self.value is True else f"{flag} {self.value}"


Text = str | Option | Sequence[str | Option]
"""Text, or its parts in order; an `Option` among them is written for Python or for the command line."""


class LurkError(Exception):
    """An error that the user can act on, reported in one line.

    Attributes:
        message: The value, and the rule that it breaks.
        hint: What to do about it; empty if there is nothing to suggest.
        option: The option whose value is rejected, if any.
        exit_code: Exit code of the command line.

    Examples:
        >>> try:
        ...     torchlurk.gradients(model, torch.zeros(1, 3, 32, 32), "features.14:128")
        ... except torchlurk.LurkError as error:
        ...     print(error)
        unit features.14:128: the Conv2d 'features.14' has 128 filters; choose from 0 to 127

        >>> from torchlurk.errors import Option
        >>> error = torchlurk.LurkError("must be above 0", ("leave out ", Option("stages")), Option("lr", 0))
        >>> print(error)
        lr=0: must be above 0; leave out stages=
        >>> print(error.for_command_line())
        --lr 0: must be above 0; leave out --stages
    """

    exit_code: int = 1

    def __init__(self, message: Text, hint: Text = "", option: Option | None = None) -> None:
        super().__init__(message, hint, option)
        self.message: Text = message
        self.hint: Text = hint
        self.option: Option | None = option

    def __str__(self) -> str:
        """Return the error in one line, with options as arguments in Python."""
        return self._line(flags=False)

    def for_command_line(self) -> str:
        """Return the error in one line, with options as they are typed on the command line."""
        return self._line(flags=True)

    def without_hint(self) -> str:
        """Return the error as `str` does, without its hint: for a report that lists several errors."""
        return str(LurkError(self.message, option=self.option))

    def _line(self, flags: bool) -> str:
        def render(text: Text) -> str:
            parts = [text] if isinstance(text, str | Option) else text
            return "".join(
                part.as_flag() if flags and isinstance(part, Option) else str(part) for part in parts
            )

        subject = f"{render(self.option)}: " if self.option else ""
        hint = render(self.hint)
        return f"{subject}{render(self.message)}{'; ' if hint else ''}{hint}"


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM. It ends as on Ctrl-C, with another exit code."""


def as_texts(name: str, values: str | Sequence[str]) -> tuple[str, ...]:
    """Return a string or a sequence of strings as a tuple of strings.

    Args:
        name: Name of the argument.
        values: Value of the argument.

    Raises:
        LurkError: The value is neither a string nor a sequence of strings.
    """
    texts = [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if not all(isinstance(text, str) for text in texts):
        raise LurkError("not a string or a list of strings", option=Option(name, repr(values)))
    return tuple(texts)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise an error if the value of an argument is not one of its choices.

    Args:
        name: Name of the argument.
        value: Value of the argument.
        choices: Values that are allowed.

    Raises:
        LurkError: The value is not one of the choices.
    """
    if value not in choices:
        raise LurkError("unknown", f"choose one of {', '.join(choices)}", Option(name, repr(value)))
