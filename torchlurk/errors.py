"""The one kind of failure that a user is meant to see: one line and an exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """An option that an error refers to, an argument in Python: `--batch-size 8`, or `batch_size=8`.

    Attributes:
        name: the argument's name in Python.
        value: the value to quote; `None` for the name alone, `True` for a flag that is set.
        flag: the option on the command line where it has another name, such as `--unit` for `target`.
    """

    name: str
    value: object = None
    flag: str | None = None

    def __str__(self) -> str:
        """The option as an argument in Python."""
        return f"{self.name}=" if self.value is None else f"{self.name}={self.value}"

    def as_flag(self) -> str:
        """Return the option as one writes it on the command line."""
        flag = self.flag or f"--{self.name.replace('_', '-')}"
        return flag if self.value is None or self.value is True else f"{flag} {self.value}"


Text = str | Option | Sequence[str | Option]
"""A text that may refer to options; each is written as the reader knows it."""


class LurkError(Exception):
    """A failure that the user can mend.

    Attributes:
        message: the value and the rule that it breaks.
        hint: the way out; empty where there is none to give.
        option: the option whose value is refused.
        exit_code: of the command line.

    Examples:
        >>> try:
        ...     torchlurk.gradients(model, torch.zeros(1, 3, 32, 32), "features.14:128")
        ... except torchlurk.LurkError as error:
        ...     print(error)
        unit features.14:128: the Conv2d 'features.14' has 128 filters, give 0 to 127

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
        """The error in one line; options as arguments in Python."""
        return self._line(flags=False)

    def for_command_line(self) -> str:
        """Return the error in one line; options as one writes them on the command line."""
        return self._line(flags=True)

    def _line(self, flags: bool) -> str:
        def written(text: Text) -> str:
            parts = [text] if isinstance(text, str | Option) else text
            return "".join(
                part.as_flag() if flags and isinstance(part, Option) else str(part) for part in parts
            )

        about = f"{written(self.option)}: " if self.option else ""
        hint = written(self.hint)
        return f"{about}{written(self.message)}{'; ' if hint else ''}{hint}"


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the process to end: like Ctrl-C, with another exit code."""


@contextmanager
def in_python() -> Iterator[None]:
    """Write options in errors that are plain text as arguments."""
    try:
        yield
    except LurkError as error:
        if error.hint or error.option or not isinstance(error.message, str):
            raise
        words = re.sub(r"(--stages \w+ )?--overwrite", "overwrite=True", error.message)
        words = re.sub(r"--([a-z]+(?:-[a-z]+)*)(?: (?=\d))?", lambda m: m[1].replace("-", "_") + "=", words)
        raise LurkError(words) from error


def as_texts(name: str, values: str | Sequence[str]) -> tuple[str, ...]:
    """Return one text, or several, as a tuple.

    Args:
        name: the argument's name.
        values: its value.

    Raises:
        LurkError: the value is neither a text nor a sequence of texts.
    """
    texts = [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if not all(isinstance(text, str) for text in texts):
        raise LurkError("not a text or a list of texts", option=Option(name, repr(values)))
    return tuple(texts)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value of an argument that is none of its choices.

    Raises:
        LurkError: it is none of them.
    """
    if value not in choices:
        raise LurkError("unknown", f"choose one of {', '.join(choices)}", Option(name, repr(value)))
