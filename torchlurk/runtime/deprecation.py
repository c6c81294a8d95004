"""Deprecated aliases: former names of public arguments and classes keep working, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def renamed_arguments(**renamed: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator that accepts arguments by their former names, with a `DeprecationWarning`.

    Args:
        renamed: The present name of each former name.

    Raises:
        TypeError: By the decorated function, if an argument is given by both names.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            arguments: dict[str, Any] = dict(kwargs)
            for old, new in renamed.items():
                if old in arguments:
                    warn_renamed(f"{old}=", f"{new}=", stacklevel=3)
                    if new in arguments:
                        raise TypeError(
                            f"{function.__qualname__}() got both {new}= and its former name {old}="
                        )
                    arguments[new] = arguments.pop(old)
            return function(*args, **arguments)

        return call

    return decorate


def former_names(namespace: dict[str, Any], **renamed: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that resolves former names, with a `DeprecationWarning`.

    Args:
        namespace: The module's `globals()`.
        renamed: The present name of each former name.
    """

    def resolve(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        warn_renamed(name, renamed[name], stacklevel=2)
        return namespace[renamed[name]]

    return resolve


def warn_renamed(old: str, new: str, stacklevel: int = 2) -> None:
    """Warn that `old` is a former name of `new`.

    Args:
        old: The former name.
        new: The present name.
        stacklevel: Frame that the warning names, counted as in `warnings.warn` from the caller.
    """
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel + 1)
