"""Load weights into a network: find them by names and shapes, check them, and copy them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError, Option
from torchlurk.models.digests import state_digest
from torchlurk.models.exceptions import short_message, type_and_message
from torchlurk.models.matching import Match, find_matches, is_optional, shapes_of
from torchlurk.models.safe_load import find_placeholder
from torchlurk.models.state_dicts import StateDict
from torchlurk.models.weights_file import ALLOW_PICKLE, Weights, read_weights

__all__ = [
    "Weights",
    "load_weights",
    "match_weights",
    "network_state",
    "read_weights",
    "state_digest",
]

_STATISTICS: Final = ("running_mean", "running_var")
"""Buffers that every output of a batch norm depends on."""

_OTHER_ARCHITECTURE: Final = "they may be the weights of another architecture"
_GIVE_OTHERS: Final = "give other weights"


def network_state(module: torch.nn.Module) -> dict[str, Any]:
    """Return the state dict of a network.

    Args:
        module: The network, whose modules may run their own code in `state_dict` and `get_extra_state`.

    Returns:
        Tensors by name, and the extra state of modules.

    Raises:
        LurkError: That code fails.
    """
    try:
        state: dict[str, Any] = module.state_dict()
    except Exception as error:  # a user's get_extra_state may raise anything
        raise LurkError(
            f"the state_dict of {type(module).__name__} fails ({type_and_message(error)})",
            "correct it, or the get_extra_state of its modules",
        ) from error
    return state


def match_weights(
    module: torch.nn.Module,
    weights: Weights,
    *,
    ignored_prefixes: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> Weights:
    """Find the weights of a network among the state dicts of a file, under the names of the network.

    The names in the file and in the network may have any prefix, and parts that wrappers such as
    `DataParallel` and `torch.compile` add. If several state dicts fit and differ, those whose names equal the
    network's come before those below a prefix, and both before the copies in a trainer's records (callbacks);
    the choice is reported. Between others, such as `model` and `model_ema`, the user must choose.

    Args:
        module: The network.
        weights: What `read_weights` returned. Weights that do not come from a file are matched as they are.
        ignored_prefixes: Prefixes of names that the file may have although the network lacks them.
        report: Called with a line if one of several state dicts is chosen.

    Returns:
        The weights; if none fit, those with the fewest misfits.

    Raises:
        LurkError: Several state dicts fit, or none is the one that the user chose.
    """
    if weights.partial:
        kept = {name: value for name, value in weights.state.items() if not name.startswith(ignored_prefixes)}
        return replace(weights, state=kept)
    candidates = weights.candidates or (StateDict((), weights.state, weights.versions),)
    matches = find_matches(candidates, network_state(module), ignored_prefixes)
    if weights.entry:
        chosen = [match for match in matches if f"{match.label}.".startswith(f"{weights.entry}.")]
        if not chosen and matches[0].fits:
            raise LurkError(
                f"{weights.name} has no weights {weights.entry!r} that fit the network",
                f"choose from those that fit: {_labels(matches)}",
            )
        matches = tuple(chosen) or matches
    match = _choose(matches, weights, report) if len(matches) > 1 else matches[0]
    return replace(weights, state=match.state(), versions=match.versions(), candidates=())


def _choose(matches: Sequence[Match], weights: Weights, report: Callable[[str], None]) -> Match:
    """Return the match that comes before all others; report it if others hold different values."""
    distinct: list[Match] = []
    for match in sorted(matches, key=lambda m: (m.source.is_copy, not m.exact or bool(m.source.path))):
        if not any(_equal(match, other) for other in distinct):
            distinct.append(match)
    first, *rest = distinct
    if not rest:
        return first
    example = f"{weights.name.removeprefix('file:')}:{rest[0].label}"
    exact = [id(match.source) for match in distinct if match.exact]
    primary = [m for m in distinct if not m.source.is_copy and (m.exact or id(m.source) not in exact)]
    if len(primary) == 1 or (first.exact and not first.source.path):
        report(
            f"{weights.name} holds {_labels(distinct)}: taking {_label(first)} ({example} takes another one)"
        )
        return first
    raise LurkError(
        f"{weights.name} holds {len(distinct)} sets of weights that fit the network and differ, "
        f"{_labels(distinct)}",
        ("choose one, for example with ", Option("weights", example)),
    )


def _equal(first: Match, second: Match) -> bool:
    """Return whether two matches hold the same values."""
    pairs = [
        (first.source.entries[stored], second.source.entries.get(second.names.get(name, "")))
        for name, stored in first.names.items()
    ]
    return all(
        isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in pairs
        if isinstance(a, torch.Tensor)
    )


def _label(match: Match) -> str:
    return match.label or "the names without a prefix"


def _labels(matches: Sequence[Match]) -> str:
    return " and ".join(_label(match) for match in matches)


def load_weights(
    module: torch.nn.Module,
    weights: Weights,
    *,
    ignored_prefixes: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Load weights into a network, strictly.

    With `weights.partial`, children of the network without any weights, such as the classifier, keep their
    values. All others must have all their weights.

    Args:
        module: The network; changed in place.
        weights: What `resolve_weights` or `read_weights` returned.
        ignored_prefixes: See `match_weights`.
        report: See `match_weights`.

    Raises:
        LurkError: Names are missing or unknown, a shape differs, or a parameter is not finite; the network is
            then unchanged. Or a module of the network refuses its state.
    """
    matched = match_weights(module, weights, ignored_prefixes=ignored_prefixes, report=report)
    target = network_state(module)
    _check_names(matched, target)
    _check_shapes(matched, target)
    for name, value in matched.state.items():
        _check_value(name, value, target[name], matched)
    _check_finite(module, matched, target)
    state: Any = OrderedDict(matched.state)
    if matched.versions:
        state._metadata = matched.versions
    try:
        module.load_state_dict(state, strict=False)
    except Exception as error:  # a user's set_extra_state may raise anything
        raise LurkError(
            f"{matched.name} cannot be loaded into the network ({short_message(error)})",
            "they may be the weights of another architecture, or of another version of its code",
        ) from error


