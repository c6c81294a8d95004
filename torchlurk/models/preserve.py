"""What a forward may change in a network, recorded before and put back afterwards.

A forward may set attributes, fill a cache, append to a list, count its calls in a buffer. All of that is
state of the user's network, which comes back as it was given.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Undo = Callable[[], None]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, ModuleType)
"""Values without state of their own."""

_CALLABLE = (FunctionType, MethodType, BuiltinFunctionType)

_FOREIGN = (
    "builtins", "torch", "lightning", "pytorch_lightning", "logging", "threading", "multiprocessing",
    "weakref",
)  # fmt: skip
"""Packages whose objects a forward does not change: optimisers, trainers, loggers."""

_LIBRARIES = (*_FOREIGN, "torchvision", "timm", "transformers")
"""Packages whose classes a forward does not change."""


@contextmanager
def preserve(model: nn.Module) -> Iterator[None]:
    """Restore all that a forward changed in a network, also after an exception or an interrupt.

    That is the attributes of all modules, and of their classes that are the user's, with the containers,
    objects and tensors that they hold; the values of buffers, and of tensors that are attributes; the classes
    of modules, which lazy ones change; and the states of the random number generators of torch, NumPy and
    Python. Values of parameters are not recorded.
    """
    restore = _record(model)
    devices = {t.device.index or 0 for t in (*model.parameters(), *model.buffers()) if t.is_cuda}
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            with torch.inference_mode(False), torch.no_grad():
                for undo in reversed(restore):
                    undo()


def random_states() -> tuple[Any, ...]:
    """The states of the random number generators of torch, NumPy and Python, to compare."""
    name, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), name, np.asarray(keys).tolist(), *rest


@contextmanager
def afresh(model: nn.Module) -> Iterator[None]:
    """Run a forward inside with the same random numbers as any other, and restore what it changes."""
    with preserve(model):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield


def _record(model: nn.Module) -> list[Undo]:
    """How to restore each object that is reached from a network; each is recorded once."""
    restore: list[Undo] = []
    seen: dict[int, Any] = {}  # objects are kept, so that no new one gets the id of one that is gone
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (*_PLAIN, *_CALLABLE)) or id(value) in seen:
            continue
        seen[id(value)] = value
        undo, inner = _recorded(value)
        if undo is not None:
            restore.append(undo)
        waiting.extend(one for one in inner if not isinstance(one, _PLAIN))
    return restore


def _recorded(value: Any) -> tuple[Undo | None, list[Any]]:
    """How to restore an object, and the objects that it holds."""
    if isinstance(value, Tensor):
        return _tensor(value), []
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: _ignore(value.set_state(state)), []
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        before = bits.state
        return lambda: setattr(bits, "state", before), []
    if isinstance(value, random.Random):
        inner_state = value.getstate()
        return lambda: value.setstate(inner_state), []
    if isinstance(value, np.ndarray):
        return _array(value), []
    if isinstance(value, dict):
        return _dictionary(value), list(value.values())
    if isinstance(value, list | deque):
        return _sequence(value), list(value)
    if isinstance(value, set):
        members = set(value)
        return lambda: _refill(value, members), list(value)
    if isinstance(value, tuple | frozenset):
        return None, list(value)
    if isinstance(value, nn.Module) or _is_plain_object(value):
        return _object(value)
    return None, []


def _ignore(value: object) -> None:
    """Take the result of a call that is made for its effect."""


def _is_plain_object(value: Any) -> bool:
    kind = type(value)
    return not _is_of(_FOREIGN, kind) and (
        isinstance(getattr(value, "__dict__", None), dict) or bool(_slots(kind))
    )


def _is_of(packages: tuple[str, ...], kind: type) -> bool:
    return kind.__module__.partition(".")[0] in packages


def _slots(kind: type) -> list[str]:
    """The names of the attributes that objects of a class have in slots."""
    members = ((name, value) for one in kind.__mro__ for name, value in vars(one).items())
    return [name for name, value in members if isinstance(value, MemberDescriptorType)]


def _object(value: Any) -> tuple[Undo, list[Any]]:
    """How to restore an object's class and its slots, and, of a module, the attributes of its classes."""
    kind = type(value)
    slots = {name: getattr(value, name, _ABSENT) for name in _slots(kind)}
    classes = [
        (one, dict(vars(one)))
        for one in kind.__mro__
        if isinstance(value, nn.Module) and one is not object and not _is_of(_LIBRARIES, one)
    ]

    def undo() -> None:
        if type(value) is not kind:
            value.__class__ = kind
        for name, before in slots.items():
            if getattr(value, name, _ABSENT) is not before:
                _set(object, value, name, before)
        for one, attributes in classes:
            now = dict(vars(one))
            for name in {**attributes, **now}:
                before = attributes.get(name, _ABSENT)
                if now.get(name, _ABSENT) is not before:
                    _set(type, one, name, before)

    held = [attribute for _, attributes in classes for attribute in attributes.values()]
    return undo, [getattr(value, "__dict__", None), *slots.values(), *held]


