"""`torchlurk precompute`: what it writes, what it rejects, and its exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import refused, write_photos
from tests.stored import places
from tests.unit.cli.conftest import Run
from torchlurk.store.read import read_layer, read_manifest


def test_naive_ascent_and_bfloat16_scan_give_complete_stores(scan: Run, run: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "cats/a.png", "cats/b.png", "dogs/c.png")
    assert scan(images).exit_code == 0
    exact = {layer.name: layer for layer in read_manifest(tmp_path / "saved_model/net").layers}
    before = {n: read_layer(tmp_path / "saved_model/net", layer) for n, layer in exact.items()}
    result = scan(images, "--ascent", "naive", "--scan-precision", "bfloat16", "--overwrite")
    assert result.exit_code == 0, result.output
    assert run("inspect", "saved_model/net").exit_code == 0
    manifest = read_manifest(tmp_path / "saved_model/net")
    assert set(manifest.tiles.max_activ.values()) == {(64, 64)}
    for layer in manifest.layers:
        for old, new in zip(
            before[layer.name].filters, read_layer(tmp_path / "saved_model/net", layer).filters, strict=True
        ):
            # With three images all are candidates, so the lists are float32's own.
            assert [(e.image, e.score) for e in old.avg] == [(e.image, e.score) for e in new.avg]


def test_every_crop_can_be_certified(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png", "c.png", "d.png", "e.png")
    assert scan(images, "--certify", "all").exit_code == 0
    store = tmp_path / "saved_model" / "net"
    for layer in read_manifest(store).layers:
        entries = [entry for f in read_layer(store, layer).filters for entry in f.max]
        assert len(entries) == 4 * layer.channels
        assert all(entry.certificate is not None and entry.certificate < 1e-3 for entry in entries)


@pytest.mark.parametrize(("channel", "certify"), [(0, "chosen"), (3, "all")])
def test_a_crop_that_does_not_explain_its_score_is_reported(
    scan: Run, tmp_path: Path, channel: int, certify: str
) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png", "c.png")
    assert scan(images, "--stages", "scan").exit_code == 0
    store = tmp_path / "saved_model" / "net"
    layer = read_manifest(store).layers[0]
    path = store / layer.data
    record = json.loads(path.read_text())
    record["filters"][channel]["max"][0]["score"] *= 1.1
    path.write_text(json.dumps(record))
    result = scan(images, "--stages", "gradients", "--certify", certify)
    assert result.exit_code == 0
    assert f"(filter {channel} of {layer.name}); see the certificates" in result.stderr
    assert "by 9.1e-02" in result.stderr


def test_filter_images_can_be_made_for_one_position(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png", "c.png")
    store = tmp_path / "saved_model" / "net"

    def first_filter(objective: str) -> tuple[bytes, float, float]:
        assert scan(images, "--objective", objective, "--overwrite").exit_code == 0
        layer = read_manifest(store).layers[0]
        entry = read_layer(store, layer).filters[0]
        assert entry.ascent is not None
        picture = places(store)[f"max_activ/{layer.name}/0.jpg"]
        return picture.read(), entry.ascent.score, entry.ascent.ratio or 0

    mean, position = first_filter("mean"), first_filter("position")
    assert mean[0] != position[0]
    entry = read_layer(store, read_manifest(store).layers[0]).filters[0]
    assert position[2] == pytest.approx(position[1] / entry.max[0].score, rel=1e-5)


def test_one_image_gives_short_lists(scan: Run, tmp_path: Path) -> None:
    assert scan(write_photos(tmp_path / "photos", "only.png")).exit_code == 0
    store = tmp_path / "saved_model/net"
    manifest = read_manifest(store)
    for layer in manifest.layers:
        for entry in read_layer(store, layer).filters:
            assert len(entry.max) == len(entry.avg) == 1
            assert entry.stats.selectivity is None


def test_unreadable_images_are_skipped_and_reported(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "cats/a.png", "cats/b.jpg", "dogs/c.png")
    (images / "cats/empty.jpg").write_bytes(b"")
    (images / "cats/text.png").write_text("no picture")
    whole = (images / "cats/b.jpg").read_bytes()
    (images / "dogs/half.jpg").write_bytes(whole[: len(whole) // 2])
    result = scan(images, "--stages", "scan")
    assert result.exit_code == 0
    assert "3 images, 3 skipped" in result.stdout
    manifest = read_manifest(tmp_path / "saved_model/net")
    assert manifest.dataset.images == 3
    assert {s.path for s in manifest.dataset.skipped} == {"cats/empty.jpg", "cats/text.png", "dogs/half.jpg"}
    assert all(s.reason for s in manifest.dataset.skipped)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "I;16", "RGBA"])
def test_pictures_of_every_mode_are_read(scan: Run, tmp_path: Path, mode: str) -> None:
    images = write_photos(tmp_path / "photos", "a.png")
    picture = (
        Image.new("I;16", (80, 80), 30000) if mode == "I;16" else Image.new("RGB", (80, 80)).convert(mode)
    )
    picture.save(images / f"b.{'tif' if mode == 'CMYK' else 'png'}")
    result = scan(images, "--stages", "scan")
    assert "2 images, 0 skipped" in result.stdout, result.output


@pytest.mark.parametrize(
    "name", ["with space", "quote\"'s", "<script>alert(1)</script>".replace("/", "_"), "x" * 200]
)
def test_class_names_are_taken_as_they_are(scan: Run, tmp_path: Path, name: str) -> None:
    assert (
        scan(write_photos(tmp_path / "photos", f"{name}/a.png", "b/c.png"), "--stages", "scan").exit_code == 0
    )
    assert name in read_manifest(tmp_path / "saved_model/net").dataset.classes


def test_words_name_the_classes(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "set/images", "n01/a.png", "n02/b.png")
    (tmp_path / "set/classes.txt").write_text("n01\tgoldfish\nn02\tbullfrog\n")
    assert scan(images, "--stages", "scan").exit_code == 0
    assert read_manifest(tmp_path / "saved_model/net").dataset.classes == ["goldfish", "bullfrog"]


def test_a_missing_folder_is_refused(scan: Run, tmp_path: Path) -> None:
    refused(scan(tmp_path / "nowhere"), "nowhere", "does not exist")


def test_an_empty_folder_is_refused(scan: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    refused(scan(tmp_path / "photos"), "photos")


def test_a_folder_without_one_readable_image_is_refused(scan: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    refused(scan(tmp_path / "photos"), "none of the 1 images", "a.jpg")


def test_weights_of_another_shape_are_refused(run: Run, weights: Path, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png")
    refused(
        run("precompute", "--model", "resnet18", "--weights", str(weights), "--images", str(images),
            "--out", "saved_model/net"),
        "squeezenet.safetensors", "another architecture",
    )  # fmt: skip


def test_an_unknown_network_is_refused_with_a_hint(run: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png")
    refused(run("precompute", "--model", "vgg61", "--images", str(images), "--out", "o"), "vgg61", "vgg16")


def test_a_size_too_small_is_refused_before_the_scan(scan: Run, tmp_path: Path) -> None:
    refused(scan(write_photos(tmp_path / "photos", "a.png"), "--size", "6"), "6 x 6 px", "--size")


def test_an_unknown_layer_is_refused_with_near_names(run: Run, weights: Path, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png")
    refused(
        run("precompute", "--model", "squeezenet1_1", "--weights", str(weights), "--images", str(images),
            "--layers", "features.3.squeze", "--size", "64", "--out", "saved_model/net"),
        "features.3.squeze", "features.3.squeeze",
    )  # fmt: skip


def test_an_output_that_cannot_be_written_is_refused(run: Run, weights: Path, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png")
    (tmp_path / "file").write_text("in the way")
    refused(
        run("precompute", "--model", "squeezenet1_1", "--weights", str(weights), "--images", str(images),
            "--out", "file/net"),
        "file/net", "--out",
    )  # fmt: skip


def test_a_folder_of_other_files_is_not_overwritten(scan: Run, tmp_path: Path) -> None:
    mine = write_photos(tmp_path / "saved_model/net", "images/precious.png")
    refused(scan(write_photos(tmp_path / "photos", "a.png"), "--overwrite"), "is not a store", "--out")
    assert (mine / "images/precious.png").is_file()


def test_another_configuration_on_the_same_folder_is_refused(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png")
    assert scan(images, "--stages", "scan").exit_code == 0
    refused(scan(images, "--top", "2", "--stages", "scan"), "other k", "--overwrite")
    assert scan(images, "--top", "2", "--stages", "scan", "--overwrite").exit_code == 0
    write_photos(images, "c.png")
    refused(scan(images, "--top", "2", "--stages", "scan"), "other images", "--overwrite")


def test_a_later_stage_without_a_scan_is_refused(scan: Run, tmp_path: Path) -> None:
    refused(
        scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "ascent"), "no complete scan", "--stages"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--filters", "0"),
        ("--filters", "some"),
        ("--top", "0"),
        ("--stages", "scan,paint"),
        ("--method", "magic"),
        ("--circuits", "some"),
    ],
)
def test_a_wrong_option_is_a_usage_error(scan: Run, tmp_path: Path, option: str, value: str) -> None:
    result = scan(write_photos(tmp_path / "photos", "a.png"), option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_quiet_when_stderr_is_no_terminal(scan: Run, tmp_path: Path) -> None:
    result = scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "scan")
    assert not re.search(r"\d+%", result.stderr)
