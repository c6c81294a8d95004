"""Whether a network can be scanned: the checks of a module before it is used, and one trial forward.

`check_network` makes all checks. `check_module` makes those that need no input, for callers that run the
network themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError
from torchlurk.models.digests import check_has_values
from torchlurk.models.exceptions import FORWARD_ERRORS
from torchlurk.models.isolation import isolated
from torchlurk.models.outputs import first_tensor, type_name
from torchlurk.models.trial_forward import explain_failed_forward, trial_forward
from torchlurk.runtime.names import escape_surrogates


@dataclass(frozen=True)
class TrialOutput:
    """What a network returned for one image.

    Attributes:
        kind: The type of its output, e.g. `Tensor` or `GoogLeNetOutputs`.
        logits: The number of columns, if the output is a `(rows, columns)` tensor or a tuple that begins
            with one; `None` otherwise.
        rows: The number of rows of that tensor; `None` if there is none.
    """

    kind: str
    logits: int | None
    rows: int | None = None


def as_module(model: object) -> nn.Module:
    """Return the module that a user gave as the network; of a compiled module, the original.

    Raises:
        LurkError: The value is not a module.
    """
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        if kind == "ExportedProgram":
            raise LurkError(
                "the model is an ExportedProgram, which calls no modules",
                "give the nn.Module that it was exported from",
            )
        raise LurkError(f"the model is a {kind}", "give a torch.nn.Module")
    # torch.compile wraps the module and runs code that does not call forward hooks
    original = getattr(model, "_orig_mod", None)
    if type(model).__name__ == "OptimizedModule" and original is not None:
        return as_module(original)
    return model


def check_network(module: nn.Module, shape: tuple[int, int, int]) -> TrialOutput:
    """Check that a network can be scanned, and run one forward on an image of random numbers.

    A scan needs only the outputs of layers, so a network that returns a tuple or a dict of tensors passes.

    Args:
        module: A network on any device; it comes back as it was.
        shape: `(C, H, W)` of its input.

    Raises:
        LurkError: The network calls no forward hooks, is not initialised, holds NaN or infinity in a
            parameter, takes more than one input, fails at this size, or returns no tensor.
    """
    check_module(module)
    check_finite(module)
    _check_names(module)
    _check_arguments(module)
    with isolated(module):
        output = trial_forward(module, shape)
    tensor = first_tensor(output)
    if tensor is None:
        raise LurkError(
            f"the network returns {type_name(output)} for an input of {shape[1]} x {shape[2]} px",
            "its forward must return a tensor",
        )
    has_rows = not isinstance(output, Mapping) and tensor.dim() == 2
    rows, logits = tensor.shape if has_rows else (None, None)
    return TrialOutput(type(output).__name__, logits, rows)


def check_module(module: nn.Module) -> None:
    """Check that the modules of a network are called with hooks, and that its parameters have values.

    Raises:
        LurkError: The network is scripted, traced or exported, has lazy modules that are not initialised,
            or is on the meta device.
    """
    check_hooks(module)
    check_initialised(module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        check_has_values(name, tensor)


def check_hooks(module: nn.Module) -> None:
    """Check that a network calls its modules, so that forward hooks see their outputs.

    Raises:
        LurkError: The network, or a module of it, is scripted, traced or exported.
    """
    for name, part in module.named_modules():
        subject = f"the module {name!r}" if name else "the network"
        if isinstance(part, torch.jit.ScriptModule):
            how = "traced" if "Traced" in type(part).__name__ else "scripted"
            raise LurkError(
                f"{subject} is {how} by torch.jit, where torch runs no forward hooks on its layers",
                "give the nn.Module that it was made from",
            )
        if isinstance(part, fx.GraphModule) and _is_exported(part):
            raise LurkError(
                f"{subject} is an exported program, which calls no modules",
                "give the nn.Module that it was exported from",
            )


def check_initialised(module: nn.Module) -> None:
    """Check that all lazy modules of a network are initialised.

    Raises:
        LurkError: One is not, since it has not yet seen an input.
    """
    lazy = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if is_lazy(value)]
    if lazy:
        raise LurkError(
            f"the network has lazy modules that are not initialized yet ({lazy[0]} and {len(lazy) - 1} more)",
            "run it once on an input",
        )


def check_finite(module: nn.Module) -> None:
    """Check that no parameter of a network holds NaN or infinity.

    Buffers are not checked: masks hold infinity on purpose.

    Raises:
        LurkError: A parameter does; the message names the first.
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
                "not loaded",
                "load other weights",
            )


def initialise_lazy(module: nn.Module, shape: tuple[int, int, int], seed: int) -> None:
    """Initialise the lazy modules of a network with one forward; a network without any is not run.

    Args:
        module: The network, on the CPU; changed in place.
        shape: `(C, H, W)` of its input.
        seed: Of the initial values; torch's global generator is left as it was.

    Raises:
        LurkError: The forward fails.
    """
    if not any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        try:
            module(torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)))
        except FORWARD_ERRORS as error:  # a user's network may raise anything
            raise explain_failed_forward(module, shape, error) from error


def _is_exported(module: fx.GraphModule) -> bool:
    """Return whether a graph uses parameters without calling the modules that own them."""
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    owners = {name.rpartition(".")[0] for name, _ in module.named_parameters()}
    return bool(owners) and not any(
        owner == name or owner.startswith(f"{name}.") for owner in owners for name in called
    )


def _check_names(module: nn.Module) -> None:
    """Check that JSON can hold the names of all modules and of their classes."""
    for name, part in module.named_modules():
        for text in (name, type(part).__name__):
            if text != escape_surrogates(text):
                raise LurkError(
                    f"the module {escape_surrogates(name)!r} has a name that is not valid Unicode",
                    "rename it",
                )


def _check_arguments(module: nn.Module) -> None:
    """Check that a forward takes exactly one input, by position."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [
        p.name for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    takes_input = any(p.kind in positional or p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) <= 1 and takes_input:
        return
    takes = f"{len(required)} inputs ({', '.join(required)})" if required else "no input"
    if len(required) == 1:
        takes = f"its input by name ({required[0]})"
    raise LurkError(
        f"the forward of {type(module).__name__} takes {takes}",
        "wrap it in a module that takes one input, a batch of images (N, C, H, W)",
    )
