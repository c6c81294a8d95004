"""The photographs that come with the project: every one credited, free, and of the right size."""

import csv
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "data" / "photos"
FREE = {
    "Public domain",
    "CC0-1.0",
    *(f"CC-{kind}-{version}" for kind in ("BY", "BY-SA") for version in ("2.0", "2.5", "3.0", "4.0")),
}
COLUMNS = ["file", "author", "title", "licence", "source"]


@pytest.fixture(scope="module")
def credit_rows() -> list[dict[str, str]]:
    with (PHOTOS / "CREDITS.csv").open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        assert reader.fieldnames == COLUMNS
        return list(reader)


@pytest.fixture(scope="module")
def photographs() -> list[Path]:
    return sorted(PHOTOS.rglob("*.jpg"))


def names_of(photographs: list[Path]) -> list[str]:
    return sorted(path.relative_to(PHOTOS).as_posix() for path in photographs)


def test_every_photograph_is_credited(credit_rows, photographs):
    credited = {row["file"] for row in credit_rows}
    assert [name for name in names_of(photographs) if name not in credited] == []


def test_every_credit_has_its_photograph(credit_rows, photographs):
    there = set(names_of(photographs))
    assert [row["file"] for row in credit_rows if row["file"] not in there] == []


def test_credits_are_sorted_and_name_each_file_once(credit_rows):
    files = [row["file"] for row in credit_rows]
    assert files == sorted(set(files))


@pytest.mark.parametrize("column", ["author", "title", "source"])
def test_no_credit_is_left_empty(credit_rows, column):
    assert [row["file"] for row in credit_rows if not (row[column] or "").strip()] == []


def test_every_source_is_an_address(credit_rows):
    wrong = [row["file"] for row in credit_rows if not row["source"].startswith("https://")]
    assert wrong == []


def test_no_source_is_used_twice(credit_rows):
    sources = [row["source"] for row in credit_rows]
    assert sorted(sources) == sorted(set(sources))


def test_every_licence_is_free(credit_rows):
    assert {row["file"]: row["licence"] for row in credit_rows if row["licence"] not in FREE} == {}


def test_at_least_200_photographs_in_at_least_six_classes(photographs):
    assert len(photographs) >= 200
    assert len({path.parent for path in photographs}) >= 6


def test_photographs_lie_in_class_folders_under_plain_names(photographs):
    plain = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    for name in names_of(photographs):
        parts = name.removesuffix(".jpg").split("/")
        assert len(parts) == 2, name
        assert set("".join(parts)) <= plain, name


def test_nothing_else_lies_beside_the_photographs():
    others = {path.name for path in PHOTOS.rglob("*") if path.is_file() and path.suffix != ".jpg"}
    assert others == {"CREDITS.csv"}


def test_photographs_are_rgb_jpegs_with_a_short_side_of_256_and_no_metadata(photographs):
    for path in photographs:
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB"), path
            assert min(image.size) == 256, path
            assert max(image.size) <= 2.2 * 256, path
            assert not image.getexif(), path
            assert not {"exif", "icc_profile", "comment", "progressive"} & set(image.info), path


def test_photographs_and_credits_fit_in_six_megabytes():
    total = sum(path.stat().st_size for path in PHOTOS.rglob("*") if path.is_file())
    assert total <= 6_000_000


def fingerprint(path: Path, mirrored: bool = False) -> int:
    """Return 256 bits: for each of 16 x 16 places, whether it gets brighter to the right."""
    with Image.open(path) as image:
        small = image.convert("L").resize((17, 16), Image.Resampling.BOX)
    if mirrored:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = small.tobytes()
    bits = (values[17 * y + x] < values[17 * y + x + 1] for y in range(16) for x in range(16))
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def test_no_two_photographs_show_the_same_shot(photographs):
    prints = [(path, fingerprint(path), fingerprint(path, mirrored=True)) for path in photographs]
    alike = [
        (first[0].name, second[0].name)
        for first, second in combinations(prints, 2)
        if min((first[1] ^ second[1]).bit_count(), (first[1] ^ second[2]).bit_count()) < 30
    ]
    assert alike == []
