"""The one kind of failure that a user is meant to see: a line, and an exit code."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class LurkError(Exception):
    """A failure that the user can mend.

    The message is one line that names the value, the rule it broke, and the way out.

    Attributes:
        exit_code: of the command line.

    Examples:
        >>> try:
        ...     torchlurk.gradients(model, torch.zeros(1, 3, 32, 32), "features.14:128")
        ... except torchlurk.LurkError as problem:
        ...     print(problem)
        unit features.14:128: the Conv2d 'features.14' has 128 filters, give 0 to 127
    """

    exit_code: int = 1


class Terminated(KeyboardInterrupt):  # it is no error
    """The process was asked to end, by SIGTERM: as Ctrl-C, with another exit code."""


@contextmanager
def in_python() -> Iterator[None]:
    """Let errors name arguments, where they would name options of the command line."""
    try:
        yield
    except LurkError as problem:
        words = re.sub(r"(--stages \w+ )?--overwrite", "overwrite=True", str(problem))
        words = re.sub(r"--([a-z]+(?:-[a-z]+)*)(?: (?=\d))?", lambda m: m[1].replace("-", "_") + "=", words)
        raise LurkError(words) from problem


def as_texts(name: str, values: str | Sequence[str]) -> tuple[str, ...]:
    """One text, or several, as a tuple.

    Args:
        name: of the argument.
        values: what was given for it.

    Raises:
        LurkError: it is no text, and no sequence of texts.
    """
    texts = [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if not all(isinstance(text, str) for text in texts):
        raise LurkError(f"{name}={values!r}: give a text, or a list of texts")
    return tuple(texts)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse the value of an argument that is none of some words.

    Raises:
        LurkError: it is none.
    """
    if value not in choices:
        raise LurkError(f"{name}={value!r}: choose of {', '.join(choices)}")
