"""A store that is written in steps, as during a run."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

from .made_up_circuits import add_circuits
from .made_up_site import make_store
from .packed import pack_images, pack_layer

LAYERS = [("conv1", 16), ("conv2", 24), ("conv3", 8), ("fc", 4)]


class Growing:
    """A store that is written in steps: files atomically, pictures before the records that name them."""

    def __init__(self, folder: Path, packed: bool) -> None:
        self.packed = packed
        names = [name for name, _ in LAYERS]
        self.whole = make_store(
            folder / "made", "toy", LAYERS, list(pairwise(names)), flat=("fc",), packed=False
        )
        self.store = folder / "live" / "toy"
        self.manifest = json.loads((self.whole / "network.json").read_text())

    def put(self, name: str, record: object) -> None:
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(record))
        part.replace(path)

    def stages(self, *complete: str) -> None:
        stages = {
            name: stage if name in complete else {"complete": False, "config": None}
            for name, stage in self.manifest["stages"].items()
        }
        if "circuits" in complete:
            add_circuits(self.whole)
            shutil.copytree(self.whole / "circuits", self.store / "circuits")
            stages["circuits"] = json.loads((self.whole / "network.json").read_text())["stages"]["circuits"]
        form = 2 if self.packed else 1
        self.put("network.json", {**self.manifest, "format": form, "stages": stages})

    def progress(self, work: str, unit: str, done: int, total: int) -> None:
        self.put("progress.json", {"format": 1, "work": work, "unit": unit, "done": done, "total": total})

    def pictures(self, *kinds: str) -> None:
        """Write pictures of these kinds, which are files of their own in format 1."""
        for kind in () if self.packed else kinds:
            shutil.copytree(self.whole / kind, self.store / kind, dirs_exist_ok=True)

    def layer(self, name: str, *kinds: str) -> None:
        """Write a layer with pictures of these kinds."""
        if self.packed:
            (layer,) = (layer for layer in self.manifest["layers"] if layer["name"] == name)
            record = pack_layer(self.whole, self.store, layer, kinds)
            self.put(layer["data"], record)
            self.remove_packs(name, record)
            return
        record = json.loads((self.whole / "layers" / f"{name}.json").read_text())
        for entry in record["filters"]:
            entry["pictures"] = [kind for kind in entry["pictures"] if kind in kinds]
            entry["ascent"] = entry["ascent"] if "max_activ" in kinds else None
        self.put(f"layers/{name}.json", record)

    def remove_packs(self, layer: str, record: dict) -> None:
        """Remove the packs of a layer that its file does not name any more."""
        named = {pack["path"] for packs in record["packs"].values() for pack in packs}
        for folder in ("pictures", "thumbs"):
            for path in (self.store / folder / layer).glob("*.bin"):
                if path.relative_to(self.store).as_posix() not in named:
                    path.unlink()

    def file(self, name: str) -> None:
        if self.packed and name == "images.json":
            self.put(name, pack_images(self.whole, self.store))
            return
        self.put(name, json.loads((self.whole / name).read_text()))
