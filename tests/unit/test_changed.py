"""The script of docs/tutorial/fine-tuning.md selects filters, computes their pictures and draws them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.compared import network, trained, write_photos
from torchlurk import Comparison, Lurk, compare

ROOT = Path(__file__).parents[2]
NETS = """
from tests.compared import PREPROCESS, network
def make(): return network(), PREPROCESS
"""


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/changed.py"))


def test_the_filters_that_changed_most_get_pictures_and_are_drawn(
    script: dict[str, Any], tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos")
    nets = tmp_path / "nets.py"
    nets.write_text(NETS)
    before = network()
    stores, files = [], []
    for name, model in (("before", before), ("after", trained(before, 1.0))):
        files.append(tmp_path / f"{name}.pt")
        torch.save(model.state_dict(), files[-1])
        stores.append(tmp_path / "saved" / name)
        lurker = Lurk(
            f"{nets}:make", images=photos, out=stores[-1], weights=str(files[-1]), device="cpu", workers=0,
            batch_size=1, progress=False,
        )  # fmt: skip
        lurker.compute_top_imgs()
    out = tmp_path / "saved" / "both"
    found = compare(
        *stores, images=photos, model=f"{nets}:make", weights=files, device="cpu", workers=0, out=out,
        progress=False,
    )  # fmt: skip
    rows = list(found.sort("weights").head(4))
    chosen = ["--count", "4", "--by", "weights"]

    def run(*arguments: object) -> None:
        done = CliRunner().invoke(script["main"], [*map(str, arguments), *chosen])
        assert done.exit_code == 0, done.output

    weights = [argument for file in files for argument in ("--weights", file)]
    run("pictures", out, "--model", f"{nets}:make", "--images", photos, *weights)
    for store in stores:
        pictured = {
            (layer.name, entry.channel)
            for layer in Lurk.load(store)
            for entry in layer
            if "max_activ" in entry.entry.pictures
        }
        assert pictured == {(row.layer, row.channel) for row in rows}
    run("sheet", out, tmp_path / "changed.jpg")
    with Image.open(tmp_path / "changed.jpg") as drawn:
        drawn.load()
        page = script["sheet"](script["cards"](out, Comparison.load(out), rows), "weights")
        assert drawn.size == page.size
    assert len(page.getcolors(1 << 20)) > 1000
    assert page.getpixel((page.width - 1, page.height - 1)) == page.getpixel((0, 0)), "nothing is clipped"