_ABSENT = type("Absent", (), {})
"""Stands for the value of an attribute that is not there."""


def _set(how: Any, target: Any, name: str, value: Any) -> None:
    """Set or delete an attribute, past a `__setattr__` of its own, as frozen dataclasses have."""
    if value is _ABSENT:
        how.__delattr__(target, name)
    else:
        how.__setattr__(target, name, value)


def _dictionary(value: dict[Any, Any]) -> Undo:
    # Past methods of a class of its own; an ordered one keeps its order beside what it holds.
    kind: type[dict[Any, Any]] = OrderedDict if isinstance(value, OrderedDict) else dict
    items = list(kind.items(value))

    def undo() -> None:
        same = len(items) == len(value) and all(
            k is key and v is old for (key, old), (k, v) in zip(items, kind.items(value), strict=True)
        )
        if not same:
            kind.clear(value)
            for key, old in items:
                kind.__setitem__(value, key, old)

    return undo


def _sequence(value: list[Any] | deque[Any]) -> Undo:
    items = list(value)

    def undo() -> None:
        if len(items) != len(value) or any(a is not b for a, b in zip(items, value, strict=True)):
            value.clear()
            value.extend(items)

    return undo


def _refill(value: set[Any], members: set[Any]) -> None:
    if value != members:
        value.clear()
        value.update(members)


def _array(value: np.ndarray[Any, Any]) -> Undo:
    if not value.flags.writeable or value.dtype.hasobject:
        return lambda: None
    before = value.copy()

    def undo() -> None:
        value[...] = before

    return undo


def _tensor(value: Tensor) -> Undo | None:
    """How to restore the values and the memory of a tensor; of a parameter, its memory alone."""
    if is_lazy(value) or value.is_meta:
        return None
    if isinstance(value, nn.Parameter):
        return _parameter(value)
    memory, before = (None if value.is_inference() else value.data), value.detach().clone()

    def undo() -> None:
        if memory is not None:
            value.data = memory
        if not _equal(value, before):
            with torch.inference_mode(value.is_inference()):
                value.data.copy_(before)  # not a write that autograd counts

    return undo


def _parameter(value: nn.Parameter) -> Undo | None:
    if value.is_inference():
        return None
    memory, wanted, gradient = value.data, value.requires_grad, value.grad
    values = None if gradient is None else gradient.data

    def undo() -> None:
        value.data = memory
        if gradient is not None and values is not None:
            gradient.data = values  # of the parameter's type again, without which torch refuses it
        if value.grad is not gradient:
            value.grad = gradient
        value.requires_grad_(wanted)

    return undo


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the same kind hold the same values; NaN equals nothing."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    try:
        return torch.equal(one, other)
    except (RuntimeError, NotImplementedError):  # kinds of tensors that cannot be compared
        return False
