"""Write a comparison to a folder next to its stores, and read it. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchlurk.comparing.assemble import ComparisonFiles
from torchlurk.comparing.compatibility import Store
from torchlurk.errors import LurkError, Option
from torchlurk.store.comparison import COMPARISON, COMPARISONS, ComparisonEntry, Comparisons
from torchlurk.store.read_comparison import read_comparison, read_layer_comparison
from torchlurk.store.schema import FORMAT
from torchlurk.store.write import check_writable, exclusive_lock, write_checksums, write_json


def check_out(stores: Sequence[Store], out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that a comparison of the stores cannot be written to, before anything is computed.

    Args:
        stores: The stores that are compared.
        out: The folder.
        overwrite: Whether a comparison of other stores in the folder may be replaced.

    Raises:
        LurkError: The folder is not next to the stores, contains something else, or cannot be written.
    """
    option = Option("out", repr(str(out)))
    for store in stores:
        if store.path.resolve().parent != out.resolve().parent:
            raise LurkError(
                f"the folder must be next to {str(store.path)!r}, since the comparison refers to it",
                f"choose {str(store.path.parent / out.name)!r}, and keep all stores in one folder",
                option,
            )
        if store.path.resolve().name != store.name:
            raise LurkError(
                f"the folder {str(store.path)!r} contains the store {store.name!r}",
                f"rename the folder to {store.name!r}, because a site finds the store by that name",
            )
    if out.name.startswith("."):
        raise LurkError("a site hides names that begin with a dot", "choose another name", option)
    if (out / "network.json").exists():
        raise LurkError("the folder is a store", "choose another folder for the comparison", option)
    if (out / COMPARISON).exists():
        if not overwrite:
            _check_earlier(stores, out)
    elif out.is_dir() and any(out.iterdir()):
        other = sorted(path.name for path in out.iterdir())[0]
        raise LurkError(
            f"the folder is not a comparison and contains other files ({other!r})",
            "choose another folder",
            option,
        )
    # The folder is not created yet, so that an error further on leaves nothing behind.
    check_writable(out if out.is_dir() else out.parent)


def _check_earlier(stores: Sequence[Store], out: Path) -> None:
    names = [store.name for store in read_comparison(out).stores]
    if names != [store.name for store in stores]:
        raise LurkError(
            f"the folder contains the comparison of {', '.join(names)}",
            ("choose another folder, or replace it with ", Option("overwrite", True)),
            Option("out", repr(str(out))),
        )


def write_comparison(compared: ComparisonFiles, out: Path) -> None:
    """Write a comparison, each file atomically, and list it in `comparisons.json`.

    Args:
        compared: The comparison.
        out: Its folder.

    Raises:
        LurkError: The folder cannot be written, or another run is writing to it.
    """
    check_writable(out)
    with exclusive_lock(out):
        current = {out / layer.data for layer in compared.record.layers}
        for layer in compared.record.layers:
            write_json(out / layer.data, compared.layers[layer.name])
        write_json(out / COMPARISON, compared.record)
        for path in out.glob("layers/*.json"):
            if path not in current:  # from an earlier comparison with more layers
                path.unlink()
        write_checksums(out)
    write_comparisons(out.parent)


def write_comparisons(folder: Path) -> Comparisons:
    """Write the list of all comparisons in a folder of stores, `comparisons.json`, and return it."""
    entries = []
    for path in sorted(folder.glob(f"*/{COMPARISON}")):
        try:
            record = read_comparison(path.parent)
        except LurkError:
            continue  # another, damaged comparison must not make this one fail
        entries.append(ComparisonEntry(record.name, record.title, path.parent.name))
    comparisons = Comparisons(FORMAT, sorted(entries, key=lambda entry: entry.name))
    write_json(folder / COMPARISONS, comparisons)
    return comparisons


def read_compared(folder: Path) -> ComparisonFiles:
    """Read a comparison with all its layers.

    Raises:
        LurkError: A file is missing or damaged.
    """
    record = read_comparison(folder)
    layers = {layer.name: read_layer_comparison(folder, record, layer) for layer in record.layers}
    return ComparisonFiles(record, layers)
