"""A download that breaks off, resumes and is checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import Site
from torchlurk.datasets.download import download
from torchlurk.errors import LurkError


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def get(site: Site, path: Path, sha256: str = "") -> None:
    sha256 = sha256 or hashlib.sha256(site.data).hexdigest()
    download(
        site.url, path, sha256=sha256, hint=("do else",), progress=False, timeout_s=5, sleep=lambda _: None
    )


def test_a_file_is_downloaded(tmp_path: Path, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    sha256 = hashlib.sha256(site.data).hexdigest()
    download(site.url, tmp_path / "new" / "x", sha256=sha256, hint=(), progress=True)
    assert tree(tmp_path) == {"new/x": site.data}
    assert site.asked == [None]
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


def test_a_download_resumes_where_it_broke_off(tmp_path: Path, site: Site) -> None:
    site.drops = [1000, 500]
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}
    assert site.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_resumes(tmp_path: Path, site: Site) -> None:
    site.drops = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(LurkError, match="1,000 bytes are here; run the command again to resume, or do else"):
        get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x.part": site.data[:1000]}
    site.drops, site.asked = [], []
    get(site, tmp_path / "x")
    assert site.asked == ["bytes=1000-"]
    assert tree(tmp_path) == {"x": site.data}


def test_a_host_without_ranges_starts_again(tmp_path: Path, site: Site) -> None:
    site.ranges, site.drops = False, [1000]
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}


@pytest.mark.parametrize("surplus", [0, 7])
def test_a_part_that_is_complete_or_too_long(tmp_path: Path, site: Site, surplus: int) -> None:
    (tmp_path / "x.part").write_bytes(site.data + bytes(surplus))
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}


def test_another_file_is_refused_and_not_kept(tmp_path: Path, site: Site) -> None:
    with pytest.raises(LurkError, match="the file has changed; do else"):
        get(site, tmp_path / "x", sha256="0" * 64)
    assert tree(tmp_path) == {}


def test_a_host_out_of_reach_is_one_line(tmp_path: Path, site: Site) -> None:
    site.url = site.url.replace("tiny.zip", "gone.zip")
    with pytest.raises(LurkError, match=r"gone\.zip cannot be downloaded \(HTTP Error 404.*do else"):
        get(site, tmp_path / "x")
    site.url = "http://127.0.0.1:1/x.zip"
    with pytest.raises(LurkError, match=r"x\.zip cannot be downloaded \(.*refused"):
        get(site, tmp_path / "x")
