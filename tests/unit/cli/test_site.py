"""`torchlurk site`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import refused, write_photos
from tests.unit.cli.conftest import Run


def test_a_store_from_empty_folder_to_site(scan: Run, run: Run, tmp_path: Path) -> None:
    images = write_photos(
        tmp_path / "photos", "cats/a.png", "cats/b.png", "dogs/c.png", "dogs/d.jpg", "dogs/e.png"
    )
    result = scan(images)
    assert result.exit_code == 0, result.output
    assert result.stdout == "saved_model/net: 3 layers, 144 filters, 5 images, 0 skipped\n"
    assert "squeezenet" in result.stderr.lower()
    output = run("inspect", "saved_model/net", "--json")
    assert output.exit_code == 0
    facts = json.loads(output.stdout)
    assert facts["filters"] == facts["full"] == facts["pictures"]["cropped"] == 144
    assert facts["pictures"]["max_activ"] == facts["pictures"]["avg_grads"] == 3
    assert facts["worst_certificate"] < 1e-3
    built = run("site", "--out", "_site")
    assert built.exit_code == 0, built.output
    assert (tmp_path / "_site/index.html").is_file()
    assert (tmp_path / "_site/saved_model/net/network.json").is_file()


def test_site_without_a_store_suggests_precompute(run: Run) -> None:
    refused(run("site"), "saved_model/", "precompute")