def _check_names(weights: Weights, target: Mapping[str, Any]) -> None:
    """Check that the weights have the names of the network, and no others."""
    missing = [name for name in target if name not in weights.state and not is_optional(name)]
    if weights.partial:
        covered = {name.split(".")[0] for name in weights.state}
        missing = [name for name in missing if name.split(".")[0] in covered]
    unknown = [name for name in weights.state if name not in target]
    if missing or unknown:
        lists = [_first_names("missing", missing), _first_names("unknown", unknown)]
        raise LurkError(
            f"{weights.name} does not fit the network: {'; '.join(filter(None, lists))}",
            _misfit_hint(missing, unknown),
        )


def _check_shapes(weights: Weights, target: Mapping[str, Any]) -> None:
    """Check that the weights have the shapes of the network."""
    expected, shapes = shapes_of(target), shapes_of(weights.state)
    differing = [n for n, shape in shapes.items() if shape is not None and expected[n] not in (None, shape)]
    if differing:
        name = differing[0]
        more = f" ({len(differing) - 1} others differ too)" if len(differing) > 1 else ""
        raise LurkError(
            f"{name} is {shapes[name]} in {weights.name}, the network needs {expected[name]}{more}",
            _OTHER_ARCHITECTURE,
        )


def _misfit_hint(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """Return the likely reason why names are missing or unknown."""
    quantised = ("zero_point", "_packed_params")
    if any(name.rpartition(".")[2] in quantised for name in missing):
        return "the network is quantised: give weights that were saved after it was quantised"
    if any(name.rpartition(".")[2] in quantised for name in unknown):
        return "these are the weights of a quantised network: give the network that they were saved from"
    return _OTHER_ARCHITECTURE


def _check_value(name: str, value: Any, target: Any, weights: Weights) -> None:
    """Check that an entry can be copied into the network without a loss."""
    placeholder = find_placeholder(value)
    if placeholder:
        raise LurkError(f"{name} in {weights.name} holds {placeholder}", ("to read it, give ", *ALLOW_PICKLE))
    if not isinstance(target, torch.Tensor) or is_lazy(target):
        return
    if not isinstance(value, torch.Tensor):
        raise LurkError(f"{name} is a {type(value).__name__} in {weights.name}, not a tensor", _GIVE_OTHERS)
    if value.is_meta:
        raise LurkError(f"{name} in {weights.name} is on the meta device and has no values", _GIVE_OTHERS)
    if value.is_quantized != target.is_quantized:
        kinds = ("a quantised", "a plain") if value.is_quantized else ("a plain", "a quantised")
        raise LurkError(
            f"{name} is {kinds[0]} tensor in {weights.name}, the network needs {kinds[1]} one",
            "give the weights of a network that is quantised in the same way",
        )
    if value.is_complex() and not target.is_complex():
        raise LurkError(
            f"{name} is complex in {weights.name}, the network needs {target.dtype}", _OTHER_ARCHITECTURE
        )


def _check_finite(module: torch.nn.Module, weights: Weights, target: Mapping[str, Any]) -> None:
    """Check that parameters and running statistics are finite; other buffers may hold infinity."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, value in weights.state.items():
        if name not in parameters and name.rpartition(".")[2] not in _STATISTICS:
            continue
        if not isinstance(value, torch.Tensor) or value.is_quantized:
            continue
        if not value.is_floating_point() and not value.is_complex():
            continue
        dtype = target[name].dtype
        converted = value.to(dtype if dtype.itemsize >= 4 else torch.float32)
        if bool(torch.isfinite(converted).all()):
            continue
        narrowed = value.dtype != converted.dtype and value.element_size() > 4
        if narrowed and bool(torch.isfinite(value).all()):
            raise LurkError(
                f"{name} in {weights.name} is too large for the {converted.dtype} of the network",
                _GIVE_OTHERS,
            )
        raise LurkError(
            f"{name} in {weights.name} holds NaN or infinity: the training diverged or the file is damaged",
            _GIVE_OTHERS,
        )


def _first_names(label: str, names: list[str]) -> str:
    """Return the first three names and the number of the others; "" if there are none."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{label} {', '.join(names[:3])}{more}" if names else ""
