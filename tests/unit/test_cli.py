"""The command line, as a user meets it: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from tests.golden.run import EXPECTED
from tests.helpers import refused, write_photos
from tests.processes import hear_interrupts
from torchlurk.cli.main import main
from torchlurk.store import inspect as store_inspect
from torchlurk.store.read import read_layer, read_manifest

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained SqueezeNet: small, and it runs at small sizes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def run(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return command


@pytest.fixture
def scan(run: Run, weights: Path) -> Run:
    def command(images: Path, *more: str) -> Result:
        return run(
            "precompute", "--model", "squeezenet1_1", "--weights", str(weights), "--size", "64",
            "--layers", "features.3.*", "--filters", "1", "--workers", "0", "--device", "cpu",
            "--images", str(images), "--out", "saved_model/net", *more,
        )  # fmt: skip

    return command


def test_a_store_from_empty_folder_to_site(scan: Run, run: Run, tmp_path: Path) -> None:
    images = write_photos(
        tmp_path / "photos", "cats/a.png", "cats/b.png", "dogs/c.png", "dogs/d.jpg", "dogs/e.png"
    )
    result = scan(images)
    assert result.exit_code == 0, result.output
    assert result.stdout == "saved_model/net: 3 layers, 144 filters, 5 images, 0 skipped\n"
    assert "squeezenet" in result.stderr.lower()
    told = run("inspect", "saved_model/net", "--json")
    assert told.exit_code == 0
    facts = json.loads(told.stdout)
    assert facts["filters"] == facts["full"] == facts["pictures"]["cropped"] == 144
    assert facts["pictures"]["max_activ"] == facts["pictures"]["avg_grads"] == 3
    assert facts["worst_certificate"] < 1e-3
    built = run("site", "--out", "_site")
    assert built.exit_code == 0, built.output
    assert (tmp_path / "_site/index.html").is_file()
    assert (tmp_path / "_site/saved_model/net/network.json").is_file()


def test_the_naive_way_and_a_rough_scan_give_whole_stores(scan: Run, run: Run, tmp_path: Path) -> None:
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
def test_a_crop_that_does_not_explain_its_score_is_told(
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
    assert f"(filter {channel} of {layer.name}): see the certificates" in result.stderr
    assert "by 9.1e-02" in result.stderr


def test_filter_images_can_be_made_for_one_position(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png", "c.png")
    store = tmp_path / "saved_model" / "net"

    def first_filter(objective: str) -> tuple[bytes, float, float]:
        assert scan(images, "--objective", objective, "--overwrite").exit_code == 0
        layer = read_manifest(store).layers[0]
        entry = read_layer(store, layer).filters[0]
        assert entry.ascent is not None
        picture = store / "max_activ" / layer.name / "0.jpg"
        return picture.read_bytes(), entry.ascent.score, entry.ascent.ratio or 0

    mean, position = first_filter("mean"), first_filter("position")
    assert mean[0] != position[0]
    entry = read_layer(store, read_manifest(store).layers[0]).filters[0]
    assert position[2] == pytest.approx(position[1] / entry.max[0].score, rel=1e-5)


def test_inspect_fails_on_a_missing_file(scan: Run, run: Run, tmp_path: Path) -> None:
    scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "scan")
    assert run("inspect", "saved_model/net").exit_code == 0
    (tmp_path / "saved_model/net/images/0.jpg").unlink()
    refused(run("inspect", "saved_model/net"), "damaged or incomplete: 1 problem;", "--overwrite")


def test_one_image_gives_short_lists(scan: Run, tmp_path: Path) -> None:
    assert scan(write_photos(tmp_path / "photos", "only.png")).exit_code == 0
    store = tmp_path / "saved_model/net"
    manifest = read_manifest(store)
    for layer in manifest.layers:
        for entry in read_layer(store, layer).filters:
            assert len(entry.max) == len(entry.avg) == 1
            assert entry.stats.selectivity is None


def test_bad_files_among_good_ones_are_skipped_and_told(scan: Run, tmp_path: Path) -> None:
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


def test_a_folder_of_other_files_is_not_taken_for_a_store(scan: Run, tmp_path: Path) -> None:
    mine = write_photos(tmp_path / "saved_model/net", "images/precious.png")
    refused(scan(write_photos(tmp_path / "photos", "a.png"), "--overwrite"), "no store", "--out")
    assert (mine / "images/precious.png").is_file()


def test_another_configuration_on_the_same_folder_is_refused(scan: Run, tmp_path: Path) -> None:
    images = write_photos(tmp_path / "photos", "a.png", "b.png")
    assert scan(images, "--stages", "scan").exit_code == 0
    refused(scan(images, "--top", "2", "--stages", "scan"), "other k", "--overwrite")
    assert scan(images, "--top", "2", "--stages", "scan", "--overwrite").exit_code == 0
    write_photos(images, "c.png")
    refused(scan(images, "--top", "2", "--stages", "scan"), "other images", "--overwrite")


def test_a_later_stage_without_a_scan_is_refused(scan: Run, tmp_path: Path) -> None:
    refused(scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "ascent"), "no scan", "--stages")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--filters", "0"),
        ("--filters", "some"),
        ("--top", "0"),
        ("--stages", "scan,paint"),
        ("--method", "magic"),
    ],
)
def test_a_wrong_option_is_a_usage_error(scan: Run, tmp_path: Path, option: str, value: str) -> None:
    result = scan(write_photos(tmp_path / "photos", "a.png"), option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    result = run("--debug", "inspect", str(tmp_path / "nowhere"))
    assert isinstance(result.exception, Exception)
    refused(run("inspect", str(tmp_path / "nowhere")), "nowhere")


def test_an_unexpected_exception_is_one_line_and_a_traceback_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(store_inspect, "inspect", fail)
    result = run("inspect", "anywhere")
    assert result.exit_code == 1
    line = (
        "torchlurk: ZeroDivisionError: division by zero (internal error; run with --debug for a traceback)\n"
    )
    assert result.stderr == line
    assert isinstance(run("--debug", "inspect", "anywhere").exception, ZeroDivisionError)


def test_every_option_has_help_and_a_default_or_is_required() -> None:
    for command in main.commands.values():
        for option in command.params:
            if option.param_type_name == "option":
                record = option.to_info_dict()
                assert record["help"], (command.name, option.name)


def test_site_without_a_store_says_what_to_do(run: Run) -> None:
    refused(run("site"), "saved_model/", "precompute")


def test_quiet_when_stderr_is_no_terminal(scan: Run, tmp_path: Path) -> None:
    result = scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "scan")
    assert not re.search(r"\d+%", result.stderr)


def test_serve_answers_until_interrupted(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>here</h1>")
    command = [sys.executable, "-m", "torchlurk", "serve", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"<h1>here</h1>"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, torchlurk.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_reader_that_goes_is_no_error_of_ours() -> None:
    store = Path(EXPECTED) / "branching"
    command = [sys.executable, "-m", "torchlurk", "inspect", str(store)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()  # as `| head` does once it has enough
    _, told = running.communicate(timeout=60)
    assert told == b""
    assert running.returncode == 1
