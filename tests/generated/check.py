"""All that must hold of a network: each call's result, and that the network is afterwards as before."""

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
    """Something that does not hold.

    Attributes:
        call: the public call after which it was seen.
        kind: the type of the exception, or which property.
        message: the details, in a line.
        trace: where it was raised; empty for other failures.
    """

    call: str
    kind: str
    message: str
    trace: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """What failures of one kind have in common: kind and message, without names and numbers."""
        plain = next(iter(self.message.splitlines()), "")
        plain = re.sub(r" (was .* and is .*|is new|is missing)$", " changed", plain)
        plain = re.sub(r"\bNet[A-Z]\w+", "Net", plain)
        plain = re.sub(r"'?\b(body|head)\b[\w.]*'?|/\S+", "...", plain)
        return self.kind, re.sub(r"\d[\d.e+-]*", "#", plain)[:70]

    def __str__(self) -> str:
        return f"{self.call}: {self.kind}: {self.message}"


class Fused:
    """Counts the uses of a fuse, and raises an error at one of them."""

    def __init__(self) -> None:
        self.uses = 0
        self.at = 0
        self.error: type[BaseException] = RuntimeError

    def __call__(self) -> None:
        self.uses += 1
        if self.uses == self.at:
            raise self.error("blown")

    def __deepcopy__(self, memo: dict[int, object]) -> Fused:
        return self  # a copy of the network is part of the same call


def failures(network: Network, only: Collection[str] = ()) -> list[Failure]:
    """All failures of a network.

    Args:
        network: which.
        only: the names of the calls to make; all without.
    """
    case = Case(network)
    wanted = _loss(build(network), case)
    found: list[Failure] = []
    for name, call in calls_for(network).items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found += _one_call(case, name, call, Path(folder), wanted)
    return found


def _loss(model: nn.Module, case: Case) -> tuple[float, list[torch.Tensor]]:
    """The loss of a training step, and the parameters after it."""
    loss = train(model, case.x[:2])
    return loss, [parameter.detach().clone() for parameter in model.parameters()]


def _one_call(
    case: Case, name: str, call: Call, folder: Path, wanted: tuple[float, list[torch.Tensor]]
) -> Iterator[Failure]:
    fused = Fused()
    model = build(case.network, fused)
    if name == "transfer" and not _copies(model):
        return
    fused.uses = 0
    found = list(_called(model, lambda: call(case, model, folder / "plain"), name))
    yield from found
    uses = fused.uses
    if not found:
        yield from _trains(model, case, wanted, name)
    errors: tuple[type[BaseException], ...] = (RuntimeError, KeyboardInterrupt)
    fused = Fused()
    model = build(case.network, fused)
    fused.uses, fused.error = 0, errors[case.network.seed % 2]
    fused.at = 1 + (uses * (case.network.seed % 7)) // 7
    yield from _interrupted(model, fused, lambda: call(case, model, folder / "stopped"), name)


def _copies(model: nn.Module) -> bool:
    """Whether plain torch can copy it: not where it keeps tensors with a gradient history."""
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


def _interrupted(model: nn.Module, fused: Fused, call: Callable[[], None], name: str) -> Iterator[Failure]:
    """A layer that raises an error in the middle leaves no trace; Ctrl-C goes through."""
    before = snapshot(model)
    with clean():
        try:
            with suppress(RuntimeError, torchlurk.LurkError, WrongError):
                call()
            if fused.error is KeyboardInterrupt and fused.uses >= fused.at:
                yield Failure(name, "KeyboardInterrupt was swallowed", f"at use {fused.at}")
        except KeyboardInterrupt:
            pass
        except Exception as error:
            yield Failure(name, f"{type(error).__name__} after an error", str(error)[:200])
        yield from _state(before, model, name, "state after an error")


def _state(before: Snapshot, model: nn.Module, name: str, kind: str) -> Iterator[Failure]:
    changed = differences(before, snapshot(model))
    if changed:
        # a change of many values is told by the shortest of them
        yield Failure(name, kind, min(changed, key=len), "\n".join(changed))


def _trains(
    model: nn.Module, case: Case, wanted: tuple[float, list[torch.Tensor]], name: str
) -> Iterator[Failure]:
    try:
        loss, values = _loss(model, case)
    except Exception as error:
        yield Failure(name, "training afterwards", str(error).splitlines()[0], traceback.format_exc())
        return
    if abs(loss - wanted[0]) > 1e-6 * abs(wanted[0]):
        yield Failure(name, "training afterwards", f"the loss is {loss}, not {wanted[0]}")
    elif not all(torch.allclose(a, b, 1e-5, 1e-6) for a, b in zip(values, wanted[1], strict=True)):
        yield Failure(name, "training afterwards", "other parameters after a step")


@contextmanager
def clean() -> Iterator[None]:
    """Torch's global state as before, whatever fails inside; warnings are errors."""
    random, grad, kind = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_default_dtype()
    threads, always = torch.get_num_threads(), torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # or torch warns of some things once only, and a failure is not seen again
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
