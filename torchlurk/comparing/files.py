"""A comparison as a folder beside its stores. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchlurk.comparing.assemble import Compared
from torchlurk.comparing.compatibility import Store
from torchlurk.errors import LurkError
from torchlurk.store.comparison import COMPARISON, COMPARISONS, ComparisonEntry, Comparisons
from torchlurk.store.read_comparison import read_comparison, read_layer_comparison
from torchlurk.store.schema import FORMAT
from torchlurk.store.write import check_writable, exclusive_lock, write_checksums, write_json


def check_out(stores: Sequence[Store], out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that a comparison of these stores cannot be written to, before anything is computed.

    Args:
        stores: those that are compared.
        out: the folder.
        overwrite: whether a comparison of other stores there may be lost.

    Raises:
        LurkError: it does not lie beside the stores, holds something else, or cannot be written.
    """
    parent = out.resolve().parent
    for store in stores:
        if store.path.resolve().parent != parent:
            raise LurkError(
                f"--out {str(out)!r} does not lie beside {str(store.path)!r}, which it is to refer to: give "
                f"{str(store.path.parent / out.name)!r}, and have all stores in one folder"
            )
        if store.path.resolve().name != store.name:
            raise LurkError(
                f"the folder {str(store.path)!r} holds the store {store.name!r}: give it that name again, by "
                "which a site knows it"
            )
    if out.name.startswith("."):
        raise LurkError(f"--out {str(out)!r}: a site hides such a name, choose another")
    if (out / "network.json").exists():
        raise LurkError(f"--out {str(out)!r} is a store: choose a folder of its own for the comparison")
    if (out / COMPARISON).exists():
        if not overwrite:
            _check_earlier(stores, out)
    elif out.is_dir() and any(out.iterdir()):
        strange = sorted(path.name for path in out.iterdir())[0]
        raise LurkError(
            f"--out {str(out)!r} is no comparison and holds other files ({strange!r}): choose another"
        )
    # Not made yet: what is refused later leaves nothing.
    check_writable(out if out.is_dir() else out.parent)


def _check_earlier(stores: Sequence[Store], out: Path) -> None:
    there = [store.name for store in read_comparison(out).stores]
    if there != [store.name for store in stores]:
        raise LurkError(
            f"--out {str(out)!r} holds the comparison of {', '.join(there)}: choose another, or give "
            "--overwrite to lose it"
        )


def write_comparison(compared: Compared, out: Path) -> None:
    """Write a comparison, each file whole or not at all, and say in `comparisons.json` that it is there.

    Raises:
        LurkError: the folder cannot be written, or another run writes there.
    """
    check_writable(out)
    with exclusive_lock(out):
        kept = {out / layer.data for layer in compared.record.layers}
        for layer in compared.record.layers:
            write_json(out / layer.data, compared.layers[layer.name])
        write_json(out / COMPARISON, compared.record)
        for path in out.glob("layers/*.json"):
            if path not in kept:  # of an earlier one that had more layers
                path.unlink()
        write_checksums(out)
    write_comparisons(out.parent)


def write_comparisons(folder: Path) -> Comparisons:
    """Write `comparisons.json` of a folder of stores, from what lies in it; returns what was written."""
    entries = []
    for path in sorted(folder.glob(f"*/{COMPARISON}")):
        try:
            found = read_comparison(path.parent)
        except LurkError:
            continue  # another that is damaged is no reason to fail this one
        entries.append(ComparisonEntry(found.name, found.title, path.parent.name))
    listed = Comparisons(FORMAT, sorted(entries, key=lambda entry: entry.name))
    write_json(folder / COMPARISONS, listed)
    return listed


def read_compared(folder: Path) -> Compared:
    """A comparison with all its layers. Raises `LurkError` if it is missing or damaged."""
    record = read_comparison(folder)
    layers = {layer.name: read_layer_comparison(folder, record, layer) for layer in record.layers}
    return Compared(record, layers)
