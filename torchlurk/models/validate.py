"""Whether a network can be scanned at all, found out by one forward of nothing."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import brief
from torchlurk.models.isolation import isolated
from torchlurk.models.preserve import preserve
from torchlurk.runtime.names import escape_surrogates


@dataclass(frozen=True)
class Probe:
    """What came out of a network.

    Attributes:
        kind: the type of its output, e.g. `Tensor` or `GoogLeNetOutputs`.
        logits: how many values are in a row of it, if it is rows of values; `None` otherwise.
        rows: how many rows it gives for one image, likewise.
    """

    kind: str
    logits: int | None
    rows: int | None = None


SIZES = (28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 288, 299, 320, 331, 384, 448, 512)
"""Sides of inputs that networks are commonly made for, pixels."""


def as_network(model: object) -> nn.Module:
    """What was given as a network, if it is one; of a compiled one, the module that was compiled.

    Raises:
        LurkError: it is something else.
    """
    if not isinstance(model, nn.Module):
        what = type(model).__name__
        if what == "ExportedProgram":
            raise LurkError(
                f"the model is an {what}, which calls no modules: give the nn.Module it was made of"
            )
        raise LurkError(f"the model is a {what}: give a torch.nn.Module")
    # torch.compile wraps the module, and runs code that does not see hooks
    inner = getattr(model, "_orig_mod", None)
    return as_network(inner) if type(model).__name__ == "OptimizedModule" and inner is not None else model


def check_network(module: nn.Module, shape: tuple[int, int, int]) -> Probe:
    """Feed a network one image of random numbers, and name what stands in the way of scanning it.

    Args:
        module: a network on any device; it comes back as it was.
        shape: `(C, H, W)` of its input.

    Returns:
        What came out. Only hooks matter to a scan, so a tuple or a dict of tensors will do.

    Raises:
        LurkError: it runs no hooks, is not initialised, has NaN in its parameters, takes more than one input,
            fails at this size, or gives nothing.
    """
    check_kind(module)
    check_finite(module)
    _check_names(module)
    _check_arguments(module)
    with isolated(module):
        output = forward_once(module, shape)
    if first_tensor(output) is None:
        raise LurkError(
            f"the network gives {_kind(output)} for an input of {shape[1]} x {shape[2]} px: its forward must "
            "return a tensor"
        )
    found = output if isinstance(output, Tensor) else first_tensor(output)
    flat = found is not None and not isinstance(output, Mapping) and found.dim() == 2
    rows, logits = found.shape if flat and found is not None else (None, None)
    return Probe(type(output).__name__, logits, rows)


def random_input(module: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """`(1, C, H, W)` numbers from 0 to 1, the same each time, of the network's type and on its device."""
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(like)


def forward_once(module: nn.Module, shape: tuple[int, int, int]) -> Any:
    """The output for an image of random numbers.

    Args:
        module: an isolated network.
        shape: `(C, H, W)` of its input.

    Raises:
        LurkError: the forward fails.
    """
    x = random_input(module, shape)
    try:
        with preserve(module):
            return module(x.clone())
    except Exception as error:  # whatever somebody's network raises
        if needs_autograd(error):
            with contextlib.suppress(Exception), torch.enable_grad(), preserve(module):
                return module(x.requires_grad_().clone())
        raise forward_failure(module, shape, error) from error


def needs_autograd(error: Exception) -> bool:
    """Whether a forward failed for want of autograd, which one needs that registers a hook on a tensor."""
    return isinstance(error, RuntimeError) and "grad" in str(error)


