"""Weights of a file fitted to a network: found by its names and shapes, checked, and loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError
from torchlurk.models.digests import state_digest
from torchlurk.models.inert import inert_in
from torchlurk.models.matching import Match, matches, optional, shapes_of
from torchlurk.models.state_dicts import StateDict
from torchlurk.models.weights_file import UNSAFE, Weights, brief, read_weights

__all__ = [
    "Weights",
    "brief",
    "fit_weights",
    "match_weights",
    "network_state",
    "read_weights",
    "state_digest",
]

STATISTICS: Final = ("running_mean", "running_var")
"""Buffers that every output of a batch norm depends on."""


def network_state(module: torch.nn.Module) -> dict[str, Any]:
    """The state dict of a network, which may run its own code.

    Args:
        module: The network.

    Returns:
        Tensors by name, and the extra state of modules.

    Raises:
        LurkError: That code fails.
    """
    try:
        state: dict[str, Any] = module.state_dict()
    except Exception as error:  # whatever somebody's get_extra_state raises
        raise LurkError(
            f"the state_dict of {type(module).__name__} fails ({type(error).__name__}: {brief(error)}): mend "
            "it there, or the get_extra_state of its modules"
        ) from error
    return state


def match_weights(
    module: torch.nn.Module,
    weights: Weights,
    *,
    ignored: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> Weights:
    """Find the weights of a network among those that a file holds, and name them as the network does.

    The names of the file may have any prefix, and what wrappers such as `DataParallel` and `torch.compile`
    put into them; so may those of the network. Where the file holds several sets of weights that fit and
    differ, the one under the network's own names goes before one under a prefix, and one elsewhere before
    the copies in a trainer's records (callbacks); `report` is told. Between others, such as `model` and
    `model_ema`, the user has to choose.

    Args:
        module: The network.
        weights: What `read_weights` found; of others, the state is what there is.
        ignored: Beginnings of names that the file may have and the network lacks.
        report: PreprocessLike, in a line, which weights were taken.

    Returns:
        The weights; where none fit, those that come nearest.

    Raises:
        LurkError: Several fit, or none is what the user chose.
    """
    if weights.partial:
        kept = {name: value for name, value in weights.state.items() if not name.startswith(ignored)}
        return replace(weights, state=kept)
    states = weights.stored or (StateDict((), weights.state, weights.versions),)
    found = matches(states, network_state(module), ignored)
    if weights.entry:
        chosen = [one for one in found if f"{one.label}.".startswith(f"{weights.entry}.")]
        if not chosen and found[0].fits:
            raise LurkError(
                f"{weights.name} has no weights {weights.entry!r} that fit the network: those that do are "
                f"{_labels(found)}"
            )
        found = tuple(chosen) or found
    if len(found) > 1:
        found = _one_of(found, weights, report)
    match = found[0]
    return replace(weights, state=match.state(), versions=match.versions(), stored=())


def _one_of(found: tuple[Match, ...], weights: Weights, report: Callable[[str], None]) -> tuple[Match, ...]:
    """Those that go before the others, if they hold the same values."""
    distinct: list[Match] = []
    for one in sorted(found, key=lambda one: (one.source.aside, not one.exact or bool(one.source.path))):
        if not any(_equal(one, other) for other in distinct):
            distinct.append(one)
    first, *rest = distinct
    if not rest:
        return (first,)
    how = f"--weights {weights.name.removeprefix('file:')}:{rest[0].label}"
    exact = [id(one.source) for one in distinct if one.exact]
    primary = [one for one in distinct if not one.source.aside and (one.exact or id(one.source) not in exact)]
    if len(primary) == 1 or (first.exact and not first.source.path):
        report(f"{weights.name} holds {_labels(distinct)}: taking {_label(first)} ({how} takes another)")
        return (first,)
    raise LurkError(
        f"{weights.name} holds {len(distinct)} sets of weights that fit the network and differ, "
        f"{_labels(distinct)}: choose one, such as {how}"
    )


def _equal(one: Match, other: Match) -> bool:
    """Whether two matches hold the same values."""
    pairs = [
        (one.source.entries[s], other.source.entries.get(other.names.get(n, "")))
        for n, s in one.names.items()
    ]
    return all(
        isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in pairs
        if isinstance(a, torch.Tensor)
    )


def _label(match: Match) -> str:
    return match.label or "the names without a prefix"


def _labels(found: Sequence[Match]) -> str:
    return " and ".join(_label(one) for one in found)


def fit_weights(
    module: torch.nn.Module,
    weights: Weights,
    *,
    ignored: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Load weights into a network, strictly.

    With `weights.partial`, the children of the network that `weights` has nothing of (the
    classifier) keep what they hold; all others must be there in full.

    Args:
        module: The network; changed in place.
        weights: What `resolve_weights` found.
        ignored: As for `match_weights`.
        report: As for `match_weights`.

    Raises:
        LurkError: Names are missing or unknown, a shape differs, a parameter is not finite; the network is
            then as it was. Or a module of the network refuses its state.
    """
    found = match_weights(module, weights, ignored=ignored, report=report)
    wanted = network_state(module)
    _check_names(found, wanted)
    for key, value in found.state.items():
        _check_value(key, value, wanted[key], found)
    _check_finite(module, found, wanted)
    state: Any = OrderedDict(found.state)
    if found.versions:
        state._metadata = found.versions
    try:
        module.load_state_dict(state, strict=False)
    except Exception as error:  # whatever somebody's set_extra_state raises
        raise LurkError(
            f"{found.name} cannot be loaded into the network ({brief(error)}): is this another architecture, "
            "or another version of its code?"
        ) from error


