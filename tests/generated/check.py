"""The checks of a network: the result of each call, and that no call changes the network."""

from __future__ import annotations

import copy
import re
import tempfile
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import torchlurk
from tests.generated.calls import Call, Case, WrongError, calls_for
from tests.generated.description import Network
from tests.generated.models import build, train
from tests.generated.state import Snapshot, differences, snapshot


@dataclass(frozen=True)
class Failure:
    """A failed check.

    Attributes:
        call: the public call that failed.
        kind: the type of the exception, or the failed property.
        message: the details.
        trace: the traceback of an exception; empty for other failures.
    """

    call: str
    kind: str
    message: str
    trace: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """The kind and the message without names and numbers, equal for failures of the same kind."""
        plain = next(iter(self.message.splitlines()), "")
        plain = re.sub(r" (was .* and is .*|is new|is missing)$", " changed", plain)
        plain = re.sub(r"\bNet[A-Z]\w+", "Net", plain)
        plain = re.sub(r"'?\b(body|head)\b[\w.]*'?|/\S+", "...", plain)
        return self.kind, re.sub(r"\d[\d.e+-]*", "#", plain)[:70]

    def __str__(self) -> str:
        return f"{self.call}: {self.kind}: {self.message}"


class FaultInjector:
    """Counts the calls of a `FaultPoint` and raises an error at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.at = 0
        self.error: type[BaseException] = RuntimeError

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.error("injected")

    def __deepcopy__(self, memo: dict[int, object]) -> FaultInjector:
        return self  # copies of the network share the counter


def failures(network: Network, only: Collection[str] = ()) -> list[Failure]:
    """Run all checks and return the failures.

    Args:
        network: the network.
        only: the names of the calls to check; empty for all.
    """
    case = Case(network)
    expected = _loss(build(network), case)
    found: list[Failure] = []
    for name, call in calls_for(network).items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found += _one_call(case, name, call, Path(folder), expected)
    return found


def _loss(model: nn.Module, case: Case) -> tuple[float, list[torch.Tensor]]:
    """Return the loss of a training step, and the parameters after it."""
    loss = train(model, case.x[:2])
    return loss, [parameter.detach().clone() for parameter in model.parameters()]


def _one_call(
    case: Case, name: str, call: Call, folder: Path, expected: tuple[float, list[torch.Tensor]]
) -> Iterator[Failure]:
    injector = FaultInjector()
    model = build(case.network, injector)
    if name == "transfer" and not _copies(model):
        return
    injector.count = 0
    found = list(_called(model, lambda: call(case, model, folder / "plain"), name))
    yield from found
    count = injector.count
    if not found:
        yield from _trains(model, case, expected, name)
    errors: tuple[type[BaseException], ...] = (RuntimeError, KeyboardInterrupt)
    injector = FaultInjector()
    model = build(case.network, injector)
    injector.count, injector.error = 0, errors[case.network.seed % 2]
    injector.at = 1 + (count * (case.network.seed % 7)) // 7
    yield from _interrupted(model, injector, lambda: call(case, model, folder / "stopped"), name)


def _copies(model: nn.Module) -> bool:
    """Return whether plain torch can copy the model; it cannot copy attributes with a gradient history."""
    try:
        copy.deepcopy(model)
    except RuntimeError:
        return False
    return True


def _called(model: nn.Module, call: Callable[[], None], name: str) -> Iterator[Failure]:
    before = snapshot(model)
    with clean():
        try:
            call()
        except Exception as error:
            line = next(iter(str(error).splitlines()), "")
            kind = "wrong result" if isinstance(error, WrongError) else type(error).__name__
            yield Failure(name, kind, line, traceback.format_exc())
        yield from _state(before, model, name, "state")


def _interrupted(
    model: nn.Module, injector: FaultInjector, call: Callable[[], None], name: str
) -> Iterator[Failure]:
    """Check that an error in a layer leaves the network unchanged, and that Ctrl-C is not swallowed."""
    before = snapshot(model)
    with clean():
        try:
            with suppress(RuntimeError, torchlurk.LurkError, WrongError):
                call()
            if injector.error is KeyboardInterrupt and injector.count >= injector.at:
                yield Failure(name, "KeyboardInterrupt was swallowed", f"at call {injector.at}")
        except KeyboardInterrupt:
            pass
        except Exception as error:
            yield Failure(name, f"{type(error).__name__} after an error", str(error)[:200])
        yield from _state(before, model, name, "state after an error")


def _state(before: Snapshot, model: nn.Module, name: str, kind: str) -> Iterator[Failure]:
    changed = differences(before, snapshot(model))
    if changed:
        # the shortest line stands for a change of many values
        yield Failure(name, kind, min(changed, key=len), "\n".join(changed))


def _trains(
    model: nn.Module, case: Case, expected: tuple[float, list[torch.Tensor]], name: str
) -> Iterator[Failure]:
    try:
        loss, values = _loss(model, case)
    except Exception as error:
        yield Failure(name, "training afterwards", str(error).splitlines()[0], traceback.format_exc())
        return
    if abs(loss - expected[0]) > 1e-6 * abs(expected[0]):
        yield Failure(name, "training afterwards", f"the loss is {loss}, not {expected[0]}")
    elif not all(torch.allclose(a, b, 1e-5, 1e-6) for a, b in zip(values, expected[1], strict=True)):
        yield Failure(name, "training afterwards", "other parameters after a step")


@contextmanager
def clean() -> Iterator[None]:
    """Restore torch's global state at the end, and turn warnings into errors."""
    random, grad, kind = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_default_dtype()
    threads, always = torch.get_num_threads(), torch.is_warn_always_enabled()
    # otherwise torch gives some warnings only once, and a failure cannot be reproduced
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            yield
        finally:
            torch.set_rng_state(random)
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(kind)
            torch.set_num_threads(threads)
            torch.set_warn_always(always)
