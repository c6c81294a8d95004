"""Weights of torchvision's networks, by a word, by their own name or by a path."""

import http.client
import os
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import platformdirs
import torch
import torchvision

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, brief, read_weights
from torchlurk.models.squeezenet import MODEL, download_package, load_squeezenet
from torchlurk.models.trunk import SOURCES, load_trunk, pip_download

CONNECT_TIMEOUT_S: Final = 15

Download = Callable[[str, Path, str], None]


def default_cache() -> Path:
    """Return the user's cache folder for Torchlurk; it need not exist.

    Returns:
        `$XDG_CACHE_HOME/torchlurk`, or else the folder that is usual on the system: `~/.cache/torchlurk` on
        Linux. On other systems, a `~/.cache/torchlurk` that earlier versions filled is still used.
    """
    folder = platformdirs.user_cache_path("torchlurk", appauthor=False)
    former = Path.home() / ".cache" / "torchlurk"
    use_former = not os.environ.get("XDG_CACHE_HOME") and former.is_dir() and not folder.exists()
    return former if use_former else folder


def hub_download(url: str, path: Path, sha256_prefix: str) -> None:
    """Download a file as torch.hub does, but fail fast where its host is out of reach.

    Args:
        url: What to fetch.
        path: Where to put it, whole or not at all.
        sha256_prefix: The first hex digits of its sha256.

    Raises:
        OSError: The host is out of reach, or the disk is full.
        RuntimeError: The bytes are not those that were published.
    """
    # torch.hub waits for ever on a host that swallows packets: ask for the headers with a timeout
    head = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "torch.hub"})
    urllib.request.urlopen(head, timeout=CONNECT_TIMEOUT_S).close()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path), sha256_prefix, progress=True)


def resolve_weights(
    model: str,
    weights: str,
    cache: Path,
    *,
    report: Callable[[str], None],
    download: Download = hub_download,
    download_trunk: Callable[[Path], Path] = pip_download,
    hub: Path | None = None,
    download_squeezenet: Callable[[Path], Path] = download_package,
    unsafe_pickle: bool = False,
) -> Weights:
    """Find the weights that a user asked for.

    Args:
        model: A network of torchvision, such as "vgg16".
        weights: "imagenet" (torchvision's), "trunk" (the convolutions alone, vgg16 and alexnet),
            "caffe" (the authors' own, squeezenet1_1), "auto" (the first, or else what there is of the
            others), torchvision's own name of some, such as "IMAGENET1K_V2", or the path of a file.
        cache: A folder for converted weights; see `default_cache`.
        report: PreprocessLike, in a line, what takes long or which choice was made.
        download: Fetches (url, path, first digits of the sha256), for "imagenet".
        download_trunk: Fetches the trunk's package into a folder.
        download_squeezenet: Likewise, the package of SqueezeNet.
        hub: The folder of torch.hub, where torchvision keeps its files; None for the user's.
        unsafe_pickle: As for `read_weights`.

    Returns:
        The weights; `state` is not yet compared with any network.

    Raises:
        LurkError: They cannot be found, reached or read.
    """
    packaged = weights in ("trunk", "caffe")
    entry = None if packaged else weights_entry(model, weights)
    if entry is None and weights not in ("auto", "imagenet", "trunk", "caffe"):
        return read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
    others = _packaged(model)
    if not packaged:
        if entry is None:
            raise LurkError(
                f"torchvision has no trained network {model!r}: "
                "take a name from torchvision.models.list_models(), or give --weights PATH"
            )
        try:
            return _imagenet(entry, download, hub or Path(torch.hub.get_dir()))
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = f"torchvision's weights of {model} cannot be fetched ({brief(error)})"
        if weights != "auto" or others is None:
            other = f"--weights {others} or " if others else ""
            raise LurkError(f"{reason}: give {other}--weights PATH, or random for an untrained network")
        weights = others
        trunk = "the trunk, its convolutions without the classifier"
        report(f"{reason}: taking {trunk if weights == 'trunk' else 'those of its authors'}")
    if weights == "caffe":
        if model != MODEL:
            raise LurkError(f"there are Caffe weights of {MODEL}, none of {model}: give --weights PATH")
        return load_squeezenet(cache, report=report, download=download_squeezenet)
    state = load_trunk(model, cache, report=report, download=download_trunk)
    return Weights(state, "trunk", SOURCES[model].sha256, partial=True)


def _packaged(model: str) -> str | None:
    """The word for weights of a network that the package index has."""
    return "trunk" if model in SOURCES else "caffe" if model == MODEL else None


def weights_entry(model: str, weights: str) -> Any:
    """Torchvision's own entry of some weights: where they are, their preset, their classes.

    Args:
        model: A network of torchvision.
        weights: "auto" or "imagenet" for the best ones, or a name such as "IMAGENET1K_V2"; anything else
            is no entry.

    Returns:
        A member of the network's `WeightsEnum`, or None where there is none of it.

    Raises:
        LurkError: It looks like a name of weights, but the network has others.
    """
    try:
        entries = torchvision.models.get_model_weights(model)
    except ValueError:
        return None
    if weights in ("auto", "imagenet", "DEFAULT"):
        return getattr(entries, "DEFAULT", None)
    names = [entry.name for entry in entries]
    if weights in names:
        return entries[weights]
    # a file may be called anything, but hardly this
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", weights) and not Path(weights).exists():
        raise LurkError(
            f"{model} has no weights {weights!r}: torchvision has {' and '.join(names)}; or give a file"
        )
    return None


def _imagenet(entry: Any, download: Download, hub: Path) -> Weights:
    """Take weights of torchvision, from torch.hub's folder or its host."""
    path = hub / "checkpoints" / entry.url.rsplit("/", 1)[1]
    prefix = published_prefix(entry)
    if not path.exists():
        download(entry.url, path, prefix)
    found = read_weights(path)
    if not found.sha256.startswith(prefix):
        raise LurkError(f"{path} is damaged (sha256 {found.sha256[:8]}...): delete it")
    return _without_broken_head(Weights(found.state, f"imagenet:{entry.name}", found.sha256))


def published_prefix(entry: Any) -> str:
    """The first hex digits of the sha256 of the file of an entry: its name ends in them."""
    stem = entry.url.rsplit("/", 1)[1].rpartition(".")[0]
    return str(stem.replace("_", "-").rpartition("-")[2])


def _without_broken_head(weights: Weights) -> Weights:
    """Leave out a classifier that is all NaN, as torchvision publishes VGG16's features."""
    heads = {key.split(".")[0] for key, tensor in weights.state.items() if bool(tensor.isnan().all())}
    if not heads:
        return weights
    kept = {key: tensor for key, tensor in weights.state.items() if key.split(".")[0] not in heads}
    return Weights(kept, weights.name, weights.sha256, partial=True)
