"""The method of `Lurk` that ablates filters."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex, get_args

from torchlurk.circuits.ablation_table import Ablation, AblationKind, with_contributions
from torchlurk.errors import LurkError, Option, check_choice
from torchlurk.store.read import read_manifest
from torchlurk.store.read_circuits import read_all_circuits
from torchlurk.store.schema import CircuitFile

if TYPE_CHECKING:
    from torchlurk.pipeline.session import Session


class FilterAblation(ABC):
    """Ablation of filters, for a `Lurk` with a network."""

    @abstractmethod
    def _require_session(self, method: str) -> Session:
        """Return the session."""

    def ablate(
        self, layer: str, channels: SupportsIndex | Iterable[SupportsIndex], to: AblationKind = "zero"
    ) -> Ablation:
        """Measure what changes downstream, and in the classes, when filters are set to zero or to their mean.

        All images run through the network without and with the ablation. The store is neither needed nor
        changed.

        Args:
            layer: Dotted name of any layer, also one that is not scanned, or `logits`.
            channels: The filter, from 0, or several, which are ablated together.
            to: `zero`, the default; or `mean`, the mean of the filter over all positions and images, which
                takes one more pass over the images.

        Returns:
            The mean change of the maximum of every filter in the later layers among those of the `Lurk`, and
            of the logit of every class; beside it the contributions, if the store has circuits.

        Raises:
            LurkError: The layer or filter does not exist, nothing depends on it, or no image can be read.

        Examples:
            >>> found = lurker.ablate("features.14", [1, 7], to="mean")
            >>> strongest = found.filters[0]
        """
        session = self._require_session("ablate")
        from torchlurk.api.ablation import AblationRequest, RunSettings, ablate_network
        from torchlurk.pipeline.resume import default_threads
        from torchlurk.runtime.devices import default_workers

        check_choice("to", to, get_args(AblationKind))
        options, device = session.options, session.device
        settings = RunSettings(
            device=device,
            batch_size=session.batch_size,
            workers=default_workers(device) if options.workers is None else options.workers,
            threads=options.threads or default_threads(session.out),
            reporter=session.reporter,
        )
        request = AblationRequest(layer, _as_channels(channels), to, options.layers)
        circuits = _read_circuits(session.out)
        return with_contributions(
            ablate_network(session.network, session.images, request, settings), circuits
        )


def _read_circuits(store: Path) -> list[CircuitFile]:
    """Return the circuits of a store; none if there is no such store, or if it is damaged."""
    try:
        return read_all_circuits(store, read_manifest(store))
    except LurkError:
        return []


def _as_channels(channels: SupportsIndex | Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return the numbers of filters; integers of numpy and torch are accepted.

    Raises:
        LurkError: They are not numbers.
    """
    try:
        return (operator.index(channels),)  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return tuple(operator.index(channel) for channel in channels)  # type: ignore[union-attr]
    except TypeError:
        raise LurkError(
            "not the number of a filter",
            "give a number, or a list of numbers",
            Option("channels", repr(channels)),
        ) from None
