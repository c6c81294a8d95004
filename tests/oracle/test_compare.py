"""Comparisons of networks whose differences are known, and their numbers against scipy on all activations."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from torchvision.transforms.functional import pil_to_tensor

from tests.compared import LAYERS, PREPROCESS, network, permuted, store, trained, write_photos
from tests.networks import Branching, branching_maps
from tests.stored import picture
from torchlurk import Comparison, compare
from torchlurk.comparing.moments import CELLS
from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.store import schema
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import LayerFile

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Two networks, their stores and their comparison."""

    before: Branching
    after: Branching
    stores: tuple[Path, Path]
    photos: Path
    found: Comparison


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("set") / "photos")


@pytest.fixture(scope="module")
def base(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Branching, Path]:
    model = network()
    return model, store(model, photos, tmp_path_factory.mktemp("saved") / "before")


def compared(base: tuple[Branching, Path], after: Branching, photos: Path, **more: object) -> Case:
    model, path = base
    other = store(after, photos, path.parent / f"after-{len(list(path.parent.iterdir()))}")
    found = compare(
        path, other, images=photos, model=[model, after], preprocess=PREPROCESS, device="cpu", workers=0,
        batch_size=5, progress=False, **more,
    )  # fmt: skip
    return Case(model, after, (path, other), photos, found)


@pytest.fixture(scope="module")
def moved(base: tuple[Branching, Path], photos: Path) -> Case:
    return compared(base, trained(base[0], 1.0), photos)


NET = """
from tests.compared import PREPROCESS, network
def third(): return network(5), PREPROCESS
"""


