"""Load torch files that also hold other objects than tensors, without creating any of these objects."""

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
"""Names from Python's standard library that a training loop may save beside its weights."""
_MAPPING_NAMES: Final = re.compile(r"dict|box|munch|cfg|config", re.I)
"""Names of classes whose objects are likely to be mappings."""


class Placeholder:
    """Takes the place of an object in a file; it accepts any arguments and state, and ignores them.

    Attributes:
        NAME: The class or function that the file names.
    """

    NAME = ""

    def __new__(cls, *_: object, **__: object) -> Placeholder:
        """Ignore the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


class PlaceholderMapping:
    """Takes the place of a mapping: an `OrderedDict`, since torch sets items of no other class."""

    def __new__(cls, *_: object, **__: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Ignore the arguments."""
        return OrderedDict()


def load_safely(path: Path) -> Any:
    """Load a torch file to the CPU; only tensors and plain values are created.

    Configurations, paths, numpy scalars and other objects that a training loop saves beside its weights
    become `Placeholder`. A file that names functions of Python or of torch, which could run code, is refused.

    Args:
        path: A file that `torch.save` wrote.

    Returns:
        The content of the file.

    Raises:
        Exception: The file cannot be read, or only by running code in it; torch raises many types.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of archives that it then refuses
        names = _object_names(path)
        substitutes: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
            (_substitute(n), n) for n in names
        ]
        with torch.serialization.safe_globals(substitutes if all(map(_is_harmless, names)) else []):
            return torch.load(path, map_location="cpu", weights_only=True)


def find_placeholder(value: Any, depth: int = 16) -> str:
    """Return the name of the first `Placeholder` in a nested value; "" if there is none.

    Args:
        value: What `load_safely` returned, or a part of it.
        depth: How deep nested containers are searched.
    """
    if isinstance(value, Placeholder):
        return value.NAME
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if not isinstance(value, list | tuple | set) or not depth:
        return ""
    return next(filter(None, (find_placeholder(item, depth - 1) for item in value)), "")


def _object_names(path: Path) -> list[str]:
    """Return the classes and functions that a file names, other than those of tensors."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # an older format, or no torch file; loading it tells
        return []


def _is_harmless(name: str) -> bool:
    """Return whether a `Placeholder` for this name cannot be misused to run code."""
    root = name.partition(".")[0]
    # torch writes the modules of Python by their names in Python 2
    in_python = root in sys.stdlib_module_names or root in IMPORT_MAPPING
    return bool(_HARMLESS.fullmatch(name)) or not (in_python or root == "torch")


def _substitute(name: str) -> Callable[..., Any]:
    """Return the class that takes the place of a class or a function."""
    if _MAPPING_NAMES.search(name.rpartition(".")[2]):
        return PlaceholderMapping
    return type("Placeholder", (Placeholder,), {"NAME": name})
