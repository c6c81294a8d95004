"""A network that a function of the user's makes, in a file or in a package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from torchlurk.errors import LurkError
from torchlurk.models.isolation import to_float32
from torchlurk.models.validate import as_network, check_hooks, where_raised
from torchlurk.runtime.names import escape_surrogates


def make_own(spec: str, seed: int) -> tuple[nn.Module, Any, tuple[str, ...]]:
    """Call the function that makes a network.

    What it draws at random comes from the seed, and the caller's generator is left as it was; so are
    `sys.path` and, but for the module itself, `sys.modules`.

    Args:
        spec: `path/to/file.py:function` or `package.module:function`. The function takes no argument.
        seed: of torch's generator.

    Returns:
        The network in float32 on the CPU, in evaluation mode; its transform, or None; and the names of its
        outputs, `()` if the function gives none.

    Raises:
        LurkError: the file cannot be run, has no such function, or that gives something else.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name.isidentifier():
        raise LurkError(
            f"--model {spec!r} names no function: write path/to/file.py:function or package.module:function"
        )
    is_file = where.endswith(".py") or "/" in where
    folder = Path(where).resolve().parent if is_file else Path.cwd()
    with torch.random.fork_rng(devices=[]), _importing_from(folder, forget=is_file):
        torch.default_generator.manual_seed(seed)
        module = _load_file(Path(where)) if is_file else _load_module(where)
        function = _find(module, name, where)
        if isinstance(function, nn.Module):
            made: Any = function
        else:
            _check_callable(function, f"{where}:{name}")
            made = _run(lambda: function(), f"{where}:{name}")
    network, transform, names = _parts(made, f"{where}:{name}")
    if not isinstance(network, nn.Module):
        raise LurkError(
            f"{where}:{name} gives {_kind(made)}: return the network, a torch.nn.Module, or "
            "(network, transform)"
        )
    if transform is not None and not callable(transform) and not hasattr(transform, "normalise"):
        raise LurkError(
            f"{where}:{name} gives {_kind(transform)} beside the network: return a transform, which takes "
            "a PIL image and gives a float tensor (C, H, W)"
        )
    network = as_network(network)
    check_hooks(network)
    to_float32(network, torch.device("cpu"))
    return network.eval(), transform, names


def _parts(made: Any, what: str) -> tuple[Any, Any, tuple[str, ...]]:
    """The network, its transform and its outputs' names, of which the last two may be left out."""
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        return made, None, ()
    network, transform, *rest = made
    names = tuple(rest[0]) if rest else ()
    if any(not isinstance(name, str) for name in names):
        raise LurkError(
            f"{what} gives names of outputs that are no strings: return (network, transform, names)"
        )
    return network, transform, tuple(map(escape_surrogates, names))


def source_of(spec: str) -> str:
    """What a store says of where a network comes from: the file without its folder, or the package."""
    where, _, name = spec.rpartition(":")
    return escape_surrogates(f"{Path(where).name if where.endswith('.py') else where}:{name}")


@contextmanager
def _importing_from(folder: Path, *, forget: bool) -> Iterator[None]:
    """Let modules beside the user's be imported, as if Python had been started with it.

    With `forget`, those that this has brought are taken out of `sys.modules` again: a `utils.py` beside
    one network must not be taken for that beside another.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        for name in set(sys.modules) - before if forget else ():
            file = getattr(sys.modules[name], "__file__", None)
            own = file is not None and Path(file).is_relative_to(folder) and "site-packages" not in file
            if own and not name.startswith(_PRIVATE):
                del sys.modules[name]


_PRIVATE = "torchlurk_model_"


def _load_file(path: Path) -> ModuleType:
    """Run a file as a module of a name that no other has."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LurkError(f"--model: the file {str(path)!r} {what}: give path/to/file.py:function")
    name = _PRIVATE + hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise LurkError(f"--model: {str(path)!r} is no Python file: give path/to/file.py:function")
    module = importlib.util.module_from_spec(found)
    loader = found.loader
    # Python looks there for the module of a class, in dataclasses for one
    sys.modules[name] = module
    try:
        _run(lambda: loader.exec_module(module), str(path))
    except LurkError:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str) -> ModuleType:
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ModuleNotFoundError(name=name)
        known = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        known = None
    except Exception as error:
        raise _failure(error, name) from error
    if known is None:
        raise LurkError(
            f"--model: there is no module {name!r}, here or installed: give package.module:function, or "
            "path/to/file.py:function"
        )
    module: ModuleType = _run(lambda: importlib.import_module(name), name)
    return module


def _find(module: ModuleType, name: str, where: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    own = [
        key
        for key, value in vars(module).items()
        if (inspect.isroutine(value) or inspect.isclass(value)) and value.__module__ == module.__name__
    ]
    near = get_close_matches(name, own, n=3, cutoff=0.3) or own[:3]
    hint = f"it has {', '.join(near)}" if near else "it has none"
    raise LurkError(f"{where} has no function {name!r}: {hint}")


def _check_callable(function: Any, what: str) -> None:
    if not callable(function):
        raise LurkError(f"{what} is {_kind(function)}: name a function that returns the network")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind()
    except TypeError:
        needed = [p.name for p in signature.parameters.values() if p.default is p.empty]
        raise LurkError(
            f"{what} wants the arguments {', '.join(needed)}: name a function without any, which "
            "calls it as you want it"
        ) from None


def _run(work: Callable[[], Any], what: str) -> Any:
    """Do what runs the user's code; its failures, even an exit, are one line."""
    try:
        return work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failure(error, what) from error


def _failure(error: BaseException, what: str) -> LurkError:
    if isinstance(error, SyntaxError):
        return LurkError(f"{what}: {error.filename}, line {error.lineno}, is no Python: {error.msg}")
    if isinstance(error, ModuleNotFoundError):
        return LurkError(f"{what} imports {error.name!r}, which is not installed here: install it")
    place = where_raised(error)
    words = (str(error).strip().splitlines() or [""])[0][:160]
    return LurkError(f"{what} fails{place} ({type(error).__name__}{words and ': ' + words}): mend it there")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
