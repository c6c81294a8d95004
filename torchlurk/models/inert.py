"""Files of torch that hold other things than tensors, read without making any of them."""

from __future__ import annotations

import re
import sys
import warnings
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch

_HARMLESS: Final = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|functools\.partial|typing\.\w+|copyreg\._reconstructor"
    r"|collections\.(defaultdict|deque|OrderedDict)|datetime\.\w+|decimal\.Decimal|fractions\.Fraction"
    r"|uuid\.UUID|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|builtins\.(bool|bytes|complex|dict|float|frozenset|int|list|object|range|set|slice|str|tuple)"
)
"""What of Python itself a training loop may have put beside its weights."""
_MAPPING: Final = re.compile(r"dict|box|munch|cfg|config", re.I)


class Inert:
    """Stands for an object of a file that was not made; it takes any arguments and does nothing.

    Attributes:
        NAME: The class or function that the file names.
    """

    NAME = ""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Leave the arguments alone."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Leave the state alone."""


class InertMapping:
    """Stands for a mapping that was not made: an ordinary one, for torch puts items into no other."""

    def __new__(cls, *_: object, **__: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Leave the arguments alone."""
        return OrderedDict()


def load_inert(path: Path) -> Any:
    """Load a torch file to the CPU; tensors and plain values are made, and nothing else is.

    Configurations, paths, scalars of numpy and what else a training loop may have written beside its weights
    become `Inert`. A file that names functions of Python or of torch, by which code could run, is refused.

    Args:
        path: A file that torch.save wrote.

    Returns:
        What it holds.

    Raises:
        Exception: It cannot be read, or not so; torch has many kinds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on archives that it then refuses
        names = _others(path)
        kinds: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(_kind(n), n) for n in names]
        with torch.serialization.safe_globals(kinds if all(map(_is_harmless, names)) else []):
            return torch.load(path, map_location="cpu", weights_only=True)


def inert_in(value: Any, depth: int = 16) -> str:
    """The name of something in a value that was not made; empty if there is none."""
    if isinstance(value, Inert):
        return value.NAME
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if not isinstance(value, list | tuple | set) or not depth:
        return ""
    return next(filter(None, (inert_in(item, depth - 1) for item in value)), "")


def _others(path: Path) -> list[str]:
    """The classes and functions that a file names, besides those of tensors."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # it is of an older format, or of none; loading it tells
        return []


def _is_harmless(name: str) -> bool:
    root = name.partition(".")[0]
    # torch writes Python's modules by the names that they had in Python 2
    pythons = root in sys.stdlib_module_names or root in IMPORT_MAPPING
    return bool(_HARMLESS.fullmatch(name)) or not (pythons or root == "torch")


def _kind(name: str) -> Callable[..., Any]:
    """What takes the place of a class or a function."""
    if _MAPPING.search(name.rpartition(".")[2]):
        return InertMapping
    return type("Inert", (Inert,), {"NAME": name})
