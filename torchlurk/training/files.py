"""Checkpoints: a network to use, and the state of the optimiser to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn, optim

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, fit_weights, network_state, read_weights, state_digest
from torchlurk.models.checkpoint_metadata import Tuned, write_metadata
from torchlurk.models.digests import check_has_values
from torchlurk.models.plain_values import NotPlainError, to_json
from torchlurk.store.write import remove_temporary_files, write_bytes

CHECKPOINTS: Final = "checkpoints"
MOMENTUM: Final = "momentum_buffer"


def checkpoint_path(epoch: int) -> str:
    """Where the network after an epoch lies, relative to the folder of the run."""
    return f"{CHECKPOINTS}/epoch-{epoch:04}.safetensors"


def _optimiser_path(epoch: int) -> str:
    return f"{CHECKPOINTS}/optimiser-{epoch:04}.safetensors"


def save_network(out: Path, epoch: int, model: nn.Module, tuned: Tuned) -> str:
    """Write a checkpoint that `--weights` takes.

    Args:
        out: the folder of the run.
        epoch: after which the network is as it is.
        model: the network.
        tuned: what the checkpoint says of it.

    Returns:
        The checkpoint's path relative to `out`.

    Raises:
        LurkError: the network holds what a checkpoint cannot.
    """
    path, state = checkpoint_path(epoch), network_state(model)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        check_has_values(name, tensor)
        if tensor.is_quantized or tensor.layout is not torch.strided:
            kind = "quantised" if tensor.is_quantized else "sparse"
            raise LurkError(
                f"{name} of the network is a {kind} tensor, which a checkpoint (safetensors) cannot hold: "
                f"fine-tune the network as it was before it became {kind}"
            )
    extra: dict[str, Any] = {}
    for name in [name for name in state if name not in tensors]:
        try:
            extra[name] = to_json(state[name])
        except NotPlainError as problem:
            if name.rpartition(".")[2] != "_extra_state":
                raise LurkError(
                    f"{name} of the network holds the packed parameters of a quantised module, which a "
                    "checkpoint cannot hold: fine-tune the network as it was before it became quantised"
                ) from None
            raise LurkError(
                f"{name} of the network is extra state (get_extra_state) with a {problem}, which a "
                "checkpoint cannot hold: make it of numbers, texts, tensors, lists and dicts"
            ) from None
    write_bytes(out / path, save(_plain(tensors), write_metadata(replace(tuned, extra=extra))))
    return path


def check_readable(out: Path, epoch: int, model: nn.Module, tuned: Tuned) -> None:
    """Write a checkpoint and read it back, before a training is spent on one that cannot be.

    Args:
        out: the folder of the run.
        epoch: of the checkpoint.
        model: the network; it keeps its values.
        tuned: what the checkpoint says of it.

    Raises:
        LurkError: it cannot be written or read, or comes back with other values.
    """
    save_network(out, epoch, model, tuned)
    before = state_digest(network_state(model))
    try:
        load_epoch(out, epoch, model, None, {})
    except LurkError as problem:
        raise LurkError(f"the checkpoints of this network could not be read again: {problem}") from problem
    if state_digest(network_state(model)) != before:
        raise LurkError(
            f"the checkpoints of {type(model).__name__} come back with other values than it holds: does its "
            "get_extra_state give what its set_extra_state takes?"
        )


def save_optimiser(
    out: Path, epoch: int, optimiser: optim.Optimizer, trained: Mapping[str, nn.Parameter]
) -> None:
    """Write what the optimiser remembers of each parameter, to go on from this epoch."""
    state = {
        name: optimiser.state[parameter][MOMENTUM]
        for name, parameter in trained.items()
        if optimiser.state.get(parameter, {}).get(MOMENTUM) is not None
    }
    write_bytes(out / _optimiser_path(epoch), save(_plain(state)))


def load_epoch(
    out: Path,
    epoch: int,
    model: nn.Module,
    optimiser: optim.Optimizer | None,
    trained: Mapping[str, nn.Parameter],
) -> Weights:
    """Bring network and optimiser to where they were after an epoch.

    Args:
        out: the folder of the run.
        epoch: one with a checkpoint.
        model: filled in place.
        optimiser: likewise; `None` leaves it out.
        trained: the parameters that it has, by name.

    Raises:
        LurkError: a file is missing or damaged.
    """
    found = read_weights(out / checkpoint_path(epoch))
    fit_weights(model, found)
    if optimiser is None or epoch == 0:  # before the first step it remembers nothing
        return found
    path = out / _optimiser_path(epoch)
    try:
        state: dict[str, Tensor] = load_file(path)
        for name, tensor in state.items():
            parameter = trained[name]
            # in the parameter's own memory order, in which the next step would have had it
            optimiser.state[parameter] = {MOMENTUM: torch.zeros_like(parameter).copy_(tensor)}
    except Exception as problem:
        raise LurkError(
            f"{str(path)!r} cannot be read ({problem}): the run cannot go on, choose another --out"
        ) from None
    return found


def forget_optimisers(out: Path, keep: int | None) -> None:
    """Remove what the optimiser remembered after earlier epochs, and what a killed run left half written."""
    folder = out / CHECKPOINTS
    kept = None if keep is None else out / _optimiser_path(keep)
    for path in folder.glob("optimiser-*.safetensors"):
        if path != kept:
            path.unlink(missing_ok=True)
    remove_temporary_files(out)


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, one after the other in memory, none sharing its memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