def _check_names(weights: Weights, wanted: Mapping[str, Any]) -> None:
    missing = [key for key in wanted if key not in weights.state and not optional(key)]
    if weights.partial:
        covered = {key.split(".")[0] for key in weights.state}
        missing = [key for key in missing if key.split(".")[0] in covered]
    unknown = [key for key in weights.state if key not in wanted]
    if missing or unknown:
        raise LurkError(
            f"{weights.name} does not fit the network: "
            f"{_few('missing', missing)}{_few('unknown', unknown)}{_hint(missing, unknown)}"
        )
    shapes = shapes_of(wanted)
    found = shapes_of(weights.state)
    others = [key for key, shape in found.items() if shape is not None and shapes[key] not in (None, shape)]
    if others:
        key, more = others[0], f" ({len(others) - 1} others differ too)" if len(others) > 1 else ""
        raise LurkError(
            f"{key} is {found[key]} in {weights.name}, the network wants "
            f"{shapes[key]}{more}: is this another architecture?"
        )


def _hint(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """What may be the matter."""
    quantised = ("zero_point", "_packed_params")
    if any(name.rpartition(".")[2] in quantised for name in missing):
        return "the network is quantised: were these weights saved before it was?"
    if any(name.rpartition(".")[2] in quantised for name in unknown):
        return "these weights are of a quantised network: give the one that they were saved of"
    return "is this another architecture?"


def _check_value(key: str, value: Any, wanted: Any, weights: Weights) -> None:
    """Refuse what could not be copied as it is."""
    other = inert_in(value)
    if other:
        raise LurkError(f"{key} in {weights.name} holds {other}, which is not read without {UNSAFE}")
    if not isinstance(wanted, torch.Tensor) or is_lazy(wanted):
        return
    if not isinstance(value, torch.Tensor):
        raise LurkError(f"{key} is a {type(value).__name__} in {weights.name}, not a tensor: give others")
    if value.is_meta:
        raise LurkError(f"{key} in {weights.name} is on the meta device and has no values: give others")
    if value.is_quantized != wanted.is_quantized:
        kind = ("a quantised", "a plain") if value.is_quantized else ("a plain", "a quantised")
        raise LurkError(
            f"{key} is {kind[0]} tensor in {weights.name}, the network wants {kind[1]} one: give the weights "
            "of a network that is quantised in the same way"
        )
    if value.is_complex() and not wanted.is_complex():
        raise LurkError(
            f"{key} is complex in {weights.name}, the network wants {wanted.dtype}: is this another "
            "architecture?"
        )


def _check_finite(module: torch.nn.Module, weights: Weights, wanted: Mapping[str, Any]) -> None:
    """Refuse parameters and running statistics that are not finite; other buffers may be so on purpose."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for key, value in weights.state.items():
        if key not in parameters and key.rpartition(".")[2] not in STATISTICS:
            continue
        if not isinstance(value, torch.Tensor) or value.is_quantized:
            continue
        if not value.is_floating_point() and not value.is_complex():
            continue
        to = wanted[key].dtype
        kept = value.to(to if to.itemsize >= 4 else torch.float32)
        if bool(torch.isfinite(kept).all()):
            continue
        if value.dtype != kept.dtype and value.element_size() > 4 and bool(torch.isfinite(value).all()):
            raise LurkError(
                f"{key} in {weights.name} is too large for the {kept.dtype} of the network: give others"
            )
        raise LurkError(
            f"{key} in {weights.name} holds NaN or infinity: "
            "the training diverged or the file is damaged, give another"
        )


def _few(what: str, keys: list[str]) -> str:
    """Name the first few keys."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{what} {', '.join(keys[:3])}{more}; " if keys else ""
