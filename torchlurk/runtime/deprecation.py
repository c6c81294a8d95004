"""Old names of public arguments and classes, which still work and warn."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function accept arguments by their former names, with a `DeprecationWarning`.

    Args:
        renamed: the present name of each former one.

    Raises:
        TypeError: (from the decorated function) an argument is given by both names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
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
    """Return a module's `__getattr__` that gives classes by their former names, with a `DeprecationWarning`.

    Args:
        namespace: the module's `globals()`.
        renamed: the present name of each former one.
    """

    def getattribute(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        warn_renamed(name, renamed[name], stacklevel=2)
        return namespace[renamed[name]]

    return getattribute


def warn_renamed(old: str, new: str, stacklevel: int = 2) -> None:
    """Warn that `old` is a former name of `new`."""
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel + 1)