def forward_failure(module: nn.Module, shape: tuple[int, int, int], error: Exception) -> LurkError:
    """Say why a forward failed; another size is advised only if the network is seen to take it.

    Args:
        module: an isolated network.
        shape: `(C, H, W)` of the input that does not pass.
        error: what the forward raised.
    """
    line = brief(error) if str(error) else type(error).__name__
    size = f"{shape[1]} x {shape[2]} px"
    if "channels" in str(error) and "expected input" in str(error):
        return LurkError(
            f"the network does not take an input of {shape[0]} channels ({line}): give a transform "
            "with it that makes as many channels as it wants (--model FILE.py:FUNCTION)"
        )
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return LurkError(f"an input of {size} does not fit into the memory ({line}): give a smaller --size")
    side = _side_that_passes(module, shape)
    if side is not None:
        return LurkError(
            f"an input of {size} does not pass through the network ({line}), one of {side} x {side} px does: "
            f"give --size {side}, or a transform that ends in that size"
        )
    quantised = any("quantized" in type(part).__module__ for part in module.modules())
    kind = "quantized network" if quantised else "network"
    place = where_raised(error)
    return LurkError(
        f"the forward of the {kind} fails for an image of {size} ({type(error).__name__}: {line}){place}: it "
        "must run in evaluation mode on a batch of images (N, C, H, W)"
    )


def _side_that_passes(module: nn.Module, shape: tuple[int, int, int]) -> int | None:
    """The nearest usual side of a square input that passes; `None` if none of them does."""
    # On the meta device, where a forward finds shapes alone: attention on a large image takes all the memory.
    if any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        return None
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    shapes = {name: tensor.to("meta") for name, tensor in named}
    kind = random_input(module, (1, 1, 1)).dtype

    def passes(height: int, width: int) -> bool:
        x = torch.empty(1, shape[0], height, width, dtype=kind, device="meta")
        with contextlib.suppress(Exception), torch.no_grad(), preserve(module):
            output = first_tensor(torch.func.functional_call(module, shapes, (x,), tie_weights=False))
            # x.view(-1, 400) takes other sizes, too, and makes several rows of an image
            return output is not None and output.shape[:1] == (1,)
        return False

    if passes(*shape[1:]):
        return None  # so the size is not at fault
    nearest = sorted(SIZES, key=lambda one: (one < shape[1], abs(one - shape[1])))
    return next((side for side in nearest if (side, side) != shape[1:] and passes(side, side)), None)


def where_raised(error: BaseException) -> str:
    """Where in the user's code an exception was raised, as ` at FILE, line N`; empty if it was not there."""
    ours = str(Path(__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        frame
        for frame in frames
        if not frame.filename.startswith((ours, "<")) and "site-packages" not in frame.filename
    ]
    return f" at {Path(theirs[-1].filename).name}, line {theirs[-1].lineno}" if theirs else ""


def check_kind(module: nn.Module) -> None:
    """Refuse networks that call no modules, or whose parameters are not there yet.

    Raises:
        LurkError: it is scripted, traced or exported, has lazy modules, or is on the meta device.
    """
    check_hooks(module)
    check_initialised(module)
    check_values(module)


def check_hooks(module: nn.Module) -> None:
    """Refuse networks that call no modules, so that no forward hook sees their layers.

    Raises:
        LurkError: it is scripted, traced or exported.
    """
    for name, part in module.named_modules():
        where = f"the module {name!r}" if name else "the network"
        if isinstance(part, torch.jit.ScriptModule):
            how = "traced" if "Traced" in type(part).__name__ else "scripted"
            raise LurkError(
                f"{where} is {how} by torch.jit, where torch runs no forward hooks on its layers: give the "
                "nn.Module that it was made of"
            )
        if isinstance(part, fx.GraphModule) and _is_program(part):
            raise LurkError(
                f"{where} is an exported program, which calls no modules: give the nn.Module that it was "
                "made of"
            )


def check_initialised(module: nn.Module) -> None:
    """Refuse a network with lazy modules that have not seen an input yet.

    Raises:
        LurkError: it has.
    """
    waiting = [
        name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)
    ]
    if waiting:
        raise LurkError(
            f"the network has lazy modules that are not initialized yet ({waiting[0]} and "
            f"{len(waiting) - 1} more): run it once on an input"
        )


