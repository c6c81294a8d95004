"""Build the network that a function of the user returns, in a Python file or in a package."""

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
from typing import Any, Final

import torch
from torch import nn

from torchlurk.errors import LurkError, Option
from torchlurk.models.exceptions import type_and_message, where_raised
from torchlurk.models.isolation import to_float32
from torchlurk.models.outputs import type_name
from torchlurk.models.validate import as_module, check_hooks
from torchlurk.runtime.names import escape_surrogates

_MODULE_PREFIX: Final = "torchlurk_model_"
"""Of the names under which files of users are in `sys.modules`."""

_FILE: Final = Option("model", "path/to/file.py:function")
_PACKAGE: Final = Option("model", "package.module:function")


def build_user_model(spec: str, seed: int) -> tuple[nn.Module, Any, tuple[str, ...]]:
    """Call the function that builds a network.

    Random initial values come from the seed; the caller's generator is left as it was. So is `sys.path`, and
    `sys.modules` except for the module itself.

    Args:
        spec: `path/to/file.py:function` or `package.module:function`. The function takes no argument.
        seed: Of torch's generator.

    Returns:
        The network in float32 on the CPU, in evaluation mode; its transform, or `None`; and the class names
        of its outputs, `()` if the function returns none.

    Raises:
        LurkError: The file cannot be run, has no such function, or the function returns something else.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name.isidentifier():
        raise LurkError("names no function", ("write ", _FILE, " or ", _PACKAGE), Option("model", repr(spec)))
    is_file = where.endswith(".py") or "/" in where
    folder = Path(where).resolve().parent if is_file else Path.cwd()
    source = f"{where}:{name}"
    with torch.random.fork_rng(devices=[]), _importing_from(folder, forget=is_file):
        torch.default_generator.manual_seed(seed)
        module = _load_file(Path(where)) if is_file else _load_module(where)
        function = _find_attribute(module, name, where)
        if isinstance(function, nn.Module):
            returned: Any = function
        else:
            _check_callable(function, source)
            returned = _run_user_code(lambda: function(), source)
    network, transform, classes = _unpack(returned, source)
    if not isinstance(network, nn.Module):
        raise LurkError(
            f"{source} returns {type_name(returned)}",
            "return the network, a torch.nn.Module, or (network, transform)",
        )
    if transform is not None and not callable(transform) and not hasattr(transform, "normalise"):
        raise LurkError(
            f"{source} returns {type_name(transform)} beside the network",
            "return a transform, which takes a PIL image and returns a float tensor (C, H, W)",
        )
    network = as_module(network)
    check_hooks(network)
    to_float32(network, torch.device("cpu"))
    return network.eval(), transform, classes


def source_name(spec: str) -> str:
    """Return where a network comes from, for the record: the file without its folder, or the package."""
    where, _, name = spec.rpartition(":")
    return escape_surrogates(f"{Path(where).name if where.endswith('.py') else where}:{name}")


def _unpack(returned: Any, source: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Return the network, its transform and the class names; the last two are optional."""
    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        return returned, None, ()
    network, transform, *rest = returned
    names = tuple(rest[0]) if rest else ()
    if any(not isinstance(name, str) for name in names):
        raise LurkError(
            f"{source} returns class names that are no strings", "return (network, transform, names)"
        )
    return network, transform, tuple(map(escape_surrogates, names))


@contextmanager
def _importing_from(folder: Path, *, forget: bool) -> Iterator[None]:
    """Make modules in a folder importable, as if Python had been started there.

    Args:
        folder: The folder.
        forget: Whether to remove its modules from `sys.modules` afterwards, so that the `utils.py` beside one
            network is not taken for that beside another.
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
            inside = file is not None and Path(file).is_relative_to(folder) and "site-packages" not in file
            if inside and not name.startswith(_MODULE_PREFIX):
                del sys.modules[name]


def _load_file(path: Path) -> ModuleType:
    """Run a file as a module with a unique name."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LurkError(f"the file {str(path)!r} {what}", ("give ", _FILE))
    name = _MODULE_PREFIX + hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LurkError(f"{str(path)!r} is not a Python file", ("give ", _FILE))
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    # Python, for example its dataclasses, looks there for the module of a class
    sys.modules[name] = module
    try:
        _run_user_code(lambda: loader.exec_module(module), str(path))
    except LurkError:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str) -> ModuleType:
    """Import a module of a package."""
    try:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ModuleNotFoundError(name=name)
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    except Exception as error:
        raise _user_code_error(error, name) from error
    if spec is None:
        raise LurkError(
            f"there is no module {name!r}, here or installed", ("give ", _PACKAGE, ", or ", _FILE)
        )
    module: ModuleType = _run_user_code(lambda: importlib.import_module(name), name)
    return module


def _find_attribute(module: ModuleType, name: str, where: str) -> Any:
    """Return a function, class or network of a module by its name."""
    if hasattr(module, name):
        return getattr(module, name)
    own = [
        key
        for key, value in vars(module).items()
        if (inspect.isroutine(value) or inspect.isclass(value)) and value.__module__ == module.__name__
    ]
    near = get_close_matches(name, own, n=3, cutoff=0.3) or own[:3]
    hint = f"it has {', '.join(near)}" if near else "it has none"
    raise LurkError(f"{where} has no function {name!r}", hint)


def _check_callable(function: Any, source: str) -> None:
    """Check that a value is a function that can be called without arguments."""
    if not callable(function):
        raise LurkError(f"{source} is {type_name(function)}", "name a function that returns the network")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind()
    except TypeError:
        required = [p.name for p in signature.parameters.values() if p.default is p.empty]
        raise LurkError(
            f"{source} requires the arguments {', '.join(required)}",
            "name a function without arguments that calls it",
        ) from None


def _run_user_code(work: Callable[[], Any], source: str) -> Any:
    """Call code of the user; every exception except Ctrl-C, even `SystemExit`, becomes a `LurkError`."""
    try:
        return work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _user_code_error(error, source) from error


def _user_code_error(error: BaseException, source: str) -> LurkError:
    """Return the error that explains an exception in the user's code."""
    if isinstance(error, SyntaxError):
        return LurkError(
            f"{source}: {error.filename}, line {error.lineno}, is not valid Python: {error.msg}",
            "correct the syntax",
        )
    if isinstance(error, ModuleNotFoundError):
        return LurkError(f"{source} imports {error.name!r}, which is not installed here", "install it")
    return LurkError(
        f"{source} fails{where_raised(error)} ({type_and_message(error)})", "correct the code there"
    )
