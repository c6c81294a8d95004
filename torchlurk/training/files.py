"""Checkpoints: a network to use, and the state of the optimiser to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn, optim

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, fit_weights, read_weights
from torchlurk.models.tuned import Tuned, write_metadata
from torchlurk.store.write import sweep, write_bytes

CHECKPOINTS: Final = "checkpoints"
MOMENTUM: Final = "momentum_buffer"


def checkpoint_path(epoch: int) -> str:
    """Where the network after an epoch lies, relative to the folder of the run."""
    return f"{CHECKPOINTS}/epoch-{epoch:04}.safetensors"


def _optimiser_path(epoch: int) -> str:
    return f"{CHECKPOINTS}/optimiser-{epoch:04}.safetensors"


def save_network(out: Path, epoch: int, model: nn.Module, tuned: Tuned) -> str:
    """Write a checkpoint that `--weights` takes; returns its path relative to `out`."""
    path = checkpoint_path(epoch)
    write_bytes(out / path, save(_plain(model.state_dict()), write_metadata(tuned)))
    return path


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
    sweep(out)


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, one after the other in memory, none sharing its memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