def initialise_lazy(module: nn.Module, shape: tuple[int, int, int], seed: int) -> None:
    """Initialise the lazy modules of a network by one forward; a network without any is not run.

    Args:
        module: the network, on the CPU; changed in place.
        shape: `(C, H, W)` of its input.
        seed: of the values; torch's own generator is left as it was.

    Raises:
        LurkError: the forward fails.
    """
    if not any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        try:
            module(torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)))
        except Exception as error:  # whatever somebody's network raises
            raise forward_failure(module, shape, error) from error


def check_values(module: nn.Module) -> None:
    """Refuse a network without values.

    Raises:
        LurkError: a tensor of it is on the meta device.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise LurkError(
                f"{name} of the network is on the meta device and has no values: load its weights before"
            )


def _is_program(module: fx.GraphModule) -> bool:
    """Whether a graph uses parameters without calling the modules that have them."""
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    owners = {name.rpartition(".")[0] for name, _ in module.named_parameters()}
    return bool(owners) and not any(
        owner == name or owner.startswith(f"{name}.") for owner in owners for name in called
    )


def _check_names(module: nn.Module) -> None:
    """Refuse names that no file of JSON can hold."""
    for name, part in module.named_modules():
        for text in (name, type(part).__name__):
            if text != escape_surrogates(text):
                raise LurkError(
                    f"the module {escape_surrogates(name)!r} has a name that is no Unicode text: rename it"
                )


def as_logits(output: Any, images: int | None = None) -> Tensor:
    """The tensor of logits in what a classifier gives: itself, or the first of a tuple.

    Args:
        output: what the forward of a network gave.
        images: how many it was given; `None` if that is not known.

    Returns:
        `(N, classes)`.

    Raises:
        LurkError: there is none, or it has not one row for each image.
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.dim() == 2:
        check_rows(len(output), len(output) if images is None else images)
        return output
    what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else _kind(output)
    raise LurkError(f"the network gives {what}, not a row of logits an image: it is no classifier")


def check_rows(rows: int, images: int) -> None:
    """Refuse an output that has not one row of logits for each image.

    Raises:
        LurkError: it has more, or fewer.
    """
    if rows != images:
        many = "one image" if images == 1 else f"{images} images"
        raise LurkError(
            f"the network gives {rows} rows of logits for {many}: it was made for another size of input, "
            "give that (--size, or a transform that ends in it)"
        )


def check_finite(module: nn.Module) -> None:
    """Refuse a network with NaN or infinity in a parameter; buffers may hold infinity, as masks do.

    Raises:
        LurkError: the first such parameter, by name.
    """
    for name, tensor in module.named_parameters():
        if is_lazy(tensor) or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        with torch.no_grad():
            values = tensor if tensor.layout is torch.strided else tensor.to_dense()
            finite = bool(values.isfinite().all())
        if not finite:
            raise LurkError(
                f"{name} of the network holds NaN or infinity: the training diverged or the weights were "
                "not loaded, give others"
            )


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor in what a forward gave: itself, or in a tuple, a list or a dict."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | tuple | list):
        return None
    return next((found for value in values if (found := first_tensor(value)) is not None), None)


def _check_arguments(module: nn.Module) -> None:
    """Refuse a forward that wants more than one input, or none."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        p.name for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    takes = any(p.kind in plain or p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(needed) > 1 or not takes:
        wants = f"{len(needed)} inputs ({', '.join(needed)})" if needed else "no input"
        if len(needed) == 1:
            wants = f"its input by name ({needed[0]})"
        raise LurkError(
            f"the forward of {type(module).__name__} wants {wants}: wrap it in a module that takes one, "
            "a batch of images (N, C, H, W)"
        )


def _kind(output: Any) -> str:
    return "None" if output is None else f"a {type(output).__name__}"