def test_a_network_compared_with_itself_gives_exact_zeros(
    base: tuple[Branching, Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(NET)
    found = compared(base, copy.deepcopy(base[0]), photos, embed=f"{tmp_path / 'nets.py'}:third").found
    assert len(found.measures) == 20
    for row in found:
        for name, value in row.values.items():
            pictured = name not in ("cross", "embed_image") or row.channel < 2
            assert value == 0 if pictured else value is None, (row.layer, row.channel, name, value)
        assert (row.partner, row.partner_correlation) == (row.channel, 1)
    for layer in found.record.layers:
        assert all(own.unchanged == own.counted for own in layer.changes[0].distributions.values())
        assert layer.changes[0].summary == f"Nothing changed in its {layer.channels} filters."
    assert found.record.pairs[0].summary == "Nothing changed in 4 layers."


def crops_of(path: Path, layer: schema.LayerRecord, entry: schema.Filter) -> list[Image.Image]:
    if "cropped" not in entry.pictures:
        return [picture(path, f"images/{one.image}.jpg").convert("RGB") for one in entry.max]
    strip = picture(path, f"cropped/{layer.name}/{entry.channel}.jpg").convert("RGB")
    width = strip.width // len(entry.max)
    return [strip.crop((width * at, 0, width * (at + 1), strip.height)) for at in range(len(entry.max))]


def test_embedding_distances_are_those_of_each_crop_alone(
    base: tuple[Branching, Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(NET)
    case = compared(base, trained(base[0], 1.0), photos, embed=f"{tmp_path / 'nets.py'}:third")
    third = network(5)

    def mean(images: list[Image.Image]) -> Array:
        rows = []
        for image in images:
            x = PREPROCESS.to_input(torch.from_numpy(PREPROCESS.to_array(image))[None])
            with torch.no_grad():
                rows.append(branching_maps(third, x)["last"][0].clamp(min=0).mean((1, 2)).double().numpy())
        return np.mean(rows, axis=0)

    assert case.found.record.embedding is not None
    assert case.found.record.embedding.layer == "head"
    compared_values = 0
    manifests = [read_manifest(path) for path in case.stores]
    for layer in manifests[0].layers:
        files = [read_layer(path, layer) for path in case.stores]
        for row in case.found.layer(layer.name):
            entries = [file.filters[row.channel] for file in files]
            pairs = {
                "embed_crops": [crops_of(p, layer, e) for p, e in zip(case.stores, entries, strict=True)]
            }
            if row.channel < 2:
                name = f"max_activ/{layer.name}/{row.channel}.jpg"
                pairs["embed_image"] = [[picture(path, name).convert("RGB")] for path in case.stores]
            for measure, shown in pairs.items():
                one, other = map(mean, shown)
                expected = 1 - one @ other / np.sqrt((one @ one) * (other @ other))
                assert row[measure] == pytest.approx(expected, abs=2e-6), (layer.name, row.channel, measure)
                compared_values += bool(row[measure])
    assert compared_values > 10


UPSTREAM = ("first", "narrow")
"""The layers that do not depend on `wide`."""


def test_a_filter_with_replaced_weights_ranks_first_and_nothing_upstream_changes(
    base: tuple[Branching, Path], photos: Path
) -> None:
    after = copy.deepcopy(base[0])
    with torch.no_grad():
        after.wide.weight[3] = torch.randn(6, 5, 5, generator=torch.Generator().manual_seed(3)) * 0.2
    found = compared(base, after, photos).found
    for name in UPSTREAM:
        assert all(not value for row in found.layer(name) for value in row.values.values())
    for row in found.layer("wide"):
        assert all(not value for value in row.values.values()) or row.channel == 3
    for measure in ("maps", "means", "maxima", "difference", "weights", "direction"):
        first = found.layer("wide").sort(measure)[0]
        assert first.channel == 3
        assert first[measure] > 0.01
    everywhere = found.sort("weights")
    assert (everywhere[0].layer, everywhere[0].channel) == ("wide", 3)
    assert everywhere[1]["weights"] == 0
    assert all(row["maps"] > 0 for row in found.layer("last"))
    summaries = {layer.name: layer.changes[0].summary for layer in found.record.layers}
    assert summaries["wide"].startswith("1 of its 5 filters changed.")
    assert "Their own weights are the same: their input changed." in summaries["last"]
    assert "Of 4 layers, 2 changed." in found.record.pairs[0].summary


def test_permuted_filters_are_found_as_partners(base: tuple[Branching, Path], photos: Path) -> None:
    order = [4, 2, 0, 5, 1, 3]
    found = compared(base, permuted(base[0], order), photos).found
    rows = list(found.layer("first"))
    # Channel `place` after is what channel `order[place]` was before.
    assert [row.partner for row in rows] == [order.index(channel) for channel in range(6)]
    assert all(row.partner_correlation == pytest.approx(1, abs=1e-6) for row in rows)
    assert all(row["partner"] < 1e-6 < 0.01 < row["maps"] for row in rows)
    for name in ("narrow", "wide", "last"):
        for row in found.layer(name):
            assert row.partner == row.channel
            assert row["maps"] < 1e-6
    summary = next(layer.changes[0].summary for layer in found.record.layers if layer.name == "first")
    assert "6 filters are more like another filter after" in summary


def all_activations(model: Branching, photos: Path) -> dict[str, Array]:
    """Return every activation of every image, computed by plain algebra in float64."""
    folder = list_images(photos)
    pixels = load_pixels(folder, PREPROCESS, range(len(folder.paths)))
    maps = branching_maps(model, PREPROCESS.to_input(pixels).double())
    return {name: values.numpy() for name, values in maps.items()}


def cells(maps: Array) -> Array:
    """Average maps `(N, C, H, W)` to `(N * cells, C)`: at most 8 rows and columns, which may overlap."""
    _, _, height, width = maps.shape

    def borders(side: int) -> list[slice]:
        count = min(side, CELLS)
        return [slice(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]

    found = [[maps[:, :, r, c].mean(axis=(2, 3)) for c in borders(width)] for r in borders(height)]
    return np.array(found).transpose(2, 0, 1, 3).reshape(-1, maps.shape[1])


@pytest.mark.parametrize("layer", LAYERS)
def test_correlations_are_those_of_scipy_on_all_activations(moved: Case, layer: str) -> None:
    one, other = (all_activations(model, moved.photos)[layer] for model in (moved.before, moved.after))
    pairs = {
        "maps": (cells(one), cells(other)),
        "means": (one.mean(axis=(2, 3)), other.mean(axis=(2, 3))),
        "maxima": (one.max(axis=(2, 3)), other.max(axis=(2, 3))),
    }
    for row in moved.found.layer(layer):
        for measure, (x, y) in pairs.items():
            r = stats.pearsonr(x[:, row.channel], y[:, row.channel]).statistic
            assert row[measure] == pytest.approx(1 - r, rel=1e-4, abs=1e-6)
        x, y = (values[:, row.channel] for values in pairs["maps"])
        assert row["difference"] == pytest.approx(
            np.linalg.norm(y - x) / np.linalg.norm(x - x.mean()), rel=1e-5
        )
        across = [stats.pearsonr(x, pairs["maps"][1][:, c]).statistic for c in range(one.shape[1])]
        assert row.partner == int(np.argmax(across))
        assert row.partner_correlation == pytest.approx(max(across), abs=1e-6)
        assert row["partner"] == pytest.approx(1 - max(across), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_weights_are_those_of_numpy(moved: Case, layer: str) -> None:
    vectors = []
    for model in (moved.before, moved.after):
        own = model.get_submodule(layer)
        weight = own.weight.detach().double().numpy()
        vectors.append(np.column_stack([weight.reshape(len(weight), -1), own.bias.detach().numpy()]))
    for row in moved.found.layer(layer):
        before, after = (rows[row.channel] for rows in vectors)
        assert row["weights"] == pytest.approx(
            np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-6
        )
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        assert row["direction"] == pytest.approx(1 - cosine, rel=1e-5)


def file(path: Path, layer: str) -> LayerFile:
    return read_layer(path, next(one for one in read_manifest(path).layers if one.name == layer))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_lists_and_profiles_are_those_of_scipy(moved: Case, layer: str, kind: str) -> None:
    before, after = (file(path, layer).filters for path in moved.stores)
    assert any(row[f"rank_{kind}"] > 0 for row in moved.found.layer(layer))
    for row in moved.found.layer(layer):
        a, b = ([e.image for e in getattr(one[row.channel], kind)] for one in (before, after))
        assert row[f"top_{kind}"] == pytest.approx(len(set(a) - set(b)) / 3, rel=1e-6)
        images = sorted({*a, *b})
        # Images that a list lacks come after its end; scipy gives ties the mean of their ranks.
        behind = [[own.index(image) if image in own else 99 for image in images] for own in (a, b)]
        rho = stats.spearmanr(*behind).statistic
        assert row[f"rank_{kind}"] == pytest.approx(1 - rho, rel=1e-6, abs=1e-6)
        means = []
        for one in (before, after):
            own = dict(getattr(one[row.channel].classes, kind))
            # The classes have equally many images, so the mean of the classes is the mean of all images.
            above = np.array([own[label] for label in range(3)]) - np.mean(list(own.values()))
            means.append(above.clip(min=0) / above.clip(min=0).sum())
        gap = np.abs(means[0] - means[1]).sum() / 2
        assert row[f"classes_{kind}"] == pytest.approx(gap, rel=1e-3, abs=1e-4)
        x, y = before[row.channel].stats, after[row.channel].stats
        assert row["mean_shift"] == pytest.approx((y.mean - x.mean) / np.sqrt((x.std**2 + y.std**2) / 2))
        assert row["active"] == pytest.approx(y.active - x.active)


def test_cross_activations_are_those_of_the_networks_on_the_files(moved: Case) -> None:
    compared_values = 0
    for layer in LAYERS:
        for row in moved.found.layer(layer):
            if row.channel > 1:
                assert row.cross is None
                continue
            scores = []
            for model in (moved.before, moved.after):
                for path in moved.stores:
                    image = picture(path, f"max_activ/{layer}/{row.channel}.jpg")
                    x = (pil_to_tensor(image).double() / 255 - 0.5) / 0.25
                    scores.append(branching_maps(model, x[None])[layer][0, row.channel].mean().item())
            assert row.cross == pytest.approx(scores, rel=1e-4, abs=1e-5)
            if scores[0] > 0 and scores[3] > 0:
                lost = 1 - (min(scores[1] / scores[0], 1) + min(scores[2] / scores[3], 1)) / 2
                assert row["cross"] == pytest.approx(lost, abs=1e-4)
                compared_values += 1
    assert compared_values > 3


def test_the_batch_size_does_not_matter(moved: Case) -> None:
    again = compare(
        *moved.stores, images=moved.photos, model=[moved.before, moved.after], preprocess=PREPROCESS,
        device="cpu", workers=0, batch_size=12, progress=False,
    )  # fmt: skip
    for row, other in zip(moved.found, again, strict=True):
        for name, value in row.values.items():
            assert other[name] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-7))
