"""Checkpoints of the network, and the state of the optimiser from which a run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn, optim

from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint import Weights, load_weights, network_state, read_weights, state_digest
from torchlurk.models.checkpoint_metadata import CheckpointMetadata, encode_metadata
from torchlurk.models.digests import check_has_values
from torchlurk.models.plain_values import NotPlainError, to_json
from torchlurk.store.write import remove_temporary_files, write_bytes

_CHECKPOINTS: Final = "checkpoints"
_MOMENTUM: Final = "momentum_buffer"


def checkpoint_path(epoch: int) -> str:
    """Return the path of the network after an epoch, relative to the folder of the run."""
    return f"{_CHECKPOINTS}/epoch-{epoch:04}.safetensors"


def _optimiser_path(epoch: int) -> str:
    return f"{_CHECKPOINTS}/optimiser-{epoch:04}.safetensors"


def save_network(out: Path, epoch: int, model: nn.Module, metadata: CheckpointMetadata) -> str:
    """Write a checkpoint that can be used as weights.

    Args:
        out: The folder of the run.
        epoch: The epoch after which the network is saved.
        model: The network.
        metadata: What the checkpoint records of the network.

    Returns:
        The checkpoint's path relative to `out`.

    Raises:
        LurkError: The network contains values that a checkpoint cannot store.
    """
    path, state = checkpoint_path(epoch), network_state(model)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        check_has_values(name, tensor)
        if tensor.is_quantized or tensor.layout is not torch.strided:
            kind = "quantised" if tensor.is_quantized else "sparse"
            raise LurkError(
                f"{name} of the network is a {kind} tensor, which a checkpoint (safetensors) cannot store",
                f"fine-tune the network before it is made {kind}",
            )
    extra: dict[str, Any] = {}
    for name in [name for name in state if name not in tensors]:
        try:
            extra[name] = to_json(state[name])
        except NotPlainError as problem:
            if name.rpartition(".")[2] != "_extra_state":
                raise LurkError(
                    f"{name} of the network contains the packed parameters of a quantised module, which a "
                    "checkpoint cannot store",
                    "fine-tune the network before it is made quantised",
                ) from None
            raise LurkError(
                f"{name} of the network is extra state (get_extra_state) with a {problem}, which a "
                "checkpoint cannot store",
                "build it from numbers, strings, tensors, lists and dicts",
            ) from None
    write_bytes(out / path, save(_plain(tensors), encode_metadata(replace(metadata, extra=extra))))
    return path


def check_round_trip(out: Path, epoch: int, model: nn.Module, metadata: CheckpointMetadata) -> None:
    """Write a checkpoint and read it again, before time is spent on training.

    Args:
        out: The folder of the run.
        epoch: The epoch of the checkpoint.
        model: The network; it keeps its values.
        metadata: What the checkpoint records of the network.

    Raises:
        LurkError: The checkpoint cannot be written or read, or has other values when read.
    """
    save_network(out, epoch, model, metadata)
    before = state_digest(network_state(model))
    try:
        load_epoch(out, epoch, model, None, {})
    except LurkError as error:
        message = [error.message] if isinstance(error.message, str | Option) else error.message
        raise LurkError(
            ("the checkpoints of this network cannot be read again: ", *message), error.hint, error.option
        ) from error
    if state_digest(network_state(model)) != before:
        raise LurkError(
            f"a checkpoint of {type(model).__name__} has other values when it is read again",
            "check that its get_extra_state returns what its set_extra_state takes",
        )


def save_optimiser(
    out: Path, epoch: int, optimiser: optim.Optimizer, trained: Mapping[str, nn.Parameter]
) -> None:
    """Write the optimiser's momentum of each parameter, so that the run can resume from this epoch.

    Args:
        out: The folder of the run.
        epoch: The epoch.
        optimiser: The optimiser.
        trained: Its parameters by name.
    """
    state = {
        name: optimiser.state[parameter][_MOMENTUM]
        for name, parameter in trained.items()
        if optimiser.state.get(parameter, {}).get(_MOMENTUM) is not None
    }
    write_bytes(out / _optimiser_path(epoch), save(_plain(state)))


def load_epoch(
    out: Path,
    epoch: int,
    model: nn.Module,
    optimiser: optim.Optimizer | None,
    trained: Mapping[str, nn.Parameter],
) -> Weights:
    """Load network and optimiser as they were after an epoch.

    Args:
        out: The folder of the run.
        epoch: An epoch with a checkpoint.
        model: The network, which is changed in place.
        optimiser: The optimiser, which is changed in place; `None` to load the network alone.
        trained: The optimiser's parameters by name.

    Returns:
        The weights of the checkpoint.

    Raises:
        LurkError: A file is missing or damaged.
    """
    weights = read_weights(out / checkpoint_path(epoch))
    load_weights(model, weights)
    if optimiser is None or epoch == 0:  # before the first step there is no momentum
        return weights
    path = out / _optimiser_path(epoch)
    try:
        state: dict[str, Tensor] = load_file(path)
        for name, tensor in state.items():
            parameter = trained[name]
            # in the parameter's memory format, as it would be without the interruption
            optimiser.state[parameter] = {_MOMENTUM: torch.zeros_like(parameter).copy_(tensor)}
    except Exception as problem:
        raise LurkError(
            f"cannot read {str(path)!r} ({problem}), so the run cannot resume",
            ("start another run with another ", Option("out")),
        ) from None
    return weights


def remove_optimiser_states(out: Path, keep: int | None) -> None:
    """Remove the optimiser states of other epochs, and the temporary files of a killed run.

    Args:
        out: The folder of the run.
        keep: The epoch whose state is kept; `None` to keep none.
    """
    folder = out / _CHECKPOINTS
    kept = None if keep is None else out / _optimiser_path(keep)
    for path in folder.glob("optimiser-*.safetensors"):
        if path != kept:
            path.unlink(missing_ok=True)
    remove_temporary_files(out)


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, contiguous and without shared memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
